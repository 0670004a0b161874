"""What the ledger says of a request."""

from datetime import datetime

from subgraph.approvals.model import Approval, ApprovalRequest
from subgraph.errors import JSONValue
from subgraph.ledger import canonical
from subgraph.ledger.entry import write_time
from subgraph.ledger.model import EventType, NewEvent
from subgraph.ledger.publickey import write_base64

SWEEPER = "deployment"
"""The actor of what happens because a time is over."""


def requested(request: ApprovalRequest) -> NewEvent:
    """A request with everything that its digest is of."""
    return _event(
        EventType.APPROVAL_REQUESTED,
        request,
        request.requester,
        payload=canonical.parse(request.payload.encode()),
        needed=request.needed,
        createdAt=write_time(request.created_at),
        expiresAt=write_time(request.expires_at),
    )


def approved(request: ApprovalRequest, approval: Approval) -> NewEvent:
    """An approval, with the signature and what `digest.statement` needs to verify it."""
    return _event(
        EventType.APPROVAL_APPROVED,
        request,
        approval.approver,
        tokenId=approval.token_id,
        approvedAt=write_time(approval.at),
        keyId=approval.key_id,
        signature=write_base64(approval.signature),
    )


def rejected(request: ApprovalRequest, by: str, at: datetime, reason: str) -> NewEvent:
    """A rejection; the reason, which may name people, can be erased."""
    told = _event(EventType.APPROVAL_REJECTED, request, by, rejectedAt=write_time(at))
    return NewEvent(
        told.type, told.actor, told.tenant, payload=told.payload, personal={"reason": reason}
    )


def cancelled(request: ApprovalRequest, by: str) -> NewEvent:
    """The requester withdrew."""
    return _event(EventType.APPROVAL_CANCELLED, request, by)


def expired(request: ApprovalRequest) -> NewEvent:
    """The request's time was over before it was used."""
    return _event(EventType.APPROVAL_EXPIRED, request, SWEEPER)


def applied(request: ApprovalRequest, by: str) -> NewEvent:
    """What was approved took effect."""
    approvers: list[JSONValue] = [approval.approver for approval in request.approvals]
    return _event(EventType.APPROVAL_APPLIED, request, by, approvers=approvers)


def _event(type: EventType, request: ApprovalRequest, actor: str, **said: JSONValue) -> NewEvent:
    named: dict[str, JSONValue] = {
        "requestId": str(request.key.request_id),
        "kind": request.key.kind,
        "digest": request.digest,
    }
    return NewEvent(type, actor, request.key.tenant, payload={**named, **said})
