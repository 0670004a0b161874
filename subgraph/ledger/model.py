"""Events, receipts and what is read of a ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from uuid import UUID

from subgraph.errors import JSONValue
from subgraph.ledger.origin import deployment_log, tenant_log

DEPLOYMENT = "_deployment"
"""Stands for the tenant of the deployment log; the pattern of tenant ids excludes it."""


def log_origin(base: str, tenant: str | None) -> str:
    """The origin of a tenant's log, or of the deployment's."""
    return deployment_log(base) if tenant is None else tenant_log(base, tenant)


class EventType(StrEnum):
    """What happened; a name is never renamed or reused."""

    TENANT_REGISTERED = "tenant.registered"
    DATASET_REGISTERED = "dataset.registered"
    DATASET_VERSION_PUBLISHED = "dataset.version.published"
    BUDGET_POLICY_SET = "budget.policy.set"
    BUDGET_LOW = "budget.low"
    BUDGET_OVERRIDDEN = "budget.overridden"
    BUDGET_HEAD = "budget.head"
    DEPRECATION_PUBLISHED = "deprecation.published"
    CHECKPOINT_SIGNED = "ledger.checkpoint.signed"
    KEY_ANNOUNCED = "ledger.key.announced"
    KEY_DELEGATED = "ledger.key.delegated"
    KEY_REVOKED = "ledger.key.revoked"
    KEY_ATTACHED = "key.attached"
    KEY_SUSPENDED = "key.suspended"
    KEY_RESUMED = "key.resumed"
    KEY_ROTATION_SCHEDULED = "key.rotation.scheduled"
    KEY_VERSION_ACTIVATED = "key.version.activated"
    KEY_VERSION_RETIRED = "key.version.retired"
    KEY_VERSION_DESTROYED = "key.version.destroyed"
    KEY_REFUSED = "key.refused"
    KEY_RESTORED = "key.restored"
    DATA_KEY_CREATED = "key.data.created"
    DATA_KEY_REWRAPPED = "key.data.rewrapped"
    DATA_KEY_RETIRED = "key.data.retired"
    KEY_JOB_PLANNED = "key.job.planned"
    KEY_JOB_STARTED = "key.job.started"
    KEY_JOB_PROGRESSED = "key.job.progressed"
    KEY_JOB_PAUSED = "key.job.paused"
    KEY_JOB_BLOCKED = "key.job.blocked"
    KEY_JOB_CONTINUED = "key.job.continued"
    KEY_JOB_CANCELLED = "key.job.cancelled"
    KEY_JOB_DONE = "key.job.done"
    RECORD_DELETED = "record.deleted"
    RECORD_ACTIVITY = "record.activity"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_APPROVED = "approval.approved"
    APPROVAL_REJECTED = "approval.rejected"
    APPROVAL_CANCELLED = "approval.cancelled"
    APPROVAL_EXPIRED = "approval.expired"
    APPROVAL_APPLIED = "approval.applied"
    BREAK_GLASS_OPENED = "breakglass.opened"
    BREAK_GLASS_READ = "breakglass.read"
    BREAK_GLASS_CLOSED = "breakglass.closed"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """What is to be recorded, in the log of `tenant` or, when None, of the deployment.

    `actor` is a pseudonym. `payload` is readable for as long as the log is; `personal` is only
    committed to, and can be erased. An event with an `event_id` may be sent again, and is recorded
    once.
    """

    type: EventType
    actor: str
    tenant: str | None
    payload: Mapping[str, JSONValue] | None = None
    personal: Mapping[str, JSONValue] | None = None
    event_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an event stands; it holds once the transaction is committed."""

    event_id: UUID
    index: int
    leaf_hash: bytes
    origin: str


@dataclass(frozen=True, slots=True)
class Personal:
    """A payload that can be erased, as canonical bytes, and the salt of its commitment."""

    salt: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The newest state of a log; `root` is its RFC 6962 tree hash."""

    tenant: str | None
    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class LockedHead:
    """A head whose row the transaction holds; `frontier` are its peaks, the largest first."""

    origin: str
    size: int
    frontier: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as stored: `entry` is the text that was hashed, `leaf` its leaf hash."""

    tenant: str | None
    index: int
    event_id: UUID
    type: str
    entry: bytes
    leaf: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A C2SP signed note of a log's state."""

    size: int
    root: bytes
    note: str
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class Inclusion:
    """An RFC 6962 audit path of the leaf at `index`, for the tree of `checkpoint`."""

    index: int
    leaf: bytes
    hashes: tuple[bytes, ...]
    checkpoint: SignedCheckpoint


@dataclass(frozen=True, slots=True)
class Consistency:
    """An RFC 6962 consistency proof between two sizes of one log."""

    from_size: int
    to_size: int
    hashes: tuple[bytes, ...]


class KeyPurpose(Enum):
    """What a key signs: checkpoints and delegations, events, proofs, cosignatures."""

    ROOT = "ROOT"
    PROCESS = "PROCESS"
    PROVER = "PROVER"
    WITNESS = "WITNESS"


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key that signed; a revocation takes effect at an index of the deployment log."""

    key_id: str
    purpose: KeyPurpose
    public_key_pem: str
    origin: str
    valid_from: datetime
    valid_until: datetime | None
    event_id: UUID
    revoked_at: datetime | None = None
    revoked_at_index: int | None = None
