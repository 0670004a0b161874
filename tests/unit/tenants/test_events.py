"""A registration and its event stand or fall together."""

from collections.abc import AsyncIterator

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.entry import decode
from subgraph.settings import Settings
from subgraph.tenants import demo_data, store
from subgraph.tenants.regions import RegionRegistry
from subgraph.tenants.service import TenantService
from tests.unit.db.scratch import scratch_database
from tests.unit.ledger.deployment import Deployment, deployment

WANTED = demo_data.TENANTS[0]


@pytest.fixture
async def process(postgres: EmbeddedServer, settings: Settings) -> AsyncIterator[Deployment]:
    async with (
        scratch_database(postgres) as scratch,
        deployment(scratch, settings, renewed=False) as made,
    ):
        yield made


def service(process: Deployment) -> TenantService:
    return TenantService(process.database, RegionRegistry.load(), process.ledger)


async def test_a_registration_is_the_first_event_of_the_tenants_log(process: Deployment) -> None:
    await process.keys.renew()
    for _ in range(2):
        await service(process).register_tenant(WANTED, by="platform")
    (recorded,) = await process.reader.events(WANTED.tenant_id, first=10)
    entry = decode(recorded.entry)
    assert (entry.type, entry.actor) == ("tenant.registered", "platform")
    assert entry.payload is not None and entry.payload["homeRegion"] == WANTED.home_region
    assert WANTED.name.encode() not in recorded.entry


async def test_what_cannot_be_recorded_is_not_registered(process: Deployment) -> None:
    with pytest.raises(SubgraphError) as refused:
        await service(process).register_tenant(WANTED, by="platform")
    assert refused.value.code is ErrorCode.LEDGER_KEY_UNAVAILABLE
    assert await store.tenants(process.database, [WANTED.tenant_id]) == {}
