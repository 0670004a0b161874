"""Statements and transactions are bound to a tenant exactly as long as they run."""

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import msgspec
import pytest

from subgraph.db.binding import tenant_read, tenant_read_many
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.settings import Settings
from subgraph.tenants import store
from subgraph.tenants.model import Page, Tenant
from tests.unit.db.scratch import Scratch, fill, scratch_database

TENANTS = [f"t-{number:02}" for number in range(50)]
DATASETS = 60
A, B = TENANTS[3], TENANTS[7]

EVERYTHING = tenant_read("SELECT tenant_id FROM dataset WHERE bound.tenant IS NOT NULL")
EVERYTHING_MANY = tenant_read_many(
    "SELECT bound.tenant AS asked, tenant_id FROM dataset", key_type="text"
)
BY_SLUG = tenant_read_many(
    "SELECT tenant_id, slug FROM dataset"
    " WHERE tenant_id = bound.tenant AND slug = ANY (asked.keys)",
    key_type="text",
)
JOINED = tenant_read(
    "SELECT d.tenant_id, s.tenant_id AS of_source FROM dataset AS d"
    " JOIN dataset_source AS s USING (source_id) JOIN tenant AS t ON t.tenant_id = s.tenant_id"
    " WHERE bound.tenant IS NOT NULL"
)
SLOW = tenant_read("SELECT pg_sleep(600) FROM tenant WHERE tenant_id = bound.tenant /* slow */")
BROKEN = tenant_read("SELECT 1 / (length(name) - length(name)) FROM tenant"
                     " WHERE tenant_id = bound.tenant")  # fmt: skip

PLANNER = [
    *(
        f"enable_{method}=off"
        for method in (
            "nestloop", "hashjoin", "mergejoin", "indexscan", "indexonlyscan", "bitmapscan",
            "seqscan", "memoize", "material", "sort", "hashagg",
        )
    ),
    "plan_cache_mode=force_generic_plan",
    "plan_cache_mode=force_custom_plan",
    "debug_parallel_query=on",
    "from_collapse_limit=1",
    "geqo_threshold=2",
]  # fmt: skip


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    """Fifty tenants with thousands of analysed rows."""
    async with scratch_database(postgres) as made:
        await fill(made, TENANTS, datasets=DATASETS)
        yield made


@asynccontextmanager
async def one_connection(
    scratch: Scratch, settings: Settings, *, server_setting: str = "", **changes: object
) -> AsyncIterator[Database]:
    """The service role's connections, of which there is one."""
    url = scratch.url(Role.SERVICE)
    if server_setting:
        url += f"&{server_setting}"
    changed = msgspec.structs.replace(settings, database_url=url, pool_size=1, **changes)
    database = Database.for_service(url, changed)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture(scope="module")
async def database(scratch: Scratch, settings: Settings) -> AsyncIterator[Database]:
    async with one_connection(scratch, settings) as opened:
        yield opened


async def unbound(database: Database) -> tuple[int, int, str]:
    """The rows that a statement without a tenant sees on the connection, and the setting."""
    (row,) = await database._fetch(
        "SELECT (SELECT count(*) FROM tenant) AS tenants, (SELECT count(*) FROM dataset) AS sets,"
        " coalesce(current_setting('ig.tenant', true), '') AS bound"
    )
    return row["tenants"], row["sets"], row["bound"]


async def backend(database: Database) -> int:
    (row,) = await database._fetch("SELECT pg_backend_pid() AS pid")
    return int(row["pid"])


NOTHING = (0, 0, "")


def test_a_statement_that_does_not_compare_its_tenant_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bound\.tenant"):
        tenant_read("SELECT * FROM tenant")


def test_a_statement_of_several_tenants_that_does_not_compare_them_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bound\.tenant"):
        tenant_read_many("SELECT * FROM tenant", key_type="text")


async def test_a_statement_without_a_tenant_sees_nothing(database: Database) -> None:
    assert await unbound(database) == NOTHING


