"""A tenant with a budget and a data set, and what is asked of it over HTTP."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from subgraph.db.embedded import EmbeddedServer
from tests.conftest import Api
from tests.integration.datasets import DIGEST, tenant_with_datasets

RELEASE = "epsilon epsilonCharged cached mechanism scales bound95 datasetVersion"
OF_DATASET = (
    "query($tenant: ID!, $dataset: ID!) { tenant(id: $tenant) { dataset(id: $dataset) { dp"
    " { %s } } } }"
)
SCOPES = ("datasets:read", "dp:query", "budgets:read")


@dataclass(frozen=True)
class Spender:
    """Somebody who asks a data set of one tenant."""

    api: Api
    tenant: str
    dataset: str

    def token(self, *scopes: str, subject: str = "analyst") -> str:
        return self.api.mint(self.tenant, *(scopes or SCOPES), subject=subject)

    async def send(
        self, query: str, variables: dict[str, Any] | None = None, **options: Any
    ) -> dict[str, Any]:
        known = {"tenant": self.tenant, "dataset": self.dataset}
        used = {name: value for name, value in known.items() if f"${name}" in query}
        options.setdefault("token", self.token())
        return await self.api.ask(query, variables={**used, **(variables or {})}, **options)

    async def ask(self, selection: str, **options: Any) -> dict[str, Any]:
        return await self.send(OF_DATASET % selection, **options)

    async def released(self, selection: str, **options: Any) -> dict[str, Any]:
        """The releases of an operation in which nothing fails."""
        answer = await self.ask(selection, **options)
        assert "errors" not in answer, answer
        found: dict[str, Any] = answer["data"]["tenant"]["dataset"]["dp"]
        return found

    async def estimate(self, selection: str) -> dict[str, Any]:
        answer = await self.api.ask(
            "query($document: String!, $variables: JSON) { dpEstimate(document: $document,"
            " variables: $variables) { epsilon decision remainingAfter earliestAt"
            " releases { path count epsilon mechanism scales bound95 cached } } }",
            token=self.token(),
            variables={
                "document": OF_DATASET % selection,
                "variables": {"tenant": self.tenant, "dataset": self.dataset},
            },
        )
        assert "errors" not in answer, answer
        found: dict[str, Any] = answer["data"]["dpEstimate"]
        return found

    async def budget(self, selection: str = "epsilonSpent epsilonRemaining") -> dict[str, Any]:
        answer = await self.send(
            "query($tenant: ID!) { tenant(id: $tenant) { privacyBudget { %s } } }" % selection
        )
        assert "errors" not in answer, answer
        found: dict[str, Any] = answer["data"]["tenant"]["privacyBudget"]
        return found

    async def spent(self) -> str:
        return str((await self.budget())["epsilonSpent"])

    async def set_policy(self, limit: str, **terms: object) -> dict[str, Any]:
        answer = await self.send(
            "mutation($tenant: ID!, $input: BudgetPolicyInput!) { setBudgetPolicy("
            "tenantId: $tenant, input: $input) { policy { window epsilonLimit effectiveFrom }"
            " budget { epsilonRemaining } userErrors { code message } } }",
            {"input": {"epsilonLimit": limit, **terms}},
            token=self.token("budgets:write", "budgets:read"),
        )
        found: dict[str, Any] = answer["data"]["setBudgetPolicy"]
        return found

    async def request_override(self, epsilon: str, **warrant: object) -> dict[str, Any]:
        now = datetime.now(UTC)
        given = {
            "reference": "2026/117",
            "issuedBy": "Data protection board",
            "issuedAt": (now - timedelta(hours=1)).isoformat(),
            "expiresAt": (now + timedelta(hours=1)).isoformat(),
            "documentDigest": DIGEST,
            **warrant,
        }
        answer = await self.send(
            "mutation($tenant: ID!, $input: BudgetOverrideInput!, $key: String!) {"
            " requestBudgetOverride(tenantId: $tenant, input: $input, idempotencyKey: $key)"
            " { override { id requestDigest state epsilon } userErrors { code } } }",
            {"input": {"epsilon": epsilon, "warrant": given}, "key": secrets.token_hex(8)},
            token=self.token("budgets:override", "budgets:read", subject="officer"),
        )
        found: dict[str, Any] = answer["data"]["requestBudgetOverride"]
        return found

    async def approve(self, override: dict[str, Any], by: str) -> dict[str, Any]:
        answer = await self.send(
            "mutation($id: ID!, $digest: Digest!) { approveBudgetOverride(id: $id,"
            " requestDigest: $digest) { override { state approvals { approver } }"
            " userErrors { code } } }",
            {"id": override["id"], "digest": override["requestDigest"]},
            token=self.token("budgets:approve", "budgets:read", subject=by),
        )
        found: dict[str, Any] = answer["data"]["approveBudgetOverride"]
        return found


async def spender(api: Api, postgres: EmbeddedServer, limit: str | None = "1") -> Spender:
    """A new tenant with a data set, and a monthly budget if `limit` says one."""
    tenant, (dataset,) = await tenant_with_datasets(api, postgres)
    made = Spender(api, tenant, dataset)
    if limit is not None:
        assert (await made.set_policy(limit))["userErrors"] == []
    return made


def codes(answer: dict[str, Any]) -> dict[str, str]:
    """The code of each error by the place of its field."""
    return {
        ".".join(map(str, error.get("path", ()))): error["extensions"]["code"]
        for error in answer.get("errors", [])
    }
