"""Why nothing was spent, and what can be wrong with a spend log."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from subgraph.budgets.epsilon import format_epsilon
from subgraph.errors import ErrorCode, SubgraphError

_REFUSALS = {
    "NOT_SET": ErrorCode.BUDGET_NOT_SET,
    "CONFLICT": ErrorCode.IDEMPOTENCY_CONFLICT,
    "TICKET_LOST": ErrorCode.TICKET_LOST,
}
_SHORTAGES = {
    "EXHAUSTED": ErrorCode.DP_BUDGET_EXHAUSTED,
    "OVER_OPERATION": ErrorCode.EPSILON_OVER_OPERATION_LIMIT,
}


class BudgetRefused(SubgraphError):
    """The budget does not allow the operation; decided by the plan and the public budget only.

    `resets_at` is when more will be left; None when that is not to be expected. `queueable` says
    whether the next window could promise the operation.
    """

    def __init__(
        self,
        code: ErrorCode,
        required: Decimal,
        remaining: Decimal,
        resets_at: datetime | None,
        *,
        queueable: bool = False,
    ) -> None:
        self.required = required
        self.remaining = remaining
        self.resets_at = resets_at
        super().__init__(
            code,
            required=format_epsilon(required),
            remaining=format_epsilon(remaining),
            resetsAt=resets_at.isoformat().replace("+00:00", "Z") if resets_at else None,
            queueable=queueable,
        )


def refuse(row: Mapping[str, Any]) -> None:
    """Raise what the `outcome` of a reservation or a promise refuses it for, if it does."""
    outcome = row["outcome"]
    if outcome in _SHORTAGES:
        raise BudgetRefused(
            _SHORTAGES[outcome],
            row["required"],
            row["remaining"],
            row["resets_at"] if outcome == "EXHAUSTED" else None,
        )
    if outcome in _REFUSALS:
        raise SubgraphError(_REFUSALS[outcome])


class ReleasePending(SubgraphError):
    """The answer is paid for already; `until` is when to look again at the latest, None for now."""

    def __init__(self, until: datetime | None) -> None:
        self.until = until
        super().__init__(ErrorCode.RELEASE_PENDING)


class SpendFinding(Enum):
    """The first thing that is wrong with a spend log; a name is never renamed or reused."""

    FILE_MALFORMED = "The file is not a spend log as this release writes it."
    ENTRY_MALFORMED = "An entry is not the canonical text of a spend."
    EPSILON_INVALID = "An epsilon is not an exact decimal above zero."
    WRONG_WINDOW = "An entry is of another tenant or window than the log."
    OUT_OF_WINDOW = "An entry's instant is not within its window."
    SEQUENCE_BROKEN = "An entry is missing, repeated, or out of order."
    CHAIN_BROKEN = "A chain hash does not follow from the one before and the entry."
    HEAD_MISMATCH = "The head is not the chain hash of the last entry."
    SUM_MISMATCH = "The entries do not add up to what is said to be spent."
    ROW_MISMATCH = "A stored spend differs from its entry."


class SpendLogInvalid(SubgraphError):
    """A spend log does not verify; `where` is the place, empty for all of it."""

    def __init__(self, finding: SpendFinding, where: str = "") -> None:
        self.finding = finding
        self.where = where
        text = f"{where}: {finding.value}" if where else finding.value
        super().__init__(ErrorCode.BUDGET_INVALID, text, finding=finding.name, where=where)
