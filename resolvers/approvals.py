"""`Approval`, `Rejection` and the state of requests under dual control."""

from datetime import datetime
from enum import Enum

import strawberry

from resolvers.signatures import Signature
from subgraph.approvals import model
from subgraph.federation.access import AS_PARENT
from subgraph.federation.declare import attribute, object_type


@strawberry.enum(description="What became of a request.")
class RequestState(Enum):
    """What became of a request."""

    REQUESTED = strawberry.enum_value("REQUESTED", description="It waits for approvals.")
    APPLIED = strawberry.enum_value("APPLIED", description="It was approved and took effect.")
    REJECTED = strawberry.enum_value("REJECTED", description="It was refused or withdrawn.")
    EXPIRED = strawberry.enum_value("EXPIRED", description="Its time is over.")


@object_type(access=AS_PARENT)
class Approval:
    """One person's approval of a request, signed by this service on their behalf."""

    approver: str = attribute("The pseudonymous id of the approver.")
    at: datetime = attribute("When it was given.")
    signature: Signature = attribute("The signature over the request's digest and the approver.")


@object_type(access=AS_PARENT)
class Rejection:
    """Who refused a request."""

    by: str = attribute("The pseudonymous id of the person.")
    at: datetime = attribute("When it was refused.")
    reason: str = attribute("Why, for people.")


_SHOWN = {
    model.RequestState.REQUESTED: RequestState.REQUESTED,
    model.RequestState.APPROVED: RequestState.REQUESTED,
    model.RequestState.APPLIED: RequestState.APPLIED,
    model.RequestState.REJECTED: RequestState.REJECTED,
    model.RequestState.CANCELLED: RequestState.REJECTED,
    model.RequestState.EXPIRED: RequestState.EXPIRED,
}
"""A request takes effect with the last approval, so APPROVED shows for a moment at the most."""


def request_state(request: model.ApprovalRequest) -> RequestState:
    """The state as the contract names it."""
    return _SHOWN[request.state]


def approvals_of(request: model.ApprovalRequest) -> list[Approval]:
    """The approvals of a request, oldest first."""
    return [
        Approval(
            approver=given.approver,
            at=given.at,
            signature=Signature.of(given.key_id, given.signature),
        )
        for given in request.approvals
    ]


def rejection_of(request: model.ApprovalRequest) -> Rejection | None:
    """Who refused the request, if somebody did."""
    refused = request.rejection
    return (
        None if refused is None else Rejection(by=refused.by, at=refused.at, reason=refused.reason)
    )
