"""The two ways to a tenant's data: a bound statement and a bound transaction.

No session state outlives a statement or a transaction, so connections go back to the pool
without a reset, which saves a round trip on every read.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import asyncpg

from subgraph.db.binding import TenantRead, TenantReadMany
from subgraph.db.faults import translated
from subgraph.db.roles import refuse_unsafe

if TYPE_CHECKING:
    from subgraph.settings import Settings

Made = TypeVar("Made")

_TURNS_UNTIL_SENT = 2
"""The statement is written in the first turn of the event loop; uvloop sends it at its end."""

Row = Mapping[str, Any]
"""One row; its columns are read by name."""


StatementSpan = Callable[[str], AbstractContextManager[object]]
"""Makes the trace span around one round trip or transaction, given its name."""


def _untraced(_name: str) -> AbstractContextManager[object]:
    return nullcontext()


class StatementCount:
    """How many statements the current operation has sent."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = 0


statement_count: ContextVar[StatementCount | None] = ContextVar("statement_count", default=None)


def _count() -> None:
    count = statement_count.get()
    if count is not None:
        count.sent += 1


class Transaction(Protocol):
    """What runs inside a transaction that is bound to a tenant."""

    async def rows(self, sql: str, *args: object) -> list[Row]:
        """Run `sql` and return its rows."""
        ...

    async def row(self, sql: str, *args: object) -> Row | None:
        """Run `sql` and return its first row."""
        ...

    async def run(self, sql: str, *args: object) -> str:
        """Run `sql` and return its command tag."""
        ...

    async def run_while(self, work: Callable[[], Made], sql: str, *args: object) -> Made:
        """Run `sql`, do `work` while PostgreSQL is busy with it, and return what that made.

        Both are over when this returns or raises; what fails first is raised.
        """
        ...


@dataclass(frozen=True, slots=True)
class BoundTransaction:
    """A transaction on an asyncpg connection; only `subgraph.db` makes one."""

    connection: Any

    async def rows(self, sql: str, *args: object) -> list[Row]:
        """Run `sql` and return its rows."""
        _count()
        with translated():
            return list(await self.connection.fetch(sql, *args))

    async def row(self, sql: str, *args: object) -> Row | None:
        """Run `sql` and return its first row."""
        _count()
        with translated():
            row: Row | None = await self.connection.fetchrow(sql, *args)
            return row

    async def run(self, sql: str, *args: object) -> str:
        """Run `sql` and return its command tag."""
        _count()
        with translated():
            return str(await self.connection.execute(sql, *args))

    async def run_while(self, work: Callable[[], Made], sql: str, *args: object) -> Made:
        """Run `sql`, do `work` while PostgreSQL is busy with it, and return what that made."""
        _count()
        with translated():
            try:
                # The group ends with the statement's task, whatever fails or is cancelled.
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.connection.execute(sql, *args))
                    for _ in range(_TURNS_UNTIL_SENT):
                        await asyncio.sleep(0)
                    return work()
            except BaseExceptionGroup as failed:
                raise failed.exceptions[0] from None


class Database:
    """The service role's connections.

    Raises `DATABASE_UNAVAILABLE` while PostgreSQL is away and recovers by itself; raises
    `DEADLINE_EXCEEDED` for a statement over the statement timeout.
    """

    def __init__(self, pool: asyncpg.Pool, connect_timeout: float, span: StatementSpan) -> None:
        self._pool = pool
        self._connect_timeout = connect_timeout
        self._span = span

    @classmethod
    def for_service(
        cls, dsn: str, settings: "Settings", span: StatementSpan = _untraced
    ) -> "Database":
        """Connections of the service role; each one is refused if it could bypass row security."""
        return cls(_pool(dsn, settings, refuse_unsafe), settings.connect_timeout_ms / 1000, span)

    async def open(self) -> None:
        """Make the pool usable; connects to nothing yet."""
        await self._pool

    async def close(self) -> None:
        """Close every connection, waiting a moment for those in use."""
        with translated():
            await self._pool.close()

    @property
    def size(self) -> int:
        """Open connections."""
        return int(self._pool.get_size())

    @property
    def idle(self) -> int:
        """Open connections that nobody uses."""
        return int(self._pool.get_idle_size())

    async def read(self, statement: TenantRead, tenant: str, *args: object) -> list[Row]:
        """Rows of one tenant."""
        return await self._fetch(statement.sql, tenant, *args)

    async def call(self, statement: TenantRead, tenant: str, *args: object) -> list[Row]:
        """Rows of a function that writes, for one tenant: a transaction in one round trip."""
        return await self._fetch(statement.sql, tenant, *args)

    async def read_many(
        self, statement: TenantReadMany, keys: Sequence[tuple[str, object]], *args: object
    ) -> list[Row]:
        """Rows of several tenants, for (tenant, key) pairs, in no particular order."""
        tenants = [tenant for tenant, _ in keys]
        return await self._fetch(statement.sql, tenants, [key for _, key in keys], *args)

    @asynccontextmanager
    async def transaction(self, tenant: str) -> AsyncIterator[Transaction]:
        """A transaction that is bound to `tenant` until it ends."""
        with self._span("postgresql.transaction"), translated():
            async with (
                self._pool.acquire(timeout=self._connect_timeout) as connection,
                connection.transaction(),
            ):
                _count()
                await connection.execute("SELECT set_config('ig.tenant', $1, true)", tenant)
                yield BoundTransaction(connection)

    async def revision(self) -> str | None:
        """The migration that the database is at; proves that it answers. None before the first."""
        try:
            rows = await self._fetch("SELECT version_num FROM alembic_version")
        except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
            return None
        return rows[0]["version_num"] if rows else None

    async def _fetch(self, sql: str, *args: object) -> list[Row]:
        _count()
        with self._span("postgresql.read"), translated():
            async with self._pool.acquire(timeout=self._connect_timeout) as connection:
                return list(await connection.fetch(sql, *args))


async def _keep_session(_connection: object) -> None:
    """Nothing to reset: no session state is ever set."""


def _pool(dsn: str, settings: "Settings", init: Any) -> asyncpg.Pool:
    return asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=settings.pool_size,
        max_inactive_connection_lifetime=300,
        timeout=settings.connect_timeout_ms / 1000,
        command_timeout=settings.statement_timeout_ms / 1000 + 1,
        statement_cache_size=512,
        max_cached_statement_lifetime=0,
        reset=_keep_session,
        init=init,
        server_settings={
            "application_name": "governance-subgraph",
            "search_path": "public",
            "jit": "off",
            "statement_timeout": str(settings.statement_timeout_ms),
        },
    )
