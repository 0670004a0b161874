"""Answers questions about the records of this release."""

from collections.abc import Callable
from datetime import UTC, date, datetime

from subgraph.deprecations.model import Deprecation, DeprecationPhase


def today_utc() -> date:
    """The current day in UTC."""
    return datetime.now(UTC).date()


class DeprecationRegister:
    """The records by id, with the phase of each on the day of the question."""

    def __init__(
        self, records: tuple[Deprecation, ...], today: Callable[[], date] = today_utc
    ) -> None:
        self._records = {record.id: record for record in records}
        self._today = today

    def get(self, record_id: str) -> Deprecation | None:
        """The record with this id."""
        return self._records.get(record_id)

    def phase(self, record: Deprecation) -> DeprecationPhase:
        """The phase of `record` today."""
        return record.phase(self._today())

    def page(
        self, *, phase: DeprecationPhase | None, first: int, after: str | None
    ) -> list[Deprecation]:
        """At most `first` records behind the id `after`, by id."""
        found = (
            record
            for record in self._records.values()
            if (after is None or record.id > after)
            and (phase is None or self.phase(record) is phase)
        )
        return [record for record, _ in zip(found, range(first), strict=False)]
