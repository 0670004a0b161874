"""The database roles: what they may, and which connections are refused."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from subgraph.db import embedded, roles
from subgraph.db.datafolder import DataFolder
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.errors import ErrorCode, SubgraphError

PASSWORDS = {role: f"password of {role.name}" for role in Role}
OWN_ROLES = (Role.OWNER, Role.SERVICE, Role.SYSTEM)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    # Below /tmp, where the server's account can walk when the tests run as root.
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    folder = DataFolder.open(place / "data")
    settings = {"log_statement": "all"}
    started = asyncio.run(embedded.start(folder, durable=False, settings=settings))
    yield started
    asyncio.run(started.stop())
    folder.close()
    shutil.rmtree(place)


@pytest.fixture
async def admin(server: EmbeddedServer) -> AsyncIterator[asyncpg.Connection]:
    async with connected(server.url(Role.ADMIN)) as connection:
        yield connection


@pytest.fixture
async def fresh(server: EmbeddedServer, admin: asyncpg.Connection) -> AsyncIterator[str]:
    """A database of the roles, with a table of the owner's, gone afterwards."""
    name = "fresh"
    await roles.ensure(admin, passwords=None, database=name)
    async with connected(server.url(Role.OWNER, name)) as owner:
        await roles.seal(owner)
        await owner.execute("CREATE TABLE tenants (tenant_id text PRIMARY KEY)")
        await owner.execute("CREATE FUNCTION answer() RETURNS int LANGUAGE sql RETURN 42")
    yield name
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def stranger(admin: asyncpg.Connection) -> AsyncIterator[str]:
    """A login role of the operator's, without rights of its own."""
    await admin.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    await admin.execute("GRANT ig_service TO stranger")
    yield "stranger"
    await admin.execute("DROP OWNED BY stranger")
    await admin.execute("DROP ROLE stranger")


@asynccontextmanager
async def connected(dsn: str, **options: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, **options)
    try:
        yield connection
    finally:
        await connection.close()


async def refusal(connection: asyncpg.Connection, role: Role = Role.SERVICE) -> str:
    with pytest.raises(SubgraphError) as caught:
        await roles.refuse_unsafe(connection, role=role)
    assert caught.value.code is ErrorCode.DATABASE_ROLE_UNSAFE
    return caught.value.message


@pytest.mark.parametrize("role", OWN_ROLES)
async def test_no_role_has_a_power(admin: asyncpg.Connection, role: Role) -> None:
    row = await admin.fetchrow(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication "
        "FROM pg_roles WHERE rolname = $1",
        role.value,
    )
    assert not any(row)


async def test_the_owner_owns_the_database(admin: asyncpg.Connection) -> None:
    owner = await admin.fetchval(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'governance'"
    )
    assert owner == "ig_owner"


async def test_the_service_has_its_backstops(server: EmbeddedServer) -> None:
    async with connected(server.url(Role.SERVICE)) as service:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        assert [await service.fetchval(f"SHOW {name}") for name in names] == ["30s", "5s", "30s"]


@pytest.mark.parametrize("role", [Role.SERVICE, Role.SYSTEM])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM public.tenants",
        "SELECT public.answer()",
        "CREATE TABLE public.mine (x int)",
        "CREATE TEMPORARY TABLE mine (x int)",
        "CREATE SCHEMA mine",
        "SET ROLE ig_owner",
        "CREATE ROLE mine",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ],
)
async def test_nothing_is_allowed_before_a_migration_grants_it(
    server: EmbeddedServer, fresh: str, role: Role, statement: str
) -> None:
    async with connected(server.url(role, fresh)) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_what_a_migration_grants_works(server: EmbeddedServer, fresh: str) -> None:
    async with connected(server.url(Role.OWNER, fresh)) as owner:
        await owner.execute("GRANT USAGE ON SCHEMA public TO ig_service")
        await owner.execute("GRANT SELECT ON tenants TO ig_service")
    async with connected(server.url(Role.SERVICE, fresh)) as service:
        assert await service.fetch("SELECT * FROM tenants") == []


