"""What can be changed of protected records, and the breaking of glass."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

import strawberry

from resolvers.break_glass import BreakGlassRequest, SessionMarking
from resolvers.connections import After, Connection, First, checked_first, page_of, position
from resolvers.context import Info, RequestContext
from resolvers.errors import GovernanceError
from resolvers.key_errors import outcome
from resolvers.key_mutations import (
    IdempotencyKey,
    Reason,
    RequestDigest,
    TenantId,
    named,
    require_tenant,
)
from resolvers.records import ProtectedRecord
from subgraph.db import ids
from subgraph.db.cursors import ListIdentity
from subgraph.db.ids import IdKind
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AS_PARENT, scope
from subgraph.federation.declare import attribute, field, input_type, mutation, object_type
from subgraph.keys.breakglass import model
from subgraph.keys.records.errors import InvalidRecord
from subgraph.keys.records.model import NewRecord
from subgraph.kms.faults import KeyProviderError
from subgraph.policy.scopes import Scope

_MOST_ERRORS = 100
_REQUEST = scope(Scope.BREAKGLASS_REQUEST)
_APPROVE = scope(Scope.BREAKGLASS_APPROVE)

RequestId = Annotated[strawberry.ID, strawberry.argument(description="The id of the request.")]


@input_type
class ProtectedFieldInput:
    """A field to store."""

    name: str = attribute("The name of the field; it is not encrypted.")
    value: str = attribute("The value, which is encrypted.")


@input_type
class PutRecordInput:
    """A record to store, or to replace."""

    id: strawberry.ID | None = attribute("Only to replace a record that exists.", default=None)
    external_id: str | None = attribute(
        "The caller's own name for it; it is not encrypted.", default=None
    )
    object_type: str = attribute("What kind of record it is.")
    fields: list[ProtectedFieldInput] = attribute("All fields of the record.")


@input_type
class BreakGlassScopeInput:
    """The values to be read."""

    object_type: str = attribute("The type of the records.")
    record_ids: list[strawberry.ID] = attribute("The records, 1 to 100.")
    fields: list[str] = attribute("The fields of them, 1 to 50.")


@input_type
class BreakGlassInput:
    """Why which values have to be read, and for how long."""

    reason_code: model.BreakGlassReason = attribute("Why.")
    justification: str = attribute("Why, for people.")
    scope: BreakGlassScopeInput = attribute("The values to be read.")
    duration_minutes: int = attribute("How long, from the opening; 1 to 60.", default=30)


@object_type(access=AS_PARENT)
class PutRecordPayload:
    """What `putRecord` did."""

    record: ProtectedRecord | None = attribute("The record, if it is stored.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class DeleteRecordPayload:
    """What `deleteRecord` did."""

    deleted_id: strawberry.ID | None = attribute("The id of the record that is gone.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class RequestBreakGlassPayload:
    """What `requestBreakGlass` did."""

    request: BreakGlassRequest | None = attribute("The request, if it is made.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class ApproveBreakGlassPayload:
    """What `approveBreakGlass` did."""

    request: BreakGlassRequest | None = attribute("The request, approved.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class RejectBreakGlassPayload:
    """What `rejectBreakGlass` did."""

    request: BreakGlassRequest | None = attribute("The request, refused.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class OpenBreakGlassPayload:
    """What `openBreakGlass` did."""

    request: BreakGlassRequest | None = attribute("The request, with its session open.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)

    @field(access=scope(Scope.RECORDS_READ), paged=True)
    async def records(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[ProtectedRecord] | None:
        """The records of the scope; each value that is read ends in a marker."""
        checked_first(first)
        if self.request is None:
            return None
        context, opened = info.context, self.request.request
        cursors = context.services.cursors
        identity = ListIdentity("breakGlassRecords", opened.tenant, str(opened.request_id))
        behind = position(cursors, identity, after)
        start = "" if behind is None else str(behind)
        wanted = sorted(opened.terms.scope.record_ids, key=str)
        # All of the scope's, at most 100: those that were deleted since must not end the list.
        asked = [(opened.tenant, key) for key in wanted if str(key) > start]
        marking = SessionMarking(opened, context)
        found = await context.loaders.records.load_many(asked)
        there = [record for record in found if record is not None]
        return page_of(
            [ProtectedRecord.of(record, marking) for record in there[: first + 1]],
            first=first,
            after=after,
            cursors=cursors,
            of=identity,
            place=lambda shown: str(shown.record.record_id),
        )


@object_type(access=AS_PARENT)
class CloseBreakGlassPayload:
    """What `closeBreakGlass` did."""

    request: BreakGlassRequest | None = attribute("The request, closed or withdrawn.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=None)
class RecordMutations:
    """The mutations on records and break-glass requests."""

    @mutation(access=scope(Scope.RECORDS_WRITE))
    async def put_record(
        self,
        info: Info,
        tenant_id: TenantId,
        input: Annotated[PutRecordInput, strawberry.argument(description="The record to store.")],
        idempotency_key: IdempotencyKey,
    ) -> PutRecordPayload | None:
        """Store a record, encrypted under the tenant's key; with an id, replace that record."""
        context = info.context
        await require_tenant(context, Scope.RECORDS_WRITE, tenant_id)
        try:
            stored = await context.services.records.put(
                tenant_id,
                NewRecord(
                    object_type=input.object_type,
                    fields=tuple((item.name, item.value) for item in input.fields),
                    external_id=input.external_id,
                    record_id=_replaced(tenant_id, input.id),
                ),
                idempotency_key=idempotency_key,
                by=context.caller().subject,
            )
        except KeyProviderError as error:
            held = await context.services.keys.attached([tenant_id])
            errors = outcome(error, held[tenant_id].provider)
            return PutRecordPayload(record=None, user_errors=errors)
        except SubgraphError as error:
            return PutRecordPayload(record=None, user_errors=outcome(error))
        context.loaders.forget()
        return PutRecordPayload(record=ProtectedRecord.of(stored), user_errors=[])

    @mutation(access=scope(Scope.RECORDS_WRITE))
    async def delete_record(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id of the record.")],
    ) -> DeleteRecordPayload | None:
        """Delete a record for good; null where there is none."""
        context = info.context
        entity = await named(context, Scope.RECORDS_WRITE, IdKind.PROTECTED_RECORD, id)
        gone = await context.services.records.delete(
            entity.tenant, entity.key, by=context.caller().subject
        )
        context.loaders.forget()
        return DeleteRecordPayload(deleted_id=id if gone else None, user_errors=[])

    @mutation(access=_REQUEST)
    async def request_break_glass(
        self,
        info: Info,
        tenant_id: TenantId,
        input: Annotated[
            BreakGlassInput, strawberry.argument(description="Which values, and why.")
        ],
        idempotency_key: IdempotencyKey,
    ) -> RequestBreakGlassPayload | None:
        """Ask to read values in an emergency; two others have to approve."""
        context = info.context
        await require_tenant(context, Scope.BREAKGLASS_REQUEST, tenant_id)
        try:
            made = await context.services.break_glass.request(
                tenant_id,
                _wanted(tenant_id, input),
                by=context.caller().subject,
                idempotency_key=idempotency_key,
            )
        except SubgraphError as error:
            return RequestBreakGlassPayload(request=None, user_errors=outcome(error))
        context.loaders.forget()
        return RequestBreakGlassPayload(request=BreakGlassRequest.of(made), user_errors=[])

    @mutation(access=_APPROVE)
    async def approve_break_glass(
        self, info: Info, id: RequestId, request_digest: RequestDigest
    ) -> ApproveBreakGlassPayload | None:
        """Approve exactly the request with this digest."""
        context = info.context
        caller = context.caller()
        try:
            approved = await _on(
                context,
                Scope.BREAKGLASS_APPROVE,
                id,
                context.services.break_glass.approve,
                digest=request_digest,
                approver=caller.subject,
                token_id=caller.token_id,
            )
        except SubgraphError as error:
            return ApproveBreakGlassPayload(request=None, user_errors=outcome(error))
        return ApproveBreakGlassPayload(request=approved, user_errors=[])

    @mutation(access=_APPROVE)
    async def reject_break_glass(
        self, info: Info, id: RequestId, reason: Reason
    ) -> RejectBreakGlassPayload | None:
        """Refuse a request that is not open yet."""
        context = info.context
        service = context.services.break_glass
        by = context.caller().subject
        try:
            refused = await _on(
                context, Scope.BREAKGLASS_APPROVE, id, service.reject, by=by, reason=reason
            )
        except SubgraphError as error:
            return RejectBreakGlassPayload(request=None, user_errors=outcome(error))
        return RejectBreakGlassPayload(request=refused, user_errors=[])

    @mutation(access=_REQUEST)
    async def open_break_glass(
        self, info: Info, id: RequestId, idempotency_key: IdempotencyKey
    ) -> OpenBreakGlassPayload | None:
        """Use the grant, once; the requester can repeat it while the session is open."""
        context = info.context
        caller = context.caller()
        try:
            opened = await _on(
                context,
                Scope.BREAKGLASS_REQUEST,
                id,
                context.services.break_glass.open,
                by=caller.subject,
                token_id=caller.token_id,
                idempotency_key=idempotency_key,
            )
        except SubgraphError as error:
            return OpenBreakGlassPayload(request=None, user_errors=outcome(error))
        return OpenBreakGlassPayload(request=opened, user_errors=[])

    @mutation(access=_REQUEST)
    async def close_break_glass(self, info: Info, id: RequestId) -> CloseBreakGlassPayload | None:
        """End the session, or withdraw a request that was not opened."""
        context = info.context
        service = context.services.break_glass
        by = context.caller().subject
        try:
            closed = await _on(context, Scope.BREAKGLASS_REQUEST, id, service.close, by=by)
        except SubgraphError as error:
            return CloseBreakGlassPayload(request=None, user_errors=outcome(error))
        return CloseBreakGlassPayload(request=closed, user_errors=[])


