"""The service role's connections: how they count, fail, recover and refuse."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec
import pytest

from subgraph.db import migrate
from subgraph.db.binding import tenant_read, tenant_read_many
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.migrations import HEAD
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from subgraph.db.service import Database, StatementCount, statement_count
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.settings import Settings
from tests.unit.db.scratch import ask, scratch_database

READ = tenant_read("SELECT tenant_id FROM tenant WHERE tenant_id = bound.tenant")
READ_MANY = tenant_read_many(
    "SELECT tenant_id FROM tenant WHERE tenant_id = bound.tenant", key_type="text"
)
SLOW = tenant_read("SELECT pg_sleep(600) WHERE bound.tenant IS NOT NULL")


@asynccontextmanager
async def opened(dsn: str, settings: Settings, **changes: object) -> AsyncIterator[Database]:
    database = Database.for_service(dsn, msgspec.structs.replace(settings, **changes))
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def lone(postgres: EmbeddedServer, settings: Settings) -> AsyncIterator[Database]:
    """One connection."""
    dsn = postgres.url(Role.SERVICE)
    async with opened(dsn, settings, pool_size=1, connect_timeout_ms=200) as database:
        yield database


async def pid_of(database: Database) -> int:
    (row,) = await database._fetch("SELECT pg_backend_pid() AS pid")
    return int(row["pid"])


async def code_of(running: object) -> ErrorCode:
    with pytest.raises(SubgraphError) as caught:
        await running  # type: ignore[misc]
    return caught.value.code


async def test_a_read_is_one_statement(database: Database) -> None:
    count = StatementCount()
    reset = statement_count.set(count)
    await database.read(READ, "t-a")
    statement_count.reset(reset)
    assert count.sent == 1


async def test_a_read_of_fifty_tenants_is_one_statement(
    database: Database, postgres: EmbeddedServer
) -> None:
    counted = "SELECT sum(calls) AS calls FROM pg_stat_statements WHERE query LIKE 'WITH asked%'"
    await ask(postgres.url(Role.ADMIN), "SELECT pg_stat_statements_reset()")
    await database.read_many(READ_MANY, [(f"t-{number}", "x") for number in range(50)])
    (row,) = await ask(postgres.url(Role.ADMIN), counted)
    assert row["calls"] == 1


async def test_a_transaction_counts_its_binding_and_its_statements(database: Database) -> None:
    count = StatementCount()
    reset = statement_count.set(count)
    async with database.transaction("t-a") as transaction:
        await transaction.rows("SELECT 1")
        await transaction.row("SELECT 1")
        await transaction.run("SELECT 1")
    statement_count.reset(reset)
    assert count.sent == 4


async def test_giving_a_connection_back_sends_nothing(
    lone: Database, postgres: EmbeddedServer
) -> None:
    await lone.read(READ, "t-a")
    await ask(postgres.url(Role.ADMIN), "SELECT pg_stat_statements_reset()")
    await lone.read(READ, "t-a")
    rows = await ask(
        postgres.url(Role.ADMIN),
        "SELECT query FROM pg_stat_statements WHERE userid = 'ig_service'::regrole",
    )
    assert [row["query"][:10] for row in rows] == ["WITH bound"]


async def test_nothing_is_connected_before_it_is_asked(
    postgres: EmbeddedServer, settings: Settings
) -> None:
    async with opened(postgres.url(Role.SERVICE), settings) as database:
        before = database.size
        await database.read(READ, "t-a")
        assert (before, database.size, database.idle) == (0, 1, 1)


async def test_it_knows_the_revision(database: Database) -> None:
    assert await database.revision() == HEAD


async def test_a_database_before_its_first_migration_has_no_revision(
    postgres: EmbeddedServer, settings: Settings
) -> None:
    async with (
        scratch_database(postgres, migrated=False) as scratch,
        opened(scratch.url(Role.SERVICE), settings) as database,
    ):
        assert await database.revision() is None


async def test_a_database_taken_back_to_base_has_no_revision(
    postgres: EmbeddedServer, settings: Settings
) -> None:
    async with scratch_database(postgres) as scratch:
        await migrate.downgrade(scratch.url(Role.OWNER), "base")
        async with opened(scratch.url(Role.SERVICE), settings) as database:
            assert await database.revision() is None


async def test_a_statement_goes_on_across_a_migration(
    postgres: EmbeddedServer, settings: Settings
) -> None:
    async with (
        scratch_database(postgres) as scratch,
        opened(scratch.url(Role.SERVICE), settings, pool_size=1) as database,
    ):
        await database.read(READ, "t-a")
        await scratch.run("ALTER TABLE tenant ADD COLUMN more text")
        assert await database.read(READ, "t-a") == []


async def test_a_database_that_comes_later_is_used(
    postgres: EmbeddedServer, settings: Settings, tmp_path: Path
) -> None:
    place = tmp_path / "socket"
    dsn = postgres.url(Role.SERVICE).partition("?")[0] + f"?host={place}"
    async with opened(dsn, settings) as database:
        before = await code_of(database.read(READ, "t-a"))
        place.symlink_to(postgres.socket_folder)
        assert (before, await database.read(READ, "t-a")) == (ErrorCode.DATABASE_UNAVAILABLE, [])


async def test_a_connection_that_was_cut_is_replaced(
    lone: Database, postgres: EmbeddedServer
) -> None:
    pid = await pid_of(lone)
    await ask(postgres.url(Role.ADMIN), "SELECT pg_terminate_backend($1, 10000)", pid)
    assert await pid_of(lone) != pid


async def test_a_read_whose_connection_is_cut_is_told_so(
    lone: Database, postgres: EmbeddedServer
) -> None:
    pid = await pid_of(lone)
    reading = asyncio.ensure_future(lone.read(SLOW, "t-a"))
    asked = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
    while not await ask(postgres.url(Role.ADMIN), asked, pid):
        await asyncio.sleep(0.01)
    await ask(postgres.url(Role.ADMIN), "SELECT pg_terminate_backend($1)", pid)
    assert await code_of(reading) is ErrorCode.DATABASE_UNAVAILABLE


async def test_a_server_that_hangs_holds_nobody(
    postgres: EmbeddedServer, settings: Settings
) -> None:
    dsn = postgres.url(Role.SERVICE)
    changes = {"pool_size": 1, "statement_timeout_ms": 300, "connect_timeout_ms": 500}
    async with opened(dsn, settings, **changes) as database:
        pid = await pid_of(database)
        os.kill(pid, signal.SIGSTOP)
        try:
            code = await code_of(database.read(READ, "t-a"))
        finally:
            os.kill(pid, signal.SIGCONT)
    assert code is ErrorCode.DATABASE_UNAVAILABLE


async def test_whoever_finds_no_free_connection_in_time_is_told_so(lone: Database) -> None:
    async with lone.transaction("t-a"):
        code = await code_of(lone.read(READ, "t-a"))
    assert code is ErrorCode.DATABASE_UNAVAILABLE


async def test_a_role_that_could_read_around_row_security_is_refused(
    postgres: EmbeddedServer, settings: Settings
) -> None:
    for role in (Role.ADMIN, Role.OWNER, Role.SYSTEM):
        async with opened(postgres.url(role), settings) as database:
            assert await code_of(database.read(READ, "t-a")) is ErrorCode.DATABASE_ROLE_UNSAFE


async def test_a_role_that_becomes_unsafe_gets_no_new_connection(
    postgres: EmbeddedServer, settings: Settings, tenant_id: str
) -> None:
    role = tenant_id.replace("-", "_")
    admin = postgres.url(Role.ADMIN)
    password = "p" * 20
    await ask(admin, f"CREATE ROLE {role} LOGIN PASSWORD '{password}' IN ROLE ig_service")
    place = postgres.url(Role.SERVICE).partition("@")[2]
    async with opened(f"postgresql://{role}:{password}@{place}", settings, pool_size=1) as database:
        pid = await pid_of(database)
        await ask(admin, f"ALTER ROLE {role} BYPASSRLS")
        await ask(admin, "SELECT pg_terminate_backend($1, 10000)", pid)
        code = await code_of(database.read(READ, "t-a"))
    await ask(admin, f"DROP ROLE {role}")
    assert code is ErrorCode.DATABASE_ROLE_UNSAFE


async def test_reading_after_the_end_is_unavailable(
    postgres: EmbeddedServer, settings: Settings
) -> None:
    async with opened(postgres.url(Role.SERVICE), settings) as database:
        pass
    assert await code_of(database.read(READ, "t-a")) is ErrorCode.DATABASE_UNAVAILABLE


async def test_the_system_role_sees_only_what_policies_open_to_it(
    postgres: EmbeddedServer, make_tenant: object
) -> None:
    assert callable(make_tenant)
    tenant = await make_tenant()
    async with operator_transaction(postgres.url(Role.SYSTEM)) as transaction:
        rows = await transaction.rows("SELECT FROM tenant WHERE tenant_id = $1", tenant)
        assert len(rows) == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await transaction.rows("SELECT FROM dataset")