async def test_a_read_sees_the_rows_of_its_tenant_even_if_it_forgets_to_compare(
    database: Database,
) -> None:
    rows = await database.read(EVERYTHING, A)
    assert [row["tenant_id"] for row in rows] == [A] * DATASETS


@pytest.mark.parametrize("tenant", ["", "t-unknown", "t-03'", "t-%", "T-03", " t-03"])
async def test_a_read_of_a_tenant_that_there_is_not_sees_nothing(
    database: Database, tenant: str
) -> None:
    assert await database.read(EVERYTHING, tenant) == []


async def test_a_read_of_many_gives_each_tenant_its_own_rows(database: Database) -> None:
    keys = [(tenant, f"d-{number:06}") for tenant in TENANTS for number in (1, 2, 59, 60, 61)]
    rows = await database.read_many(BY_SLUG, keys)
    found = sorted((row["tenant_id"], row["slug"]) for row in rows)
    assert found == [key for key in keys if key[1] != "d-000061"]


async def test_a_read_of_many_that_forgets_to_compare_sees_the_rows_of_each_tenant(
    database: Database,
) -> None:
    rows = await database.read_many(EVERYTHING_MANY, [(tenant, "") for tenant in TENANTS])
    assert sorted((row["asked"], row["tenant_id"]) for row in rows) == [
        (tenant, tenant) for tenant in TENANTS for _ in range(DATASETS)
    ]


async def ids_of(scratch: Scratch, tenant: str) -> list[UUID]:
    rows = await scratch.ask(
        "SELECT dataset_id FROM dataset WHERE tenant_id = $1 ORDER BY slug", tenant
    )
    return [row["dataset_id"] for row in rows]


async def test_a_key_of_one_tenant_under_another_finds_nothing(
    database: Database, scratch: Scratch
) -> None:
    theirs, ours = (await ids_of(scratch, B))[0], (await ids_of(scratch, A))[0]
    found = await store.datasets(database, [(A, theirs), (A, ours), (B, ours)])
    assert list(found) == [(A, ours)]


async def test_a_transaction_sees_the_rows_of_its_tenant(database: Database) -> None:
    async with database.transaction(A) as transaction:
        rows = await transaction.rows("SELECT tenant_id FROM dataset")
    assert [row["tenant_id"] for row in rows] == [A] * DATASETS


async def test_a_transaction_cannot_insert_a_row_of_another_tenant(database: Database) -> None:
    tenant = Tenant("t-intruder", "Intruder", "aws:eu-central-1", ("aws:eu-central-1",))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.transaction(A) as transaction:
            await store.insert_tenant(transaction, tenant, by="test")


async def test_a_data_set_cannot_refer_to_the_source_of_another_tenant(
    database: Database, scratch: Scratch
) -> None:
    theirs = await store.datasets(database, [(B, (await ids_of(scratch, B))[0])])
    (standing,) = theirs.values()
    stolen = dataclasses.replace(standing, tenant_id=A, slug="stolen")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        async with database.transaction(A) as transaction:
            await store.insert_dataset(transaction, stolen, by="test")


