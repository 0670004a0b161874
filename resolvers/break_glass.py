"""`BreakGlassRequest`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from resolvers.approvals import Approval, Rejection, approvals_of, rejection_of
from resolvers.connections import (
    After,
    Connection,
    First,
    checked_first,
    moment,
    moment_of,
    page_of,
)
from resolvers.context import Info, RequestContext
from resolvers.entities import by_tenant, load_by_id
from resolvers.events import events_about
from resolvers.ledger import LedgerEvent
from subgraph.db import ids
from subgraph.db.cursors import ListIdentity
from subgraph.db.ids import IdKind
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AS_PARENT, scope
from subgraph.federation.declare import attribute, described_enum, field, object_type
from subgraph.federation.scalars import Digest
from subgraph.keys.breakglass import model, watermark
from subgraph.keys.records.model import StoredRecord
from subgraph.policy.scopes import Scope

if TYPE_CHECKING:
    from resolvers.tenants import Tenant

_LEDGER = scope(Scope.LEDGER_READ)

ERASED = "(erased)"
"""Shown in the place of a justification that was erased; the contract knows no null there."""

described_enum(
    model.BreakGlassReason,
    {
        "CUSTOMER_REQUEST": "The customer asked for it.",
        "INCIDENT": "An incident has to be dealt with.",
        "LEGAL_ORDER": "A court or an authority ordered it.",
        "KEY_LOCKOUT": "The ordinary ways to the values are lost.",
    },
)
described_enum(
    model.BreakGlassState,
    {
        "REQUESTED": "It waits for approvals.",
        "APPROVED": "The requester can open it, once.",
        "ACTIVE": "The values can be read.",
        "CLOSED": "Somebody ended it.",
        "EXPIRED": "Its time is over.",
        "REJECTED": "It was refused.",
        "CANCELLED": "It was withdrawn.",
    },
)


@object_type(access=AS_PARENT)
class BreakGlassScope:
    """The values that may be read."""

    object_type: str = attribute("The type of the records.")
    record_ids: list[strawberry.ID] = attribute("The records.", at_most=100)
    fields: list[str] = attribute("The fields of them.", at_most=200)


@object_type(access=scope(Scope.BREAKGLASS_READ), key="id")
class BreakGlassRequest:
    """A request to read named values in an emergency, under the eyes of two others."""

    request: strawberry.Private[model.BreakGlassRequest]
    id: strawberry.ID = attribute("The id of the request.")
    requested_by: str = attribute("The pseudonymous id of the requester.")
    reason_code: model.BreakGlassReason = attribute("Why.")
    justification: str = attribute("Why, for people.")
    scope: BreakGlassScope = attribute("The values that may be read.")
    state: model.BreakGlassState = attribute("What became of it.")
    request_digest: Digest = attribute("What an approver signs for.")
    approvals: list[Approval] = attribute("Who approved.", at_most=3)
    approvals_needed: int = attribute("How many people have to approve.")
    rejection: Rejection | None = attribute("Who refused it, if somebody did.")
    watermark: str | None = attribute("The marker that every value shown under it ends in.")
    created_at: datetime = attribute("When it was made.")
    expires_at: datetime = attribute("When it, or its session, ends by itself.")

    @field()
    async def tenant(
        self, info: Info
    ) -> Annotated["Tenant", strawberry.lazy("resolvers.tenants")] | None:
        """The tenant whose values they are."""
        from resolvers.tenants import tenant_of

        return await tenant_of(self.request.tenant, info.context)

    @field(access=_LEDGER, paged=True)
    async def events(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[LedgerEvent] | None:
        """What happened, every reading included, oldest first."""
        request = self.request
        return await events_about(info.context, request.tenant, request.request_id, first, after)

    @classmethod
    def of(cls, request: model.BreakGlassRequest) -> "BreakGlassRequest":
        """The GraphQL object of a request."""
        approval, session = request.approval, request.session
        return cls(
            request=request,
            id=strawberry.ID(ids.encode(IdKind.BREAK_GLASS, request.tenant, request.request_id)),
            requested_by=approval.requester,
            reason_code=request.terms.reason_code,
            justification=request.justification or ERASED,
            scope=_scope(request),
            state=request.state,
            request_digest=Digest(approval.digest),
            approvals=approvals_of(approval),
            approvals_needed=approval.needed,
            rejection=rejection_of(approval),
            watermark=None if session is None else watermark.prefix(session.short_id),
            created_at=approval.created_at,
            expires_at=request.expires_at,
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["BreakGlassRequest | None"]:
        """The requests with these ids; one statement."""
        loader = context.loaders.break_glass
        return await load_by_id(IdKind.BREAK_GLASS, keys, loader, by_tenant, cls.of)


@dataclass(frozen=True, slots=True)
class SessionMarking:
    """Shows the values of a session, once each reading is in the ledger."""

    request: model.BreakGlassRequest
    context: RequestContext

    async def marked(self, record: StoredRecord, name: str, value: str) -> str:
        """See `resolvers.records.Marking`."""
        place = model.Place(record.object_type, record.record_id, name)
        if not self.request.terms.scope.covers(place):
            raise SubgraphError(ErrorCode.BREAK_GLASS_OUT_OF_SCOPE)
        key = (self.request.tenant, self.request.request_id, place)
        marker = await self.context.loaders.break_glass_reads.load(key)
        if marker is None:
            raise SubgraphError(ErrorCode.BREAK_GLASS_CLOSED)
        return value + marker


def _scope(request: model.BreakGlassRequest) -> BreakGlassScope:
    terms = request.terms.scope

    def public(record_id: UUID) -> strawberry.ID:
        return strawberry.ID(ids.encode(IdKind.PROTECTED_RECORD, request.tenant, record_id))

    return BreakGlassScope(
        object_type=terms.object_type,
        record_ids=[public(record_id) for record_id in terms.record_ids],
        fields=list(terms.fields),
    )


async def request_page(
    context: RequestContext,
    tenant: str,
    first: int,
    after: str | None,
    state: model.BreakGlassState | None,
) -> Connection[BreakGlassRequest] | None:
    """A page of a tenant's requests, newest first; None where the caller may not see them."""
    checked_first(first)
    if not await context.allows(Scope.BREAKGLASS_READ, tenant):
        return None
    services = context.services
    ordering = "created desc" if state is None else f"created desc where state is {state.value}"
    identity = ListIdentity("breakGlass", tenant, ordering)
    behind = moment_of(services.cursors, identity, after)
    found = await services.break_glass.page(tenant, model.BreakGlassPage(first + 1, behind, state))
    return page_of(
        [BreakGlassRequest.of(request) for request in found],
        first=first,
        after=after,
        cursors=services.cursors,
        of=identity,
        place=lambda shown: moment(shown.created_at, shown.request.request_id),
    )
