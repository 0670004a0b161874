"""The SQL of requests and approvals."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from subgraph.approvals.model import (
    Approval,
    ApprovalRequest,
    NewRequest,
    Rejection,
    RequestKey,
    RequestState,
)
from subgraph.db.binding import tenant_read_many
from subgraph.db.service import Database, Row, Transaction


def selection(tenant: str, now: str) -> str:
    """A SELECT of the requests of `tenant` as they stand at `now`, both SQL expressions.

    It names the request `r` and ends in a WHERE that can be continued.
    """
    return (
        "SELECT r.tenant_id, r.kind, r.request_id, r.requester, r.payload, r.digest, r.needed,"
        " r.created_at, r.expires_at, r.rejected_by, r.rejected_at, r.rejection_reason,"
        f" CASE WHEN r.state IN ('REQUESTED', 'APPROVED') AND r.expires_at <= {now}"
        "  THEN 'EXPIRED' ELSE r.state END AS state, given.*"
        " FROM approval_request AS r CROSS JOIN LATERAL ("
        "  SELECT array_agg(a.approver ORDER BY a.at, a.approver) AS approvers,"
        "   array_agg(a.token_id ORDER BY a.at, a.approver) AS token_ids,"
        "   array_agg(a.digest ORDER BY a.at, a.approver) AS digests,"
        "   array_agg(a.at ORDER BY a.at, a.approver) AS times,"
        "   array_agg(a.key_id ORDER BY a.at, a.approver) AS key_ids,"
        "   array_agg(a.signature ORDER BY a.at, a.approver) AS signatures"
        "  FROM approval AS a WHERE a.tenant_id = r.tenant_id AND a.request_id = r.request_id"
        f" ) AS given WHERE r.tenant_id = {tenant}"
    )


_REQUESTS = tenant_read_many(
    f"{selection('bound.tenant', 'now()')} AND r.request_id = ANY (asked.keys)", key_type="uuid"
)


async def load(database: Database, keys: Sequence[RequestKey]) -> dict[RequestKey, ApprovalRequest]:
    """The requests that exist; one statement."""
    asked = list({(key.tenant, key.request_id) for key in keys})
    wanted = set(keys)
    found = (request_of(row) for row in await database.read_many(_REQUESTS, asked))
    return {request.key: request for request in found if request.key in wanted}


async def now(transaction: Transaction) -> datetime:
    """The time by the database's clock, as this statement runs."""
    row = await transaction.row("SELECT clock_timestamp() AS now")
    assert row is not None
    at: datetime = row["now"]
    return at


async def lock(transaction: Transaction, tenant: str, kind: str, request_id: UUID) -> bool:
    """Hold the request until the transaction ends; False when there is none."""
    row = await transaction.row(
        "SELECT FROM approval_request"
        " WHERE tenant_id = $1 AND kind = $2 AND request_id = $3 FOR UPDATE",
        tenant,
        kind,
        request_id,
    )
    return row is not None


async def request(
    transaction: Transaction, tenant: str, request_id: UUID, at: datetime
) -> ApprovalRequest:
    """A request that exists, as it stands at `at`."""
    row = await transaction.row(
        f"{selection('$1', '$3')} AND r.request_id = $2", tenant, request_id, at
    )
    assert row is not None
    return request_of(row)


async def insert_request(
    transaction: Transaction, tenant: str, made: ApprovalRequest, key: str, input_digest: str
) -> bool:
    """Keep a new request; False when the requester has used the idempotency key `key`."""
    row = await transaction.row(
        "INSERT INTO approval_request (tenant_id, request_id, kind, requester, payload, digest,"
        " state, needed, created_at, expires_at, idempotency_key, input_digest)"
        " VALUES ($1, $2, $3, $4, $5, $6, 'REQUESTED', $7, $8, $9, $10, $11)"
        " ON CONFLICT (tenant_id, kind, requester, idempotency_key) DO NOTHING"
        " RETURNING request_id",
        tenant,
        made.key.request_id,
        made.key.kind,
        made.requester,
        made.payload,
        made.digest,
        made.needed,
        made.created_at,
        made.expires_at,
        key,
        input_digest,
    )
    return row is not None


async def repeated(transaction: Transaction, tenant: str, wanted: NewRequest) -> Row:
    """The `request_id` and the `input_digest` that the idempotency key stands for."""
    row = await transaction.row(
        "SELECT request_id, input_digest FROM approval_request WHERE tenant_id = $1"
        " AND kind = $2 AND requester = $3 AND idempotency_key = $4",
        tenant,
        wanted.kind,
        wanted.requester,
        wanted.idempotency_key,
    )
    assert row is not None
    return row


async def insert_approval(
    transaction: Transaction, tenant: str, request_id: UUID, requester: str, given: Approval
) -> None:
    """Keep an approval."""
    await transaction.run(
        "INSERT INTO approval (tenant_id, request_id, requester, digest, approver, token_id, at,"
        " key_id, signature) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant,
        request_id,
        requester,
        given.digest,
        given.approver,
        given.token_id,
        given.at,
        given.key_id,
        given.signature,
    )


async def move(
    transaction: Transaction, tenant: str, request_id: UUID, state: RequestState
) -> None:
    """Put a locked request into another state; the database refuses one that cannot follow."""
    await transaction.run(
        "UPDATE approval_request SET state = $3 WHERE tenant_id = $1 AND request_id = $2",
        tenant,
        request_id,
        state.value,
    )


async def reject(
    transaction: Transaction, tenant: str, request_id: UUID, rejection: Rejection
) -> None:
    """Put a locked request into the state REJECTED."""
    await transaction.run(
        "UPDATE approval_request SET state = 'REJECTED', rejected_by = $3, rejected_at = $4,"
        " rejection_reason = $5 WHERE tenant_id = $1 AND request_id = $2",
        tenant,
        request_id,
        rejection.by,
        rejection.at,
        rejection.reason,
    )


async def is_open(transaction: Transaction, tenant: str, request_id: UUID) -> bool:
    """Whether the row is in a state from which it can still expire."""
    row = await transaction.row(
        "SELECT FROM approval_request WHERE tenant_id = $1 AND request_id = $2"
        " AND state IN ('REQUESTED', 'APPROVED')",
        tenant,
        request_id,
    )
    return row is not None


async def due(transaction: Transaction, at: datetime, limit: int) -> list[RequestKey]:
    """Requests of any tenant whose time is over and not yet recorded as such, oldest first.

    The transaction is the system role's.
    """
    rows = await transaction.rows(
        "SELECT tenant_id, kind, request_id FROM approval_request"
        " WHERE state IN ('REQUESTED', 'APPROVED') AND expires_at <= $1"
        " ORDER BY expires_at LIMIT $2",
        at,
        limit,
    )
    return [RequestKey(row["tenant_id"], row["kind"], row["request_id"]) for row in rows]


def request_of(row: Row) -> ApprovalRequest:
    """A request from a row of `selection`."""
    given = [
        row[name] or ()
        for name in ("approvers", "token_ids", "digests", "times", "key_ids", "signatures")
    ]
    rejection = None
    if row["rejected_by"] is not None:
        rejection = Rejection(row["rejected_by"], row["rejected_at"], row["rejection_reason"])
    return ApprovalRequest(
        key=RequestKey(row["tenant_id"], row["kind"], row["request_id"]),
        requester=row["requester"],
        payload=row["payload"],
        digest=row["digest"],
        state=RequestState(row["state"]),
        needed=row["needed"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        approvals=tuple(Approval(*values) for values in zip(*given, strict=True)),
        rejection=rejection,
    )
