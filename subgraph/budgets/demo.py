"""Gives a demonstration tenant a budget."""

from decimal import Decimal

from subgraph.budgets.model import BudgetTerms, BudgetWindow
from subgraph.budgets.runtime import BudgetsRuntime

_TERMS = BudgetTerms(BudgetWindow.MONTH, Decimal(10))


async def load(budgets: BudgetsRuntime, tenant: str) -> None:
    """Set a monthly budget of 10 unless there is a policy; a second run changes nothing."""
    if await budgets.reader.policy(tenant) is None:
        await budgets.set_policy(tenant, _TERMS, by="demo-operator")
