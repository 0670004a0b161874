"""The first slice of a job: what it works towards is made, and what lies ahead is counted."""

from dataclasses import replace
from datetime import timedelta

from subgraph.db.service import Database
from subgraph.keys.custody import data_key_store
from subgraph.keys.custody.model import DataKeyState
from subgraph.keys.custody.service import KeyCustody
from subgraph.keys.jobs import store
from subgraph.keys.jobs.faultpoints import JobFaultPoint, JobFaultPoints
from subgraph.keys.jobs.fence import WORKER, Fence
from subgraph.keys.jobs.following import Following
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.ledger.model import EventType

_MOST_DATA_KEYS = 10_000


class Starting:
    """Starts jobs; to start one again after a crash repeats nothing that was done."""

    def __init__(
        self,
        database: Database,
        custody: KeyCustody,
        following: Following,
        fence: Fence,
        faults: JobFaultPoints,
    ) -> None:
        self._database = database
        self._custody = custody
        self._following = following
        self._fence = fence
        self._faults = faults

    async def start(self, job: KeyJob) -> None:
        """Rotate or make new data keys, as the job asks; its first batch is due then.

        Raises `KeyProviderError`, `FencedOut`.
        """
        if job.kind is not KeyJobKind.REENCRYPT:
            await self._following.follow(job)
        if job.kind is not KeyJobKind.REWRAP:
            await self._give_writers_new_keys(job)
        tenant = job.tenant_id
        async with self._database.transaction(tenant) as transaction:
            held = await self._fence.go_on(transaction, job)
            if job.kind is KeyJobKind.REENCRYPT:
                sources = await data_key_store.data_keys_in(
                    transaction, tenant, DataKeyState.DECRYPT_ONLY, job.object_type
                )
                total = await store.counted_under(
                    transaction, tenant, [key.data_key_id for key in sources]
                )
            else:
                total = len(await data_key_store.behind(transaction, tenant, limit=_MOST_DATA_KEYS))
            started = replace(held, state=KeyJobState.RUNNING, total=total)
            await self._fence.record(transaction, EventType.KEY_JOB_STARTED, started)
            await self._fence.next_slice(transaction, started, timedelta(0))
        await self._faults(JobFaultPoint.STARTED)

    async def _give_writers_new_keys(self, job: KeyJob) -> None:
        for object_type, generation in (await self._older(job)).items():
            await self._custody.new_generation(
                job.tenant_id, object_type, after=generation, by=WORKER
            )
            await self._faults(JobFaultPoint.GENERATION_MADE)
        # While writers still use an older data key, a sweep over older ones would not see it.
        if await self._older(job):
            raise KeyProviderError(KeyFault.UNAVAILABLE, "the key was replaced meanwhile")

    async def _older(self, job: KeyJob) -> dict[str, int]:
        async with self._database.transaction(job.tenant_id) as transaction:
            return await data_key_store.active_since_before(
                transaction, job.tenant_id, job.created_at, job.object_type
            )
