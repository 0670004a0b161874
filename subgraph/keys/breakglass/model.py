"""Break-glass requests, what they open, and how both are written as a payload to approve."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from subgraph.approvals.model import ApprovalRequest
from subgraph.errors import JSONValue

KIND = "breakGlass"
"""The kind of the approval requests that this folder makes."""


class BreakGlassReason(Enum):
    """Why somebody has to see protected values."""

    CUSTOMER_REQUEST = "CUSTOMER_REQUEST"
    INCIDENT = "INCIDENT"
    LEGAL_ORDER = "LEGAL_ORDER"
    KEY_LOCKOUT = "KEY_LOCKOUT"


class BreakGlassState(Enum):
    """What became of a request: until it is used as its approval says, then as its session does."""

    REQUESTED = "REQUESTED"
    APPROVED = "APPROVED"
    ACTIVE = "ACTIVE"
    CLOSED = "CLOSED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


class Outcome(Enum):
    """Why a session ended: somebody closed it, or its time was over."""

    CLOSED = "CLOSED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class Place:
    """One value: a field of a record."""

    object_type: str
    record_id: UUID
    field: str


@dataclass(frozen=True, slots=True)
class Scope:
    """The values that may be read: these fields of these records, all of one type."""

    object_type: str
    record_ids: tuple[UUID, ...]
    fields: tuple[str, ...]

    def covers(self, place: Place) -> bool:
        """Whether the value may be read."""
        return (
            place.object_type == self.object_type
            and place.record_id in self.record_ids
            and place.field in self.fields
        )

    def places(self) -> list[Place]:
        """Every value that may be read."""
        return [
            Place(self.object_type, record_id, name)
            for record_id in self.record_ids
            for name in self.fields
        ]


@dataclass(frozen=True, slots=True)
class NewBreakGlass:
    """What `requestBreakGlass` asks for."""

    reason_code: BreakGlassReason
    justification: str
    scope: Scope
    duration_minutes: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What approvers sign for. The justification may name people, so it is only committed to."""

    reason_code: BreakGlassReason
    justification_commitment: str
    scope: Scope
    duration_minutes: int

    def payload(self) -> dict[str, JSONValue]:
        """The terms as JSON."""
        return {
            "reasonCode": self.reason_code.value,
            "justificationCommitment": self.justification_commitment,
            "scope": scope_payload(self.scope),
            "durationMinutes": self.duration_minutes,
        }

    @classmethod
    def read(cls, payload: str) -> "Terms":
        """The terms in a payload that this service has written."""
        fields: dict[str, Any] = msgspec.json.decode(payload)
        scope = fields["scope"]
        return cls(
            BreakGlassReason(fields["reasonCode"]),
            fields["justificationCommitment"],
            Scope(
                scope["objectType"],
                tuple(UUID(text) for text in scope["recordIds"]),
                tuple(scope["fields"]),
            ),
            fields["durationMinutes"],
        )


def scope_payload(scope: Scope) -> dict[str, JSONValue]:
    """A scope as JSON."""
    return {
        "objectType": scope.object_type,
        "recordIds": [str(record_id) for record_id in scope.record_ids],
        "fields": list(scope.fields),
    }


@dataclass(frozen=True, slots=True)
class Session:
    """The one use of a request; `watermark_key` (32 bytes) is for the service alone."""

    short_id: str
    opened_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    idempotency_key: str
    watermark_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BreakGlassRequest:
    """A request as it stands; `justification` is None once it was erased.

    `state` is EXPIRED from the moment that the time to approve or the session's time is over.
    """

    approval: ApprovalRequest
    terms: Terms
    justification: str | None
    session: Session | None
    state: BreakGlassState

    @property
    def tenant(self) -> str:
        """Whose values are to be read."""
        return self.approval.key.tenant

    @property
    def request_id(self) -> UUID:
        """The key of the public id."""
        return self.approval.key.request_id

    @property
    def expires_at(self) -> datetime:
        """The end of the session, or of the time to approve and open it."""
        return self.session.expires_at if self.session else self.approval.expires_at


@dataclass(frozen=True, slots=True)
class BreakGlassPage:
    """The `first` requests behind `after` (time of creation and id), newest first."""

    first: int
    after: tuple[datetime, UUID] | None = None
    state: BreakGlassState | None = None


@dataclass(frozen=True, slots=True)
class Attribution:
    """A marker that was found, and the request that it names.

    `place` is the value that the marker was made for; None when only the name of the request was
    readable, which anybody could have written.
    """

    request_id: UUID
    short_id: str
    place: Place | None
