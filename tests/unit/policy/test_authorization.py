"""The Rego of this release, evaluated in process."""

import pytest
import regopy
from hypothesis import given
from hypothesis import strategies as st

from subgraph.policy.model import Decision, PolicyRequest, Principal
from subgraph.policy.rego import POLICY_FILE, release_policy
from subgraph.policy.scopes import Scope
from subgraph.policy.service import DecisionPoint

REGO_TESTS = POLICY_FILE.with_name("authorization_test.rego")
NOTHING = Decision(allowed=False, tenants=frozenset())

names = st.sampled_from(["acme", "other", "platform:tenants", "authenticated"])
scopes = st.sampled_from([*Scope, "authenticated", "platform:", "*", "acme"])
malformed = st.sampled_from(
    ["", " ", "acme\0x", 'acme"', "acme\\", "acme\n", "\ud800", "é", "a" * 129]
)


def in_process() -> DecisionPoint:
    return DecisionPoint(release_policy(), remembered_seconds=0)


def rego_cases() -> list[object]:
    engine = regopy.Interpreter()
    engine.add_module("authorization_test", REGO_TESTS.read_text())
    cases = engine.query("data.governance.authorization_test.cases").results[0].expressions[0]
    return [pytest.param(case["input"], case["answer"], id=name) for name, case in cases.items()]


@pytest.mark.parametrize(("document", "answer"), rego_cases())
async def test_policy_answers_its_own_cases(document: object, answer: object) -> None:
    assert await release_policy().evaluate(document) == answer


async def test_decision_follows_the_table(case) -> None:
    decision = await in_process().decide(case.request)
    tenants = frozenset(case.request.tenants) if case.allowed else frozenset()
    assert decision == Decision(allowed=case.allowed, tenants=tenants)


async def test_one_refused_tenant_leaves_the_others_allowed() -> None:
    request = PolicyRequest(
        Principal("s", "acme", frozenset({"datasets:read"})), "datasets:read", ("acme", "other")
    )
    assert await in_process().decide(request) == Decision(
        allowed=False, tenants=frozenset({"acme"})
    )


@given(
    tenant=names,
    held=st.frozensets(scopes),
    action=scopes,
    asked=st.lists(names, min_size=1),
)
async def test_nobody_with_a_tenant_ever_crosses_to_another(
    tenant: str, held: frozenset[str], action: str, asked: list[str]
) -> None:
    document = {
        "principal": {"tenant": tenant, "scopes": sorted(held)},
        "action": action,
        "tenants": list(asked),
    }
    answer = await release_policy().evaluate(document)
    assert set(answer["tenants"]) <= {tenant}


@given(bad=malformed, held=st.frozensets(scopes))
async def test_malformed_tenant_is_refused_and_its_neighbour_is_not(
    bad: str, held: frozenset[str]
) -> None:
    principal = Principal("s", None, held | {"platform:*"})
    request = PolicyRequest(principal, "authenticated", (bad, "acme"))
    assert (await in_process().decide(request)).tenants == {"acme"}


@given(bad=malformed)
async def test_malformed_principal_or_action_is_denied(bad: str) -> None:
    point = in_process()
    everything = frozenset({"platform:*", "datasets:read"})
    requests = (
        PolicyRequest(Principal("s", bad, everything), "authenticated", ("acme",)),
        PolicyRequest(Principal("s", bad, everything), "authenticated", (bad,)),
        PolicyRequest(Principal("s", None, everything | {bad}), "authenticated", ("acme",)),
        PolicyRequest(Principal("s", None, everything), bad, ("acme",)),
        PolicyRequest(Principal("s", None, everything), bad),
    )
    for request in requests:
        assert await point.decide(request) == NOTHING


async def test_large_question_is_answered_in_full() -> None:
    tenants = [f"t{number}" for number in range(1_000)]
    document = {
        "principal": {"tenant": None, "scopes": ["platform:tenants"]},
        "action": "authenticated",
        "tenants": tenants,
    }
    answer = await release_policy().evaluate(document)
    assert answer == {"allowed": True, "tenants": tenants}


async def test_name_cut_at_nul_is_no_other_tenant() -> None:
    # rego-cpp takes C strings: past the gate, both of these would be "acme".
    principal = Principal("s", "acme\0x", frozenset({"datasets:read"}))
    request = PolicyRequest(principal, "datasets:read", ("acme",))
    assert await in_process().decide(request) == NOTHING
