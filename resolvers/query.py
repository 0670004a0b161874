"""The query type."""

import hashlib
from collections.abc import Iterable
from typing import Annotated

import strawberry

from resolvers.break_glass import BreakGlassRequest
from resolvers.callers import Caller
from resolvers.connections import After, Connection, First, checked_first, page_of, position
from resolvers.context import Info
from resolvers.deprecations import Deprecation
from resolvers.dp_estimates import BudgetQueries
from resolvers.key_jobs import KeyJob
from resolvers.ledger import Ledger
from resolvers.signatures import KeyPurpose, VerificationKey
from resolvers.tenants import Tenant, tenant_of
from subgraph.db.cursors import ListIdentity
from subgraph.deprecations import model as deprecations
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AUTHENTICATED, PUBLIC, deployment_scope, scope
from subgraph.federation.declare import attribute, field, object_type
from subgraph.ledger import model
from subgraph.policy.scopes import Scope


@object_type(access=PUBLIC, name="_Service")
class Service:
    """What a composer asks a subgraph for."""

    sdl: str | None = attribute("The federation document of this subgraph.")


@object_type(access=None)
class Query(BudgetQueries):
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

    @field(access=scope(Scope.KEYS_READ))
    async def key_job(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id of the job.")],
    ) -> KeyJob | None:
        """A job on a tenant's keys; null for one that the caller may not see."""
        return (await KeyJob.load_many([id], info.context))[0]

    @field(access=scope(Scope.BREAKGLASS_READ))
    async def break_glass_request(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id of the request.")],
    ) -> BreakGlassRequest | None:
        """A break-glass request; null for one that the caller may not see."""
        return (await BreakGlassRequest.load_many([id], info.context))[0]

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

    @field(access=PUBLIC, paged=True)
    async def verification_keys(
        self,
        info: Info,
        key_ids: Annotated[
            list[str] | None, strawberry.argument(description="Only these keys.")
        ] = None,
        purpose: Annotated[
            KeyPurpose | None, strawberry.argument(description="Only keys of this purpose.")
        ] = None,
        first: First = 50,
        after: After = None,
    ) -> Connection[VerificationKey] | None:
        """The public keys to verify signatures with, oldest first."""
        checked_first(first)
        services = info.context.services
        named = [purpose] if purpose is not None else list(KeyPurpose)
        purposes = [model.KeyPurpose(item.value) for item in named]
        identity = ListIdentity("verificationKeys", "", _ordering(key_ids, purposes))
        behind = position(services.cursors, identity, after)
        start = "" if behind is None else str(behind)
        wanted = None if key_ids is None else frozenset(key_ids)
        found = await services.ledger.keys(*purposes)
        keys = [key for key in found if wanted is None or key.key_id in wanted]
        later = [key for key in map(VerificationKey.of, keys) if key.place > start]
        return page_of(
            later[: first + 1],
            first=first,
            after=after,
            cursors=services.cursors,
            of=identity,
            place=lambda key: key.place,
        )

    @field(access=deployment_scope(Scope.LEDGER_DEPLOYMENT))
    async def deployment_ledger(self, info: Info) -> Ledger | None:
        """The log of the deployment: keys, deprecations and the tenants' checkpoints."""
        return await Ledger.read(None, info.context)


def _ordering(key_ids: Iterable[str] | None, purposes: Iterable[model.KeyPurpose]) -> str:
    # The ids are hashed, since a cursor's identity has no room for as many as can be asked for.
    asked = "" if key_ids is None else "\n".join(["ids", *sorted(set(key_ids))])
    named = " ".join(purpose.value for purpose in purposes)
    return f"validFrom where purpose in {named} and {hashlib.sha256(asked.encode()).hexdigest()}"
