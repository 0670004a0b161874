"""Questions about the records of a release."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from subgraph.deprecations.model import Deprecation, DeprecationPhase
from subgraph.deprecations.service import DeprecationRegister, today_utc

FIRST = Deprecation(
    id="DEP-2026-001",
    coordinate="Tenant.displayName",
    announced=date(2026, 1, 1),
    since=date(2026, 2, 1),
    until=date(2026, 6, 1),
    grace=timedelta(days=30),
    reason="It goes.",
    owner="us",
)
RECORDS = tuple(
    replace(FIRST, id=f"DEP-2026-00{number}", since=date(2026, number + 1, 1))
    for number in range(1, 4)
)
MARCH = date(2026, 3, 15)


def register(today: date = MARCH) -> DeprecationRegister:
    return DeprecationRegister(RECORDS, lambda: today)


def ids(found: list[Deprecation]) -> list[str]:
    return [record.id[-1] for record in found]


def test_record_is_found_by_its_id() -> None:
    assert register().get("DEP-2026-002") is RECORDS[1]


@pytest.mark.parametrize("record_id", ["", "DEP-2026-009", "dep-2026-001"])
def test_unknown_id_finds_nothing(record_id: str) -> None:
    assert register().get(record_id) is None


def test_phase_is_that_of_the_day_of_the_question() -> None:
    days = [date(2026, 1, 1), MARCH, date(2026, 6, 15), date(2026, 8, 1)]
    found = [register(day).phase(FIRST) for day in days]
    assert found == list(DeprecationPhase)


def test_phase_changes_while_the_process_runs() -> None:
    days = iter([date(2026, 1, 1), date(2026, 8, 1)])
    running = DeprecationRegister(RECORDS, lambda: next(days))
    found = [running.phase(FIRST), running.phase(FIRST)]
    assert found == [DeprecationPhase.ANNOUNCED, DeprecationPhase.ENDED]


@pytest.mark.parametrize(
    ("first", "after", "expected"),
    [
        (10, None, ["1", "2", "3"]),
        (2, None, ["1", "2"]),
        (2, "DEP-2026-001", ["2", "3"]),
        (2, "DEP-2026-003", []),
        (2, "DEP-2026-0015", ["2", "3"]),
        (0, None, []),
    ],
)
def test_page_begins_behind_an_id(first: int, after: str | None, expected: list[str]) -> None:
    assert ids(register().page(phase=None, first=first, after=after)) == expected


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (DeprecationPhase.ANNOUNCED, ["3"]),
        (DeprecationPhase.DEPRECATED, ["1", "2"]),
        (DeprecationPhase.ENDED, []),
    ],
)
def test_page_can_hold_one_phase_only(phase: DeprecationPhase, expected: list[str]) -> None:
    assert ids(register().page(phase=phase, first=10, after=None)) == expected


def test_today_is_that_of_utc() -> None:
    before = datetime.now(UTC).date()
    assert before <= today_utc() <= datetime.now(UTC).date()