@pytest.mark.parametrize("role", OWN_ROLES)
@pytest.mark.parametrize("database", ["postgres", "template1"])
async def test_the_other_databases_are_closed(
    server: EmbeddedServer, role: Role, database: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(server.url(role, database))


async def test_many_at_once_agree(server: EmbeddedServer, admin: asyncpg.Connection) -> None:
    async def one() -> None:
        async with connected(server.url(Role.ADMIN)) as connection:
            await roles.ensure(connection, passwords=server._passwords, database="contended")

    await asyncio.gather(*(one() for _ in range(8)))
    await admin.execute("DROP DATABASE contended")


async def test_a_power_that_was_given_is_taken_back(admin: asyncpg.Connection) -> None:
    await admin.execute("ALTER ROLE ig_service BYPASSRLS CREATEDB")
    await roles.ensure(admin, passwords=None, database="governance")
    row = await admin.fetchrow(
        "SELECT rolbypassrls, rolcreatedb FROM pg_roles WHERE rolname = 'ig_service'"
    )
    assert not any(row)


async def test_a_database_of_another_owner_is_taken_over(admin: asyncpg.Connection) -> None:
    await admin.execute("CREATE DATABASE theirs")
    await roles.ensure(admin, passwords=None, database="theirs")
    owner = await admin.fetchval(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'theirs'"
    )
    await admin.execute("DROP DATABASE theirs")
    assert owner == "ig_owner"


async def test_an_odd_database_name_is_quoted(admin: asyncpg.Connection) -> None:
    name = 'x"; DROP ROLE ig_owner; --'
    await roles.ensure(admin, passwords=None, database=name)
    assert await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name)
    await admin.execute('DROP DATABASE "x""; DROP ROLE ig_owner; --"')


async def test_no_log_shows_a_password(server: EmbeddedServer, admin: asyncpg.Connection) -> None:
    await roles.ensure(admin, passwords=PASSWORDS, database="governance")
    await roles.ensure(admin, passwords=server._passwords, database="governance")
    log = (server._folder.path / "postgresql.log").read_text()
    assert "ALTER ROLE ig_service LOGIN PASSWORD" in log
    assert not [secret for secret in PASSWORDS.values() if secret in log]


async def test_a_password_that_would_need_preparation_is_refused(admin: asyncpg.Connection) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        await roles.ensure(admin, passwords=dict.fromkeys(Role, "pässword"), database="governance")


async def test_a_failure_leaves_no_lock_behind(
    server: EmbeddedServer, admin: asyncpg.Connection
) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        await roles.ensure(admin, passwords=dict.fromkeys(Role, "ü"), database="governance")
    async with connected(server.url(Role.ADMIN)) as other:
        await roles.ensure(other, passwords=None, database="governance")


async def test_a_schema_that_stays_open_is_reported(
    server: EmbeddedServer, admin: asyncpg.Connection, fresh: str
) -> None:
    async with connected(server.url(Role.ADMIN, fresh)) as inside:
        await inside.execute("ALTER SCHEMA public OWNER TO ig_admin")
        await inside.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        with pytest.raises(SubgraphError, match="ALTER SCHEMA public OWNER TO ig_owner"):
            await roles.seal(inside)


async def test_the_service_role_is_accepted(server: EmbeddedServer, fresh: str) -> None:
    async with connected(server.url(Role.SERVICE, fresh)) as service:
        await roles.refuse_unsafe(service)


async def test_the_system_role_is_accepted_for_workers(server: EmbeddedServer, fresh: str) -> None:
    async with connected(server.url(Role.SYSTEM, fresh)) as system:
        await roles.refuse_unsafe(system, role=Role.SYSTEM)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER, Role.SYSTEM])
async def test_no_other_role_serves(server: EmbeddedServer, fresh: str, role: Role) -> None:
    async with connected(server.url(role, fresh)) as connection:
        assert role.value in await refusal(connection)


async def test_a_superuser_cannot_hide_behind_set_role(server: EmbeddedServer, fresh: str) -> None:
    async with connected(server.url(Role.ADMIN, fresh)) as connection:
        await connection.execute("SET ROLE ig_service")
        assert "superuser" in await refusal(connection)


