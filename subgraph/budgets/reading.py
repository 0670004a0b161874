"""What is read of budgets: policies, windows, and the spend log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from subgraph.budgets.model import Budget, BudgetPolicy, DpSpendState, Spend
from subgraph.budgets.store import policy
from subgraph.db.binding import tenant_read, tenant_read_many
from subgraph.db.service import Database, Row

_LIFETIME = (
    " life.epsilon_limit + life.epsilon_granted AS lifetime_limit,"
    " greatest(life.epsilon_limit + life.epsilon_granted - life.epsilon_spent"
    " - life.epsilon_reserved, 0) AS lifetime_remaining"
)
_BUDGET = (
    "b.tenant_id, b.window_start, b.window_end, b.epsilon_limit, b.epsilon_granted,"
    " b.epsilon_spent, b.epsilon_reserved, b.seq, b.head," + _LIFETIME
)
_FROM = (
    " FROM dp_budget b JOIN dp_budget life ON life.tenant_id = b.tenant_id"
    " AND life.window_start = '-infinity' WHERE b.tenant_id = bound.tenant"
    " AND b.window_start > '-infinity'"
)
_UNUSED = (
    # Until its first use a window has no row; it is what that use would make of it.
    " UNION ALL SELECT bound.tenant, opens.at, w.window_end, p.epsilon_limit, 0, 0, 0, 0,"
    f" dp_genesis(bound.tenant, opens.at),{_LIFETIME}"
    " FROM (SELECT * FROM dp_policy WHERE tenant_id = bound.tenant"
    "  AND effective_from <= clock_timestamp() ORDER BY version DESC LIMIT 1) AS p"
    " JOIN dp_budget life ON life.tenant_id = bound.tenant AND life.window_start = '-infinity'"
    " CROSS JOIN LATERAL dp_window(p.window_kind, clock_timestamp()) AS w"
    " CROSS JOIN LATERAL (SELECT greatest(w.window_start, (SELECT max(window_end) FROM dp_budget"
    "  WHERE tenant_id = bound.tenant AND window_end <= clock_timestamp())) AS at) AS opens"
)
_CURRENT = tenant_read(
    f"SELECT * FROM (SELECT {_BUDGET}{_FROM} AND b.window_start <= clock_timestamp()"
    f" AND b.window_end > clock_timestamp(){_UNUSED}) AS candidate LIMIT 1"
)
_PAGE = tenant_read(
    f"SELECT {_BUDGET}{_FROM} AND b.window_start < coalesce($2, 'infinity'::timestamptz)"
    " AND b.window_start <= clock_timestamp() ORDER BY b.window_start DESC LIMIT $3"
)
_BUDGETS = tenant_read_many(
    f"SELECT {_BUDGET}{_FROM} AND b.window_start = ANY (asked.keys){_UNUSED}"
    " WHERE opens.at = ANY (asked.keys) AND NOT EXISTS (SELECT FROM dp_budget"
    "  WHERE tenant_id = bound.tenant AND isfinite(window_start)"
    "  AND window_end > clock_timestamp() AND window_start <= clock_timestamp())",
    key_type="timestamptz",
)
_POLICY = tenant_read(
    "SELECT * FROM dp_policy WHERE tenant_id = bound.tenant ORDER BY version DESC LIMIT 1"
)
_SPEND = (
    "tenant_id, window_start, seq, spend_id, reservation_id, dataset_id, epsilon, entry,"
    " chain_hash, state"
)
_SPENDS = tenant_read(
    f"SELECT {_SPEND} FROM dp_spend WHERE tenant_id = bound.tenant AND window_start = $2"
    " AND seq > $3 ORDER BY seq LIMIT $4"
)
_SPENDS_BY_ID = tenant_read_many(
    f"SELECT {_SPEND} FROM dp_spend WHERE tenant_id = bound.tenant AND spend_id = ANY (asked.keys)",
    key_type="uuid",
)
_HEADS_AT = tenant_read(
    "SELECT life.seq AS total, life.epsilon_spent, s.window_start, s.seq, s.chain_hash"
    " FROM dp_budget life LEFT JOIN (dp_spend s JOIN unnest($2::timestamptz[], $3::int8[])"
    "  AS asked(window_start, seq) USING (window_start, seq)) ON s.tenant_id = life.tenant_id"
    " WHERE life.tenant_id = bound.tenant AND life.window_start = '-infinity'"
)


@dataclass(frozen=True, slots=True)
class HeadsAt:
    """The chain hashes at some places, and the spends of the whole lifetime."""

    total_sequence: int
    total_spent: Decimal
    heads: Mapping[tuple[datetime, int], bytes]


async def current_budget(database: Database, tenant: str) -> Budget | None:
    """The window of now; None until a policy is set."""
    rows = await database.read(_CURRENT, tenant)
    return _budget(rows[0]) if rows else None


async def budget_page(
    database: Database, tenant: str, *, first: int, before: datetime | None = None
) -> list[Budget]:
    """At most `first` windows that have begun, the newest first; only those before a start."""
    return [_budget(row) for row in await database.read(_PAGE, tenant, before, first)]


async def budgets(
    database: Database, keys: Sequence[tuple[str, datetime]]
) -> dict[tuple[str, datetime], Budget]:
    """The windows that have been used, and the current one, by tenant and start; one statement."""
    rows = await database.read_many(_BUDGETS, keys)
    return {(row["tenant_id"], row["window_start"]): _budget(row) for row in rows}


async def newest_policy(database: Database, tenant: str) -> BudgetPolicy | None:
    """The policy that was set last; it may be in force only from a later instant on."""
    rows = await database.read(_POLICY, tenant)
    return policy(rows[0]) if rows else None


async def spend_page(
    database: Database, tenant: str, window_start: datetime, *, first: int, after: int = 0
) -> list[Spend]:
    """At most `first` spends of a window behind the sequence number `after`, in order."""
    rows = await database.read(_SPENDS, tenant, window_start, after, first)
    return [_spend(row) for row in rows]


async def spends(
    database: Database, keys: Sequence[tuple[str, UUID]]
) -> dict[tuple[str, UUID], Spend]:
    """The spends that there are, by tenant and id; one statement."""
    rows = await database.read_many(_SPENDS_BY_ID, keys)
    return {(row["tenant_id"], row["spend_id"]): _spend(row) for row in rows}


async def heads_at(
    database: Database, tenant: str, places: Sequence[tuple[datetime, int]]
) -> HeadsAt:
    """The chain hashes behind the spends at (window start, sequence); one statement."""
    starts, sequences = [start for start, _ in places], [sequence for _, sequence in places]
    rows = await database.read(_HEADS_AT, tenant, starts, sequences)
    if not rows:
        return HeadsAt(0, Decimal(0), {})
    heads = {
        (row["window_start"], row["seq"]): row["chain_hash"]
        for row in rows
        if row["chain_hash"] is not None
    }
    return HeadsAt(rows[0]["total"], rows[0]["epsilon_spent"], heads)


def _budget(row: Row) -> Budget:
    return Budget(
        tenant=row["tenant_id"],
        window_start=row["window_start"],
        window_end=row["window_end"],
        limit=row["epsilon_limit"],
        granted=row["epsilon_granted"],
        spent=row["epsilon_spent"],
        promised=row["epsilon_reserved"],
        sequence=row["seq"],
        head=row["head"],
        lifetime_limit=row["lifetime_limit"],
        lifetime_remaining=(
            None if row["lifetime_limit"] is None else Decimal(row["lifetime_remaining"])
        ),
    )


def _spend(row: Row) -> Spend:
    return Spend(
        tenant=row["tenant_id"],
        window_start=row["window_start"],
        sequence=row["seq"],
        spend_id=row["spend_id"],
        reservation_id=row["reservation_id"],
        dataset_id=row["dataset_id"],
        epsilon=row["epsilon"],
        entry=row["entry"],
        chain_hash=row["chain_hash"],
        state=DpSpendState(row["state"]),
    )
