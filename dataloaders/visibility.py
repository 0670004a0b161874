"""Which tenants' objects a caller may see.

What a caller may not see is loaded like what does not exist, so no answer tells the two apart.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from subgraph.policy.model import PolicyDecisionPoint, PolicyRequest, Principal


@dataclass(frozen=True, slots=True)
class Visibility:
    """The decisions for one caller; None is a caller without a token, who sees no tenant."""

    principal: Principal | None
    policy: PolicyDecisionPoint

    async def tenants(self, action: str, tenants: Iterable[str]) -> frozenset[str]:
        """Those of `tenants` on which the caller may take `action`; one decision for all.

        Raises `POLICY_UNAVAILABLE`.
        """
        if self.principal is None:
            return frozenset()
        asked = tuple(sorted(set(tenants)))
        decision = await self.policy.decide(PolicyRequest(self.principal, action, asked))
        return decision.tenants

    async def deployment(self, action: str) -> bool:
        """Whether the caller may take `action` on the deployment. Raises `POLICY_UNAVAILABLE`."""
        if self.principal is None:
            return False
        return (await self.policy.decide(PolicyRequest(self.principal, action))).allowed