@pytest.mark.parametrize(
    ("given", "taken", "reason"),
    [
        ("ALTER ROLE stranger BYPASSRLS", "ALTER ROLE stranger NOBYPASSRLS", "BYPASSRLS"),
        ("ALTER ROLE stranger CREATEROLE", "ALTER ROLE stranger NOCREATEROLE", "CREATEROLE"),
        ("ALTER ROLE stranger REPLICATION", "ALTER ROLE stranger NOREPLICATION", "REPLICATION"),
        (
            "GRANT ig_owner TO stranger WITH INHERIT FALSE, SET TRUE",
            "REVOKE ig_owner FROM stranger",
            "ig_owner, which it must not be",
        ),
        (
            "GRANT ig_system TO ig_service",
            "REVOKE ig_system FROM ig_service",
            "ig_system, which it must not be",
        ),
        (
            "GRANT ig_admin TO stranger WITH INHERIT FALSE, SET FALSE, ADMIN TRUE",
            "REVOKE ig_admin FROM stranger",
            "superuser ig_admin",
        ),
        (
            "GRANT pg_read_server_files TO stranger",
            "REVOKE pg_read_server_files FROM stranger",
            "files of the server",
        ),
        (
            "ALTER TABLE tenants OWNER TO stranger",
            "ALTER TABLE tenants OWNER TO ig_owner",
            "owns the table tenants",
        ),
        (
            "ALTER DATABASE fresh OWNER TO stranger",
            "ALTER DATABASE fresh OWNER TO ig_owner",
            "owns the database",
        ),
    ],
)
async def test_a_member_of_the_service_with_a_way_around_is_refused(
    server: EmbeddedServer, fresh: str, stranger: str, *, given: str, taken: str, reason: str
) -> None:
    dsn = server.url(Role.SERVICE, fresh)
    async with (
        connected(server.url(Role.ADMIN, fresh)) as inside,
        connected(dsn, user=stranger, password=stranger) as connection,
    ):
        await roles.refuse_unsafe(connection)
        await inside.execute(given)
        try:
            assert reason in await refusal(connection)
        finally:
            await inside.execute(taken)


async def test_an_administrator_without_superuser_sets_up_group_roles() -> None:
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    folder = DataFolder.open(place / "data")
    server = await embedded.start(folder, durable=False)
    try:
        async with connected(server.url(Role.ADMIN, "postgres")) as admin:
            await admin.execute("DROP DATABASE governance")
            await admin.execute("DROP ROLE ig_owner, ig_service, ig_system")
            await admin.execute("CREATE ROLE dba LOGIN PASSWORD 'dba' CREATEROLE CREATEDB")
            await admin.execute("GRANT CONNECT ON DATABASE postgres TO dba")
        options = {"user": "dba", "password": "dba"}
        async with connected(server.url(Role.ADMIN, "postgres"), **options) as dba:
            for _ in range(2):
                await roles.ensure(dba, passwords=None, database="governance")
            await dba.execute("CREATE ROLE app LOGIN PASSWORD 'app' IN ROLE ig_service")
            logins = await dba.fetch("SELECT rolname FROM pg_roles WHERE rolcanlogin")
            assert {row[0] for row in logins} == {"ig_admin", "dba", "app"}
        async with connected(server.url(Role.ADMIN), **options) as dba:
            await roles.seal(dba)
        async with connected(server.url(Role.ADMIN), user="app", password="app") as app:
            await roles.refuse_unsafe(app)
        async with connected(server.url(Role.ADMIN, "postgres")) as admin:
            await admin.execute("ALTER ROLE ig_service BYPASSRLS")
        async with connected(server.url(Role.ADMIN, "postgres"), **options) as dba:
            with pytest.raises(SubgraphError, match="cannot set up the database roles"):
                await roles.ensure(dba, passwords=None, database="governance")
    finally:
        await server.stop()
        folder.close()
        shutil.rmtree(place)
