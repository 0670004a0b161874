"""What can be changed of keys, and of the jobs on them."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import strawberry

from resolvers.context import Info, RequestContext
from resolvers.errors import GovernanceError
from resolvers.key_errors import outcome
from resolvers.key_jobs import KeyJob
from resolvers.key_provider import KeyProvider
from resolvers.keys import CustomerManagedKey, KeyDestruction
from subgraph.db import ids
from subgraph.db.ids import EntityId, IdKind
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AS_PARENT, scope
from subgraph.federation.declare import attribute, input_type, mutation, object_type
from subgraph.federation.scalars import Digest
from subgraph.keys.custody.model import CustomerKey
from subgraph.keys.jobs import model as jobs
from subgraph.keys.records.rules import is_object_type
from subgraph.policy.scopes import Scope

_MOST_ERRORS = 100
_WRITE = scope(Scope.KEYS_WRITE)

TenantId = Annotated[strawberry.ID, strawberry.argument(description="The id of the tenant.")]
IdempotencyKey = Annotated[
    str, strawberry.argument(description="Chosen by the caller; a repeat changes nothing.")
]
Reason = Annotated[str, strawberry.argument(description="Why, for people.")]
JobId = Annotated[strawberry.ID, strawberry.argument(description="The id of the job.")]
Throttle = Annotated[int | None, strawberry.argument(description="The most rows a second.")]
RequestDigest = Annotated[
    Digest, strawberry.argument(description="What is approved: the request's digest.")
]


@input_type
class AttachKeyInput:
    """A key to attach."""

    provider: KeyProvider = attribute("Who holds the key.")
    key_uri: str = attribute("Its address at the provider, without a version.")


@object_type(access=AS_PARENT)
class AttachKeyPayload:
    """What `attachKey` did."""

    key: CustomerManagedKey | None = attribute("The key, if it is attached.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class SuspendKeyPayload:
    """What `suspendKey` did."""

    key: CustomerManagedKey | None = attribute("The key, suspended.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class ResumeKeyPayload:
    """What `resumeKey` did."""

    key: CustomerManagedKey | None = attribute("The key, in use again.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class RotateKeyPayload:
    """What `rotateKey` did."""

    job: KeyJob | None = attribute("The job that rotates.")
    user_errors: list[GovernanceError] = attribute("Why not, if none.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class RewrapKeyPayload:
    """What `rewrapKey` did."""

    job: KeyJob | None = attribute("The job that rewraps.")
    user_errors: list[GovernanceError] = attribute("Why not, if none.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class ReencryptRecordsPayload:
    """What `reencryptRecords` did."""

    job: KeyJob | None = attribute("The job that re-encrypts.")
    user_errors: list[GovernanceError] = attribute("Why not, if none.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class PauseKeyJobPayload:
    """What `pauseKeyJob` did."""

    job: KeyJob | None = attribute("The job, paused.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class ResumeKeyJobPayload:
    """What `resumeKeyJob` did."""

    job: KeyJob | None = attribute("The job, going on.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class CancelKeyJobPayload:
    """What `cancelKeyJob` did."""

    job: KeyJob | None = attribute("The job, cancelled.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class RequestKeyDestructionPayload:
    """What `requestKeyDestruction` did."""

    destruction: KeyDestruction | None = attribute("The request, if it is made.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class ApproveKeyDestructionPayload:
    """What `approveKeyDestruction` did."""

    destruction: KeyDestruction | None = attribute("The request, approved.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=None)
class KeyMutations:
    """The mutations on keys and their jobs."""

    @mutation(access=_WRITE)
    async def attach_key(
        self,
        info: Info,
        tenant_id: TenantId,
        input: Annotated[AttachKeyInput, strawberry.argument(description="The key to attach.")],
        idempotency_key: IdempotencyKey,
    ) -> AttachKeyPayload | None:
        """Bring a key; it is taken once it has wrapped, and a fresh client has unwrapped."""
        context = info.context
        await require_tenant(context, Scope.KEYS_WRITE, tenant_id)
        by = context.caller().subject
        try:
            key = await context.services.keys.attach(
                tenant_id, input.provider, input.key_uri, idempotency_key=idempotency_key, by=by
            )
            await context.services.key_jobs.follow(tenant_id, by=by)
        except SubgraphError as error:
            return AttachKeyPayload(key=None, user_errors=outcome(error, input.provider))
        context.loaders.forget()
        return AttachKeyPayload(key=CustomerManagedKey.of(key), user_errors=[])

    @mutation(access=_WRITE)
    async def suspend_key(
        self, info: Info, tenant_id: TenantId, reason: Reason
    ) -> SuspendKeyPayload | None:
        """Stop all use of the key at once, on every replica."""
        services = info.context.services
        try:
            key = await _turned(info.context, tenant_id, reason, services.keys.suspend)
        except SubgraphError as error:
            return SuspendKeyPayload(key=None, user_errors=outcome(error))
        return SuspendKeyPayload(key=CustomerManagedKey.of(key), user_errors=[])

    @mutation(access=_WRITE)
    async def resume_key(
        self, info: Info, tenant_id: TenantId, reason: Reason
    ) -> ResumeKeyPayload | None:
        """Take a suspension back."""
        services = info.context.services
        try:
            key = await _turned(info.context, tenant_id, reason, services.keys.resume)
        except SubgraphError as error:
            return ResumeKeyPayload(key=None, user_errors=outcome(error))
        return ResumeKeyPayload(key=CustomerManagedKey.of(key), user_errors=[])

    @mutation(access=_WRITE)
    async def rotate_key(
        self, info: Info, tenant_id: TenantId, idempotency_key: IdempotencyKey
    ) -> RotateKeyPayload | None:
        """Have the provider make a new version of the key, and everything follow it."""
        wanted = jobs.NewJob(jobs.KeyJobKind.ROTATE)
        try:
            job = await _planned(info.context, tenant_id, wanted, idempotency_key)
        except SubgraphError as error:
            return RotateKeyPayload(job=None, user_errors=outcome(error))
        return RotateKeyPayload(job=job, user_errors=[])

    @mutation(access=_WRITE)
    async def rewrap_key(
        self,
        info: Info,
        tenant_id: TenantId,
        throttle_per_second: Throttle = None,
        *,
        idempotency_key: IdempotencyKey,
    ) -> RewrapKeyPayload | None:
        """Wrap data keys again under the newest version of the key."""
        wanted = jobs.NewJob(jobs.KeyJobKind.REWRAP, throttle_per_second=throttle_per_second)
        try:
            job = await _planned(info.context, tenant_id, wanted, idempotency_key)
        except SubgraphError as error:
            return RewrapKeyPayload(job=None, user_errors=outcome(error))
        return RewrapKeyPayload(job=job, user_errors=[])

    @mutation(access=_WRITE)
    async def reencrypt_records(
        self,
        info: Info,
        tenant_id: TenantId,
        object_type: Annotated[
            str | None, strawberry.argument(description="Only records of this type.")
        ] = None,
        throttle_per_second: Throttle = None,
        *,
        idempotency_key: IdempotencyKey,
    ) -> ReencryptRecordsPayload | None:
        """Encrypt records again under new data keys."""
        if object_type is not None and not is_object_type(object_type):
            raise SubgraphError(ErrorCode.BAD_USER_INPUT, "`objectType` is no type of records.")
        wanted = jobs.NewJob(jobs.KeyJobKind.REENCRYPT, object_type, throttle_per_second)
        try:
            job = await _planned(info.context, tenant_id, wanted, idempotency_key)
        except SubgraphError as error:
            return ReencryptRecordsPayload(job=None, user_errors=outcome(error))
        return ReencryptRecordsPayload(job=job, user_errors=[])

    @mutation(access=_WRITE)
    async def pause_key_job(self, info: Info, id: JobId) -> PauseKeyJobPayload | None:
        """Stop a job behind the batch that is under way."""
        try:
            job = await _moved(info.context, id, info.context.services.key_jobs.pause)
        except SubgraphError as error:
            return PauseKeyJobPayload(job=None, user_errors=outcome(error))
        return PauseKeyJobPayload(job=job, user_errors=[])

    @mutation(access=_WRITE)
    async def resume_key_job(self, info: Info, id: JobId) -> ResumeKeyJobPayload | None:
        """Go on with a job that was paused, or is blocked."""
        try:
            job = await _moved(info.context, id, info.context.services.key_jobs.resume)
        except SubgraphError as error:
            return ResumeKeyJobPayload(job=None, user_errors=outcome(error))
        return ResumeKeyJobPayload(job=job, user_errors=[])

    @mutation(access=_WRITE)
    async def cancel_key_job(self, info: Info, id: JobId) -> CancelKeyJobPayload | None:
        """End a job where it is; everything stays readable."""
        try:
            job = await _moved(info.context, id, info.context.services.key_jobs.cancel)
        except SubgraphError as error:
            return CancelKeyJobPayload(job=None, user_errors=outcome(error))
        return CancelKeyJobPayload(job=job, user_errors=[])

    @mutation(access=scope(Scope.KEYS_DESTROY))
    async def request_key_destruction(
        self,
        info: Info,
        key_version_id: Annotated[
            strawberry.ID, strawberry.argument(description="The version to destroy.")
        ],
        reason: Reason,
        idempotency_key: IdempotencyKey,
    ) -> RequestKeyDestructionPayload | None:
        """Ask for the destruction of what a version has wrapped; two others have to approve."""
        context = info.context
        entity = await named(context, Scope.KEYS_DESTROY, IdKind.KEY_VERSION, key_version_id)
        try:
            made = await context.services.key_destructions.request(
                entity.tenant,
                entity.key,
                reason,
                idempotency_key=idempotency_key,
                by=context.caller().subject,
            )
        except SubgraphError as error:
            return RequestKeyDestructionPayload(destruction=None, user_errors=outcome(error))
        context.loaders.forget()
        return RequestKeyDestructionPayload(destruction=KeyDestruction.of(made), user_errors=[])

    @mutation(access=scope(Scope.KEYS_APPROVE))
    async def approve_key_destruction(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id of the request.")],
        request_digest: RequestDigest,
    ) -> ApproveKeyDestructionPayload | None:
        """Approve a destruction; the approval that completes the number carries it out."""
        context = info.context
        entity = await named(context, Scope.KEYS_APPROVE, IdKind.KEY_DESTRUCTION, id)
        caller = context.caller()
        try:
            approved = await context.services.key_destructions.approve(
                entity.tenant,
                entity.key,
                digest=request_digest,
                by=caller.subject,
                token_id=caller.token_id,
            )
        except SubgraphError as error:
            return ApproveKeyDestructionPayload(destruction=None, user_errors=outcome(error))
        context.loaders.forget()
        return ApproveKeyDestructionPayload(destruction=KeyDestruction.of(approved), user_errors=[])


async def require_tenant(context: RequestContext, needed: Scope, tenant: str) -> None:
    """Return if the caller may act on the tenant; raise `FORBIDDEN` if not."""
    if tenant not in await context.visibility.tenants(needed, [tenant]):
        raise SubgraphError(ErrorCode.FORBIDDEN)


async def named(context: RequestContext, needed: Scope, kind: IdKind, id: str) -> EntityId:
    """What an id names, on whose tenant the caller may act; `FORBIDDEN` for any other text."""
    entity = ids.decode(kind, id)
    if entity is None:
        raise SubgraphError(ErrorCode.FORBIDDEN)
    await require_tenant(context, needed, entity.tenant)
    return entity


async def _turned(
    context: RequestContext,
    tenant: str,
    reason: str,
    turn: Callable[..., Awaitable[CustomerKey]],
) -> CustomerKey:
    await require_tenant(context, Scope.KEYS_WRITE, tenant)
    key = await turn(tenant, reason, by=context.caller().subject)
    context.loaders.forget()
    return key


async def _planned(
    context: RequestContext, tenant: str, wanted: jobs.NewJob, idempotency_key: str
) -> KeyJob:
    await require_tenant(context, Scope.KEYS_WRITE, tenant)
    job = await context.services.key_jobs.plan(
        tenant, wanted, idempotency_key=idempotency_key, by=context.caller().subject
    )
    return await _standing(context, job)


async def _moved(
    context: RequestContext, id: str, move: Callable[..., Awaitable[jobs.KeyJob]]
) -> KeyJob:
    entity = await named(context, Scope.KEYS_WRITE, IdKind.KEY_JOB, id)
    job = await move(entity.tenant, entity.key, by=context.caller().subject)
    return await _standing(context, job)


async def _standing(context: RequestContext, job: jobs.KeyJob) -> KeyJob:
    # Read anew, since the times of a job are those of the database.
    context.loaders.forget()
    found = await context.loaders.key_jobs.load((job.tenant_id, job.job_id))
    return KeyJob.of(found or job)
