"""A hundred workers are killed while records move; run by `make soak` alone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.settings import Settings
from tests.integration.workers import survive
from tests.unit.db.scratch import scratch_database
from tests.unit.keys.jobs.rig import Process, process

KILLS = 100
RECORDS = 6_000


@pytest.fixture
async def here(
    postgres: EmbeddedServer, settings: Settings, tmp_path: Path
) -> AsyncIterator[Process]:
    async with (
        scratch_database(postgres) as scratch,
        process(scratch, settings, tmp_path) as opened,
    ):
        yield opened


@pytest.mark.timeout(1_800)
async def test_a_hundred_killed_workers_lose_nothing(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill_fast(tenant, RECORDS)
    jobs = await survive(here, tenant, kills=KILLS)
    counts = {(job.total, job.done, job.superseded, job.quarantined) for job in jobs}
    assert counts == {(RECORDS, RECORDS, 0, 0)}
    await here.exact(tenant)
    assert await here.read(tenant, list(written)) == written
