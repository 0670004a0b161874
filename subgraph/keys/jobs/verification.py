"""The last slice of a job: a sample is decrypted, and what nothing depends on any more retires."""

from dataclasses import replace
from uuid import UUID

from subgraph.db.service import Database, Row, Transaction
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.custody import data_key_store, events
from subgraph.keys.custody import store as custody_store
from subgraph.keys.custody.model import DataKeyState, KeyVersionState, StoredDataKey
from subgraph.keys.custody.service import KeyCustody
from subgraph.keys.jobs import store
from subgraph.keys.jobs.faultpoints import JobFaultPoint, JobFaultPoints
from subgraph.keys.jobs.fence import WORKER, Fence
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState
from subgraph.keys.records.cipher import RecordCipher
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.ledger.model import EventType

_SAMPLE = 20
"""Records a data key; where a job moved them, each must open under its new key."""


class Verification:
    """Ends jobs; nothing retires while a single record, a quarantined one too, depends on it."""

    def __init__(
        self,
        database: Database,
        custody: KeyCustody,
        cipher: RecordCipher,
        fence: Fence,
        faults: JobFaultPoints,
    ) -> None:
        self._database = database
        self._custody = custody
        self._cipher = cipher
        self._fence = fence
        self._faults = faults

    async def run(self, job: KeyJob) -> None:
        """Check, retire, end. Raises `KeyProviderError`, INTEGRITY included, and `FencedOut`."""
        await self._sample(job)
        await self._faults(JobFaultPoint.SAMPLED)
        tenant = job.tenant_id
        async with self._database.transaction(tenant) as transaction:
            held = await self._fence.hold(transaction, job)
            if job.kind is KeyJobKind.REENCRYPT:
                await self._retire_data_keys(transaction, held)
            for version in await custody_store.idle_versions(transaction, tenant):
                await custody_store.set_version_state(
                    transaction, tenant, version.number, KeyVersionState.DISABLED
                )
                event = events.about_version(EventType.KEY_VERSION_RETIRED, version, by=WORKER)
                await self._fence.append(transaction, event, job.job_id, version.version_id)
            await self._faults(JobFaultPoint.RETIRED)
            done = replace(held, state=KeyJobState.DONE, source=None, cursor=None)
            await self._fence.record(transaction, EventType.KEY_JOB_DONE, done)
            await self._fence.save(transaction, done)

    async def _retire_data_keys(self, transaction: Transaction, job: KeyJob) -> None:
        tenant = job.tenant_id
        sources = await data_key_store.data_keys_in(
            transaction, tenant, DataKeyState.DECRYPT_ONLY, job.object_type
        )
        for source in sources:
            if await store.sample(transaction, tenant, source.data_key_id, limit=1):
                continue
            await data_key_store.set_data_key_state(
                transaction, tenant, source.data_key_id, DataKeyState.RETIRED
            )
            event = events.data_key(EventType.DATA_KEY_RETIRED, source, by=WORKER)
            await self._fence.append(transaction, event, job.job_id)

    async def _sample(self, job: KeyJob) -> None:
        tenant = job.tenant_id
        moved = job.kind is KeyJobKind.REENCRYPT
        async with self._database.transaction(tenant) as transaction:
            older = await data_key_store.data_keys_in(
                transaction, tenant, DataKeyState.DECRYPT_ONLY, job.object_type
            )
            active = await data_key_store.data_keys_in(
                transaction, tenant, DataKeyState.ACTIVE, job.object_type
            )
            rows = {
                key.data_key_id: await store.sample(
                    transaction, tenant, key.data_key_id, limit=_SAMPLE
                )
                for key in active
            }
        for key in active if moved else [*older, *active]:
            await self._custody.unwrap(tenant, key.data_key_id)
        for key in active:
            opened = await self._opened(key, rows[key.data_key_id])
            if opened < len(rows[key.data_key_id]) and (moved or opened == 0):
                message = "records that were sampled do not open; nothing was retired"
                raise KeyProviderError(KeyFault.INTEGRITY, message)

    async def _opened(self, key: StoredDataKey, rows: list[Row]) -> int:
        """How many open: a rewrap is not to blame for a record that was damaged before."""
        opened = 0
        for row in rows:
            record_id: UUID = row["record_id"]
            try:
                await self._cipher.open(
                    key.tenant_id, key.data_key_id, row["object_type"], record_id, row["fields"]
                )
            except KeyProviderError:
                raise
            except SubgraphError as error:
                if error.code is not ErrorCode.INTEGRITY:
                    raise
            else:
                opened += 1
        return opened
