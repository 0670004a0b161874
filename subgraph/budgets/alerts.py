"""The alarm when less than a tenth of a budget is left: once a window, in the ledger."""

from subgraph.budgets import store
from subgraph.budgets.epsilon import format_epsilon
from subgraph.budgets.windows import write_instant
from subgraph.db.service import Row, Transaction
from subgraph.errors import JSONValue
from subgraph.ledger.model import EventType, NewEvent
from subgraph.ledger.service import Ledger

ACTOR = "deployment"
"""Who causes the events that nobody asks for."""


async def report_low(transaction: Transaction, ledger: Ledger, tenant: str) -> None:
    """Record `budget.low` for what has become low in this transaction; a window never twice.

    The lifetime's event has no window. Raises what `Ledger.append_many` raises.
    """
    rows = await store.mark_low(transaction, tenant)
    events = [NewEvent(EventType.BUDGET_LOW, ACTOR, tenant, _payload(row)) for row in rows]
    await ledger.append_many(transaction, events)


def _payload(row: Row) -> dict[str, JSONValue]:
    remaining = row["remaining"]
    payload: dict[str, JSONValue] = {
        "sequence": row["seq"],
        "epsilonLimit": format_epsilon(row["epsilon_limit"]),
        # Below zero when the limit was lowered under what is spent.
        "epsilonRemaining": format_epsilon(max(remaining, remaining * 0)),
    }
    if row["window_start"] is not None:
        payload["windowStart"] = write_instant(row["window_start"])
        payload["windowEnd"] = write_instant(row["window_end"])
    return payload
