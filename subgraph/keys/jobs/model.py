"""Jobs on a tenant's keys and records."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID


class KeyJobKind(Enum):
    """What a job does.

    ROTATE has the provider make a new version of the key, gives writers new data keys under it,
    and then does what REWRAP does: older data keys are wrapped again under the newest version.
    REENCRYPT moves records to new data keys.
    """

    ROTATE = "ROTATE"
    REWRAP = "REWRAP"
    REENCRYPT = "REENCRYPT"


class KeyJobState(Enum):
    """How far a job is; DONE and CANCELLED are final."""

    PLANNED = "PLANNED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    BLOCKED = "BLOCKED"
    VERIFYING = "VERIFYING"
    DONE = "DONE"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """Whether nothing more happens."""
        return self in (KeyJobState.DONE, KeyJobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class KeyJob:
    """A job as the database holds it.

    Counts are of records; for a job that only rewraps, of data keys. `source` and `cursor` say
    where a sweep is: the data key whose records are being moved, and the last of them that was
    looked at. `epoch` numbers the slice that is due, `attempt` fences: each claim of a slice
    raises it, and what was claimed with a lower one cannot commit. `rows_per_second` is that of
    the last slice.
    """

    tenant_id: str
    job_id: UUID
    kind: KeyJobKind
    state: KeyJobState
    object_type: str | None
    throttle_per_second: int | None
    total: int
    done: int
    superseded: int
    quarantined: int
    source: UUID | None
    cursor: UUID | None
    empty_sweeps: int
    epoch: int
    attempt: int
    rows_per_second: float | None
    blocked_code: str | None
    blocked_message: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def resumes_as(self) -> KeyJobState:
        """How a job goes on that was paused or blocked; to start twice does no harm."""
        return KeyJobState.PLANNED if self.total == 0 else KeyJobState.RUNNING

    @property
    def percent(self) -> float | None:
        """The share of `total` that is dealt with, 0 to 100; None before it is known."""
        if self.state is KeyJobState.DONE:
            return 100.0
        if self.total == 0:
            return None
        dealt_with = self.done + self.superseded + self.quarantined
        return min(100.0, 100.0 * dealt_with / self.total)

    @property
    def remaining_seconds(self) -> float | None:
        """The expected time to the end at the last slice's rate; None while that is unknown."""
        if self.state is not KeyJobState.RUNNING or not self.rows_per_second:
            return None
        left = max(0, self.total - self.done - self.superseded - self.quarantined)
        return left / self.rows_per_second


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to plan."""

    kind: KeyJobKind
    object_type: str | None = None
    throttle_per_second: int | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that a job left as it was, and why."""

    tenant_id: str
    job_id: UUID
    record_id: UUID
    code: str
    at: datetime