async def _on(
    context: RequestContext,
    needed: Scope,
    id: str,
    act: Callable[..., Awaitable[model.BreakGlassRequest]],
    **given: str,
) -> BreakGlassRequest:
    entity = await named(context, needed, IdKind.BREAK_GLASS, id)
    acted = await act(entity.tenant, entity.key, **given)
    context.loaders.forget()
    return BreakGlassRequest.of(acted)


def _replaced(tenant: str, id: str | None) -> UUID | None:
    if id is None:
        return None
    entity = ids.decode(IdKind.PROTECTED_RECORD, id)
    if entity is None or entity.tenant != tenant:
        message = "there is no such record; leave the id out to store a new one"
        raise InvalidRecord(message, ("input", "id"), ErrorCode.UNKNOWN_OBJECT)
    return entity.key


def _wanted(tenant: str, wanted: BreakGlassInput) -> model.NewBreakGlass:
    entities = [ids.decode(IdKind.PROTECTED_RECORD, text) for text in wanted.scope.record_ids]
    keys = [entity.key for entity in entities if entity is not None and entity.tenant == tenant]
    if len(keys) < len(entities):
        message = "not a record of this tenant"
        path = ("input", "scope", "recordIds")
        raise InvalidRecord(message, path, ErrorCode.UNKNOWN_OBJECT)
    return model.NewBreakGlass(
        reason_code=wanted.reason_code,
        justification=wanted.justification,
        scope=model.Scope(wanted.scope.object_type, tuple(keys), tuple(wanted.scope.fields)),
        duration_minutes=wanted.duration_minutes,
    )
