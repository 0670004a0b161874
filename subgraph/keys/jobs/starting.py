"""The first slice of a job: what it works towards is made, and what lies ahead is counted."""

from dataclasses import replace
from datetime import timedelta

from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.custody import store as custody_store
from subgraph.keys.custody.model import CustomerKey, DataKeyState
from subgraph.keys.custody.service import KeyCustody
from subgraph.keys.custody.wrapping import Wrappers
from subgraph.keys.jobs import store
from subgraph.keys.jobs.faultpoints import JobFaultPoint, JobFaultPoints
from subgraph.keys.jobs.fence import WORKER, Fence
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState
from subgraph.kms.contract import KeyDescription
from subgraph.ledger.model import EventType

_MOST_DATA_KEYS = 10_000


class Starting:
    """Starts jobs; to start one again after a crash repeats nothing that was done."""

    def __init__(
        self,
        database: Database,
        custody: KeyCustody,
        wrappers: Wrappers,
        fence: Fence,
        faults: JobFaultPoints,
    ) -> None:
        self._database = database
        self._custody = custody
        self._wrappers = wrappers
        self._fence = fence
        self._faults = faults

    async def start(self, job: KeyJob) -> None:
        """Rotate or make new data keys, as the job asks; its first batch is due then.

        Raises `KeyProviderError`, `FencedOut`.
        """
        if job.kind is not KeyJobKind.REENCRYPT:
            await self._follow_provider(job)
        if job.kind is not KeyJobKind.REWRAP:
            await self._give_writers_new_keys(job)
        tenant = job.tenant_id
        async with self._database.transaction(tenant) as transaction:
            held = await self._fence.go_on(transaction, job)
            if job.kind is KeyJobKind.REENCRYPT:
                sources = await custody_store.data_keys_in(
                    transaction, tenant, DataKeyState.DECRYPT_ONLY, job.object_type
                )
                left = await store.left_under(
                    transaction, tenant, job.job_id, [key.data_key_id for key in sources]
                )
                total = sum(left.values())
            else:
                total = len(await custody_store.behind(transaction, tenant, limit=_MOST_DATA_KEYS))
            started = replace(held, state=KeyJobState.RUNNING, total=total)
            await self._fence.record(transaction, EventType.KEY_JOB_STARTED, started)
            await self._fence.next_slice(transaction, started, timedelta(0))
        await self._faults(JobFaultPoint.STARTED)

    async def _follow_provider(self, job: KeyJob) -> None:
        """Enter the provider's newest version as the one that wraps; ROTATE has it make one.

        A version that is newer at the provider than here was made by a start that crashed, or by
        the key's owner: it serves, and nothing is rotated once more.
        """
        tenant = job.tenant_id
        owner = await self._owner(tenant)
        described = await self._custody.prove(tenant, owner.provider, owner.key_uri)
        async with self._database.transaction(tenant) as transaction:
            active = await custody_store.active_version(transaction, tenant)
        known = active is not None and (active.key_uri, active.provider_version) == (
            described.key_uri,
            described.provider_version,
        )
        fresh = active is not None and active.created_at >= job.created_at
        if job.kind is KeyJobKind.ROTATE and known and not fresh:
            described = await self._rotate(owner)
            await self._faults(JobFaultPoint.ROTATED_AT_PROVIDER)
        async with self._database.transaction(tenant) as transaction:
            await self._fence.hold(transaction, job)
            key = await custody_store.lock_key(transaction, tenant)
            assert key is not None
            await self._custody.activate(transaction, key, described, by=WORKER)

    async def _rotate(self, owner: CustomerKey) -> KeyDescription:
        tenant = owner.tenant_id
        async with self._wrappers.using(owner.provider, owner.key_uri, tenant) as wrapper:
            await wrapper.rotate()
        return await self._custody.prove(tenant, owner.provider, owner.key_uri)

    async def _give_writers_new_keys(self, job: KeyJob) -> None:
        tenant = job.tenant_id
        async with self._database.transaction(tenant) as transaction:
            older = await custody_store.active_since_before(
                transaction, tenant, job.created_at, job.object_type
            )
        for object_type, generation in older.items():
            await self._custody.new_generation(tenant, object_type, after=generation, by=WORKER)
            await self._faults(JobFaultPoint.GENERATION_MADE)

    async def _owner(self, tenant: str) -> CustomerKey:
        owner = (await custody_store.keys(self._database, [tenant])).get(tenant)
        if owner is None:
            raise SubgraphError(ErrorCode.KEY_NOT_FOUND, "the tenant has attached no key")
        return owner
