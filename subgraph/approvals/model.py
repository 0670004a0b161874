"""Requests under dual control, and who approved them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from subgraph.errors import JSONValue

APPROVALS_NEEDED = 2
"""How many distinct people approve a new request, none of them its requester."""

APPROVAL_WINDOW = timedelta(hours=4)
"""How long after it was made a request can be approved and used."""


class RequestState(Enum):
    """What became of a request; the last four are final."""

    REQUESTED = "REQUESTED"
    APPROVED = "APPROVED"
    APPLIED = "APPLIED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Names a request. The kind is part of the name: an approver of one kind reaches no other."""

    tenant: str
    kind: str
    request_id: UUID


@dataclass(frozen=True, slots=True)
class NewRequest:
    """What is asked for; `kind` is camelCase and names what takes effect.

    `payload` is what approvers sign for and the ledger shows to everybody who may read it.
    `input` is what the caller gave, by which a repeat with the same idempotency key is known:
    it differs from the payload where that holds random values or commits to a personal text.
    """

    kind: str
    requester: str
    payload: Mapping[str, JSONValue]
    input: Mapping[str, JSONValue]
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Approval:
    """One approval of the request with `digest`; see `digest.statement` for what is signed."""

    approver: str
    token_id: str
    digest: str
    at: datetime
    key_id: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Rejection:
    """Who refused a request."""

    by: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A request as it stands; `state` is EXPIRED from the moment its time is over.

    `payload` is canonical JSON (RFC 8785), `digest` is `sha256:` and 64 hex digits. Approvals are
    in the order of their times.
    """

    key: RequestKey
    requester: str
    payload: str
    digest: str
    state: RequestState
    needed: int
    created_at: datetime
    expires_at: datetime
    approvals: tuple[Approval, ...]
    rejection: Rejection | None
