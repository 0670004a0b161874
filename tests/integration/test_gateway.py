"""Queries through a real Apollo gateway, with a neighbour beside the governance subgraph."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration import node
from tests.integration.proxy import Answer
from tests.integration.stack import Served, Stack, whole_stack

JOINED = """
query ($id: ID!) {
  tenant(id: $id) {
    id name plan seats
    homeRegion { code jurisdiction gridCarbonIntensity }
    datasets(first: 1) { nodes { name license } }
  }
}
"""
CUSTOMERS = "query ($first: Int!) { customers(first: $first) { id name plan } }"
REGISTER = """
mutation ($input: RegisterTenantInput!) { registerTenant(input: $input) { tenant { id } } }
"""
GRAPHQL = "application/graphql-response+json"


@pytest.fixture(scope="module")
def whole(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with whole_stack(served, tmp_path_factory.mktemp("gateway")) as stack:
        yield stack


@pytest.fixture
def stack(whole: Stack) -> Iterator[Stack]:
    whole.reset()
    yield whole
    whole.reset()


def test_one_query_reads_both_subgraphs(stack: Stack, served: Served) -> None:
    tenant = served.tenants[0]
    answer = stack.ask(JOINED, token=served.tokens["viewer"], variables={"id": tenant})
    joined = answer["data"]["tenant"]
    assert "errors" not in answer
    assert (joined["id"], bool(joined["name"])) == (tenant, True)
    assert (bool(joined["plan"]), joined["seats"] > 0) == (True, True)
    assert joined["homeRegion"]["gridCarbonIntensity"] > 0
    assert joined["datasets"]["nodes"][0]["license"]


def test_fifty_entities_are_one_request(stack: Stack, served: Served) -> None:
    stack.ask(CUSTOMERS, token=served.tokens["viewer"], variables={"first": 50})
    batches = [len(seen.body["variables"]["representations"]) for seen in stack.governance.requests]
    assert batches == [50]


def test_fifty_entities_keep_their_order(stack: Stack, served: Served) -> None:
    answer = stack.ask(CUSTOMERS, token=served.tokens["viewer"], variables={"first": 50})
    named = [customer["id"] for customer in answer["data"]["customers"] if customer["name"]]
    assert named == [served.tenants[0]]


def test_an_unknown_tenant_is_null(stack: Stack, served: Served) -> None:
    answer = stack.ask(JOINED, token=served.tokens["viewer"], variables={"id": "no-such-tenant"})
    assert answer == {"data": {"tenant": None}}


def test_another_tenant_looks_like_an_unknown_one(stack: Stack, served: Served) -> None:
    token = served.tokens["otherTenantViewer"]
    answer = stack.ask(JOINED, token=token, variables={"id": served.tenants[0]})
    assert answer == {"data": {"tenant": None}}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("apollographql-client-name", "portal"),
        ("apollographql-client-version", "1.2.3"),
        ("idempotency-key", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "vendor=value"),
        ("x-request-id", "request-1"),
    ],
)
def test_a_header_reaches_both_subgraphs(
    stack: Stack, served: Served, header: str, value: str
) -> None:
    token = served.tokens["viewer"]
    stack.ask(CUSTOMERS, token=token, variables={"first": 2}, headers={header: value})
    seen = [request.headers for request in stack.governance.requests] + stack.seen_by_neighbour()
    assert [headers.get(header) for headers in seen] == [value, value]


def test_the_callers_token_reaches_both_subgraphs(stack: Stack, served: Served) -> None:
    token = served.tokens["viewer"]
    stack.ask(CUSTOMERS, token=token, variables={"first": 2})
    seen = [request.headers for request in stack.governance.requests] + stack.seen_by_neighbour()
    assert [headers.get("authorization") for headers in seen] == [f"Bearer {token}"] * 2


@pytest.mark.parametrize(
    "header", ["traceparent", "tracestate", "idempotency-key", "authorization"]
)
def test_a_header_that_the_client_did_not_send_stays_absent(stack: Stack, header: str) -> None:
    stack.ask(CUSTOMERS, variables={"first": 2})
    seen = [request.headers for request in stack.governance.requests] + stack.seen_by_neighbour()
    assert [header in headers for headers in seen] == [False, False]


def test_a_cookie_reaches_no_subgraph(stack: Stack) -> None:
    stack.ask(CUSTOMERS, variables={"first": 2}, headers={"cookie": "session=1"})
    seen = [request.headers for request in stack.governance.requests] + stack.seen_by_neighbour()
    assert ["cookie" in headers for headers in seen] == [False, False]


def test_the_gateway_proves_itself_to_the_governance_subgraph_only(
    stack: Stack, served: Served
) -> None:
    forged = {"x-ig-gateway-secret": "forged"}
    stack.ask(CUSTOMERS, variables={"first": 2}, headers=forged)
    proof = [request.headers["x-ig-gateway-secret"] for request in stack.governance.requests]
    assert proof == [served.gateway_secret]
    assert "x-ig-gateway-secret" not in stack.seen_by_neighbour()[0]


def test_a_caller_without_a_token_gets_the_code_and_the_neighbours_data(stack: Stack) -> None:
    answer = stack.ask(CUSTOMERS, variables={"first": 2})
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"UNAUTHENTICATED"}
    assert all(customer["plan"] for customer in answer["data"]["customers"])


def test_the_code_of_a_refused_mutation_survives(stack: Stack, served: Served) -> None:
    region = {"homeRegion": "eu-central-1", "allowedRegions": ["eu-central-1"]}
    answer = stack.ask(
        REGISTER,
        token=served.tokens["viewer"],
        variables={"input": {"id": "mine", "name": "Mine", **region}},
    )
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


def test_the_code_of_a_refusal_by_status_survives(stack: Stack) -> None:
    shed = {"errors": [{"message": "Busy.", "extensions": {"code": "OVERLOADED"}}]}
    stack.governance.answer = Answer(503, GRAPHQL, json.dumps(shed))
    answer = stack.ask(CUSTOMERS, variables={"first": 2})
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["OVERLOADED"]
    assert all(customer["plan"] for customer in answer["data"]["customers"])


@pytest.mark.parametrize("status", [200, 502])
def test_an_answer_that_is_no_graphql_is_not_shown(stack: Stack, status: int) -> None:
    stack.governance.answer = Answer(status, "text/html", "<h1>internal-host-17</h1>")
    answer = stack.ask(CUSTOMERS, variables={"first": 2})
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["SUBGRAPH_UNAVAILABLE"]
    assert "internal-host" not in json.dumps(answer)


def test_a_subgraph_that_never_answers_is_given_up(
    served: Served, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("silent")
    with whole_stack(served, folder, {"GATEWAY_SUBGRAPH_TIMEOUT_MS": "500"}) as stack:
        stack.governance.silent = True
        answer = stack.ask(CUSTOMERS, variables={"first": 2})
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["SUBGRAPH_TIMEOUT"]
    assert all(customer["plan"] for customer in answer["data"]["customers"])


def test_the_neighbours_data_comes_while_the_subgraph_is_down(stack: Stack, served: Served) -> None:
    token = served.tokens["viewer"]
    served.stop()
    try:
        answer = stack.ask(CUSTOMERS, token=token, variables={"first": 50})
    finally:
        served.start()
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"SUBGRAPH_UNAVAILABLE"}
    assert all(customer["plan"] for customer in answer["data"]["customers"])


def test_the_gateway_finds_the_subgraph_again(stack: Stack, served: Served) -> None:
    token = served.tokens["viewer"]
    served.stop()
    try:
        stack.ask(CUSTOMERS, token=token, variables={"first": 1})
    finally:
        served.start()
    answer = stack.ask(CUSTOMERS, token=token, variables={"first": 1})
    assert "errors" not in answer


def test_the_one_command_start_joins_a_running_demo(served: Served, tmp_path: Path) -> None:
    demo = tmp_path / "demo.json"
    tenants = list(served.tenants)
    described = {"url": served.url, "tenants": tenants, "gatewaySecret": served.gateway_secret}
    demo.write_text(json.dumps({**described, "tokens": dict(served.tokens)}))
    ports = ["--port", "0", "--neighbour-port", "0"]
    with node.server("deploy/gateway/demo.mjs", {}, "--demo", str(demo), *ports) as gateway:
        query = {"query": JOINED, "variables": {"id": tenants[0]}}
        headers = {"authorization": f"Bearer {served.tokens['viewer']}"}
        answer = httpx.post(gateway.url, json=query, headers=headers).json()
    assert (bool(answer["data"]["tenant"]["name"]), "errors" in answer) == (True, False)