@pytest.mark.parametrize(
    "statement", ["UPDATE dataset SET name = 'x'", "DELETE FROM dataset", "TRUNCATE dataset"]
)
async def test_a_transaction_cannot_change_what_is_registered(
    database: Database, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction(A) as transaction:
            await transaction.run(statement)


async def test_copying_in_is_refused(database: Database) -> None:
    async with database._pool.acquire() as connection:
        with pytest.raises(asyncpg.FeatureNotSupportedError, match="row-level security"):
            await connection.copy_records_to_table("tenant", records=[], columns=["tenant_id"])


async def test_copying_out_without_a_tenant_copies_nothing(database: Database) -> None:
    async with database._pool.acquire() as connection:
        assert await connection.copy_from_table("tenant", output=_nowhere) == "COPY 0"


async def _nowhere(_: bytes) -> None:
    """Takes what is copied."""


async def test_a_rolled_back_transaction_leaves_nothing_bound(database: Database) -> None:
    await _rolls_back(database, A)
    assert await unbound(database) == NOTHING


async def test_an_error_in_a_transaction_leaves_nothing_bound(database: Database) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with database.transaction(A) as transaction:
            await transaction.run("SELECT 1 / 0")
    assert await unbound(database) == NOTHING


async def test_an_error_in_a_read_leaves_nothing_bound(database: Database) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await database.read(BROKEN, A)
    assert await unbound(database) == NOTHING


async def test_a_savepoint_that_is_rolled_back_leaves_the_tenant_bound(database: Database) -> None:
    async with database.transaction(A) as transaction:
        await transaction.run("SAVEPOINT before")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await transaction.run("SELECT 1 / 0")
        await transaction.run("ROLLBACK TO before")
        (row,) = await transaction.rows("SELECT count(*) AS tenants FROM tenant")
    assert (row["tenants"], await unbound(database)) == (1, NOTHING)


async def cancelled(scratch: Scratch, database: Database, running: Awaitable[object]) -> None:
    """Cancel `running` while the server executes its slow statement."""
    pid = await backend(database)
    task = asyncio.ensure_future(running)
    await _sleeping(scratch, pid)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _sleeping(scratch: Scratch, pid: int) -> None:
    asked = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
    while not await scratch.ask(asked, pid):
        await asyncio.sleep(0.01)


async def test_a_cancelled_read_leaves_nothing_bound(database: Database, scratch: Scratch) -> None:
    pid = await backend(database)
    await cancelled(scratch, database, database.read(SLOW, A))
    assert (await unbound(database), await backend(database)) == (NOTHING, pid)


async def slow_transaction(database: Database) -> None:
    async with database.transaction(A) as transaction:
        await transaction.run("SELECT pg_sleep(600)")


async def test_a_cancelled_transaction_leaves_nothing_bound(
    database: Database, scratch: Scratch
) -> None:
    await cancelled(scratch, database, slow_transaction(database))
    assert await unbound(database) == NOTHING


async def test_a_transaction_cancelled_again_while_it_rolls_back_leaves_nothing_bound(
    database: Database, scratch: Scratch
) -> None:
    pid = await backend(database)
    task = asyncio.ensure_future(slow_transaction(database))
    await _sleeping(scratch, pid)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert await unbound(database) == NOTHING


async def test_a_transaction_whose_connection_is_cut_leaves_nothing_bound(
    database: Database, scratch: Scratch
) -> None:
    async def cut() -> None:
        async with database.transaction(A) as transaction:
            (row,) = await transaction.rows("SELECT pg_backend_pid() AS pid")
            await scratch.ask("SELECT pg_terminate_backend($1)", row["pid"])
            await transaction.rows("SELECT FROM tenant")

    with pytest.raises(SubgraphError) as caught:
        await cut()
    assert (caught.value.code, await unbound(database)) == (
        ErrorCode.DATABASE_UNAVAILABLE,
        NOTHING,
    )


async def test_a_statement_over_its_time_leaves_nothing_bound(
    scratch: Scratch, settings: Settings
) -> None:
    async with one_connection(scratch, settings, statement_timeout_ms=50) as database:
        pid = await backend(database)
        with pytest.raises(SubgraphError) as caught:
            await database.read(SLOW, A)
        assert caught.value.code is ErrorCode.DEADLINE_EXCEEDED
        assert (await unbound(database), await backend(database)) == (NOTHING, pid)


Step = Callable[[Database, str], Awaitable[None]]


async def _reads(database: Database, tenant: str) -> None:
    rows = await database.read(EVERYTHING, tenant)
    assert {row["tenant_id"] for row in rows} == {tenant}


async def _reads_many(database: Database, tenant: str) -> None:
    rows = await database.read_many(EVERYTHING_MANY, [(tenant, ""), (B, ""), (tenant, "")])
    assert {(row["asked"], row["tenant_id"]) for row in rows} == {(tenant, tenant), (B, B)}


async def _commits(database: Database, tenant: str) -> None:
    async with database.transaction(tenant) as transaction:
        rows = await transaction.rows("SELECT tenant_id FROM dataset")
    assert {row["tenant_id"] for row in rows} == {tenant}


async def _rolls_back(database: Database, tenant: str) -> None:
    seen: list[str] = []

    async def fail() -> None:
        async with database.transaction(tenant) as transaction:
            rows = await transaction.rows("SELECT tenant_id FROM tenant")
            seen.extend(row["tenant_id"] for row in rows)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert seen == [tenant]


async def _fails(database: Database, tenant: str) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await database.read(BROKEN, tenant)


async def _times_out(database: Database, tenant: str) -> None:
    with pytest.raises(SubgraphError):
        await database.read(SLOW, tenant)


async def _is_cancelled(database: Database, tenant: str) -> None:
    task = asyncio.ensure_future(database.read(SLOW, tenant))
    for _ in range(random.randrange(12)):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


STEPS: list[Step] = [
    _reads, _reads, _reads_many, _commits, _rolls_back, _fails, _times_out, _is_cancelled,
]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_bound_between_the_steps_of_any_order(
    scratch: Scratch, settings: Settings, seed: int
) -> None:
    chosen = random.Random(seed)
    async with one_connection(scratch, settings, statement_timeout_ms=30) as database:
        for _ in range(60):
            await chosen.choice(STEPS)(database, chosen.choice(TENANTS))
            assert await unbound(database) == NOTHING


async def test_statements_of_many_tenants_at_once_keep_apart(
    scratch: Scratch, settings: Settings
) -> None:
    async with one_connection(scratch, settings, connect_timeout_ms=30_000) as database:
        order = TENANTS * 6
        random.Random(1).shuffle(order)
        steps = (_reads, _reads_many, _commits)
        await asyncio.gather(
            *(steps[number % 3](database, tenant) for number, tenant in enumerate(order))
        )
        assert await unbound(database) == NOTHING


@pytest.mark.parametrize("server_setting", PLANNER)
async def test_the_binding_holds_under_every_plan(
    scratch: Scratch, settings: Settings, server_setting: str
) -> None:
    # Past five executions PostgreSQL may change from a custom plan to a generic one.
    ids = {tenant: await ids_of(scratch, tenant) for tenant in (A, B)}
    page = Page(5, "d-000010")
    async with one_connection(scratch, settings, server_setting=server_setting) as database:
        for number in range(12):
            tenant, other = (A, B) if number % 2 else (B, A)
            await _reads(database, tenant)
            await _reads_many(database, tenant)
            await _commits(database, tenant)
            joined = await database.read(JOINED, tenant)
            assert [tuple(row.values()) for row in joined] == [(tenant, tenant)] * DATASETS
            keys = [(tenant, ids[tenant][0]), (tenant, ids[other][0])]
            assert list(await store.datasets(database, keys)) == keys[:1]
            assert set(await store.tenants(database, [tenant, other, "t-no"])) == {tenant, other}
            pages = await store.dataset_pages(database, [(tenant, page), (other, page)])
            assert {
                (asked, found.tenant_id) for (asked, _), sets in pages.items() for found in sets
            } == {(tenant, tenant), (other, other)}
            assert await unbound(database) == NOTHING


async def test_the_tenant_is_set_before_the_first_row_is_looked_at(
    scratch: Scratch, settings: Settings
) -> None:
    """The first execution on a connection: no setting of a former one can help it."""
    async with one_connection(scratch, settings) as database:
        rows = await database.read_many(EVERYTHING_MANY, [(A, "")])
        assert len(rows) == DATASETS
