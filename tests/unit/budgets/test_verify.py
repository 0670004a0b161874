"""Verification from the entries alone: it holds for what was kept, and names the first lie."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.budgets import audit
from subgraph.budgets.chain import genesis, link
from subgraph.budgets.epsilon import format_epsilon, from_quanta
from subgraph.budgets.errors import SpendFinding, SpendLogInvalid
from subgraph.budgets.verify import LoggedSpend, SpendLog, digest, read_log, verify_log, write_log
from subgraph.ledger import canonical
from tests.unit.budgets.accounts import Accounts
from tests.unit.budgets.test_anchors import tamper

START, END = "2026-03-01T00:00:00.000000Z", "2026-04-01T00:00:00.000000Z"


def entry(sequence: int, quanta: int = 10**8, **changes) -> str:
    spend = {
        "at": "2026-03-05T01:02:03.000004Z", "datasetId": "d", "policyVersion": 1,
        "epsilon": format_epsilon(from_quanta(quanta)), "releaseKey": "k", "reservationId": "r",
        "sequence": sequence, "spendId": f"s{sequence}", "tenant": "t-a", "windowEnd": END,
        "windowStart": START, **changes,
    }  # fmt: skip
    charge = {"actor": "a", "datasetVersion": "1", "mechanism": "EXPONENTIAL", "query": "COUNT"}
    text = canonical.encode({"charge": charge, "schemaVersion": 1, "spend": spend})
    return text.decode()


def log_of(*entries: str, spent: str | None = None) -> SpendLog:
    head, spends = genesis("t-a", START), []
    for text in entries:
        head = link(head, text)
        spends.append(LoggedSpend(text, digest(head)))
    total = spent or format_epsilon(from_quanta(10**8 * len(entries)))
    return SpendLog("t-a", START, END, len(entries), digest(head), total, tuple(spends))


def finding(log: SpendLog) -> tuple[SpendFinding, str]:
    with pytest.raises(SpendLogInvalid) as caught:
        verify_log(log)
    return caught.value.finding, caught.value.where


GOOD = log_of(entry(1), entry(2), entry(3))


@given(st.lists(st.integers(1, 10**18 - 1), max_size=20))
def test_sums_are_exact(quanta: list[int]) -> None:
    entries = [entry(place, value) for place, value in enumerate(quanta, 1)]
    log = log_of(*entries, spent=format_epsilon(from_quanta(sum(quanta))))
    assert verify_log(log).spent == from_quanta(sum(quanta))


def test_a_file_is_read_as_it_was_written() -> None:
    assert read_log(write_log(GOOD)) == GOOD


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (log_of(entry(1), entry(3)), ("SEQUENCE_BROKEN", "spends[1]")),
        (log_of(entry(2), entry(1)), ("SEQUENCE_BROKEN", "spends[0]")),
        (log_of(entry(1), entry(2, spendId="s1")), ("SEQUENCE_BROKEN", "spends[1]")),
        (replace(GOOD, sequence=4), ("SEQUENCE_BROKEN", "sequence")),
        (replace(GOOD, spends=GOOD.spends[:2], sequence=2), ("HEAD_MISMATCH", "head")),
        (replace(GOOD, head=digest(b"x")), ("HEAD_MISMATCH", "head")),
        (replace(GOOD, epsilon_spent="0.299999999"), ("SUM_MISMATCH", "epsilonSpent")),
        (log_of(entry(1, tenant="t-b")), ("WRONG_WINDOW", "spends[0]")),
        (log_of(entry(1, windowStart=END)), ("WRONG_WINDOW", "spends[0]")),
        (log_of(entry(1, at=END)), ("OUT_OF_WINDOW", "spends[0]")),
        (log_of(entry(1, epsilon="0.1")), ("EPSILON_INVALID", "spends[0]")),
        (log_of(entry(1, epsilon="NaN")), ("EPSILON_INVALID", "spends[0]")),
        (log_of(entry(1, epsilon="0.000000000")), ("EPSILON_INVALID", "spends[0]")),
        (log_of(entry(1, epsilon="-0.100000000")), ("EPSILON_INVALID", "spends[0]")),
        (log_of(entry(1) + " "), ("ENTRY_MALFORMED", "spends[0]")),
        (log_of(entry(1, more="x")), ("ENTRY_MALFORMED", "spends[0]")),
        (log_of(entry(1, policyVersion=True)), ("ENTRY_MALFORMED", "spends[0]")),
        (log_of("[]"), ("ENTRY_MALFORMED", "spends[0]")),
    ],
)
def test_the_first_lie_is_named(log: SpendLog, found: tuple[str, str]) -> None:
    named, where = finding(log)
    assert (named.name, where) == found


@given(st.integers(0, 2), st.data())
def test_no_character_of_an_entry_can_be_changed(place: int, data: st.DataObject) -> None:
    text = GOOD.spends[place].entry
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.characters(codec="ascii")) + text[at + 1 :]
    spends = list(GOOD.spends)
    spends[place] = replace(spends[place], entry=changed)
    if changed != text:
        assert finding(replace(GOOD, spends=tuple(spends)))


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff", write_log(GOOD)[:-1], write_log(GOOD).replace(b'"t-a"', b"1", 1)],
)
def test_a_file_of_another_form_is_refused(content: bytes) -> None:
    with pytest.raises(SpendLogInvalid):
        read_log(content)


# --- in the database


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        ("UPDATE dp_spend SET entry = replace(entry, '0.200', '0.100') WHERE seq = 2", "ROW_MISMATCH"),
        ("UPDATE dp_spend SET epsilon = 0.1 WHERE seq = 2", "ROW_MISMATCH"),
        (
            ("UPDATE dp_spend SET epsilon = 0.1, entry = replace(entry, '0.200', '0.100')"
            " WHERE seq = 2"),
            "CHAIN_BROKEN",
        ),
        ("UPDATE dp_spend SET chain_hash = sha256('a') WHERE seq = 2", "CHAIN_BROKEN"),
        ("DELETE FROM dp_spend WHERE seq = 2", "SEQUENCE_BROKEN"),
        ("DELETE FROM dp_spend WHERE seq = 3", "SEQUENCE_BROKEN"),
        ("UPDATE dp_budget SET epsilon_spent = 0.5 WHERE isfinite(window_start)", "SUM_MISMATCH"),
        ("UPDATE dp_budget SET epsilon_spent = 0.5 WHERE NOT isfinite(window_start)", "SUM_MISMATCH"),
        ("UPDATE dp_budget SET head = sha256('a') WHERE isfinite(window_start)", "HEAD_MISMATCH"),
    ],
)  # fmt: skip
async def test_a_lie_in_the_database_is_found(books: Accounts, lie: str, found: str) -> None:
    tenant = await books.open("10")
    for epsilon in ("0.1", "0.2", "0.3"):
        await books.spend(tenant, epsilon)
    (report,) = await audit.verify_tenant(books.database, tenant)
    assert report.spent == Decimal("0.6")
    await tamper(books, f"{lie} AND tenant_id = '{tenant}'")
    with pytest.raises(SpendLogInvalid) as caught:
        await audit.verify_tenant(books.database, tenant)
    assert caught.value.finding.name == found


async def test_a_window_that_is_exported_verifies(books: Accounts) -> None:
    tenant = await books.open("10")
    made = await books.spend(tenant, "0.1", "2")
    report = await audit.verify_window(books.database, tenant, made.window_start)
    assert report is not None
    assert (report.spends, report.head) == (2, digest(made.head))
