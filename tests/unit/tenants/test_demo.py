"""The demonstration's data, loaded for one tenant and kept from the others."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from subgraph.db.binding import tenant_read
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.settings import Settings
from subgraph.tenants import demo, demo_data, store
from subgraph.tenants.model import Page
from tests.unit.db.scratch import Scratch, scratch_database
from tests.unit.ledger.deployment import recording_on

OWNER, OTHER = demo_data.TENANTS[0].tenant_id, demo_data.TENANTS[1].tenant_id
COUNT = tenant_read(f"SELECT count(*) AS rows FROM {demo.RELATION} WHERE bound.tenant IS NOT NULL")


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as made:
        yield made


@pytest.fixture(scope="module")
async def database(scratch: Scratch, settings: Settings) -> AsyncIterator[Database]:
    """Connections to a database where the demonstration is loaded."""
    url = scratch.url(Role.SERVICE)
    opened = Database.for_service(url, msgspec.structs.replace(settings, database_url=url))
    await opened.open()
    await load(scratch, opened)
    yield opened
    await opened.close()


async def load(scratch: Scratch, database: Database) -> None:
    await demo.load(
        database,
        await recording_on(database),
        owner_dsn=scratch.url(Role.OWNER),
        system_dsn=scratch.url(Role.SYSTEM),
    )


async def everything(scratch: Scratch) -> list[list[tuple[object, ...]]]:
    tables = ("tenant", "dataset_source", "dataset", demo.RELATION)
    return [
        sorted(tuple(map(str, row)) for row in await scratch.ask(f"SELECT * FROM {table}"))
        for table in tables
    ]


async def test_every_row_is_loaded_for_the_first_tenant(database: Database) -> None:
    (row,) = await database.read(COUNT, OWNER)
    assert row["rows"] == sum(1 for _ in demo_data.rows())


async def test_no_other_tenant_sees_a_row(database: Database) -> None:
    (row,) = await database.read(COUNT, OTHER)
    assert row["rows"] == 0


async def test_a_statement_without_a_tenant_sees_no_row(database: Database) -> None:
    (row,) = await database._fetch(f"SELECT count(*) AS rows FROM {demo.RELATION}")
    assert row["rows"] == 0


async def test_the_tenants_are_registered(database: Database) -> None:
    wanted = [tenant.tenant_id for tenant in demo_data.TENANTS]
    assert sorted(await store.tenants(database, wanted)) == sorted(wanted)


async def test_the_data_set_is_registered_for_the_first_tenant_only(database: Database) -> None:
    asked = [(OWNER, Page(10)), (OTHER, Page(10))]
    pages = await store.dataset_pages(database, asked)
    assert [[found.slug for found in pages[key]] for key in asked] == [
        [demo_data.DATASET.slug], [],
    ]  # fmt: skip


async def test_a_second_run_changes_nothing(database: Database, scratch: Scratch) -> None:
    before = await everything(scratch)
    await load(scratch, database)
    assert await everything(scratch) == before


async def test_a_run_that_was_interrupted_is_finished_by_the_next(
    postgres: EmbeddedServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off() -> None:
        raise SubgraphError(ErrorCode.DEMO_DATA_UNAVAILABLE)

    async with scratch_database(postgres) as scratch:
        url = scratch.url(Role.SERVICE)
        database = Database.for_service(url, msgspec.structs.replace(settings, database_url=url))
        await database.open()
        with monkeypatch.context() as patched:
            patched.setattr(demo_data, "rows", break_off)
            with pytest.raises(SubgraphError):
                await load(scratch, database)
        await load(scratch, database)
        (row,) = await database.read(COUNT, OWNER)
        await database.close()
    assert row["rows"] > 0
