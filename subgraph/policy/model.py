"""Who asks, what for, and the port that decides."""

from dataclasses import dataclass, field
from typing import Final, Protocol

AUTHENTICATED: Final = "authenticated"
"""The action that any known caller may take on its own tenant."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller. `subject` is a pseudonymous id; it names no person.

    `token_id` names the token that was presented, for decisions that one token takes once.
    """

    subject: str
    tenant: str | None
    scopes: frozenset[str] = field(default_factory=frozenset)
    client_name: str | None = None
    token_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """The question whether `principal` may take `action` on each of `tenants`.

    `action` is a scope of the contract (`datasets:read`) or `AUTHENTICATED`. An action on the
    deployment as a whole names no tenant.
    """

    principal: Principal
    action: str
    tenants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What is allowed.

    `allowed` holds if all that was asked is allowed: the deployment-wide action, or the action on
    every tenant named. `tenants` are those of the tenants named that the action is allowed on.
    """

    allowed: bool
    tenants: frozenset[str]


class PolicyDecisionPoint(Protocol):
    """The one place that says who may.

    An implementation MUST answer for every tenant asked about, MUST NOT depend on whether a
    tenant exists, and MUST fail closed: it raises `SubgraphError(POLICY_UNAVAILABLE)` when it
    cannot decide in time, and never answers yes by default. It MAY remember decisions for as
    long as its epoch holds.
    """

    @property
    def epoch(self) -> str:
        """The revision of the policy; what was remembered under another one no longer holds."""
        ...

    async def decide(self, request: PolicyRequest) -> Decision:
        """Decide one request; one round trip however many tenants are asked about."""
        ...

    async def aclose(self) -> None:
        """Give back connections."""
        ...
