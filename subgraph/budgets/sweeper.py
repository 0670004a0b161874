"""What workers do for all tenants: forfeit what was left behind, expire and claim tickets."""

from datetime import timedelta
from uuid import UUID

from subgraph.budgets.model import Ticket, TicketClaim
from subgraph.budgets.queue import ticket
from subgraph.db.operator import operator_transaction


async def forfeit_abandoned(system_dsn: str, *, most: int) -> int:
    """Forfeit what is RESERVED past its lease, of at most so many reservations; how many spends."""
    async with operator_transaction(system_dsn) as transaction:
        (row,) = await transaction.rows(
            "SELECT coalesce(sum(dp_forfeit(tenant_id, reservations)), 0) AS forfeited FROM ("
            " SELECT tenant_id, array_agg(reservation_id) AS reservations FROM ("
            "  SELECT r.tenant_id, r.reservation_id FROM dp_reservation r"
            "   WHERE r.lease_until < clock_timestamp() AND (r.tenant_id, r.reservation_id) IN"
            "    (SELECT s.tenant_id, s.reservation_id FROM dp_spend s WHERE s.state = 'RESERVED')"
            "   ORDER BY r.lease_until LIMIT $1 FOR UPDATE SKIP LOCKED) AS abandoned"
            " GROUP BY tenant_id) AS by_tenant",
            most,
        )
    return int(row["forfeited"])


async def moved_tenants(system_dsn: str, *, most: int) -> list[str]:
    """At most so many tenants whose spend chains moved since they were last anchored."""
    async with operator_transaction(system_dsn) as transaction:
        rows = await transaction.rows(
            "SELECT tenant_id FROM dp_budget WHERE anchored_seq < seq"
            " AND window_start = '-infinity' ORDER BY tenant_id LIMIT $1",
            most,
        )
    return [row["tenant_id"] for row in rows]


async def expire_tickets(system_dsn: str, *, most: int) -> int:
    """Expire tickets whose time is over and that nobody runs; each in its own transaction."""
    async with operator_transaction(system_dsn) as transaction:
        rows = await transaction.rows(
            "SELECT tenant_id, ticket_id, epoch FROM dp_ticket WHERE state IN ('QUEUED', 'RUNNING')"
            " AND expires_at <= clock_timestamp()"
            " AND coalesce(lease_until, '-infinity') < clock_timestamp()"
            " ORDER BY expires_at LIMIT $1",
            most,
        )
    expired = 0
    for row in rows:
        async with operator_transaction(system_dsn) as transaction:
            (settled,) = await transaction.rows(
                "SELECT dp_settle_ticket($1, $2, '{QUEUED,RUNNING}', $3, 'EXPIRED', NULL, NULL)"
                " AS released",
                row["tenant_id"],
                row["ticket_id"],
                row["epoch"],
            )
        expired += settled["released"] is not None
    return expired


async def claim_ticket(
    system_dsn: str, holder: UUID, lease: timedelta
) -> tuple[Ticket, TicketClaim] | None:
    """The next ticket whose window has begun, for the holder alone; None when there is none.

    A ticket whose holder's lease ran out is handed out again, under a higher epoch.
    """
    async with operator_transaction(system_dsn) as transaction:
        row = await transaction.row(
            "UPDATE dp_ticket t SET state = 'RUNNING', epoch = t.epoch + 1, holder = $1,"
            " lease_until = clock_timestamp() + $2 FROM ("
            "  SELECT tenant_id, ticket_id FROM dp_ticket"
            "   WHERE not_before <= clock_timestamp() AND expires_at > clock_timestamp()"
            "   AND state IN ('QUEUED', 'RUNNING')"
            "   AND (state = 'QUEUED' OR lease_until < clock_timestamp())"
            "   ORDER BY not_before, created_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS next"
            " WHERE t.tenant_id = next.tenant_id AND t.ticket_id = next.ticket_id RETURNING t.*",
            holder,
            lease,
        )
    if row is None:
        return None
    claimed = ticket(row)
    return claimed, TicketClaim(claimed.ticket_id, claimed.epoch)
