"""The events of an object, as pages."""

from uuid import UUID

from resolvers.connections import Connection, checked_first, page_of, position
from resolvers.context import RequestContext
from resolvers.ledger import LedgerEvent
from subgraph.db.cursors import ListIdentity
from subgraph.policy.scopes import Scope


async def events_about(
    context: RequestContext, tenant: str, subject: UUID, first: int, after: str | None
) -> Connection[LedgerEvent] | None:
    """The events about an object, oldest first; None where the caller may not read the ledger."""
    checked_first(first)
    if not await context.allows(Scope.LEDGER_READ, tenant):
        return None
    services = context.services
    identity = ListIdentity("events", tenant, f"index about {subject}")
    behind = position(services.cursors, identity, after)
    found = await services.subjects.events_about(
        tenant, subject, first=first + 1, after=None if behind is None else int(behind)
    )
    return page_of(
        [LedgerEvent.of(event) for event in found],
        first=first,
        after=after,
        cursors=services.cursors,
        of=identity,
        place=lambda event: event.record.index,
    )
