"""Policies, windows, charges, reservations, releases, overrides and tickets.

Every epsilon is a `Decimal` of at most nine decimals; every instant is UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import NewType
from uuid import UUID, uuid5

ReleaseKey = NewType("ReleaseKey", bytes)
"""SHA-256 of everything that an answer depends on; 32 bytes."""


class DpAccountant(Enum):
    """How costs add up."""

    PURE_EPSILON = "PURE_EPSILON"


class BudgetWindow(Enum):
    """A calendar window in UTC; a week begins on Monday (ISO 8601)."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"


class DpQueryKind(Enum):
    """What is asked."""

    COUNT = "COUNT"
    DISTINCT_COUNT = "DISTINCT_COUNT"
    SUM = "SUM"
    MEAN = "MEAN"
    VARIANCE = "VARIANCE"
    HISTOGRAM = "HISTOGRAM"
    QUANTILE = "QUANTILE"


class DpMechanism(Enum):
    """Where the noise comes from."""

    DISCRETE_LAPLACE = "DISCRETE_LAPLACE"
    EXPONENTIAL = "EXPONENTIAL"


class DpSpendState(Enum):
    """RESERVED is spent already; COMMITTED has its answer stored; FORFEITED never will."""

    RESERVED = "RESERVED"
    COMMITTED = "COMMITTED"
    FORFEITED = "FORFEITED"


class DpTicketState(Enum):
    """Where a queued operation stands; all but the first two are final."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    DENIED = "DENIED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class BudgetTerms:
    """What a policy says; None as a limit means that there is none."""

    window: BudgetWindow
    epsilon_limit: Decimal
    lifetime_limit: Decimal | None = None
    max_epsilon_per_operation: Decimal | None = None
    accountant: DpAccountant = DpAccountant.PURE_EPSILON


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """A version of a tenant's policy, numbered from 1."""

    version: int
    terms: BudgetTerms
    effective_from: datetime
    set_by: str


@dataclass(frozen=True, slots=True)
class Budget:
    """A window; `window_end` is the first instant behind it.

    `spent` includes what is reserved for running operations; `promised` is what queued ones will
    spend. `head` is the chain hash of the newest spend, and `sequence` the number of spends.
    """

    tenant: str
    window_start: datetime
    window_end: datetime
    limit: Decimal
    granted: Decimal
    spent: Decimal
    promised: Decimal
    sequence: int
    head: bytes
    lifetime_limit: Decimal | None
    lifetime_remaining: Decimal | None

    @property
    def remaining(self) -> Decimal:
        """What the window has left, at least zero; the lifetime may have less."""
        return max(self.limit + self.granted - self.spent - self.promised, Decimal(0))


@dataclass(frozen=True, slots=True)
class Charge:
    """One release that is to be paid for."""

    release_key: ReleaseKey
    dataset_id: UUID
    dataset_version: str
    query: DpQueryKind
    mechanism: DpMechanism
    epsilon: Decimal


@dataclass(frozen=True, slots=True)
class TicketClaim:
    """A claimed ticket whose promise the reservation uses up."""

    ticket_id: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class ReservationRequest:
    """All releases of one operation, each once.

    `key` makes repeats harmless. `holder` names the run of the operation: a run that lost an answer
    asks again as the same holder and keeps the right to commit.
    """

    key: str
    holder: UUID
    actor: str
    charges: tuple[Charge, ...]
    ticket: TicketClaim | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit, until then; `epoch` is its fencing number."""

    epoch: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Reservation:
    """What was paid for; `lease` is None when another holder has the right to commit it."""

    tenant: str
    reservation_id: UUID
    window_start: datetime
    window_end: datetime
    first_sequence: int
    spends: int
    epsilon: Decimal
    head: bytes
    reserved_at: datetime
    lease: Lease | None

    @property
    def spend_ids(self) -> tuple[UUID, ...]:
        """The ids of its spends, in the order of the charges."""
        return tuple(spend_id(self.reservation_id, place) for place in range(self.spends))


@dataclass(frozen=True, slots=True)
class Release:
    """An answer that may be given to anybody who may ask; `answer` is JSON text."""

    release_key: ReleaseKey
    dataset_version: str
    answer: str


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """A release with the spend that paid for it."""

    release_key: ReleaseKey
    dataset_version: str
    answer: str
    spend_id: UUID
    released_at: datetime


@dataclass(frozen=True, slots=True)
class Spend:
    """A line of the spend log; `entry` is the text that was hashed."""

    tenant: str
    window_start: datetime
    sequence: int
    spend_id: UUID
    reservation_id: UUID
    dataset_id: UUID
    epsilon: Decimal
    entry: str
    chain_hash: bytes
    state: DpSpendState


@dataclass(frozen=True, slots=True)
class Warrant:
    """Who demanded an override, by which document (`sha256:<64 hex>`), and how long it holds."""

    reference: str
    issued_by: str
    issued_at: datetime
    expires_at: datetime
    document_digest: str


@dataclass(frozen=True, slots=True)
class Override:
    """Epsilon on top of the current window's limit, once two approvers have agreed."""

    override_id: UUID
    approval_request_id: UUID
    epsilon: Decimal
    warrant: Warrant
    applied_by: str


@dataclass(frozen=True, slots=True)
class AppliedOverride:
    """An override and the window that it was added to."""

    override: Override
    window_start: datetime
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class TicketRequest:
    """An operation that is to run in the next window; `variables` is JSON text."""

    key: str
    operation: str
    variables: str
    actor: str
    epsilon: Decimal
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Ticket:
    """A queued operation. It may run from `not_before` until `expires_at`.

    `result` is JSON text, `failure` a stable code.
    """

    tenant: str
    ticket_id: UUID
    operation: str
    variables: str
    actor: str
    epsilon: Decimal
    not_before: datetime
    deadline: datetime
    expires_at: datetime
    state: DpTicketState
    failure: str | None
    result: str | None
    epoch: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AnchoredWindow:
    """What a `budget.head` event says of one window."""

    window_start: datetime
    sequence: int
    head: bytes
    spent: Decimal


def spend_id(reservation_id: UUID, place: int) -> UUID:
    """The id of a reservation's spend, counted from 0."""
    return uuid5(reservation_id, str(place))
