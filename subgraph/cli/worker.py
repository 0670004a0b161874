"""`ig worker`: runs background jobs, beside any number of other workers."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import uvloop

from subgraph import settings
from subgraph.cli.running import data_dir, reachable
from subgraph.db.queue import WorkerPace, work
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.jobs.maintenance import Maintenance
from subgraph.keys.jobs.runner import JobRunner, Pace
from subgraph.keys.runtime import JOB_ENTRYPOINT, KeysRuntime, enqueue_slice
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.settings import Settings
from subgraph.telemetry import Telemetry, configure_logging

_AGAIN_SECONDS = 1.0
_STALLED = 4.0
"""Times the longest wait that is planned for: then the slice is looked for."""

_log = logging.getLogger(__name__)


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--data-dir", type=Path, help="data folder of a running `ig demo`")
    parser.set_defaults(run=_run, asynchronous=False)


def _run(parsed: argparse.Namespace) -> int:
    configured = reachable(data_dir(settings.load(os.environ), parsed.data_dir))
    configure_logging(configured.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_until_stopped(configured))


async def _until_stopped(configured: Settings) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    await live(configured, stopping)
    return 0


async def live(configured: Settings, stopping: asyncio.Event) -> None:
    """Run slices until `stopping` is set; those under way are finished first.

    Raises `SETTINGS_INVALID` without addresses of the database. While the database or the ledger
    is away it waits.
    """
    system_dsn = configured.database_system_url
    if configured.database_url is None or system_dsn is None:
        message = "a worker needs DATABASE_URL and IG_DATABASE_SYSTEM_URL"
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, message)
    database = Database.for_service(configured.database_url, configured)
    async with AsyncExitStack() as parts:
        await database.open()
        parts.push_async_callback(database.close)
        recording = LedgerRuntime(configured, database)
        parts.push_async_callback(recording.close)
        keys = KeysRuntime(configured, database, recording)
        observed = Telemetry.start(configured, os.environ)
        parts.callback(observed.shutdown)
        observed.observe_keys(keys.telemetry)
        if not await _recorded(recording, stopping):
            return
        await parts.enter_async_context(_beside(recording.run(_nothing), stopping))
        await parts.enter_async_context(keys.running())
        maintenance = _maintenance(configured, database, system_dsn, keys)
        seconds = configured.worker_maintenance_seconds
        await parts.enter_async_context(_beside(maintenance.run(seconds), stopping))
        runner = JobRunner(
            database,
            recording.ledger,
            keys.custody,
            keys.wrappers,
            keys.cipher,
            enqueue=enqueue_slice,
            pace=Pace(blocked_seconds=configured.worker_blocked_seconds),
            rows=keys.telemetry.job_rows,
        )
        await _work(configured, system_dsn, runner, stopping)


async def _work(
    configured: Settings, system_dsn: str, runner: JobRunner, stopping: asyncio.Event
) -> None:
    async def run_slice(payload: dict[str, Any]) -> None:
        await runner.run(payload["tenant"], UUID(payload["job"]), payload["epoch"])

    pace = WorkerPace(
        concurrency=configured.worker_concurrency,
        takeover_seconds=configured.worker_takeover_seconds,
    )
    while not stopping.is_set():
        try:
            await work(system_dsn, {JOB_ENTRYPOINT: run_slice}, pace, stopping)
        except SubgraphError as error:
            _log.warning("the queue is away: %s", error)
            await _pause(stopping)


async def _recorded(recording: LedgerRuntime, stopping: asyncio.Event) -> bool:
    """Wait until events can be recorded; False when `stopping` came first."""
    while not stopping.is_set():
        try:
            await recording.start()
        except SubgraphError as error:
            _log.warning("the ledger records nothing yet: %s", error)
            await _pause(stopping)
        else:
            return True
    return False


async def _pause(stopping: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), _AGAIN_SECONDS)


async def _nothing() -> None:
    """A worker records nothing at its start."""


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None], stopping: asyncio.Event) -> AsyncIterator[None]:
    """Run `work` as long as the block; should it fail, everything stops, and the failure shows."""
    running = asyncio.create_task(work)
    running.add_done_callback(lambda _: stopping.set())
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def _maintenance(
    configured: Settings, database: Database, system_dsn: str, keys: KeysRuntime
) -> Maintenance:
    longest = max(configured.worker_blocked_seconds, configured.worker_takeover_seconds)
    return Maintenance(
        database,
        system_dsn,
        wrappers=keys.wrappers,
        jobs=keys.jobs,
        approvals=keys.approvals,
        break_glass=keys.break_glass,
        enqueue=enqueue_slice,
        stalled_seconds=longest * _STALLED,
    )
