"""Plans, pauses, resumes and cancels jobs; the worker runs them."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from subgraph.db import idempotency
from subgraph.db.service import Database, Transaction
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.custody import data_key_store
from subgraph.keys.custody import store as custody_store
from subgraph.keys.jobs import store
from subgraph.keys.jobs.events import about_job
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState, NewJob, Quarantined
from subgraph.ledger.model import EventType
from subgraph.ledger.service import Ledger
from subgraph.ledger.subjects import append_about

Enqueue = Callable[[Transaction, KeyJob, timedelta], Awaitable[None]]
"""Puts the slice that is due into the queue, in the transaction of its caller, after a delay."""

_OPERATIONS = {
    KeyJobKind.ROTATE: "rotateKey",
    KeyJobKind.REWRAP: "rewrapKey",
    KeyJobKind.REENCRYPT: "reencryptRecords",
}
_AT_ONCE = timedelta(0)
_MOST_PER_SECOND = 1_000_000


class KeyJobs:
    """The jobs of all tenants; one of a tenant is in flight at a time."""

    def __init__(self, database: Database, ledger: Ledger, enqueue: Enqueue) -> None:
        self._database = database
        self._ledger = ledger
        self._enqueue = enqueue

    async def plan(self, tenant: str, wanted: NewJob, *, idempotency_key: str, by: str) -> KeyJob:
        """Plan a job, and put its first slice into the queue.

        Raises `KEY_NOT_FOUND` for a tenant without a key, `JOB_IN_FLIGHT` while another job of the
        tenant has not ended, `IDEMPOTENCY_CONFLICT`, `BAD_USER_INPUT`.
        """
        throttle = wanted.throttle_per_second
        if throttle is not None and not 1 <= throttle <= _MOST_PER_SECOND:
            message = f"`throttlePerSecond` is from 1 to {_MOST_PER_SECOND:,}."
            raise SubgraphError(ErrorCode.BAD_USER_INPUT, message)
        asked = idempotency.digest(
            {"objectType": wanted.object_type, "throttlePerSecond": throttle}
        )
        async with self._database.transaction(tenant) as transaction:
            key = await custody_store.lock_key(transaction, tenant)
            if key is None:
                raise SubgraphError(ErrorCode.KEY_NOT_FOUND, "the tenant has attached no key")
            job = _new(tenant, wanted)
            operation = _OPERATIONS[wanted.kind]
            first = await idempotency.claim(
                transaction,
                tenant,
                operation,
                idempotency_key,
                request_digest=asked,
                result=job.job_id,
            )
            if first == job.job_id:
                await self.plan_in(transaction, job, key_id=key.key_id, by=by)
                return job
        standing = await store.jobs(self._database, [(tenant, first)])
        return standing[tenant, first]

    async def plan_in(
        self, transaction: Transaction, job: KeyJob, *, key_id: UUID, by: str
    ) -> None:
        """Plan `job` in a transaction that holds the tenant's key. Raises `JOB_IN_FLIGHT`."""
        if not await store.insert(transaction, job.tenant_id, job, by=by):
            standing = await store.in_flight(transaction, job.tenant_id)
            message = "another job of this tenant is in flight; wait for it, or cancel it"
            kind = standing.kind.value if standing is not None else None
            raise SubgraphError(ErrorCode.JOB_IN_FLIGHT, message, kind=kind)
        event = about_job(EventType.KEY_JOB_PLANNED, job, by=by)
        await append_about(transaction, self._ledger, event, job.job_id, key_id)
        await self._enqueue(transaction, job, _AT_ONCE)

    async def follow(self, tenant: str, *, by: str) -> bool:
        """Plan a REWRAP if data keys are behind the newest version and no job is in flight."""
        async with self._database.transaction(tenant) as transaction:
            key = await custody_store.lock_key(transaction, tenant)
            if key is None or await store.in_flight(transaction, tenant) is not None:
                return False
            if not await data_key_store.behind(transaction, tenant, limit=1):
                return False
            job = new_job(tenant, KeyJobKind.REWRAP)
            await self.plan_in(transaction, job, key_id=key.key_id, by=by)
        return True

    async def page(
        self,
        tenant: str,
        *,
        first: int,
        after: tuple[datetime, UUID] | None,
        state: KeyJobState | None,
    ) -> list[KeyJob]:
        """Jobs of a tenant, newest first."""
        return await store.job_page(self._database, tenant, first=first, after=after, state=state)

    async def quarantined(
        self, tenant: str, job_id: UUID, *, first: int, after: UUID | None
    ) -> list[Quarantined]:
        """Records that a job left as they were, in the order of their ids."""
        return await store.quarantine_page(self._database, tenant, job_id, first=first, after=after)

    async def pause(self, tenant: str, job_id: UUID, *, by: str) -> KeyJob:
        """Stop after the batch that is under way; repeating it changes nothing.

        Raises `UNKNOWN_OBJECT`, and `JOB_ENDED` for a job that has.
        """
        return await self._turn(tenant, job_id, KeyJobState.PAUSED, EventType.KEY_JOB_PAUSED, by=by)

    async def resume(self, tenant: str, job_id: UUID, *, by: str) -> KeyJob:
        """Go on with a paused or blocked job at once."""
        return await self._turn(
            tenant, job_id, KeyJobState.RUNNING, EventType.KEY_JOB_CONTINUED, by=by
        )

    async def cancel(self, tenant: str, job_id: UUID, *, by: str) -> KeyJob:
        """End a job where it is: what was moved stays moved, and everything stays readable."""
        return await self._turn(
            tenant, job_id, KeyJobState.CANCELLED, EventType.KEY_JOB_CANCELLED, by=by
        )

    async def _turn(
        self, tenant: str, job_id: UUID, state: KeyJobState, kind: EventType, *, by: str
    ) -> KeyJob:
        async with self._database.transaction(tenant) as transaction:
            job = await store.lock(transaction, tenant, job_id)
            if job is None:
                raise SubgraphError(ErrorCode.UNKNOWN_OBJECT, "there is no such job")
            if job.state is state or not _differs(job.state, state):
                return job
            if job.state.final:
                raise SubgraphError(ErrorCode.JOB_ENDED, state=job.state.value)
            # A new epoch: whatever slice is queued or under way is not due any more.
            turned = replace(
                job,
                state=job.resumes_as if state is KeyJobState.RUNNING else state,
                epoch=job.epoch + 1,
                blocked_code=None,
                blocked_message=None,
            )
            await store.save(transaction, tenant, turned)
            event = about_job(kind, turned, by=by)
            await append_about(transaction, self._ledger, event, job_id)
            if state is KeyJobState.RUNNING:
                await self._enqueue(transaction, turned, _AT_ONCE)
        return turned


def new_job(tenant: str, kind: KeyJobKind) -> KeyJob:
    """A job without bounds, to be planned by `KeyJobs.plan_in`."""
    return _new(tenant, NewJob(kind))


def _differs(standing: KeyJobState, wanted: KeyJobState) -> bool:
    under_way = (KeyJobState.PLANNED, KeyJobState.RUNNING, KeyJobState.VERIFYING)
    return not (wanted is KeyJobState.RUNNING and standing in under_way)


def _new(tenant: str, wanted: NewJob) -> KeyJob:
    now = datetime.now(UTC)
    return KeyJob(
        tenant_id=tenant,
        job_id=uuid4(),
        kind=wanted.kind,
        state=KeyJobState.PLANNED,
        object_type=wanted.object_type,
        throttle_per_second=wanted.throttle_per_second,
        total=0,
        done=0,
        superseded=0,
        quarantined=0,
        source=None,
        cursor=None,
        empty_sweeps=0,
        epoch=0,
        attempt=0,
        rows_per_second=None,
        blocked_code=None,
        blocked_message=None,
        created_at=now,
        updated_at=now,
    )
