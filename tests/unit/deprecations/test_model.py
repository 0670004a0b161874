"""The phases of a lifecycle record."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.deprecations.model import Deprecation, DeprecationPhase

RECORD = Deprecation(
    id="DEP-2026-001",
    coordinate="Tenant.displayName",
    announced=date(2026, 1, 10),
    since=date(2026, 2, 1),
    until=date(2026, 6, 1),
    grace=timedelta(days=30),
    reason="It goes.",
    owner="us",
)


@pytest.mark.parametrize(
    ("today", "phase"),
    [
        (date(2026, 1, 10), DeprecationPhase.ANNOUNCED),
        (date(2026, 1, 31), DeprecationPhase.ANNOUNCED),
        (date(2026, 2, 1), DeprecationPhase.DEPRECATED),
        (date(2026, 5, 31), DeprecationPhase.DEPRECATED),
        (date(2026, 6, 1), DeprecationPhase.GRACE),
        (date(2026, 6, 30), DeprecationPhase.GRACE),
        (date(2026, 7, 1), DeprecationPhase.ENDED),
        (date.max, DeprecationPhase.ENDED),
    ],
)
def test_each_phase_begins_on_its_first_day(today: date, phase: DeprecationPhase) -> None:
    assert RECORD.phase(today) is phase


@given(st.dates(), st.dates())
def test_phases_never_go_back(first: date, second: date) -> None:
    order = list(DeprecationPhase)
    earlier, later = sorted((first, second))
    assert order.index(RECORD.phase(earlier)) <= order.index(RECORD.phase(later))


def test_grace_ends_its_days_after_the_last_day() -> None:
    assert RECORD.grace_until == date(2026, 7, 1)


def test_sentence_names_the_date() -> None:
    assert RECORD.sentence == "It goes. Works until 2026-06-01."


def test_sentence_names_the_replacement() -> None:
    replaced = replace(RECORD, replacement="Tenant.name")
    assert replaced.sentence == "It goes. Works until 2026-06-01. Use Tenant.name."
