"""The SQL of reservations, releases, policies and overrides; functions stand in the migrations."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from subgraph.budgets.model import (
    AnchoredWindow,
    BudgetPolicy,
    BudgetTerms,
    BudgetWindow,
    DpAccountant,
    Override,
    Release,
    ReleaseKey,
    StoredRelease,
)
from subgraph.db.binding import tenant_read, tenant_read_many
from subgraph.db.service import Database, Row, Transaction

_RESERVE = (
    "SELECT * FROM dp_reserve({}, $2, $3, $4, $5, $6, $7, $8, $9, $10::uuid[], $11::uuid[],"
    " $12::bytea[], $13::numeric[], $14::text[])"
)
_RESERVE_ALONE = tenant_read(_RESERVE.format("bound.tenant"))
_RESERVE_WITHIN = _RESERVE.format("$1")
_FORFEIT = tenant_read(
    "SELECT dp_forfeit(bound.tenant, ARRAY(SELECT reservation_id FROM dp_reservation"
    " WHERE tenant_id = bound.tenant AND reservation_id = $2 AND epoch = $3)) AS forfeited"
)
_RELEASES = tenant_read_many(
    "SELECT tenant_id, release_key, spend_id, dataset_version, answer, released_at"
    " FROM dp_release WHERE tenant_id = bound.tenant AND release_key = ANY (asked.keys)",
    key_type="bytea",
)


async def reserve(database: Database, tenant: str, *arguments: object) -> Row:
    """Reserve as a transaction of its own, in one round trip; nothing when that makes it low."""
    (row,) = await database.call(_RESERVE_ALONE, tenant, *arguments)
    return row


async def reserve_within(transaction: Transaction, tenant: str, *arguments: object) -> Row:
    """Reserve in a transaction that goes on."""
    (row,) = await transaction.rows(_RESERVE_WITHIN, tenant, *arguments)
    return row


async def mark_low(transaction: Transaction, tenant: str) -> list[Row]:
    """The windows, and the lifetime, of which less than a tenth is left for the first time."""
    return await transaction.rows(
        "UPDATE dp_budget b SET alerted_at = clock_timestamp()"
        " WHERE tenant_id = $1 AND window_end > clock_timestamp() AND alerted_at IS NULL"
        " AND dp_is_low(b) RETURNING nullif(window_start, '-infinity') AS window_start,"
        " nullif(window_end, 'infinity') AS window_end, seq, epsilon_limit + epsilon_granted"
        " AS epsilon_limit, epsilon_limit + epsilon_granted - epsilon_spent - epsilon_reserved"
        " AS remaining",
        tenant,
    )


async def lock_reservation(
    transaction: Transaction, tenant: str, reservation_id: UUID
) -> Row | None:
    """The lease of a reservation, which nobody else can settle until the transaction ends."""
    return await transaction.row(
        "SELECT epoch, lease_until > clock_timestamp() AS live FROM dp_reservation"
        " WHERE tenant_id = $1 AND reservation_id = $2 FOR UPDATE",
        tenant,
        reservation_id,
    )


async def commit_spends(
    transaction: Transaction, tenant: str, reservation_id: UUID, releases: Sequence[Release]
) -> None:
    """Store the answers of what is RESERVED, and mark it COMMITTED."""
    # By the keys, with no join: an array is looked up in the index under every plan.
    await transaction.run(
        "WITH settled AS ("
        " UPDATE dp_spend s SET state = 'COMMITTED', settled_at = clock_timestamp()"
        " WHERE s.tenant_id = $1 AND s.release_key = ANY ($3::bytea[]) AND s.state = 'RESERVED'"
        " AND s.reservation_id = $2"
        " RETURNING s.release_key, s.spend_id, s.settled_at,"
        "  array_position($3::bytea[], s.release_key) AS place)"
        " INSERT INTO dp_release (tenant_id, release_key, spend_id, dataset_version, answer,"
        " released_at) SELECT $1, release_key, spend_id, ($4::text[])[place], ($5::text[])[place],"
        " settled_at FROM settled",
        tenant,
        reservation_id,
        [release.release_key for release in releases],
        [release.dataset_version for release in releases],
        [release.answer for release in releases],
    )


async def releases_of(
    transaction: Transaction, tenant: str, reservation_id: UUID, keys: Sequence[ReleaseKey]
) -> dict[ReleaseKey, StoredRelease]:
    """The answers that this reservation has paid for and stored."""
    rows = await transaction.rows(
        "SELECT r.* FROM dp_release r WHERE r.tenant_id = $1 AND r.release_key = ANY ($3::bytea[])"
        " AND (SELECT s.reservation_id FROM dp_spend s"
        "       WHERE s.tenant_id = $1 AND s.spend_id = r.spend_id) = $2",
        tenant,
        reservation_id,
        keys,
    )
    return {row["release_key"]: _release(row) for row in rows}


async def releases(
    database: Database, keys: Sequence[tuple[str, ReleaseKey]]
) -> dict[tuple[str, ReleaseKey], StoredRelease]:
    """The stored answers, by tenant and key; one statement."""
    rows = await database.read_many(_RELEASES, keys)
    return {(row["tenant_id"], row["release_key"]): _release(row) for row in rows}


async def forfeit(database: Database, tenant: str, reservation_id: UUID, epoch: int) -> int:
    """Give up what is RESERVED at that epoch; how many spends that were."""
    (row,) = await database.call(_FORFEIT, tenant, reservation_id, epoch)
    return int(row["forfeited"])


async def hold(transaction: Transaction, tenant: str) -> Row:
    """Lock the lifetime's row, made if there is none, and answer the instant."""
    await transaction.run(
        "INSERT INTO dp_budget (tenant_id, window_start, window_end)"
        " VALUES ($1, '-infinity', 'infinity') ON CONFLICT DO NOTHING",
        tenant,
    )
    (row,) = await transaction.rows(
        "SELECT clock_timestamp() AS at FROM dp_budget"
        " WHERE tenant_id = $1 AND window_start = '-infinity' FOR UPDATE",
        tenant,
    )
    return row


