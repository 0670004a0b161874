import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.queue import Handler, WorkerPace, enqueue, prune, work
from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch, scratch_database

PACE = WorkerPace(concurrency=2, takeover_seconds=60.0, poll_seconds=0.2, retry_seconds=0.1)
QUEUED = (
    "SELECT status::text, execute_after > now() AS later FROM work.pgqueuer WHERE entrypoint = $1"
)


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as made:
        yield made


@pytest.fixture(scope="module")
async def service(scratch: Scratch, settings: Settings) -> AsyncIterator[Database]:
    url = scratch.url(Role.SERVICE)
    opened = Database.for_service(url, msgspec.structs.replace(settings, database_url=url))
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def name() -> str:
    return f"test-{secrets.token_hex(4)}"


@contextlib.asynccontextmanager
async def worker(
    scratch: Scratch, name: str, handler: Handler, pace: WorkerPace = PACE
) -> AsyncIterator[asyncio.Event]:
    stopping = asyncio.Event()
    running = asyncio.create_task(work(scratch.url(Role.SYSTEM), {name: handler}, pace, stopping))
    try:
        yield stopping
    finally:
        stopping.set()
        await running


async def put(service: Database, name: str, **changes: Any) -> None:
    async with service.transaction("someone") as transaction:
        await enqueue(transaction, name, {"number": 1}, **changes)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def test_a_job_is_done_with_its_payload(
    scratch: Scratch, service: Database, name: str
) -> None:
    done: list[dict[str, Any]] = []

    async def handler(payload: dict[str, Any]) -> None:
        done.append(payload)

    async with worker(scratch, name, handler):
        await put(service, name)
        await until(lambda: bool(done))
    assert done == [{"number": 1}]
    assert await scratch.ask(QUEUED, name) == []


async def test_a_job_of_a_transaction_that_fails_is_never_there(
    scratch: Scratch, service: Database, name: str
) -> None:
    with contextlib.suppress(LookupError):
        async with service.transaction("someone") as transaction:
            await enqueue(transaction, name, {})
            raise LookupError
    assert await scratch.ask(QUEUED, name) == []


async def test_a_job_is_not_queued_twice_under_one_name(
    scratch: Scratch, service: Database, name: str
) -> None:
    await put(service, name, dedupe_key=name)
    await put(service, name, dedupe_key=name)
    assert len(await scratch.ask(QUEUED, name)) == 1


async def test_a_delayed_job_waits(scratch: Scratch, service: Database, name: str) -> None:
    await put(service, name, delay=timedelta(hours=1))
    async with worker(scratch, name, _never):
        await put(service, f"{name}-other")
    assert [tuple(row.values()) for row in await scratch.ask(QUEUED, name)] == [("queued", True)]


async def _never(_: dict[str, Any]) -> None:
    raise AssertionError


async def test_a_job_that_failed_comes_back(scratch: Scratch, service: Database, name: str) -> None:
    tries: list[int] = []

    async def handler(_: dict[str, Any]) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise SubgraphError(ErrorCode.DATABASE_UNAVAILABLE)

    async with worker(scratch, name, handler):
        await put(service, name)
        await until(lambda: len(tries) == 3)
    assert await scratch.ask(QUEUED, name) == []


async def test_a_stop_lets_jobs_end(scratch: Scratch, service: Database, name: str) -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(_: dict[str, Any]) -> None:
        begun.set()
        await may_end.wait()
        ended.set()

    async with worker(scratch, name, handler) as stopping:
        await put(service, name)
        await begun.wait()
        stopping.set()
        may_end.set()
    assert ended.is_set()
    assert await scratch.ask(QUEUED, name) == []


async def test_the_queue_alone_hands_a_job_to_two_workers(
    scratch: Scratch, service: Database, name: str
) -> None:
    """Why slices of jobs are fenced: a worker that was silent for too long may still be at work."""
    under_way = [0]
    both = asyncio.Event()

    async def handler(_: dict[str, Any]) -> None:
        under_way[0] += 1
        if under_way[0] == 2:
            both.set()
        await both.wait()

    async with worker(scratch, name, handler):
        await put(service, name)
        await until(lambda: under_way[0] == 1)
        await scratch.ask(
            "UPDATE work.pgqueuer SET heartbeat = now() - interval '1 hour' WHERE entrypoint = $1",
            name,
        )
        async with worker(scratch, name, handler):
            await both.wait()
    assert under_way == [2]


async def test_the_connection_of_a_worker_that_breaks_ends_it_with_a_code(
    scratch: Scratch, name: str
) -> None:
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = $1 AND usename = 'ig_system'"
    )
    system = scratch.url(Role.SYSTEM)
    running = asyncio.create_task(work(system, {name: _never}, PACE, asyncio.Event()))
    while not await scratch.ask(kill, scratch.name):
        await asyncio.sleep(0.01)
    with pytest.raises(SubgraphError) as caught:
        await running
    assert caught.value.code is ErrorCode.DATABASE_UNAVAILABLE


async def test_the_service_cannot_read_what_others_put_in(service: Database) -> None:
    from asyncpg import InsufficientPrivilegeError

    with pytest.raises(InsufficientPrivilegeError):
        async with service.transaction("someone") as transaction:
            await transaction.rows("SELECT payload FROM work.pgqueuer")


async def test_what_ended_long_ago_is_forgotten(
    scratch: Scratch, service: Database, name: str
) -> None:
    await put(service, name)
    await put(service, f"{name}-new")
    await scratch.ask(
        "UPDATE work.pgqueuer_log SET created = now() - interval '2 days' WHERE entrypoint = $1",
        name,
    )
    await prune(scratch.url(Role.SYSTEM))
    logged = await scratch.ask(
        "SELECT entrypoint FROM work.pgqueuer_log WHERE entrypoint LIKE $1 || '%'", name
    )
    assert [row["entrypoint"] for row in logged] == [f"{name}-new"]
