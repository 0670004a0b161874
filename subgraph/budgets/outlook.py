"""What a budget allows now and in its next window; the public numbers that decisions rest on."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from subgraph.budgets.reading import current_budget
from subgraph.db.binding import tenant_read
from subgraph.db.service import Database

_NEXT = tenant_read(
    "SELECT (SELECT min(p.max_epsilon_per_operation) FROM dp_policy p"
    "   WHERE p.tenant_id = bound.tenant AND p.version >= (SELECT max(g.version) FROM dp_policy g"
    "    WHERE g.tenant_id = bound.tenant AND g.effective_from <= clock_timestamp()))"
    "  AS per_operation,"
    " coalesce((SELECT b.epsilon_limit + b.epsilon_granted - b.epsilon_spent - b.epsilon_reserved"
    "   FROM dp_budget b WHERE b.tenant_id = bound.tenant AND b.window_start >= $2"
    "   AND isfinite(b.window_start) ORDER BY b.window_start LIMIT 1),"
    "  (SELECT p.epsilon_limit FROM dp_policy p WHERE p.tenant_id = bound.tenant"
    "   AND p.effective_from <= $2 ORDER BY p.version DESC LIMIT 1)) AS remaining"
)


class DpDecision(Enum):
    """What would become of an operation."""

    ALLOW = "ALLOW"
    QUEUE = "QUEUE"
    DENY = "DENY"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is left now and in the next window, the lifetime considered.

    `resets_at` is where the next window begins; `per_operation` None is no limit.
    """

    remaining: Decimal
    next_remaining: Decimal
    resets_at: datetime
    per_operation: Decimal | None

    def decide(self, epsilon: Decimal) -> DpDecision:
        """What becomes of an operation that costs so much."""
        if epsilon == 0:
            return DpDecision.ALLOW
        if self.per_operation is not None and epsilon > self.per_operation:
            return DpDecision.DENY
        if epsilon <= self.remaining:
            return DpDecision.ALLOW
        return DpDecision.QUEUE if epsilon <= self.next_remaining else DpDecision.DENY


async def outlook(database: Database, tenant: str) -> Outlook | None:
    """The outlook of a tenant, None until a policy is set; two statements."""
    budget = await current_budget(database, tenant)
    if budget is None:
        return None
    (row,) = await database.read(_NEXT, tenant, budget.window_end)
    left = budget.lifetime_remaining
    remaining, following = budget.remaining, max(row["remaining"], Decimal(0))
    return Outlook(
        remaining=remaining if left is None else min(remaining, left),
        next_remaining=following if left is None else min(following, left),
        resets_at=budget.window_end,
        per_operation=row["per_operation"],
    )
