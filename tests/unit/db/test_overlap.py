"""Work that is done while a statement runs: both end together, and nothing is left behind."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.db.service import Database, Transaction
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.settings import Settings
from tests.unit.db.scratch import ask

SLOW = "SELECT pg_sleep(600)"
AWAITED = "SELECT pg_sleep($1) AS overlapped"


@pytest.fixture
async def lone(postgres: EmbeddedServer, settings: Settings) -> AsyncIterator[Database]:
    """One connection: a statement that was left behind would keep everybody waiting."""
    changed = msgspec.structs.replace(settings, pool_size=1, connect_timeout_ms=2000)
    database = Database.for_service(postgres.url(Role.SERVICE), changed)
    await database.open()
    yield database
    await database.close()


async def usable(database: Database) -> bool:
    async with database.transaction("t-a") as transaction:
        return (await transaction.rows("SELECT 1 AS one"))[0]["one"] == 1


def fail() -> None:
    raise ArithmeticError


async def test_what_the_work_made_is_answered(lone: Database) -> None:
    async with lone.transaction("t-a") as transaction:
        assert await transaction.run_while(lambda: "made", "SELECT 1") == "made"


async def test_the_statement_has_run_when_the_answer_is_there(lone: Database) -> None:
    async with lone.transaction("t-a") as transaction:
        await transaction.run_while(
            int, "SELECT set_config('ig.overlap', $1, true), pg_sleep(0.05)", "done"
        )
        rows = await transaction.rows("SELECT current_setting('ig.overlap') AS said")
    assert rows[0]["said"] == "done"


async def test_the_statement_runs_while_the_work_is_done(
    lone: Database, postgres: EmbeddedServer
) -> None:
    def seen() -> bool:
        """Look from another connection, in another thread, until the statement is there."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, _until_seen(postgres.url(Role.ADMIN))).result()

    async with lone.transaction("t-a") as transaction:
        # Once first: preparing a statement is a round trip of its own.
        await transaction.run_while(int, AWAITED, 0.0)
        assert await transaction.run_while(seen, AWAITED, 0.5)


async def _until_seen(url: str) -> bool:
    looking = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE state = 'active' AND query LIKE '%AS overlapped%' AND pid <> pg_backend_pid()"
    )
    while not await ask(url, looking):
        pass
    return True


async def test_work_that_fails_ends_the_statement(lone: Database) -> None:
    with pytest.raises(ArithmeticError):
        async with lone.transaction("t-a") as transaction:
            await transaction.run_while(fail, SLOW)
    assert await usable(lone)


async def test_a_statement_that_fails_is_raised_as_it_is(lone: Database) -> None:
    async def too_slow() -> None:
        async with lone.transaction("t-a") as transaction:
            await transaction.run_while(int, "SET LOCAL statement_timeout = 1")
            await transaction.run_while(int, SLOW)

    with pytest.raises(SubgraphError) as caught:
        await too_slow()
    assert caught.value.code is ErrorCode.DEADLINE_EXCEEDED
    assert await usable(lone)


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancelled_caller_leaves_no_task(lone: Database, turns: int) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.run_while(int, SLOW)

    async def caller() -> None:
        async with lone.transaction("t-a") as transaction:
            begun.set()
            await work(transaction)

    begun = asyncio.Event()
    before = asyncio.all_tasks()
    task = asyncio.create_task(caller())
    await begun.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() <= before
    assert await usable(lone)
