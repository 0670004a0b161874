"""The demonstration's budget and data set, with its own tokens: to the limit, and past it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from subgraph.budgets.verify import LoggedSpend, SpendLog, verify_log
from subgraph.tenants import demo_data
from tests.conftest import Demo
from tests.integration.datasets import DIGEST
from tests.integration.releases import codes

ASK = (
    "query($tenant: ID!, $dataset: ID!, $column: String!, $e: Epsilon!) { tenant(id: $tenant)"
    " { name dataset(id: $dataset) { name dp {"
    ' count(epsilon: "0.5") { value bound95 cached epsilonCharged }'
    " sum(column: $column, epsilon: $e) { value bound95 cached } } } } }"
)
ESTIMATE = (
    "query($document: String!, $variables: JSON) { dpEstimate(document: $document,"
    " variables: $variables) { epsilon decision remainingAfter releases { path cached } } }"
)
BUDGET = (
    "query($tenant: ID!, $after: String) { tenant(id: $tenant) { privacyBudget { windowStart"
    " windowEnd epsilonLimit epsilonSpent accountantHash spends(first: 5, after: $after)"
    " { nodes { entry chainHash } pageInfo { hasNextPage endCursor } } } } }"
)
REQUEST = (
    "mutation($tenant: ID!, $input: BudgetOverrideInput!) { requestBudgetOverride(tenantId:"
    ' $tenant, input: $input, idempotencyKey: "demo") { override { id requestDigest }'
    " userErrors { code } } }"
)
APPROVE = (
    "mutation($id: ID!, $digest: Digest!) { approveBudgetOverride(id: $id, requestDigest:"
    " $digest) { override { state } userErrors { code } } }"
)


class Asker:
    """Asks the demonstration as one of its people."""

    def __init__(self, demo: Demo, client: httpx.Client) -> None:
        self.demo = demo
        self.tenant = demo.tenants[0]
        self.client = client
        found = self.send(
            "query($tenant: ID!) { tenant(id: $tenant) { datasets { nodes { id } } } }",
            {"tenant": self.tenant},
        )
        (node,) = found["data"]["tenant"]["datasets"]["nodes"]
        self.dataset = node["id"]

    def send(self, query: str, variables: dict[str, Any], who: str = "operator") -> Any:
        response = self.client.post(
            f"{self.demo.url}/graphql",
            json={"query": query, "variables": variables},
            headers={"authorization": f"Bearer {self.demo.tokens[who]}"},
        )
        return response.json()

    def variables(self, epsilon: str, column: str = "age") -> dict[str, str]:
        names = {"tenant": self.tenant, "dataset": self.dataset}
        return {**names, "column": column, "e": epsilon}

    def ask(self, epsilon: str) -> Any:
        return self.send(ASK, self.variables(epsilon))

    def estimate(self, epsilon: str) -> Any:
        wanted = {"document": ASK, "variables": self.variables(epsilon)}
        return self.send(ESTIMATE, wanted)["data"]["dpEstimate"]

    def log(self) -> SpendLog:
        """The spend log of the window, read page by page as an auditor."""
        spends: list[LoggedSpend] = []
        after = None
        while True:
            answer = self.send(BUDGET, {"tenant": self.tenant, "after": after}, "auditor")
            budget = answer["data"]["tenant"]["privacyBudget"]
            page = budget["spends"]
            spends += [LoggedSpend(item["entry"], item["chainHash"]) for item in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                return SpendLog(
                    self.tenant,
                    _instant(budget["windowStart"]),
                    _instant(budget["windowEnd"]),
                    len(spends),
                    budget["accountantHash"],
                    budget["epsilonSpent"],
                    tuple(spends),
                )


def _instant(text: str) -> str:
    """The instant as entries write it."""
    at = datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
    return at.isoformat(timespec="microseconds") + "Z"


@pytest.fixture(scope="module")
def asker(served: Demo) -> Iterator[Asker]:
    with httpx.Client(timeout=30) as client:
        yield Asker(served, client)


def test_budget_is_spent_to_its_limit_and_past_it_by_an_override(asker: Asker) -> None:
    before = asker.estimate("0.5")
    assert (before["epsilon"], before["decision"]) == ("1.000000000", "ALLOW")
    assert before["remainingAfter"] == "9.000000000"

    first = asker.ask("0.5")["data"]["tenant"]["dataset"]["dp"]
    rows = sum(1 for _ in demo_data.rows())
    # Scale 10 for the 5 rows of a person at 0.5: P(|noise| > 250) is below 1e-10.
    assert abs(first["count"]["value"] - rows) <= 250
    assert first["count"]["epsilonCharged"] == "0.500000000"
    assert first["count"]["bound95"] == 30

    again = asker.ask("0.5")["data"]["tenant"]["dataset"]["dp"]
    assert again["count"]["value"] == first["count"]["value"]
    assert (again["count"]["cached"], again["sum"]["cached"]) == (True, True)
    assert asker.log().epsilon_spent == "1.000000000"

    for number in range(9):
        answer = asker.ask(f"0.99999999{number}")
        assert "errors" not in answer
    assert asker.estimate("1")["decision"] == "QUEUE"
    denied = asker.ask("1")
    assert codes(denied) == {"tenant.dataset.dp.sum": "DP_BUDGET_EXHAUSTED"}
    assert denied["data"]["tenant"]["name"] == "Aldermoor Health"
    assert denied["data"]["tenant"]["dataset"]["dp"]["count"]["value"] == first["count"]["value"]

    now = datetime.now(UTC)
    warrant = {
        "reference": "2026/117",
        "issuedBy": "Data protection board",
        "issuedAt": (now - timedelta(minutes=1)).isoformat(),
        "expiresAt": (now + timedelta(hours=1)).isoformat(),
        "documentDigest": DIGEST,
    }
    wanted = {"tenant": asker.tenant, "input": {"epsilon": "1", "warrant": warrant}}
    made = asker.send(REQUEST, wanted)["data"]["requestBudgetOverride"]
    named = {"id": made["override"]["id"], "digest": made["override"]["requestDigest"]}
    states = [
        asker.send(APPROVE, named, who)["data"]["approveBudgetOverride"]["override"]["state"]
        for who in ("approver1", "approver2")
    ]
    assert states == ["REQUESTED", "APPLIED"]
    assert "errors" not in asker.ask("1")

    report = verify_log(asker.log())
    assert report.spends == 12
    assert str(report.spent) == "10.999999946"


def test_viewer_without_the_right_to_query_is_refused(asker: Asker) -> None:
    answer = asker.send(ASK, asker.variables("0.5"), "viewer")
    assert set(codes(answer).values()) == {"FORBIDDEN"}
