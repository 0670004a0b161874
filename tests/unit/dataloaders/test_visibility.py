"""Which tenants a caller sees, by the real policy."""

import pytest

from dataloaders.visibility import Visibility
from subgraph.policy import service
from subgraph.policy.model import AUTHENTICATED, PolicyDecisionPoint, Principal
from subgraph.settings import Settings

READ = "datasets:read"
TENANT = Principal("s", "acme", frozenset({READ}))
PLATFORM = Principal("s", None, frozenset({"platform:tenants"}))
READING_PLATFORM = Principal("s", None, frozenset({"platform:tenants", READ}))


@pytest.fixture
def policy() -> PolicyDecisionPoint:
    return service.build(Settings())


@pytest.mark.parametrize(
    ("principal", "action", "seen"),
    [
        (None, AUTHENTICATED, set()),
        (None, READ, set()),
        (TENANT, AUTHENTICATED, {"acme"}),
        (TENANT, READ, {"acme"}),
        (TENANT, "keys:read", set()),
        (PLATFORM, AUTHENTICATED, {"acme", "other"}),
        (PLATFORM, READ, set()),
        (READING_PLATFORM, READ, {"acme", "other"}),
        (Principal("s", None, frozenset({READ})), READ, set()),
        (Principal("s", "acme", frozenset({"platform:*"})), AUTHENTICATED, {"acme"}),
    ],
)
async def test_caller_sees_what_it_may(
    policy: PolicyDecisionPoint, principal: Principal | None, action: str, seen: set[str]
) -> None:
    visibility = Visibility(principal, policy)
    assert await visibility.tenants(action, ["acme", "other", "acme"]) == seen


@pytest.mark.parametrize("name", ["", "a b", "x\0", "a" * 129, "\u00e9", 'x"', "x\\"])
async def test_what_cannot_be_a_tenant_is_seen_by_nobody(
    policy: PolicyDecisionPoint, name: str
) -> None:
    assert await Visibility(PLATFORM, policy).tenants(AUTHENTICATED, [name]) == frozenset()


async def test_odd_name_does_not_hide_the_others(policy: PolicyDecisionPoint) -> None:
    visibility = Visibility(PLATFORM, policy)
    assert await visibility.tenants(AUTHENTICATED, ["x\0", "acme"]) == {"acme"}


async def test_nobody_is_asked_about_no_tenant(policy: PolicyDecisionPoint) -> None:
    assert await Visibility(PLATFORM, policy).tenants(AUTHENTICATED, []) == frozenset()
