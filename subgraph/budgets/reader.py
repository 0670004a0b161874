"""Reads the budgets of one process's database; who may read what is decided before."""

from datetime import datetime
from uuid import UUID

from subgraph.budgets import reading
from subgraph.budgets.model import Budget, BudgetPolicy, Spend
from subgraph.budgets.override_requests import requests_of_window
from subgraph.db.service import Database


class BudgetReader:
    """What there is to be read of a tenant's budget."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def policy(self, tenant: str) -> BudgetPolicy | None:
        """The policy that was set last."""
        return await reading.newest_policy(self._database, tenant)

    async def current(self, tenant: str) -> Budget | None:
        """The window of now; None until a policy is set."""
        return await reading.current_budget(self._database, tenant)

    async def windows(
        self, tenant: str, *, first: int, before: datetime | None = None
    ) -> list[Budget]:
        """See `reading.budget_page`."""
        return await reading.budget_page(self._database, tenant, first=first, before=before)

    async def spends(self, budget: Budget, *, first: int, after: int = 0) -> list[Spend]:
        """At most `first` spends of a window behind a sequence number, in order."""
        return await reading.spend_page(
            self._database, budget.tenant, budget.window_start, first=first, after=after
        )

    async def overrides(
        self, budget: Budget, *, first: int, after: tuple[datetime, UUID] | None = None
    ) -> list[UUID]:
        """See `override_requests.requests_of_window`."""
        window = (budget.window_start, budget.window_end)
        return await requests_of_window(
            self._database, budget.tenant, window, first=first, after=after
        )
