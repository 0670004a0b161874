"""What `ig keys` does with the services of a stack that runs."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from subgraph import settings
from subgraph.cli.progress import Progress, line
from subgraph.cli.running import data_dir, reachable
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.breakglass.model import Place
from subgraph.keys.custody import store as custody_store
from subgraph.keys.jobs import store
from subgraph.keys.jobs.model import KeyJob, KeyJobState, NewJob
from subgraph.keys.runtime import KeysRuntime
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.telemetry import configure_logging

OPERATOR = "operator"
_LOOK_SECONDS = 0.5
_VERSIONS = 100
_NEWEST = 2**31 - 1


async def plan(folder: Path | None, tenant: str, wanted: NewJob, *, wait: bool) -> int:
    """Plan a job and, if asked to, wait until it has ended; 1 when it was cancelled.

    Raises what `KeyJobs.plan` raises.
    """
    async with _services(folder) as (database, recording, keys):
        await recording.start()
        name = str(uuid4())
        job = await keys.jobs.plan(tenant, wanted, idempotency_key=name, by=OPERATOR)
        print(f"job {job.job_id}")
        return await _follow(database, job) if wait else 0


async def status(folder: Path | None, tenant: str, *, follow: bool) -> int:
    """Print the key, its versions with the records that depend on each, and the newest job.

    Raises `KEY_NOT_FOUND` for a tenant without a key.
    """
    async with _services(folder) as (database, _, _):
        key = (await custody_store.keys(database, [tenant])).get(tenant)
        if key is None:
            raise SubgraphError(ErrorCode.KEY_NOT_FOUND, "the tenant has attached no key")
        print(f"key      {key.provider.value} {key.key_uri} {key.state.value}")
        if key.rotate_every_days is not None:
            print(f"rotation every {key.rotate_every_days} days, last {key.last_rotated_at:%F %T}")
        versions = await custody_store.version_page(
            database, tenant, first=_VERSIONS, before=_NEWEST
        )
        asked = [(tenant, version.number) for version in versions]
        remaining = await custody_store.records_remaining(database, asked)
        for version in versions:
            records = remaining.get((tenant, version.number), 0)
            print(f"version  {version.number} {version.state.value}, {records:,} records")
        newest = await store.job_page(database, tenant, first=1, after=None, state=None)
        for job in newest:
            print(f"job      {job.job_id} {job.kind.value}: {line(job)}")
            if follow:
                return await _follow(database, job)
    return 0


async def schedule(folder: Path | None, tenant: str, days: int | None) -> int:
    """Have the key rotated every so many days; None: only when asked.

    Raises `KEY_NOT_FOUND` for a tenant without a key.
    """
    async with _services(folder) as (_, recording, keys):
        await recording.start()
        await keys.custody.schedule_rotation(tenant, days, by=OPERATOR)
    return 0


async def attribute(folder: Path | None, tenant: str, text: str) -> list[str]:
    """A line for each marker: the request it names, and the value that it was made for."""
    async with _services(folder) as (_, _, keys):
        found = await keys.break_glass.attribute(tenant, text)
    return [
        f"{named.short_id}  request {named.request_id}  "
        + ("of no value: anybody can write this" if named.place is None else _value(named.place))
        for named in found
    ]


def _value(place: Place) -> str:
    return f"{place.object_type} {place.record_id} {place.field}"


async def _follow(database: Database, job: KeyJob) -> int:
    progress = Progress()
    name = (job.tenant_id, job.job_id)
    try:
        while True:
            job = (await store.jobs(database, [name]))[name]
            progress.show(job)
            if job.state.final:
                return 0 if job.state is KeyJobState.DONE else 1
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        progress.close()


@asynccontextmanager
async def _services(
    folder: Path | None,
) -> AsyncIterator[tuple[Database, LedgerRuntime, KeysRuntime]]:
    configured = reachable(data_dir(settings.load(os.environ), folder))
    if configured.database_url is None:
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, "DATABASE_URL is not set")
    # Warnings, such as of keys in files, are the server's to give; here they would tear the bar.
    configure_logging("ERROR")
    database = Database.for_service(configured.database_url, configured)
    await database.open()
    recording = LedgerRuntime(configured, database)
    try:
        yield database, recording, KeysRuntime(configured, database, recording)
    finally:
        await recording.close()
        await database.close()
