"""`Deprecation`."""

from collections.abc import Sequence
from datetime import date

import strawberry

from resolvers.context import RequestContext
from subgraph.deprecations import model
from subgraph.federation.access import PUBLIC, scope
from subgraph.federation.declare import attribute, described_enum, object_type
from subgraph.policy.scopes import Scope

described_enum(
    model.DeprecationPhase,
    {
        "ANNOUNCED": "Known, and not yet deprecated.",
        "DEPRECATED": "It works; new uses are refused by the gate.",
        "GRACE": "Its date has passed; it works for those who still use it.",
        "ENDED": "It may be gone.",
    },
)


@object_type(access=PUBLIC, key="id")
class Deprecation:
    """The lifecycle of a deprecated element of this schema."""

    id: strawberry.ID = attribute("The id of the record, as in `DEP-2026-001`.")
    coordinate: str = attribute("The element, as a schema coordinate.")
    phase: model.DeprecationPhase = attribute("Where the element stands today.")
    announced: date = attribute("The day on which the record was published.")
    since: date = attribute("The day from which it is deprecated.")
    until: date = attribute("The day until which it works for everybody.")
    grace_until: date = attribute("The first day on which it may be gone.")
    reason: str = attribute("Why it goes.")
    replacement: str | None = attribute("What to use, as a schema coordinate.")
    shim: str | None = attribute("The shim that keeps old operations working.")
    owner: str | None = attribute(
        "The team that answers questions.", access=scope(Scope.DEPRECATIONS_READ)
    )

    @classmethod
    def of(cls, record: model.Deprecation, context: RequestContext) -> "Deprecation":
        """The GraphQL object of a record."""
        return cls(
            id=strawberry.ID(record.id),
            coordinate=record.coordinate,
            phase=context.services.deprecations.phase(record),
            announced=record.announced,
            since=record.since,
            until=record.until,
            grace_until=record.grace_until,
            reason=record.reason,
            replacement=record.replacement,
            shim=record.shim,
            owner=record.owner,
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["Deprecation | None"]:
        """The records with these ids; they are in memory, so no statement is sent."""
        found = [context.services.deprecations.get(key) for key in keys]
        return [None if record is None else cls.of(record, context) for record in found]
