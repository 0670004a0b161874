"""`KeyJob`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from resolvers.blocked import BlockedReason
from resolvers.connections import (
    After,
    Connection,
    First,
    checked_first,
    moment,
    moment_of,
    page_of,
    position,
)
from resolvers.context import Info, RequestContext
from resolvers.entities import by_tenant, load_by_id
from resolvers.events import events_about
from resolvers.ledger import LedgerEvent
from resolvers.records import ProtectedRecord
from subgraph.db import ids
from subgraph.db.cursors import ListIdentity
from subgraph.db.ids import IdKind
from subgraph.federation.access import AS_PARENT, scope
from subgraph.federation.declare import attribute, described_enum, field, object_type
from subgraph.federation.scalars import UInt64
from subgraph.keys.jobs import model
from subgraph.policy.scopes import Scope

if TYPE_CHECKING:
    from resolvers.tenants import Tenant

_POLL_SECONDS = 2
_POLL_IDLE_SECONDS = 30

described_enum(
    model.KeyJobKind,
    {
        "ROTATE": "A new version of the key, new data keys under it, older ones wrapped again.",
        "REWRAP": "Data keys are wrapped again under the newest version; no record is touched.",
        "REENCRYPT": "Records are encrypted again under new data keys.",
    },
)
described_enum(
    model.KeyJobState,
    {
        "PLANNED": "It waits for a worker.",
        "RUNNING": "It is under way.",
        "PAUSED": "Somebody paused it.",
        "BLOCKED": "The key's provider refuses; it goes on by itself once that ends.",
        "VERIFYING": "Nothing is left; a sample is decrypted before old keys retire.",
        "DONE": "It has ended, and what it replaced has retired.",
        "CANCELLED": "Somebody ended it; everything stays readable.",
    },
)


@object_type(access=AS_PARENT)
class KeyJobProgress:
    """How far a job is; counts are of records, or of data keys where only those are moved."""

    total: UInt64 = attribute("How many there were at the start.")
    done: UInt64 = attribute("How many were moved.")
    superseded: UInt64 = attribute("How many a writer replaced or deleted first.")
    quarantined: UInt64 = attribute("How many could not be decrypted, and stay as they are.")
    percent: float | None = attribute("The share that is dealt with, 0 to 100.")
    rows_per_second: float | None = attribute("The rate of the last seconds.")
    estimated_completion_at: datetime | None = attribute("When it may be done, at that rate.")
    poll_after_seconds: int = attribute("When it is worth asking again.")

    @classmethod
    def of(cls, job: model.KeyJob) -> "KeyJobProgress":
        """The progress of a job."""
        left = job.remaining_seconds
        idle = job.state in (model.KeyJobState.PAUSED, model.KeyJobState.BLOCKED)
        return cls(
            total=UInt64(job.total),
            done=UInt64(job.done),
            superseded=UInt64(job.superseded),
            quarantined=UInt64(job.quarantined),
            percent=job.percent,
            rows_per_second=job.rows_per_second,
            estimated_completion_at=None
            if left is None
            else datetime.now(UTC) + timedelta(seconds=left),
            poll_after_seconds=_POLL_IDLE_SECONDS if idle or job.state.final else _POLL_SECONDS,
        )


@object_type(access=AS_PARENT)
class QuarantinedRecord:
    """A record that a job could not decrypt."""

    item: strawberry.Private[model.Quarantined]
    code: str = attribute("Why, a stable code.")
    at: datetime = attribute("When it was found.")

    @field(access=scope(Scope.RECORDS_READ))
    async def record(self, info: Info) -> ProtectedRecord | None:
        """The record; null if it was deleted since."""
        key = (self.item.tenant_id, self.item.record_id)
        found = await info.context.loaders.records.load(key)
        return None if found is None else ProtectedRecord.of(found)


@object_type(access=scope(Scope.KEYS_READ), key="id")
class KeyJob:
    """A rotation, rewrapping or re-encryption in the background."""

    job: strawberry.Private[model.KeyJob]
    id: strawberry.ID = attribute("The id of the job.")
    kind: model.KeyJobKind = attribute("What it does.")
    state: model.KeyJobState = attribute("How far it is.")
    progress: KeyJobProgress = attribute("How far it is, in numbers.")
    throttle_per_second: int | None = attribute("The most rows a second, if it is bounded.")
    blocked_reason: BlockedReason | None = attribute("Why it is blocked.")
    created_at: datetime = attribute("When it was planned.")
    updated_at: datetime = attribute("When it last moved.")

    @field()
    async def tenant(
        self, info: Info
    ) -> Annotated["Tenant", strawberry.lazy("resolvers.tenants")] | None:
        """The tenant whose keys it is about."""
        from resolvers.tenants import tenant_of

        return await tenant_of(self.job.tenant_id, info.context)

    @field(paged=True)
    async def quarantined(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[QuarantinedRecord] | None:
        """The records that it could not decrypt."""
        checked_first(first)
        services = info.context.services
        job = self.job
        identity = ListIdentity("quarantined", job.tenant_id, f"record of {job.job_id}")
        behind = position(services.cursors, identity, after)
        found = await services.key_jobs.quarantined(
            job.tenant_id,
            job.job_id,
            first=first + 1,
            after=None if behind is None else UUID(str(behind)),
        )
        return page_of(
            [QuarantinedRecord(item=item, code=item.code, at=item.at) for item in found],
            first=first,
            after=after,
            cursors=services.cursors,
            of=identity,
            place=lambda shown: str(shown.item.record_id),
        )

    @field(access=scope(Scope.LEDGER_READ), paged=True)
    async def events(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[LedgerEvent] | None:
        """What happened in the job, oldest first."""
        job = self.job
        return await events_about(info.context, job.tenant_id, job.job_id, first, after)

    @classmethod
    def of(cls, job: model.KeyJob) -> "KeyJob":
        """The GraphQL object of a job."""
        blocked = None
        if job.blocked_code is not None:
            blocked = BlockedReason(
                code=job.blocked_code, message=job.blocked_message or "", subject=None
            )
        return cls(
            job=job,
            id=strawberry.ID(ids.encode(IdKind.KEY_JOB, job.tenant_id, job.job_id)),
            kind=job.kind,
            state=job.state,
            progress=KeyJobProgress.of(job),
            throttle_per_second=job.throttle_per_second,
            blocked_reason=blocked,
            created_at=job.created_at,
            updated_at=job.updated_at,
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["KeyJob | None"]:
        """The jobs with these ids; one statement."""
        loader = context.loaders.key_jobs
        return await load_by_id(IdKind.KEY_JOB, keys, loader, by_tenant, cls.of)


async def job_page(
    context: RequestContext,
    tenant: str,
    first: int,
    after: str | None,
    state: model.KeyJobState | None,
) -> Connection[KeyJob] | None:
    """A page of a tenant's jobs, newest first; None where the caller may not see them."""
    checked_first(first)
    if not await context.allows(Scope.KEYS_READ, tenant):
        return None
    services = context.services
    ordering = "created desc" if state is None else f"created desc where state is {state.value}"
    identity = ListIdentity("keyJobs", tenant, ordering)
    found = await services.key_jobs.page(
        tenant, first=first + 1, after=moment_of(services.cursors, identity, after), state=state
    )
    return page_of(
        [KeyJob.of(job) for job in found],
        first=first,
        after=after,
        cursors=services.cursors,
        of=identity,
        place=lambda shown: moment(shown.job.created_at, shown.job.job_id),
    )
