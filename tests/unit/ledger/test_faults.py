"""A connection that drops at any named step leaves the tree whole and every promise kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.errors import SubgraphError
from subgraph.ledger.faultpoints import FaultPoint
from subgraph.ledger.fsck import fsck
from subgraph.ledger.model import KeyPurpose, NewEvent
from subgraph.ledger.publickey import PublicKey
from subgraph.ledger.rootentry import AnnouncedKey
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch, ask, scratch_database
from tests.unit.ledger.deployment import Deployment, Root, deployment, event, new_tenant

IDS = [UUID(int=number) for number in range(1, 4)]
DROP = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = $1 AND usename = 'ig_service'"
)


class Faults:
    """Drops every connection of the service when the chosen step is reached."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.at: FaultPoint | None = None
        self.reached: list[FaultPoint] = []

    async def __call__(self, point: FaultPoint) -> None:
        self.reached.append(point)
        if point is self.at:
            self.at = None
            await ask(self.scratch.url(Role.ADMIN), DROP, self.scratch.name)


@pytest.fixture(scope="module")
async def breakable(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as scratch:
        yield scratch


@pytest.fixture(scope="module")
def root() -> Root:
    """One root for all processes that the tests of this module are."""
    return Root()


@asynccontextmanager
async def breaking(
    scratch: Scratch, settings: Settings, root: Root
) -> AsyncIterator[tuple[Deployment, Faults]]:
    faults = Faults(scratch)
    async with deployment(scratch, settings, root=root, faults=faults) as process:
        faults.reached.clear()
        yield process, faults


async def whole(process: Deployment) -> None:
    result = await fsck(
        process.scratch.url(Role.SYSTEM), [PublicKey.from_pem(process.root.public_key_pem)]
    )
    assert result.faults == ()


async def everything(process: Deployment, tenant: str, acknowledged: list[NewEvent]) -> None:
    """Each step of the ledger once."""
    for number in range(3):
        wanted = event(tenant, number, event_id=IDS[number], personal={"number": number})
        await process.record(wanted)
        acknowledged.append(wanted)
    await process.checkpoints.require(tenant)
    await process.keys.renew()
    await process.announcements.announce([AnnouncedKey(KeyPurpose.PROVER, Root().public_key_pem)])


async def test_every_step_is_reached(breakable: Scratch, settings: Settings, root: Root) -> None:
    async with breaking(breakable, settings, root) as (process, faults):
        await everything(process, new_tenant(), [])
        assert set(faults.reached) == set(FaultPoint)


@pytest.mark.parametrize("point", FaultPoint)
async def test_a_dropped_connection_loses_nothing_that_was_acknowledged(
    breakable: Scratch, settings: Settings, root: Root, point: FaultPoint
) -> None:
    async with breaking(breakable, settings, root) as (process, faults):
        tenant = new_tenant()
        acknowledged: list[NewEvent] = []
        faults.at = point
        try:
            await everything(process, tenant, acknowledged)
        except (SubgraphError, asyncpg.PostgresError, asyncpg.InternalClientError):
            await whole_after(process, tenant, acknowledged)
            await everything(process, tenant, [])
        assert faults.at is None
        events = await process.reader.events(tenant, first=10)
        assert [e.event_id for e in events] == IDS
        await whole(process)


async def whole_after(process: Deployment, tenant: str, acknowledged: list[NewEvent]) -> None:
    events = await process.reader.events(tenant, first=10)
    assert {e.event_id for e in events} >= {event.event_id for event in acknowledged}
    await whole(process)
