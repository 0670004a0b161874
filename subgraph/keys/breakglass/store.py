"""The SQL of break-glass: justifications, sessions, and both beside their requests."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from subgraph.approvals.store import request_of, selection
from subgraph.db.binding import tenant_read, tenant_read_many
from subgraph.db.service import Database, Row, Transaction
from subgraph.keys.breakglass.model import (
    KIND,
    BreakGlassPage,
    BreakGlassRequest,
    BreakGlassState,
    Outcome,
    Session,
    Terms,
)


def _whole(tenant: str, now: str) -> str:
    """A SELECT of break-glass requests named `q`, with the state that is shown at `now`."""
    return (
        "SELECT q.*, CASE WHEN q.state <> 'APPLIED' THEN q.state"
        "  WHEN s.outcome IS NOT NULL THEN s.outcome"
        f"  WHEN s.expires_at <= {now} THEN 'EXPIRED' ELSE 'ACTIVE' END AS shown,"
        " j.justification, s.short_id, s.opened_at, s.expires_at AS session_expires_at,"
        " s.ended_at, s.outcome, s.idempotency_key, s.watermark_key"
        f" FROM ({selection(tenant, now)} AND r.kind = '{KIND}') AS q"
        " LEFT JOIN break_glass_justification AS j"
        "  ON j.tenant_id = q.tenant_id AND j.request_id = q.request_id"
        " LEFT JOIN break_glass_session AS s"
        "  ON s.tenant_id = q.tenant_id AND s.request_id = q.request_id"
    )


_REQUESTS = tenant_read_many(
    f"{_whole('bound.tenant', 'now()')} WHERE q.request_id = ANY (asked.keys)", key_type="uuid"
)
_PAGE = tenant_read(
    f"SELECT * FROM ({_whole('bound.tenant', 'now()')}) AS listed"
    " WHERE ($3::timestamptz IS NULL OR (created_at, request_id) < ($3, $4::uuid))"
    " AND ($5::text IS NULL OR shown = $5)"
    " ORDER BY created_at DESC, request_id DESC LIMIT $2"
)
_NAMED = tenant_read(f"{_whole('bound.tenant', 'now()')} WHERE s.short_id = ANY ($2::text[])")


async def load(
    database: Database, keys: Sequence[tuple[str, UUID]]
) -> dict[tuple[str, UUID], BreakGlassRequest]:
    """The requests that exist, by tenant and id; one statement."""
    rows = await database.read_many(_REQUESTS, keys)
    return {(row["tenant_id"], row["request_id"]): _request(row) for row in rows}


async def page(database: Database, tenant: str, asked: BreakGlassPage) -> list[BreakGlassRequest]:
    """Requests of a tenant, newest first."""
    at, request_id = asked.after or (None, None)
    state = asked.state.value if asked.state else None
    rows = await database.read(_PAGE, tenant, asked.first, at, request_id, state)
    return [_request(row) for row in rows]


async def named(
    database: Database, tenant: str, short_ids: Sequence[str]
) -> Mapping[str, Sequence[BreakGlassRequest]]:
    """The requests whose sessions bear these short ids."""
    found: dict[str, list[BreakGlassRequest]] = {}
    for row in await database.read(_NAMED, tenant, short_ids):
        found.setdefault(row["short_id"], []).append(_request(row))
    return found


async def request(
    transaction: Transaction, tenant: str, request_id: UUID, at: datetime
) -> BreakGlassRequest | None:
    """A request as it stands at `at`."""
    row = await transaction.row(
        f"{_whole('$1', '$3')} WHERE q.request_id = $2", tenant, request_id, at
    )
    return _request(row) if row else None


async def insert_justification(
    transaction: Transaction, tenant: str, request_id: UUID, salt: bytes, justification: str
) -> None:
    """Keep why a request is made."""
    await transaction.run(
        "INSERT INTO break_glass_justification (tenant_id, request_id, salt, justification)"
        " VALUES ($1, $2, $3, $4)",
        tenant,
        request_id,
        salt,
        justification,
    )


async def erase_justification(transaction: Transaction, tenant: str, request_id: UUID) -> bool:
    """Erase the text and its salt for good; False when there is none."""
    row = await transaction.row(
        "DELETE FROM break_glass_justification WHERE tenant_id = $1 AND request_id = $2"
        " RETURNING request_id",
        tenant,
        request_id,
    )
    return row is not None


async def insert_session(
    transaction: Transaction, tenant: str, request_id: UUID, session: Session, token_id: str
) -> None:
    """Keep a session that begins."""
    await transaction.run(
        "INSERT INTO break_glass_session (tenant_id, request_id, short_id, opened_at, expires_at,"
        " idempotency_key, token_id, watermark_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant,
        request_id,
        session.short_id,
        session.opened_at,
        session.expires_at,
        session.idempotency_key,
        token_id,
        session.watermark_key,
    )


async def hold_session(transaction: Transaction, tenant: str, request_id: UUID) -> None:
    """Keep a session from being ended until the transaction ends."""
    await transaction.run(
        "SELECT FROM break_glass_session WHERE tenant_id = $1 AND request_id = $2 FOR SHARE",
        tenant,
        request_id,
    )


async def end_session(
    transaction: Transaction,
    tenant: str,
    request_id: UUID,
    *,
    at: datetime,
    by: str,
    outcome: Outcome,
) -> bool:
    """End a session; False when it has ended, or never began."""
    row = await transaction.row(
        "UPDATE break_glass_session SET ended_at = $3, ended_by = $4, outcome = $5"
        " WHERE tenant_id = $1 AND request_id = $2 AND ended_at IS NULL RETURNING request_id",
        tenant,
        request_id,
        at,
        by,
        outcome.value,
    )
    return row is not None


async def due(transaction: Transaction, at: datetime, limit: int) -> list[tuple[str, UUID]]:
    """Sessions of any tenant whose time is over and not yet recorded as such, oldest first.

    The transaction is the system role's.
    """
    rows = await transaction.rows(
        "SELECT tenant_id, request_id FROM break_glass_session"
        " WHERE ended_at IS NULL AND expires_at <= $1 ORDER BY expires_at LIMIT $2",
        at,
        limit,
    )
    return [(row["tenant_id"], row["request_id"]) for row in rows]


def _request(row: Row) -> BreakGlassRequest:
    approval = request_of(row)
    session = None
    if row["short_id"] is not None:
        session = Session(
            short_id=row["short_id"],
            opened_at=row["opened_at"],
            expires_at=row["session_expires_at"],
            ended_at=row["ended_at"],
            outcome=Outcome(row["outcome"]) if row["outcome"] else None,
            idempotency_key=row["idempotency_key"],
            watermark_key=row["watermark_key"],
        )
    return BreakGlassRequest(
        approval=approval,
        terms=Terms.read(approval.payload),
        justification=row["justification"],
        session=session,
        state=BreakGlassState(row["shown"]),
    )