async def insert_policy(
    transaction: Transaction, tenant: str, terms: BudgetTerms, at: datetime, *, by: str
) -> BudgetPolicy:
    """Append a version. What it raises waits until the windows that are open have ended."""
    (row,) = await transaction.rows(
        "WITH open AS (SELECT b.window_end, p.window_kind <> $4 OR $5 > b.epsilon_limit"
        "   OR (life.epsilon_limit IS NOT NULL AND $6::numeric IS DISTINCT FROM"
        "       least($6::numeric, life.epsilon_limit))"
        "   OR ((SELECT min(max_epsilon_per_operation) FROM dp_policy"
        "        WHERE tenant_id = $1 AND version >= life.policy_version) IS NOT NULL"
        "       AND $7::numeric IS NULL) OR $7::numeric > (SELECT min(max_epsilon_per_operation)"
        "        FROM dp_policy WHERE tenant_id = $1 AND version >= life.policy_version) AS raised"
        " FROM dp_budget b JOIN dp_policy p ON p.tenant_id = $1 AND p.version = b.policy_version"
        " JOIN dp_budget life ON life.tenant_id = $1 AND life.window_start = '-infinity'"
        " WHERE b.tenant_id = $1 AND b.window_start > '-infinity' AND b.window_end > $2)"
        " INSERT INTO dp_policy (tenant_id, version, accountant, window_kind, epsilon_limit,"
        "  lifetime_limit, max_epsilon_per_operation, effective_from, set_by)"
        " SELECT $1, coalesce((SELECT max(version) FROM dp_policy WHERE tenant_id = $1), 0) + 1,"
        "  $3, $4, $5, $6, $7, CASE WHEN (SELECT bool_or(raised) FROM open)"
        "  THEN (SELECT max(window_end) FROM open) ELSE $2 END, $8 RETURNING *",
        tenant,
        at,
        terms.accountant.value,
        terms.window.value,
        terms.epsilon_limit,
        terms.lifetime_limit,
        terms.max_epsilon_per_operation,
        by,
    )
    return policy(row)


