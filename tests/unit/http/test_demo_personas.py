"""What the demonstration's callers may do."""

import pytest

from subgraph.http.demo_personas import personas
from subgraph.policy.model import PolicyRequest, Principal
from subgraph.policy.scopes import Scope
from subgraph.policy.service import build
from subgraph.settings import Settings

PERSONAS = personas("first", "second")


def test_names_are_those_of_the_demo_file() -> None:
    assert list(PERSONAS) == [
        "viewer",
        "operator",
        "approver1",
        "approver2",
        "auditor",
        "platform",
        "otherTenantViewer",
    ]


def test_approvers_are_two_people() -> None:
    assert PERSONAS["approver1"].subject != PERSONAS["approver2"].subject


@pytest.mark.parametrize(
    ("name", "action", "tenant", "allowed"),
    [
        ("viewer", Scope.DATASETS_READ, "first", True),
        ("viewer", Scope.RECORDS_DECRYPT, "first", False),
        ("viewer", Scope.DATASETS_READ, "second", False),
        ("operator", Scope.RECORDS_DECRYPT, "first", True),
        ("operator", Scope.DP_QUERY, "first", True),
        ("operator", Scope.QUERIES_WRITE, "first", True),
        ("operator", Scope.BREAKGLASS_APPROVE, "first", False),
        ("operator", Scope.PLATFORM_TENANTS, None, False),
        ("approver1", Scope.BREAKGLASS_APPROVE, "first", True),
        ("approver2", Scope.KEYS_APPROVE, "first", True),
        ("approver2", Scope.BUDGETS_READ, "first", True),
        ("approver1", Scope.BREAKGLASS_REQUEST, "first", False),
        ("auditor", Scope.LEDGER_READ, "first", True),
        ("auditor", Scope.PROOFS_READ, "first", True),
        ("auditor", Scope.RECORDS_READ, "first", False),
        ("platform", Scope.PLATFORM_TENANTS, None, True),
        ("platform", Scope.LEDGER_DEPLOYMENT, None, True),
        ("platform", Scope.DATASETS_READ, "first", False),
        ("otherTenantViewer", Scope.DATASETS_READ, "second", True),
        ("otherTenantViewer", Scope.DATASETS_READ, "first", False),
    ],
)
async def test_persona_may_do_what_its_name_says(
    name: str, action: Scope, tenant: str | None, allowed: bool
) -> None:
    persona = PERSONAS[name]
    principal = Principal(persona.subject, persona.tenant, persona.scopes)
    asked = () if tenant is None else (tenant,)
    decision = await build(Settings()).decide(PolicyRequest(principal, action, asked))
    assert decision.allowed is allowed
