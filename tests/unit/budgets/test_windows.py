"""Windows: where the database says they begin and end, and what they are called."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subgraph.budgets.chain import genesis_of
from subgraph.budgets.windows import window_key, window_of_key, write_instant
from tests.unit.budgets.accounts import Accounts

INSTANTS = st.integers(0, 10**16).map(lambda n: day(1990, 1, 1) + timedelta(microseconds=n))


def day(year: int, month: int, number: int) -> datetime:
    return datetime(year, month, number, tzinfo=UTC)


EDGES = [
    ("DAY", day(2028, 2, 29), day(2028, 3, 1)),
    ("WEEK", day(2026, 12, 28), day(2027, 1, 4)),
    ("MONTH", day(2027, 12, 1), day(2028, 1, 1)),
    ("MONTH", day(2027, 2, 1), day(2027, 3, 1)),
    ("QUARTER", day(2026, 10, 1), day(2027, 1, 1)),
]


async def window(books: Accounts, kind: str, at: datetime) -> tuple[datetime, datetime]:
    ((start, end),) = await books.ask("SELECT * FROM dp_window($1, $2)", kind, at)
    return start, end


@pytest.mark.parametrize(("kind", "start", "end"), EDGES)
async def test_a_window_contains_its_start_and_not_its_end(
    books: Accounts, kind: str, start: datetime, end: datetime
) -> None:
    last = end - timedelta(microseconds=1)
    assert await window(books, kind, start) == await window(books, kind, last) == (start, end)
    assert (await window(books, kind, end))[0] == end


async def test_windows_do_not_follow_the_time_zone_of_the_session(books: Accounts) -> None:
    ((start,),) = await books.ask(
        "SELECT w.window_start FROM (SELECT set_config('TimeZone', 'Pacific/Auckland', false)) AS z,"
        " LATERAL (SELECT * FROM dp_window('DAY', '2026-06-01T23:30Z') OFFSET 0) AS w"
    )
    assert start == day(2026, 6, 1)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=INSTANTS)
def test_a_key_says_its_window(at: datetime) -> None:
    assert window_of_key(window_key(at)) == at


def test_a_key_of_no_window_says_none() -> None:
    assert window_of_key(UUID(int=2**128 - 1)) is None


async def test_the_database_writes_instants_and_genesis_as_we_do(books: Accounts) -> None:
    for at in (day(2026, 1, 1), datetime(2031, 7, 9, 3, 4, 5, 60, tzinfo=UTC)):
        ((text, head),) = await books.ask("SELECT dp_instant($1), dp_genesis('t-a', $1)", at)
        assert (text, head) == (write_instant(at), genesis_of("t-a", at))
