"""The query type."""

from typing import Annotated

import strawberry

from resolvers.callers import Caller
from resolvers.connections import After, Connection, First, checked_first, page_of, position
from resolvers.context import Info
from resolvers.deprecations import Deprecation
from resolvers.tenants import Tenant, tenant_of
from subgraph.db.cursors import ListIdentity
from subgraph.deprecations import model as deprecations
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AUTHENTICATED, PUBLIC
from subgraph.federation.declare import attribute, field, object_type


@object_type(access=PUBLIC, name="_Service")
class Service:
    """What a composer asks a subgraph for."""

    sdl: str | None = attribute("The federation document of this subgraph.")


@object_type(access=None)
class Query:
    """What can be read."""

    @field(access=PUBLIC, name="_service")
    def service(self, info: Info) -> Service:
        """The document that composers read; in production mode only for the gateway."""
        context = info.context
        if context.production and not context.via_gateway:
            raise SubgraphError(ErrorCode.INTROSPECTION_DISABLED)
        return Service(sdl=context.services.sdl)

    @field(access=AUTHENTICATED)
    def caller(self, info: Info) -> Caller | None:
        """Who sent the operation."""
        principal = info.context.caller()
        return Caller(principal=principal, subject=principal.subject)

    @field(access=AUTHENTICATED)
    async def tenant(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id of the tenant.")],
    ) -> Tenant | None:
        """A tenant that the caller may see; null for any other."""
        return await tenant_of(id, info.context)

    @field(access=PUBLIC, paged=True)
    def deprecations(
        self,
        info: Info,
        phase: Annotated[
            deprecations.DeprecationPhase | None,
            strawberry.argument(description="Only records in this phase."),
        ] = None,
        first: First = 50,
        after: After = None,
    ) -> Connection[Deprecation] | None:
        """The lifecycle records of this schema, by id."""
        checked_first(first)
        services = info.context.services
        ordering = "id" if phase is None else f"id where phase is {phase.value}"
        identity = ListIdentity("deprecations", "", ordering)
        behind = position(services.cursors, identity, after)
        found = services.deprecations.page(
            phase=phase, first=first + 1, after=None if behind is None else str(behind)
        )
        return page_of(
            [Deprecation.of(record, info.context) for record in found],
            first=first,
            after=after,
            cursors=services.cursors,
            of=identity,
            place=lambda record: record.id,
        )
