"""Requests and sessions whose time is over are recorded as such, by whichever worker leads."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest

from subgraph.db.roles import Role
from subgraph.keys.breakglass.model import BreakGlassState
from subgraph.keys.custody.wrapping import Wrappers
from subgraph.keys.jobs.maintenance import Maintenance
from subgraph.keys.jobs.service import KeyJobs
from subgraph.keys.runtime import enqueue_slice
from subgraph.kms.options import KmsOptions
from subgraph.kms.providers import open_wrap
from subgraph.settings import Settings
from tests.unit.approvals.control import control
from tests.unit.db.scratch import Scratch
from tests.unit.keys.breakglass.glass import Glass


@pytest.fixture
async def glass(scratch: Scratch, settings: Settings) -> AsyncIterator[Glass]:
    async with control(scratch, settings) as dual:
        yield Glass(dual, await dual.make_tenant())


@pytest.fixture
def maintenance(glass: Glass, settings: Settings) -> Maintenance:
    process = glass.dual.process
    return Maintenance(
        process.database,
        process.scratch.url(Role.SYSTEM),
        wrappers=Wrappers(partial(open_wrap, options=KmsOptions.of(settings))),
        jobs=KeyJobs(process.database, process.ledger, enqueue_slice),
        approvals=glass.dual.approvals,
        break_glass=glass.service,
        enqueue=enqueue_slice,
        stalled_seconds=60.0,
    )


async def test_a_request_that_nobody_decided_on_expires(
    glass: Glass, maintenance: Maintenance
) -> None:
    made = await glass.request()
    await maintenance.round()
    assert (await glass.shown(made)).state is BreakGlassState.REQUESTED
    before = await glass.about(made.request_id)
    glass.dual.time.offset = timedelta(days=3)
    await maintenance.round()
    await maintenance.round()
    assert (await glass.shown(made)).state is BreakGlassState.EXPIRED
    assert len(await glass.about(made.request_id)) == len(before) + 1


async def test_a_session_whose_time_is_over_is_closed_once(
    glass: Glass, maintenance: Maintenance
) -> None:
    made = await glass.opened()
    before = await glass.about(made.request_id)
    await maintenance.round()
    assert await glass.about(made.request_id) == before
    glass.dual.time.offset = timedelta(hours=2)
    await maintenance.round()
    await maintenance.round()
    assert len(await glass.about(made.request_id)) == len(before) + 1
    assert (await glass.shown(made)).state is BreakGlassState.EXPIRED
