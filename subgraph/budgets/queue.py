"""Operations that wait for the next window, each with a promise of the epsilon that it will need.

A promise is not a spend: nothing has been read for it, so it is taken back when the ticket is
cancelled, denied or expires. The reservation of a claimed ticket turns it into spends.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from uuid import UUID, uuid4

from subgraph.budgets.alerts import report_low
from subgraph.budgets.epsilon import format_epsilon, to_quanta
from subgraph.budgets.errors import refuse
from subgraph.budgets.model import DpTicketState, Ticket, TicketClaim, TicketRequest
from subgraph.budgets.windows import write_instant
from subgraph.db.binding import tenant_read, tenant_read_many
from subgraph.db.service import Database, Row
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger import canonical
from subgraph.ledger.service import Ledger

_TICKET = (
    "tenant_id, ticket_id, operation, variables, actor, epsilon, not_before, deadline,"
    " expires_at, state, failure, result, epoch, created_at"
)
_PROMISE = "SELECT * FROM dp_promise($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_SETTLE = tenant_read("SELECT dp_settle_ticket(bound.tenant, $2, $3, $4, $5, $6, $7) AS released")
_TICKETS = tenant_read_many(
    f"SELECT {_TICKET} FROM dp_ticket WHERE tenant_id = bound.tenant"
    " AND ticket_id = ANY (asked.keys)",
    key_type="uuid",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a claimed ticket ended: with a result (JSON text), or with a stable code."""

    state: DpTicketState
    result: str | None = None
    failure: str | None = None


async def enqueue(
    database: Database, ledger: Ledger, tenant: str, request: TicketRequest
) -> Ticket:
    """Reserve the epsilon in the next window, and queue the operation for it.

    A repeated request answers the same ticket. Raises `BudgetRefused` when the next window cannot
    promise it, `INVALID_INPUT` for a deadline before that window, `BUDGET_NOT_SET` and
    `IDEMPOTENCY_CONFLICT`.
    """
    to_quanta(request.epsilon)
    async with database.transaction(tenant) as transaction:
        (row,) = await transaction.rows(
            _PROMISE,
            tenant,
            uuid4(),
            request.key,
            _digest(request),
            request.operation,
            request.variables,
            request.actor,
            request.epsilon,
            request.deadline,
        )
        _refuse(row)
        await report_low(transaction, ledger, tenant)
    found = await tickets(database, [(tenant, row["ticket_id"])])
    return found[tenant, row["ticket_id"]]


async def cancel(database: Database, tenant: str, ticket_id: UUID) -> None:
    """Take a ticket out of the queue; `TICKET_LOST` when it is not QUEUED any more."""
    rows = await database.call(
        _SETTLE,
        tenant,
        ticket_id,
        [DpTicketState.QUEUED.value],
        None,
        DpTicketState.CANCELLED.value,
        None,
        None,
    )
    _require_settled(rows)


async def finish(database: Database, tenant: str, claim: TicketClaim, outcome: Outcome) -> None:
    """End a claimed ticket; `TICKET_LOST` when somebody else has claimed it since."""
    rows = await database.call(
        _SETTLE,
        tenant,
        claim.ticket_id,
        [DpTicketState.RUNNING.value],
        claim.epoch,
        outcome.state.value,
        outcome.failure,
        outcome.result,
    )
    _require_settled(rows)


async def tickets(
    database: Database, keys: Sequence[tuple[str, UUID]]
) -> dict[tuple[str, UUID], Ticket]:
    """The tickets that there are, by tenant and id; one statement."""
    rows = await database.read_many(_TICKETS, keys)
    return {(row["tenant_id"], row["ticket_id"]): ticket(row) for row in rows}


def ticket(row: Row) -> Ticket:
    """A ticket from its row."""
    return Ticket(
        tenant=row["tenant_id"],
        ticket_id=row["ticket_id"],
        operation=row["operation"],
        variables=row["variables"],
        actor=row["actor"],
        epsilon=row["epsilon"],
        not_before=row["not_before"],
        deadline=row["deadline"],
        expires_at=row["expires_at"],
        state=DpTicketState(row["state"]),
        failure=row["failure"],
        result=row["result"],
        epoch=row["epoch"],
        created_at=row["created_at"],
    )


def _require_settled(rows: Sequence[Row]) -> None:
    if rows[0]["released"] is None:
        raise SubgraphError(ErrorCode.TICKET_LOST)


def _refuse(row: Row) -> None:
    refuse(row)
    if row["outcome"] == "TOO_LATE":
        message = f"the next window begins at {write_instant(row['resets_at'])}"
        raise SubgraphError(ErrorCode.INVALID_INPUT, message, field="deadline")


def _digest(request: TicketRequest) -> bytes:
    text = canonical.encode(
        {
            "operation": request.operation,
            "variables": request.variables,
            "actor": request.actor,
            "epsilon": format_epsilon(request.epsilon),
            "deadline": write_instant(request.deadline.astimezone(UTC)),
        }
    )
    return hashlib.sha256(text).digest()
