"""The database roles, and the refusal of any that could read around row-level security.

`ig_owner` runs migrations and owns the tables, `ig_service` answers requests, `ig_system` runs the
workers. Beyond the right to connect, the latter two have only what migrations grant.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import Enum

import asyncpg

from subgraph.db.faults import translated
from subgraph.errors import ErrorCode, SubgraphError

_LOCK = 0x69_67_72_6F_6C_65_73
# The least that RFC 7677 asks for; generated passwords would not need more.
_SCRAM_ITERATIONS = 4096
# Since this version whoever creates a role may hand it out, and is not yet allowed to use it.
_CREATOR_MAY_NOT_USE = 16
_BUILTIN_LOCALES = 17
_POWERS = ("super", "bypassrls", "createrole", "createdb", "replication")
_NOT_THESE_POWERS = "NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION"


class Role(Enum):
    """A role and its name in the database; ADMIN exists in the embedded server only."""

    ADMIN = "ig_admin"
    OWNER = "ig_owner"
    SERVICE = "ig_service"
    SYSTEM = "ig_system"


# Backstops, in milliseconds, for what forgets to set its own limit; pools set tighter ones.
_DEFAULTS: Mapping[Role, Mapping[str, int]] = {
    Role.OWNER: {"lock_timeout": 10_000, "idle_in_transaction_session_timeout": 600_000},
    Role.SERVICE: {
        "statement_timeout": 30_000,
        "lock_timeout": 5_000,
        "idle_in_transaction_session_timeout": 30_000,
    },
    Role.SYSTEM: {"lock_timeout": 10_000, "idle_in_transaction_session_timeout": 60_000},
}


async def ensure(
    admin: asyncpg.Connection, *, passwords: Mapping[Role, str] | None, database: str
) -> None:
    """Create the three roles and `database`, owned by `ig_owner`, or mend what differs.

    With `passwords` the roles may log in, each with its own; without, missing roles are made as
    NOLOGIN groups whose members log in. May run any number of times, also at once on several
    connections to the same database of the server, where `admin` may create roles and databases.

    Raises `DATABASE_ROLE_UNSAFE` when `admin` may not mend a role or a database that differs.
    Afterwards `seal` must run in `database` itself.
    """
    async with _alone(admin):
        try:
            async with admin.transaction():
                for role in _DEFAULTS:
                    await _ensure_role(admin, role, passwords)
            await _ensure_database(admin, database)
        except asyncpg.InsufficientPrivilegeError as error:
            raise SubgraphError(
                ErrorCode.DATABASE_ROLE_UNSAFE,
                f"this administrator cannot set up the database roles: {error}",
            ) from error


async def seal(connection: asyncpg.Connection) -> None:
    """Take PUBLIC's rights in the connected database: schema `public`, and new functions in it.

    The connection is the owner's or the administrator's. Raises `DATABASE_ROLE_UNSAFE` when the
    schema stays open because it belongs to another role.
    """
    owner = Role.OWNER.value
    try:
        async with _alone(connection), connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {owner}")
            await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            await connection.execute("ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM PUBLIC")
        open_still = await connection.fetchval(
            "SELECT has_schema_privilege('public', 'public', 'USAGE, CREATE')"
        )
    except asyncpg.InsufficientPrivilegeError:
        open_still = True
    if open_still:
        raise SubgraphError(
            ErrorCode.DATABASE_ROLE_UNSAFE,
            f"the schema public is open to every role; run ALTER SCHEMA public OWNER TO {owner}",
        )


async def establish(admin_dsn: str, database: str) -> None:
    """Make the roles as NOLOGIN groups, and `database`, on a server that is not the embedded one.

    `admin_dsn` logs a role in that may create roles and databases. Raises as `ensure` and `seal`.
    """
    with translated():
        admin = await asyncpg.connect(admin_dsn)
        try:
            await ensure(admin, passwords=None, database=database)
        finally:
            await admin.close()
        inside = await asyncpg.connect(admin_dsn, database=database)
        try:
            await seal(inside)
        finally:
            await inside.close()


async def refuse_unsafe(connection: asyncpg.Connection, *, role: Role = Role.SERVICE) -> None:
    """Raise `DATABASE_ROLE_UNSAFE` unless the connected role is bound by row-level security.

    What it is a member of, directly or not, counts as its own, since SET ROLE leads there; so does
    what was given up by SET ROLE, since RESET ROLE leads back. `role` says what the connection
    is for: the service must not reach the system role either.
    """
    forbidden = [Role.OWNER.value] + ([Role.SYSTEM.value] if role is Role.SERVICE else [])
    reason = await connection.fetchval(_UNSAFE, forbidden)
    if reason is not None:
        raise SubgraphError(
            ErrorCode.DATABASE_ROLE_UNSAFE, f"the {role.name.lower()} connection {reason}"
        )


# The server-file roles read the tables' files; CREATEROLE hands out memberships before
# PostgreSQL 16; REPLICATION streams the whole cluster.
_UNSAFE = """
WITH reach AS (
    SELECT oid, rolname, rolsuper, rolbypassrls, rolcreaterole, rolreplication
      FROM pg_catalog.pg_roles
     WHERE pg_catalog.pg_has_role(session_user, oid, 'MEMBER')
        OR pg_catalog.pg_has_role(current_user, oid, 'MEMBER')
)
SELECT reason FROM (
    SELECT 1 AS rank, 'is or can become the superuser ' || rolname AS reason
      FROM reach WHERE rolsuper
    UNION ALL
    SELECT 2, 'is or can become ' || rolname || ', which has BYPASSRLS'
      FROM reach WHERE rolbypassrls
    UNION ALL
    SELECT 3, 'is or can become ' || rolname || ', which it must not be'
      FROM reach WHERE rolname = ANY ($1::text[])
    UNION ALL
    SELECT 4, 'is or can become ' || rolname || ', which has CREATEROLE or REPLICATION'
      FROM reach WHERE rolcreaterole OR rolreplication
    UNION ALL
    SELECT 5, 'can become ' || rolname || ', which has access to the files of the server'
      FROM reach
     WHERE rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
    UNION ALL
    SELECT 6, 'is or can become ' || rolname || ', which owns the table ' || c.relname
      FROM reach
      JOIN pg_catalog.pg_class c ON c.relowner = reach.oid
     WHERE c.relnamespace = pg_catalog.to_regnamespace('public')
       AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT 7, 'is or can become ' || rolname || ', which owns the database'
      FROM reach
      JOIN pg_catalog.pg_database d ON d.datdba = reach.oid
     WHERE d.datname = pg_catalog.current_database()
) AS found
ORDER BY rank
LIMIT 1
"""


@asynccontextmanager
async def _alone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        yield
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _ensure_role(
    admin: asyncpg.Connection, role: Role, passwords: Mapping[Role, str] | None
) -> None:
    name = role.value
    found = await admin.fetchrow("SELECT * FROM pg_roles WHERE rolname = $1", name)
    if found is None:
        await admin.execute(f"CREATE ROLE {name} NOLOGIN {_NOT_THESE_POWERS}")
    elif any(found[f"rol{power}"] for power in _POWERS):
        await admin.execute(f"ALTER ROLE {name} {_NOT_THESE_POWERS}")
    if passwords is None:
        return
    await admin.execute(f"ALTER ROLE {name} LOGIN PASSWORD '{_verifier(passwords[role])}'")
    kept = set((found and found["rolconfig"]) or ())
    for setting, value in _DEFAULTS[role].items():
        if f"{setting}={value}" not in kept:
            await admin.execute(f"ALTER ROLE {name} SET {setting} = {value}")


async def _ensure_database(admin: asyncpg.Connection, database: str) -> None:
    owner, quoted = Role.OWNER.value, '"' + database.replace('"', '""') + '"'
    major = admin.get_server_version().major
    use = "SET" if major >= _CREATOR_MAY_NOT_USE else "MEMBER"
    if not await admin.fetchval("SELECT pg_has_role(current_user, $1, $2)", owner, use):
        await admin.execute(f"GRANT {owner} TO CURRENT_USER")
    held_by = await admin.fetchval(
        "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1", database
    )
    if held_by is None:
        # template0: nobody can be connected to it, which would make the copy fail.
        await admin.execute(
            f"CREATE DATABASE {quoted} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' "
            + _locale(major)
        )
    elif held_by != owner:
        await admin.execute(f"ALTER DATABASE {quoted} OWNER TO {owner}")
    async with admin.transaction():
        await admin.execute(f"SET LOCAL ROLE {owner}")
        await admin.execute(f"REVOKE ALL ON DATABASE {quoted} FROM PUBLIC")
        await admin.execute(
            f"GRANT CONNECT ON DATABASE {quoted} TO {Role.SERVICE.value}, {Role.SYSTEM.value}"
        )


def _locale(major: int) -> str:
    # Byte order everywhere: cursors compare in SQL as they do in Python.
    if major >= _BUILTIN_LOCALES:
        return "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
    return "LOCALE_PROVIDER libc LOCALE 'C'"


def _verifier(password: str) -> str:
    """What PostgreSQL stores for a password (RFC 5803), so that no log ever sees the password."""
    if not password.isascii() or not password.isprintable():
        raise ValueError("a password of a database role is printable ASCII")
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (
        base64.b64encode(part).decode() for part in (salt, stored_key, server_key)
    )
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"
