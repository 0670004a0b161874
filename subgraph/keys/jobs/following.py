"""Enters the version of the tenant's key that wraps at its provider, which may be a newer one."""

from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.custody import store
from subgraph.keys.custody.model import CustomerKey
from subgraph.keys.custody.service import KeyCustody
from subgraph.keys.custody.wrapping import Wrappers
from subgraph.keys.jobs.faultpoints import JobFaultPoint, JobFaultPoints
from subgraph.keys.jobs.fence import WORKER, Fence
from subgraph.keys.jobs.model import KeyJob, KeyJobKind
from subgraph.kms.contract import KeyDescription


class Following:
    """Follows the provider for as long as a claim stands."""

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

    async def follow(self, job: KeyJob) -> None:
        """Enter the provider's newest version as the one that wraps; ROTATE has it make one.

        A version that is newer at the provider than here was made by a start that crashed, or by
        the key's owner: it serves, and nothing is rotated once more. Raises `KeyProviderError`,
        `FencedOut`.
        """
        tenant = job.tenant_id
        owner = await self._owner(tenant)
        described = await self._custody.prove(tenant, owner.provider, owner.key_uri)
        async with self._database.transaction(tenant) as transaction:
            active = await store.active_version(transaction, tenant)
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
            key = await store.lock_key(transaction, tenant)
            assert key is not None
            await self._custody.activate(transaction, key, described, by=WORKER)

    async def _rotate(self, owner: CustomerKey) -> KeyDescription:
        tenant = owner.tenant_id
        async with self._wrappers.using(owner.provider, owner.key_uri, tenant) as wrapper:
            await wrapper.rotate()
        return await self._custody.prove(tenant, owner.provider, owner.key_uri)

    async def _owner(self, tenant: str) -> CustomerKey:
        owner = (await store.keys(self._database, [tenant])).get(tenant)
        if owner is None:
            raise SubgraphError(ErrorCode.KEY_NOT_FOUND, "the tenant has attached no key")
        return owner
