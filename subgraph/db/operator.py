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
async def operator_transaction(dsn: str) -> AsyncIterator[Transaction]:
    """One transaction, bound to no tenant, on a connection of its own.

    Raises `DATABASE_UNAVAILABLE`.
    """
    with translated():
        connection = await asyncpg.connect(dsn, server_settings={"search_path": "public"})
        try:
            async with connection.transaction():
                yield BoundTransaction(connection)
        finally:
            await connection.close()
