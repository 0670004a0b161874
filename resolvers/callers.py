"""`Caller`."""

import strawberry

from resolvers.context import Info
from resolvers.tenants import Tenant, tenant_of
from subgraph.federation.access import AS_PARENT
from subgraph.federation.declare import attribute, field, object_type
from subgraph.policy.model import Principal


@object_type(access=AS_PARENT)
class ClientIdentity:
    """The client that sent the operation, as it names itself."""

    name: str = attribute("The name of the client.")
    version: str | None = attribute("The version of the client.")


@object_type(access=AS_PARENT)
class Caller:
    """Who sent the operation."""

    principal: strawberry.Private[Principal]
    subject: str = attribute("The pseudonymous id of the caller.")

    @field()
    async def tenant(self, info: Info) -> Tenant | None:
        """The tenant that the caller acts for; null for a platform caller."""
        if self.principal.tenant is None:
            return None
        return await tenant_of(self.principal.tenant, info.context)

    @field(at_most=100)
    def scopes(self) -> list[str]:
        """The scopes that the token holds, at most 100, sorted."""
        return sorted(self.principal.scopes)[:100]

    @field()
    def client(self, info: Info) -> ClientIdentity | None:
        """The client, if it names itself."""
        client = info.context.client
        return None if client is None else ClientIdentity(name=client.name, version=client.version)
