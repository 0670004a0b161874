"""What production mode leaves out, over HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn

from subgraph import app
from subgraph.http import development_tokens
from subgraph.settings import Settings
from tests.conftest import GATEWAY_SECRET, Api

INTROSPECTIONS = {
    "schema": "{ __schema { queryType { name } } }",
    "type": '{ __type(name: "Tenant") { name } }',
    "schema in a fragment": "{ ...F } fragment F on Query { __schema { queryType { name } } }",
    "schema under an alias": "{ caller: __schema { queryType { name } } }",
    "schema that is skipped": "{ caller { subject } __schema @skip(if: true) { queryType { name } } }",
    "schema beside data": "{ caller { subject } __schema { queryType { name } } }",
    "schema in a mutation's document": (
        "mutation M { __typename } query Q { __schema { queryType { name } } }"
    ),
}


def codes(answer: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


def refusal(answer: dict[str, Any]) -> str | None:
    """The code of a request that was not executed; None for one that was."""
    if "data" in answer:
        return None
    (code,) = codes(answer)
    return code


@pytest.fixture(scope="module")
async def production(settings: Settings) -> AsyncIterator[Api]:
    """The application in production mode; whoever mints the tokens is not part of it."""
    key = development_tokens.load_or_create(settings)
    configured = msgspec.structs.replace(
        settings, mode="production", jwt_public_key_file=str(key.key_set_file)
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app.build(configured, {}), lifespan="on", log_config=None)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)

    def mint(tenant: str | None, *scopes: str) -> str:
        return development_tokens.mint(
            key,
            subject="test-subject",
            tenant=tenant,
            scopes=scopes,
            lifetime=timedelta(minutes=10),
            audience=settings.jwt_audience,
        )

    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        yield Api(url, client, mint)
    server.should_exit = True
    await serving


@pytest.mark.parametrize("query", INTROSPECTIONS.values(), ids=INTROSPECTIONS)
async def test_production_has_no_introspection(production: Api, query: str) -> None:
    answer = await production.ask(query, token=production.mint("a-tenant"))
    wanted = "OPERATION_RESOLUTION_FAILED" if query.startswith("mutation") else None
    assert refusal(answer) == (wanted or "INTROSPECTION_DISABLED")


async def test_production_keeps_the_gateway_from_introspection_too(production: Api) -> None:
    answer = await production.ask(
        INTROSPECTIONS["schema"], headers={"x-ig-gateway-secret": GATEWAY_SECRET}
    )
    assert refusal(answer) == "INTROSPECTION_DISABLED"


async def test_production_still_names_types(production: Api) -> None:
    answer = await production.ask("{ deprecations { __typename } }")
    assert answer == {"data": {"deprecations": {"__typename": "DeprecationConnection"}}}


async def test_production_has_no_page_for_a_browser(production: Api) -> None:
    response = await production.client.get("/graphql", headers={"accept": "text/html"})
    assert (response.status_code, "<html" in response.text) == (406, False)


async def test_development_has_one(api: Api) -> None:
    response = await api.client.get("/graphql", headers={"accept": "text/html"})
    assert (response.status_code, "<html" in response.text) == (200, True)


async def test_production_gives_the_document_to_its_gateway(production: Api) -> None:
    answer = await production.ask(
        "{ _service { sdl } }", headers={"x-ig-gateway-secret": GATEWAY_SECRET}
    )
    assert answer["data"]["_service"]["sdl"].startswith("extend schema")


async def test_production_gives_the_document_to_nobody_else(production: Api) -> None:
    answer = await production.ask("{ _service { sdl } }", token=production.mint(None, "platform:*"))
    assert (answer["data"], codes(answer)) == (None, ["INTROSPECTION_DISABLED"])


GUESSES = {
    "a field": "{ tenan { id } }",
    "a field of a type": '{ tenant(id: "x") { nam } }',
    "an argument": '{ tenant(ide: "x") { id } }',
    "a type": "{ ... on Quer { __typename } }",
    "an enum value": "{ deprecations(phase: GRAC) { nodes { id } } }",
    "an input field": "mutation { registerTenant(input: { idd: 1 }) { userErrors { code } } }",
    "a directive": "{ __typename @skpi(if: true) }",
}


@pytest.mark.parametrize("query", GUESSES.values(), ids=GUESSES)
async def test_production_does_not_complete_guesses(production: Api, query: str) -> None:
    answer = await production.ask(query)
    assert ["Did you mean" in error["message"] for error in answer["errors"]].count(True) == 0


async def test_production_does_not_complete_guessed_variables(production: Api) -> None:
    answer = await production.ask(
        "query($p: DeprecationPhase) { deprecations(phase: $p) { nodes { id } } }",
        variables={"p": "GRAC"},
    )
    assert ["Did you mean" in error["message"] for error in answer["errors"]] == [False]


async def test_development_completes_guesses(api: Api) -> None:
    answer = await api.ask(GUESSES["a field"])
    assert "Did you mean 'tenant'" in answer["errors"][0]["message"]
