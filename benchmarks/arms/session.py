"""A database session of one request, in the way that services under row-level security have it."""

import asyncio
from typing import Any

import asyncpg


class Session:
    """One transaction a request, bound to the caller's tenant; begun by the first statement."""

    def __init__(self, pool: asyncpg.Pool, tenant: str) -> None:
        self._pool = pool
        self._tenant = tenant
        self._connection: Any = None
        self._transaction: Any = None
        self._one_at_a_time = asyncio.Lock()

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        """The rows of one statement."""
        async with self._one_at_a_time:
            if self._connection is None:
                self._connection = await self._pool.acquire()
                self._transaction = self._connection.transaction()
                await self._transaction.start()
                await self._connection.fetchval(
                    "SELECT set_config('ig.tenant', $1, true)", self._tenant
                )
            rows: list[Any] = await self._connection.fetch(sql, *args)
            return rows

    async def close(self) -> None:
        """End the transaction and give the connection back."""
        if self._connection is not None:
            await self._transaction.commit()
            await self._pool.release(self._connection)
