"""The lifecycle of deprecated schema elements."""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum


class DeprecationPhase(Enum):
    """Where a record stands on a day; each phase begins at 00:00 UTC of its first day."""

    ANNOUNCED = "ANNOUNCED"
    DEPRECATED = "DEPRECATED"
    GRACE = "GRACE"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class Deprecation:
    """One record of `deprecations.yaml`; `coordinate` and `replacement` are schema coordinates."""

    id: str
    coordinate: str
    announced: date
    since: date
    until: date
    grace: timedelta
    reason: str
    owner: str
    replacement: str | None = None
    shim: str | None = None

    @property
    def grace_until(self) -> date:
        """The first day on which the element may be gone."""
        return self.until + self.grace

    def phase(self, today: date) -> DeprecationPhase:
        """The phase on `today`."""
        if today < self.since:
            return DeprecationPhase.ANNOUNCED
        if today < self.until:
            return DeprecationPhase.DEPRECATED
        if today < self.grace_until:
            return DeprecationPhase.GRACE
        return DeprecationPhase.ENDED

    @property
    def sentence(self) -> str:
        """The reason with its date, for readers who see only the standard directive."""
        text = f"{self.reason} Works until {self.until.isoformat()}."
        return f"{text} Use {self.replacement}." if self.replacement else text
