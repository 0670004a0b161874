"""Who may read an element of the schema.

One declaration per type and field makes both the directives that composers and routers read and
the guards that run here: a subgraph that is called directly must refuse what its router would.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from strawberry.federation.schema_directives import Authenticated, RequiresScopes


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller must be or hold.

    `scope` is a scope of the contract. `deployment` says that it is decided for the deployment as
    a whole and never for a tenant.
    """

    name: str
    scope: str | None = None
    deployment: bool = False

    @property
    def directives(self) -> list[object]:
        """The federation directives that say the same."""
        if self.scope is not None:
            return [RequiresScopes(scopes=[[self.scope]])]
        return [Authenticated()] if self == AUTHENTICATED else []

    @property
    def guarded(self) -> bool:
        """Whether anything is to be checked where the element is read."""
        return self not in (PUBLIC, AS_PARENT)


PUBLIC: Final = Access("public")
"""Anybody, without a token."""

AUTHENTICATED: Final = Access("authenticated")
"""Any caller with a valid token."""

AS_PARENT: Final = Access("as parent")
"""Whoever may read the field that returns the object; for types that no entity query reaches."""


def scope(name: str) -> Access:
    """A caller that holds the scope `name` on the tenant that owns the object."""
    return Access(name, scope=name)


def deployment_scope(name: str) -> Access:
    """A platform caller that holds the scope `name`."""
    return Access(name, scope=name, deployment=True)


class Authorised(Protocol):
    """What a GraphQL context offers to the guards."""

    def require(self, access: Access) -> None:
        """Return if the caller has `access`; raise `UNAUTHENTICATED` or `FORBIDDEN` if not.

        MUST NOT wait: decisions were taken before the operation began.
        """
        ...
