"""What the ledger says of a session; requests and decisions are told by `subgraph.approvals`."""

from subgraph.approvals.model import ApprovalRequest
from subgraph.errors import JSONValue
from subgraph.keys.breakglass import watermark
from subgraph.keys.breakglass.model import Outcome, Place, Session
from subgraph.ledger.entry import write_time
from subgraph.ledger.model import EventType, NewEvent


def opened(request: ApprovalRequest, session: Session, token_id: str) -> NewEvent:
    """A session began; its markers can be recognised from here on, and its key is fixed."""
    return _event(
        EventType.BREAK_GLASS_OPENED,
        request,
        request.requester,
        digest=request.digest,
        tokenId=token_id,
        openedAt=write_time(session.opened_at),
        expiresAt=write_time(session.expires_at),
        watermark=watermark.prefix(session.short_id),
        watermarkKeyCommitment=watermark.commitment(session.watermark_key),
    )


def read(request: ApprovalRequest, place: Place, tag: str) -> NewEvent:
    """One value is about to be shown; `tag` is what its marker ends in."""
    return _event(
        EventType.BREAK_GLASS_READ,
        request,
        request.requester,
        objectType=place.object_type,
        recordId=str(place.record_id),
        field=place.field,
        tag=tag,
    )


def closed(request: ApprovalRequest, outcome: Outcome, *, by: str) -> NewEvent:
    """A session ended."""
    return _event(EventType.BREAK_GLASS_CLOSED, request, by, outcome=outcome.value)


def _event(type: EventType, request: ApprovalRequest, actor: str, **said: JSONValue) -> NewEvent:
    named: dict[str, JSONValue] = {"requestId": str(request.key.request_id)}
    return NewEvent(type, actor, request.key.tenant, payload={**named, **said})
