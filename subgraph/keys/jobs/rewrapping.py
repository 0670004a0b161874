"""Wraps data keys again under the newest version of the tenant's key; no record is touched."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from subgraph.db.service import Database
from subgraph.keys.custody import data_key_store, events, store
from subgraph.keys.custody.model import StoredDataKey
from subgraph.keys.custody.service import KeyCustody
from subgraph.keys.custody.wrapping import Wrappers
from subgraph.keys.jobs.faultpoints import JobFaultPoint, JobFaultPoints
from subgraph.keys.jobs.fence import WORKER, Fence
from subgraph.keys.jobs.following import Following
from subgraph.keys.jobs.model import KeyJob, KeyJobState
from subgraph.ledger.model import EventType

_AT_ONCE = 20
"""Data keys a slice: each takes three calls at the provider."""
_SWEEPS = 2


class Rewrapping:
    """Rewraps a tenant's data keys, a few a slice."""

    def __init__(
        self,
        database: Database,
        custody: KeyCustody,
        wrappers: Wrappers,
        following: Following,
        fence: Fence,
        *,
        faults: JobFaultPoints,
        counted: Counter[str],
    ) -> None:
        self._database = database
        self._custody = custody
        self._wrappers = wrappers
        self._following = following
        self._fence = fence
        self._faults = faults
        self._counted = counted

    async def run(self, job: KeyJob) -> None:
        """Rewrap what is behind, or count an empty sweep. Raises `KeyProviderError`, `FencedOut`.

        INTEGRITY blocks the job: a data key that cannot be unwrapped is a matter for people.
        """
        tenant = job.tenant_id
        limit = min(_AT_ONCE, job.throttle_per_second or _AT_ONCE)
        async with self._database.transaction(tenant) as transaction:
            behind = await data_key_store.behind(transaction, tenant, limit=limit)
        for data_key in behind:
            await self._rewrap(job, data_key)
        async with self._database.transaction(tenant) as transaction:
            held = await self._fence.go_on(transaction, job)
            sweeps = 0 if behind else held.empty_sweeps + 1
            state = KeyJobState.VERIFYING if sweeps >= _SWEEPS else KeyJobState.RUNNING
            after = replace(held, empty_sweeps=sweeps, state=state)
            throttle = job.throttle_per_second
            delay = timedelta(seconds=len(behind) / throttle if throttle else 0)
            await self._fence.next_slice(transaction, after, delay)
        await self._faults(JobFaultPoint.SWEPT)

    async def _rewrap(self, job: KeyJob, data_key: StoredDataKey) -> None:
        tenant = job.tenant_id
        plain = await self._custody.unwrap(tenant, data_key.data_key_id)
        async with self._database.transaction(tenant) as transaction:
            active = await store.active_version(transaction, tenant)
        assert active is not None
        wrapped = await self._wrappers.wrap_proven(
            active.provider, active.key_uri, plain, data_key.context
        )
        await self._faults(JobFaultPoint.KEY_WRAPPED)
        if wrapped.provider_version != active.provider_version:
            # The provider rotated the key again: the next slice wraps under that version.
            await self._following.follow(job)
            return
        async with self._database.transaction(tenant) as transaction:
            held = await self._fence.go_on(transaction, job)
            moved = await data_key_store.rewrap(
                transaction, tenant, data_key, number=active.number, wrapped=wrapped.ciphertext
            )
            if moved:
                event = events.data_key(
                    EventType.DATA_KEY_REWRAPPED,
                    replace(data_key, key_version=active.number),
                    by=WORKER,
                )
                await self._fence.append(transaction, event, job.job_id, active.version_id)
            done, superseded = held.done + moved, held.superseded + (not moved)
            await self._fence.save(transaction, replace(held, done=done, superseded=superseded))
        self._counted["rewrapped" if moved else "superseded"] += 1
        await self._faults(JobFaultPoint.REWRAPPED)