async def lower_limits(
    transaction: Transaction, tenant: str, terms: BudgetTerms, at: datetime
) -> None:
    """Bring the open windows and the lifetime down to the terms, where they are above."""
    await transaction.run(
        "UPDATE dp_budget SET epsilon_limit = least(epsilon_limit,"
        " CASE WHEN window_start = '-infinity' THEN $4::numeric ELSE $3 END)"
        " WHERE tenant_id = $1 AND window_end > $2",
        tenant,
        at,
        terms.epsilon_limit,
        terms.lifetime_limit,
    )


async def enforce(transaction: Transaction, tenant: str) -> None:
    """Give the lifetime the cap of the policy that is in force."""
    await transaction.run("SELECT FROM dp_hold($1)", tenant)


async def open_window(transaction: Transaction, tenant: str) -> Row | None:
    """The current window, made if there is none; None for a tenant without a policy."""
    return await transaction.row(
        "SELECT opened.window_start, hold.held_at FROM dp_hold($1) AS hold"
        " CROSS JOIN LATERAL dp_open_window($1, hold.held_at) AS opened"
        " WHERE (hold.lifetime).tenant_id IS NOT NULL",
        tenant,
    )


async def insert_override(
    transaction: Transaction, tenant: str, override: Override, window_start: datetime, at: datetime
) -> bool:
    """Keep an override and add it to the window and the lifetime; False when it was applied."""
    warrant = override.warrant
    row = await transaction.row(
        "WITH applied AS (INSERT INTO dp_override (tenant_id, override_id, approval_request_id,"
        " window_start, epsilon, warrant_reference, warrant_issued_by, warrant_issued_at,"
        " warrant_expires_at, warrant_document_digest, applied_at, applied_by)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        " ON CONFLICT DO NOTHING RETURNING epsilon)"
        " UPDATE dp_budget b SET epsilon_granted = b.epsilon_granted + applied.epsilon"
        " FROM applied WHERE b.tenant_id = $1 AND b.window_start IN ('-infinity', $4)"
        " RETURNING b.window_start",
        tenant,
        override.override_id,
        override.approval_request_id,
        window_start,
        override.epsilon,
        warrant.reference,
        warrant.issued_by,
        warrant.issued_at,
        warrant.expires_at,
        warrant.document_digest,
        at,
        override.applied_by,
    )
    return row is not None


async def take_moved(
    transaction: Transaction, tenant: str
) -> tuple[int, Decimal, list[AnchoredWindow]]:
    """The number of spends, their sum, and the windows that moved since they were last anchored."""
    rows = await transaction.rows(
        "WITH moved AS (SELECT window_start FROM dp_budget"
        "  WHERE tenant_id = $1 AND anchored_seq < seq ORDER BY window_start FOR UPDATE)"
        " UPDATE dp_budget b SET anchored_seq = b.seq FROM moved"
        " WHERE b.tenant_id = $1 AND b.window_start = moved.window_start"
        " RETURNING nullif(b.window_start, '-infinity') AS window_start, b.seq, b.head,"
        " b.epsilon_spent",
        tenant,
    )
    total = [row for row in rows if row["window_start"] is None]
    if not total:
        return 0, Decimal(0), []
    windows = [
        AnchoredWindow(row["window_start"], row["seq"], row["head"], row["epsilon_spent"])
        for row in rows
        if row["window_start"] is not None
    ]
    return (
        total[0]["seq"],
        total[0]["epsilon_spent"],
        sorted(windows, key=lambda window: window.window_start),
    )


def policy(row: Row) -> BudgetPolicy:
    """A policy from its row."""
    terms = BudgetTerms(
        BudgetWindow(row["window_kind"]),
        row["epsilon_limit"],
        row["lifetime_limit"],
        row["max_epsilon_per_operation"],
        DpAccountant(row["accountant"]),
    )
    return BudgetPolicy(row["version"], terms, row["effective_from"], row["set_by"])


def _release(row: Row) -> StoredRelease:
    return StoredRelease(
        row["release_key"],
        row["dataset_version"],
        row["answer"],
        row["spend_id"],
        row["released_at"],
    )
