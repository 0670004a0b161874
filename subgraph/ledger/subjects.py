"""Which objects an event is about, so that the events of an object can be found.

Derived, and no part of what is signed: an auditor reads the entries themselves.
"""

from collections.abc import Sequence
from uuid import UUID

from subgraph.db.binding import tenant_read
from subgraph.db.service import Database, Transaction
from subgraph.ledger.model import NewEvent, Receipt, RecordedEvent
from subgraph.ledger.service import Ledger
from subgraph.ledger.store import recorded_event

_EVENTS = tenant_read(
    "SELECT e.tenant_id, e.index, e.event_id, e.type, e.entry, e.leaf, e.signature"
    " FROM ledger_subject s JOIN ledger_event e"
    " ON e.tenant_id = s.tenant_id AND e.index = s.index"
    " WHERE s.tenant_id = bound.tenant AND s.subject_id = $2 AND s.index > $3"
    " ORDER BY s.index LIMIT $4"
)


async def append_about(
    transaction: Transaction, ledger: Ledger, event: NewEvent, *subjects: UUID
) -> Receipt:
    """Record an event of a tenant, and what it is about; raises what `Ledger.append` raises."""
    assert event.tenant is not None
    return (await append_all_about(transaction, ledger, event.tenant, (event, subjects)))[0]


async def append_all_about(
    transaction: Transaction, ledger: Ledger, tenant: str, *told: tuple[NewEvent, Sequence[UUID]]
) -> list[Receipt]:
    """Record events of `tenant`, each with the ids of the objects that it is about.

    Raises what `Ledger.append_many` raises.
    """
    receipts = await ledger.append_many(transaction, [event for event, _ in told])
    links = [
        (subject, receipt.index)
        for (_, subjects), receipt in zip(told, receipts, strict=True)
        for subject in subjects
    ]
    await transaction.run(
        "INSERT INTO ledger_subject (tenant_id, subject_id, index)"
        " SELECT $1, link.* FROM unnest($2::uuid[], $3::int8[]) AS link ON CONFLICT DO NOTHING",
        tenant,
        [subject for subject, _ in links],
        [index for _, index in links],
    )
    return receipts


class Subjects:
    """Finds the events of an object."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def events_about(
        self, tenant: str, subject: UUID, *, first: int, after: int | None
    ) -> list[RecordedEvent]:
        """The events about an object, oldest first, behind the index `after`."""
        behind = -1 if after is None else after
        rows = await self._database.read(_EVENTS, tenant, subject, behind, first)
        return [recorded_event(row, tenant) for row in rows]
