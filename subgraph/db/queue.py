"""The queue of background work, in the same database and the same transactions.

PgQueuer hands jobs out and notices workers that died, by their heartbeats; it does not fence. A
job may therefore be handed out twice, and what it does must stand on its own feet.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg

from subgraph.db.faults import translated
from subgraph.db.operator import operator_transaction
from subgraph.db.service import BoundTransaction, Transaction
from subgraph.errors import JSONValue

if TYPE_CHECKING:
    from pgqueuer.adapters.persistence.queries import Queries
    from pgqueuer.domain.models import Job

_SCHEMA = "work"
_BATCH = 2
_KEPT = timedelta(days=1)

Handler = Callable[[dict[str, Any]], Awaitable[None]]
"""Does a job, given its payload; what it raises is logged, and the job is handed out again."""


@dataclass(frozen=True, slots=True)
class WorkerPace:
    """`concurrency` jobs at once; one without a heartbeat for `takeover_seconds` is given away.

    `poll_seconds` is the longest wait for a job whose notification was lost; a failed job comes
    back after `retry_seconds`.
    """

    concurrency: int = 4
    takeover_seconds: float = 15.0
    poll_seconds: float = 5.0
    retry_seconds: float = 5.0


async def enqueue(
    transaction: Transaction,
    entrypoint: str,
    payload: Mapping[str, JSONValue],
    *,
    delay: timedelta = timedelta(0),
    dedupe_key: str | None = None,
) -> None:
    """Put a job into the queue; it is there once the transaction commits.

    A job that waits or runs under the same `dedupe_key` already makes this one superfluous.
    """
    assert isinstance(transaction, BoundTransaction)
    queries = _queries(transaction.connection)
    with translated():
        await queries.enqueue(
            entrypoint,
            json.dumps(payload, separators=(",", ":")).encode(),
            execute_after=delay,
            dedupe_key=dedupe_key,
            on_conflict="skip",
        )


async def work(
    system_dsn: str,
    handlers: Mapping[str, Handler],
    pace: WorkerPace,
    stopping: asyncio.Event,
) -> None:
    """Do jobs until `stopping` is set; those under way are finished. Raises DATABASE_UNAVAILABLE.

    The system role owns no data: a handler opens transactions of its own, bound to the tenant
    that the payload names.
    """
    from pgqueuer.core.qm import QueueManager
    from pgqueuer.domain.errors import RetryRequested

    async with _connection(system_dsn) as connection:
        manager = QueueManager(_queries(connection))
        for entrypoint, handler in handlers.items():
            _register(manager, entrypoint, handler, pace, RetryRequested)

        async def watch() -> None:
            await stopping.wait()
            manager.shutdown.set()

        watcher = asyncio.create_task(watch())
        try:
            with translated():
                await manager.run(
                    dequeue_timeout=timedelta(seconds=pace.poll_seconds),
                    batch_size=min(_BATCH, max(1, pace.concurrency // 2)),
                    max_concurrent_tasks=max(2, pace.concurrency),
                    shutdown_on_listener_failure=True,
                    heartbeat_timeout=timedelta(seconds=pace.takeover_seconds),
                )
        finally:
            watcher.cancel()


async def prune(system_dsn: str) -> None:
    """Forget what became of jobs that ended a day ago; their domains keep records of their own."""
    async with operator_transaction(system_dsn) as transaction:
        await transaction.run(
            "DELETE FROM work.pgqueuer_log WHERE created < now() - $1::interval", _KEPT
        )
        await transaction.run(
            "DELETE FROM work.pgqueuer_statistics WHERE created < now() - $1::interval", _KEPT
        )


def _register(
    manager: Any, entrypoint: str, handler: Handler, pace: WorkerPace, retry: type[Exception]
) -> None:
    async def run(job: "Job") -> None:
        try:
            await handler(json.loads(job.payload or b"{}"))
        except Exception as error:
            raise retry(timedelta(seconds=pace.retry_seconds), str(error)) from error

    manager.entrypoint(entrypoint, accepts_context=False)(run)


def _queries(connection: Any) -> "Queries":
    from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
    from pgqueuer.adapters.persistence import qb
    from pgqueuer.adapters.persistence.queries import Queries
    from pgqueuer.domain.settings import DBSettings

    settings = DBSettings(db_schema=_SCHEMA)
    return Queries(
        AsyncpgDriver(connection),
        qbe=qb.QueryBuilderEnvironment(settings),
        qbq=qb.QueryQueueBuilder(settings),
        qbs=qb.QuerySchedulerBuilder(settings),
    )


@asynccontextmanager
async def _connection(dsn: str) -> AsyncIterator[Any]:
    with translated():
        connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()
