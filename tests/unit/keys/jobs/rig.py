"""A process that keeps keys, records and jobs on a database of its own, and runs slices itself."""

import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec

from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.keys.custody import data_key_store
from subgraph.keys.custody.wrapping import Opener
from subgraph.keys.jobs import store
from subgraph.keys.jobs.faultpoints import JobFaultPoints, no_faults
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState, NewJob
from subgraph.keys.jobs.runner import JobRunner, Pace
from subgraph.keys.records.model import NewRecord
from subgraph.keys.records.store import records as load_records
from subgraph.keys.runtime import KeysRuntime, enqueue_slice
from subgraph.kms.contract import KeyProvider
from subgraph.ledger.entry import decode
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch

KEY = "local:records"
TYPE = "person"


@dataclass
class Process:
    """One process; several of them may share a database and a data folder."""

    scratch: Scratch
    settings: Settings
    database: Database
    recording: LedgerRuntime
    keys: KeysRuntime

    def runner(
        self,
        faults: JobFaultPoints = no_faults,
        *,
        slice_seconds: float = 60.0,
        rows: Counter[str] | None = None,
    ) -> JobRunner:
        return JobRunner(
            self.database,
            self.recording.ledger,
            self.keys.custody,
            self.keys.wrappers,
            self.keys.cipher,
            enqueue=enqueue_slice,
            pace=Pace(slice_seconds=slice_seconds, blocked_seconds=7.0, retry_seconds=3.0),
            rows=rows,
            faults=faults,
        )

    async def ask(self, sql: str, *args: object) -> list[Any]:
        return await self.scratch.ask(sql, *args)

    async def make_tenant(self, *, key: bool = True) -> str:
        tenant = f"t-{secrets.token_hex(8)}"
        await self.scratch.run(
            "INSERT INTO tenant (tenant_id, name, home_region, allowed_regions, registered_by)"
            f" VALUES ('{tenant}', 'Test', 'aws:eu-central-1', '{{aws:eu-central-1}}', 'test')"
        )
        if key:
            await self.keys.custody.attach(
                tenant, KeyProvider.LOCAL, KEY, idempotency_key="attach", by="test"
            )
        return tenant

    async def put(
        self, tenant: str, value: str, record_id: UUID | None = None, object_type: str = TYPE
    ) -> UUID:
        wanted = NewRecord(object_type, (("value", value),), record_id=record_id)
        stored = await self.keys.records.put(
            tenant, wanted, idempotency_key=secrets.token_hex(8), by="test"
        )
        return stored.record_id

    async def fill(self, tenant: str, count: int, object_type: str = TYPE) -> dict[UUID, str]:
        """Store records; their values by id."""
        return {
            await self.put(tenant, f"value {number}", None, object_type): f"value {number}"
            for number in range(count)
        }

    async def fill_fast(self, tenant: str, count: int) -> dict[UUID, str]:
        """Store many records in one statement; their values by id."""
        key = await self.keys.custody.active_data_key(tenant, TYPE, by="test")
        written = {uuid4(): f"value {number}" for number in range(count)}
        sealed = [
            await self.keys.cipher.seal(tenant, key.data_key_id, TYPE, record_id, {"value": value})
            for record_id, value in written.items()
        ]
        async with self.database.transaction(tenant) as transaction:
            await transaction.run(
                "INSERT INTO protected_record"
                " (tenant_id, record_id, object_type, data_key_id, row_version, fields)"
                " SELECT $1, record_id, $2, $3, 1, fields"
                " FROM unnest($4::uuid[], $5::bytea[]) AS n(record_id, fields)",
                tenant,
                TYPE,
                key.data_key_id,
                list(written),
                sealed,
            )
            await data_key_store.count(transaction, tenant, key.data_key_id, 0, count)
        return written

    async def read(self, tenant: str, ids: Sequence[UUID]) -> dict[UUID, str]:
        """The values of the records that exist."""
        found = await load_records(self.database, [(tenant, record_id) for record_id in ids])
        return {
            record_id: (await self.keys.records.open(record))["value"]
            for (_, record_id), record in found.items()
        }

    async def plan(self, tenant: str, kind: KeyJobKind, **wanted: Any) -> KeyJob:
        return await self.keys.jobs.plan(
            tenant, NewJob(kind, **wanted), idempotency_key=secrets.token_hex(8), by="test"
        )

    async def job(self, job: KeyJob) -> KeyJob:
        """The job as it stands."""
        name = (job.tenant_id, job.job_id)
        return (await store.jobs(self.database, [name]))[name]

    async def slice(self, job: KeyJob, runner: JobRunner | None = None) -> KeyJob:
        """Run the slice that is due."""
        standing = await self.job(job)
        await (runner or self.runner()).run(job.tenant_id, job.job_id, standing.epoch)
        return await self.job(job)

    async def finish(self, job: KeyJob, runner: JobRunner | None = None) -> KeyJob:
        """Run slices until the job waits for something, or has ended."""
        runner = runner or self.runner()
        for _ in range(1_000):
            standing = await self.slice(job, runner)
            if standing.state in (
                KeyJobState.DONE, KeyJobState.CANCELLED, KeyJobState.PAUSED, KeyJobState.BLOCKED,
            ):  # fmt: skip
                return standing
        raise AssertionError("the job does not end")

    async def done(self, tenant: str, kind: KeyJobKind, **wanted: Any) -> KeyJob:
        """Plan a job and run it to its end."""
        finished = await self.finish(await self.plan(tenant, kind, **wanted))
        assert finished.state is KeyJobState.DONE
        return finished

    async def told(self, tenant: str) -> list[str]:
        """The types of the tenant's events."""
        found = await self.recording.reader.events(tenant, first=1_000)
        return [decode(event.entry).type for event in found]

    async def delays(self, job: KeyJob) -> list[float]:
        """After how many seconds each slice was due, in the order of the slices."""
        rows = await self.ask(
            "SELECT extract(epoch FROM execute_after - created)::float8 AS delay"
            " FROM work.pgqueuer WHERE dedupe_key LIKE $1 || ':%' ORDER BY id",
            str(job.job_id),
        )
        return [row["delay"] for row in rows]

    async def counted(self, tenant: str) -> dict[UUID, tuple[int, int]]:
        """For each data key what its counter says, and how many records there are."""
        rows = await self.ask(
            "SELECT d.data_key_id, (SELECT sum(records)::bigint FROM data_key_count c"
            "  WHERE c.tenant_id = $1 AND c.data_key_id = d.data_key_id) AS counter,"
            " (SELECT count(*) FROM protected_record r"
            "  WHERE r.tenant_id = $1 AND r.data_key_id = d.data_key_id) AS records"
            " FROM data_key d WHERE d.tenant_id = $1",
            tenant,
        )
        return {row["data_key_id"]: (row["counter"], row["records"]) for row in rows}

    async def exact(self, tenant: str) -> None:
        """Every counter says what a count says."""
        assert all(counter == records for counter, records in (await self.counted(tenant)).values())

    async def data_keys(self, tenant: str) -> list[tuple[int, str, int]]:
        """Generation, state and key version of each data key, oldest first."""
        rows = await self.ask(
            "SELECT generation, state, key_version FROM data_key WHERE tenant_id = $1"
            " ORDER BY object_type, generation",
            tenant,
        )
        return [tuple(row.values()) for row in rows]

    async def versions(self, tenant: str) -> list[tuple[int, str]]:
        """Number and state of each version, oldest first."""
        rows = await self.ask(
            "SELECT number, state FROM key_version WHERE tenant_id = $1 ORDER BY number", tenant
        )
        return [tuple(row.values()) for row in rows]

    async def damage(self, tenant: str, record_id: UUID) -> None:
        """Flip a bit in the middle of a record."""
        await self.ask(
            "UPDATE protected_record SET fields = set_byte(fields, length(fields) / 2,"
            "  get_byte(fields, length(fields) / 2) # 1)"
            " WHERE tenant_id = $1 AND record_id = $2",
            tenant,
            record_id,
        )

    def turn_key(self, tenant: str, state: str) -> None:
        """What the key's owner does at the provider: ENABLED, DISABLED, ..."""
        path = self.settings.data_path / "local-keys" / tenant / KEY.partition(":")[2]
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "state": state}))


@asynccontextmanager
async def process(
    scratch: Scratch, settings: Settings, folder: Path, *, opener: Opener | None = None
) -> AsyncIterator[Process]:
    url = scratch.url(Role.SERVICE)
    configured = msgspec.structs.replace(
        settings,
        database_url=url,
        database_system_url=scratch.url(Role.SYSTEM),
        data_dir=str(folder),
        witness_url="off",
    )
    database = Database.for_service(url, configured)
    await database.open()
    recording = LedgerRuntime(configured, database)
    try:
        await recording.start()
        keys = KeysRuntime(configured, database, recording, opener=opener)
        yield Process(scratch, configured, database, recording, keys)
        await keys.keyring.close()
        await keys.wrappers.close()
    finally:
        await recording.close()
        await database.close()
