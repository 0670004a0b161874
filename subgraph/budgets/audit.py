"""Verifies the spend logs in the database: what is stored against what the entries say."""

from collections.abc import Sequence
from datetime import datetime

from subgraph.budgets import reading
from subgraph.budgets.chain import read_entry
from subgraph.budgets.epsilon import format_epsilon
from subgraph.budgets.errors import SpendFinding, SpendLogInvalid
from subgraph.budgets.model import Budget, Spend
from subgraph.budgets.verify import (
    LoggedSpend,
    SpendLog,
    SpendReport,
    digest,
    verify_lifetime,
    verify_log,
)
from subgraph.budgets.windows import write_instant
from subgraph.db.service import Database

_PAGE = 1_000


async def spend_log(database: Database, budget: Budget) -> SpendLog:
    """The log of a window as far as `budget` counts it.

    Raises `SpendLogInvalid` (`ROW_MISMATCH`) when a row differs from its entry.
    """
    spends: list[Spend] = []
    while len(spends) < budget.sequence:
        after = spends[-1].sequence if spends else 0
        size = min(_PAGE, budget.sequence - len(spends))
        page = await reading.spend_page(
            database, budget.tenant, budget.window_start, first=size, after=after
        )
        if not page:
            break
        spends += page
    _compare(spends)
    return SpendLog(
        tenant=budget.tenant,
        window_start=write_instant(budget.window_start),
        window_end=write_instant(budget.window_end),
        sequence=budget.sequence,
        head=digest(budget.head),
        epsilon_spent=format_epsilon(budget.spent),
        spends=tuple(LoggedSpend(spend.entry, digest(spend.chain_hash)) for spend in spends),
    )


async def verify_window(
    database: Database, tenant: str, window_start: datetime
) -> SpendReport | None:
    """Verify one window; None when it was never used. Raises `SpendLogInvalid`."""
    found = await reading.budgets(database, [(tenant, window_start)])
    budget = found.get((tenant, window_start))
    return None if budget is None else verify_log(await spend_log(database, budget))


async def verify_tenant(database: Database, tenant: str) -> list[SpendReport]:
    """Verify every window of a tenant, and their sum; while nothing is being spent.

    Raises `SpendLogInvalid`.
    """
    reports: list[SpendReport] = []
    before: datetime | None = None
    lifetime = await reading.heads_at(database, tenant, [])
    while page := await reading.budget_page(database, tenant, first=_PAGE, before=before):
        reports += [verify_log(await spend_log(database, budget)) for budget in page]
        before = page[-1].window_start
    verify_lifetime(reports, lifetime.total_sequence, lifetime.total_spent)
    return reports


def _compare(spends: Sequence[Spend]) -> None:
    for place, spend in enumerate(spends):
        where = f"spends[{place}]"
        said = read_entry(spend.entry, where).spend
        stored = {
            "datasetId": str(spend.dataset_id),
            "epsilon": format_epsilon(spend.epsilon),
            "reservationId": str(spend.reservation_id),
            "sequence": spend.sequence,
            "spendId": str(spend.spend_id),
        }
        if any(said[name] != value for name, value in stored.items()):
            raise SpendLogInvalid(SpendFinding.ROW_MISMATCH, where)
