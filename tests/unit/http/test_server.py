"""What is not GraphQL answers in the same shape."""

import pytest
from starlette.requests import Request
from starlette.routing import Route

from subgraph.http.server import create_app


@pytest.mark.parametrize(
    "path", ["/", "/graphql/", "/graphqlx", "/GRAPHQL", "/healthz/", "/%2e%2e/etc"]
)
async def test_unknown_address_is_not_found(site, path: str) -> None:
    response = await site.client.get(path)
    (error,) = response.json()["errors"]
    assert (response.status_code, error["extensions"]["code"]) == (404, "NOT_FOUND")


async def test_refusal_names_its_request(site) -> None:
    response = await site.client.get("/nowhere", headers={"x-request-id": "abc"})
    (error,) = response.json()["errors"]
    assert error["extensions"]["requestId"] == response.headers["x-request-id"] == "abc"


async def test_failing_page_shows_no_internals(site, exchange) -> None:
    async def page(request: Request) -> None:
        raise RuntimeError("hunter2")

    application = create_app(site.endpoint, None, None, pages=[Route("/graphql/page", page)])
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/graphql/page",
        "headers": [],
        "query_string": b"",
    }
    with pytest.raises(RuntimeError):
        await application(scope, exchange.receive, exchange.send)
    assert (exchange.status, b"hunter2" in exchange.sent[1]["body"]) == (500, False)
