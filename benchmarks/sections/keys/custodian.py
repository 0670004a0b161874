"""A process that keeps keys on the benchmark's database, and runs slices of jobs itself."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from benchmarks.sections.contract import Given
from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.keys.jobs import store
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState, NewJob
from subgraph.keys.jobs.runner import JobRunner, Pace
from subgraph.keys.records.model import NewRecord
from subgraph.keys.runtime import KeysRuntime, enqueue_slice
from subgraph.kms.contract import KeyProvider
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.settings import Settings

KEY_URI = "local:bench"
OBJECT_TYPE = "person"
_BY = "bench-operator"


@dataclass(frozen=True, slots=True)
class Custodian:
    """The parts of one process."""

    settings: Settings
    database: Database
    recording: LedgerRuntime
    keys: KeysRuntime

    async def attach(self, tenant: str) -> None:
        """Give the tenant a software key."""
        await self.keys.custody.attach(
            tenant, KeyProvider.LOCAL, KEY_URI, idempotency_key="bench", by=_BY
        )

    async def put(self, tenant: str, fields: dict[str, str]) -> UUID:
        """Store a record the way a caller does."""
        wanted = NewRecord(OBJECT_TYPE, tuple(fields.items()))
        stored = await self.keys.records.put(tenant, wanted, idempotency_key=str(uuid4()), by=_BY)
        return stored.record_id

    async def reencrypt(self, tenant: str) -> KeyJob:
        """Run a whole re-encryption here, slice by slice; its last state."""
        runner = JobRunner(
            self.database,
            self.recording.ledger,
            self.keys.custody,
            self.keys.wrappers,
            self.keys.cipher,
            enqueue=enqueue_slice,
            pace=Pace(),
        )
        planned = await self.keys.jobs.plan(
            tenant, NewJob(KeyJobKind.REENCRYPT), idempotency_key=str(uuid4()), by=_BY
        )
        job = planned
        while not job.state.final:
            if job.state is KeyJobState.BLOCKED:
                raise AssertionError(job.blocked_message)
            await runner.run(tenant, job.job_id, job.epoch)
            job = (await store.jobs(self.database, [(tenant, job.job_id)]))[tenant, job.job_id]
        return job

    def disable(self, tenant: str) -> None:
        """Have the owner disable the key: what only the provider knows."""
        path = Path(self.settings.data_dir) / "local-keys" / tenant / "bench"
        content = json.loads(path.read_bytes())
        path.write_text(json.dumps({**content, "state": "DISABLED"}))


@asynccontextmanager
async def custodian(given: Given, name: str = "keys") -> AsyncIterator[Custodian]:
    """A process with a delegated key and the intervals of production."""
    url = given.server.url(Role.SERVICE)
    folder = given.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(database_url=url, data_dir=str(folder))
    database = Database.for_service(url, settings)
    await database.open()
    recording = LedgerRuntime(settings, database)
    try:
        await recording.start()
        keys = KeysRuntime(settings, database, recording)
        async with keys.running():
            yield Custodian(settings, database, recording, keys)
    finally:
        await recording.close()
        await database.close()
