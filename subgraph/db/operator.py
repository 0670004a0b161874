"""Connections of the operator's roles: the owner, who migrates, and the system role, which works.

Row-level security names the system role in explicit policies on the tables that it needs across
tenants; on every other table it sees nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from subgraph.db.faults import translated
from subgraph.db.service import BoundTransaction, Transaction


@asynccontextmanager
async def operator_transaction(dsn: str, *, snapshot: bool = False) -> AsyncIterator[Transaction]:
    """One transaction, bound to no tenant, on a connection of its own.

    With `snapshot` it only reads, and sees the database as it was when it began. Raises
    `DATABASE_UNAVAILABLE`.
    """
    with translated():
        connection = await asyncpg.connect(dsn, server_settings={"search_path": "public"})
        try:
            isolation = "repeatable_read" if snapshot else "read_committed"
            async with connection.transaction(isolation=isolation, readonly=snapshot):
                yield BoundTransaction(connection)
        finally:
            await connection.close()
