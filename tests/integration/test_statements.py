"""How many statements an operation costs, as PostgreSQL itself counts them."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from tests.conftest import Api
from tests.integration.datasets import REGION, tenant_with_datasets

TENANTS = 50
PAGE = (
    '{ tenant(id: "%s") { id name homeRegion { code displayName } allowedRegions { code }'
    " datasets(first: 10) { edges { cursor node { id slug region { code } columns { name } } }"
    " pageInfo { hasNextPage endCursor } } } }"
)
ENTITIES = (
    "query($of: [_Any!]!) { _entities(representations: $of) { __typename"
    " ... on Tenant { id name } ... on Dataset { id slug } ... on Region { code }"
    " ... on Deprecation { id } } }"
)


_TRIES = 3


@dataclass(frozen=True)
class World:
    """Tenants with two data sets each, seen by the platform."""

    tenants: list[str]
    datasets: list[list[str]]
    token: str

    def of_tenants(self) -> list[dict[str, str]]:
        return [{"__typename": "Tenant", "id": tenant} for tenant in self.tenants]

    def of_datasets(self) -> list[dict[str, str]]:
        return [{"__typename": "Dataset", "id": dataset} for dataset, _ in self.datasets]


class Statistics:
    """What the service role has sent, by the text of the statement."""

    def __init__(self, connection: asyncpg.Connection, api: Api) -> None:
        self._connection = connection
        self._api = api

    async def calls(self) -> Counter[str]:
        # A connection asks once what its role could do and, within asyncpg, what a uuid[] is.
        rows = await self._connection.fetch(
            "SELECT s.query, sum(s.calls)::int AS calls FROM pg_stat_statements s"
            " JOIN pg_roles r ON r.oid = s.userid"
            " WHERE r.rolname = 'ig_service' AND s.query !~ 'rolbypassrls|typeinfo_tree|AS cur,'"
            " GROUP BY s.query"
        )
        return Counter({row["query"]: row["calls"] for row in rows})

    async def reported(self) -> float:
        page = (await self._api.client.get("/metrics")).text
        found = re.search(
            r"^graphql_operation_statements_sum(?:\{.*\})? (\S+)$", page, re.MULTILINE
        )
        return float(found[1]) if found else 0.0

    async def of(
        self, query: str, token: str | None, variables: dict[str, Any] | None = None
    ) -> tuple[int, float, dict[str, Any]]:
        """The statements of one operation as PostgreSQL and telemetry count them; its answer.

        PostgreSQL also counts what the service does beside operations, such as probing keys; so
        the two are compared anew when they differ, and both are answered if they still do.
        """
        for _ in range(_TRIES):
            calls, reported = await self.calls(), await self.reported()
            answer = await self._api.ask(query, token=token, variables=variables)
            sent = ((await self.calls()) - calls).total()
            told = await self.reported() - reported
            assert "errors" not in answer
            if sent == told:
                break
        return sent, told, answer


@pytest.fixture(scope="module")
async def world(api: Api, postgres: EmbeddedServer) -> World:
    made = await asyncio.gather(*(tenant_with_datasets(api, postgres, 2) for _ in range(TENANTS)))
    token = api.mint(None, "platform:tenants", "datasets:read")
    return World([tenant for tenant, _ in made], [datasets for _, datasets in made], token)


@pytest.fixture(scope="module")
async def statistics(api: Api, postgres: EmbeddedServer) -> AsyncIterator[Statistics]:
    connection = await asyncpg.connect(postgres.url(Role.ADMIN))
    yield Statistics(connection, api)
    await connection.close()


async def test_page_of_a_tenant_takes_two_statements(world: World, statistics: Statistics) -> None:
    sent, _, _ = await statistics.of(PAGE % world.tenants[0], world.token)
    assert sent == 2


async def test_tenants_of_many_take_one_statement(world: World, statistics: Statistics) -> None:
    sent, _, answer = await statistics.of(ENTITIES, world.token, {"of": world.of_tenants()})
    assert (sent, [item["id"] for item in answer["data"]["_entities"]]) == (1, world.tenants)


async def test_data_sets_of_many_tenants_take_one_statement(
    world: World, statistics: Statistics
) -> None:
    sent, _, answer = await statistics.of(ENTITIES, world.token, {"of": world.of_datasets()})
    found = [item["id"] for item in answer["data"]["_entities"]]
    assert (sent, found) == (1, [first for first, _ in world.datasets])


async def test_each_type_of_a_mixture_takes_one_statement(
    world: World, statistics: Statistics
) -> None:
    mixed = [
        item for pair in zip(world.of_tenants(), world.of_datasets(), strict=True) for item in pair
    ]
    in_memory = [
        {"__typename": "Region", "code": REGION},
        {"__typename": "Deprecation", "id": "DEP-2026-001"},
    ]
    sent, _, answer = await statistics.of(ENTITIES, world.token, {"of": mixed + in_memory})
    assert (sent, answer["data"]["_entities"].count(None)) == (2, 0)


async def test_what_is_in_memory_takes_none(world: World, statistics: Statistics) -> None:
    in_memory = [
        {"__typename": "Region", "code": REGION},
        {"__typename": "Deprecation", "id": "DEP-2026-001"},
    ]
    sent, _, _ = await statistics.of(ENTITIES, world.token, {"of": in_memory})
    assert sent == 0


NESTED = (
    "query($of: [_Any!]!) { _entities(representations: $of)"
    " { ... on Tenant { datasets(first: 5) { nodes { id } } } } }"
)


async def test_each_level_takes_one_statement(world: World, statistics: Statistics) -> None:
    sent, _, answer = await statistics.of(NESTED, world.token, {"of": world.of_tenants()})
    found = [
        [node["id"] for node in item["datasets"]["nodes"]] for item in answer["data"]["_entities"]
    ]
    assert (sent, found) == (2, world.datasets)


async def test_way_back_to_the_tenant_takes_one_statement(
    world: World, statistics: Statistics
) -> None:
    query = (
        "query($of: [_Any!]!) { _entities(representations: $of)"
        " { ... on Dataset { tenant { id } region { code } } } }"
    )
    sent, _, answer = await statistics.of(query, world.token, {"of": world.of_datasets()})
    found = [item["tenant"]["id"] for item in answer["data"]["_entities"]]
    assert (sent, found) == (2, world.tenants)


async def test_what_was_read_on_the_way_is_not_read_again(
    world: World, statistics: Statistics
) -> None:
    query = (
        "query($of: [_Any!]!) { _entities(representations: $of)"
        " { ... on Tenant { datasets { nodes { tenant { name } } } } } }"
    )
    sent, _, _ = await statistics.of(query, world.token, {"of": world.of_tenants()})
    assert sent == 2


async def test_aliases_share_a_statement(world: World, statistics: Statistics) -> None:
    query = "{ %s }" % " ".join(
        f't{number}: tenant(id: "{tenant}") {{ id a: datasets(first: 1) {{ nodes {{ id }} }}'
        f" b: datasets(first: 2) {{ nodes {{ id }} }} }}"
        for number, tenant in enumerate(world.tenants[:10])
    )
    sent, _, answer = await statistics.of(query, world.token)
    second = [len(answer["data"][f"t{number}"]["b"]["nodes"]) for number in range(10)]
    assert (sent, second) == (2, [2] * 10)


async def test_two_lists_of_entities_share_a_statement(
    world: World, statistics: Statistics
) -> None:
    query = (
        "query($a: [_Any!]!, $b: [_Any!]!) { a: _entities(representations: $a) { __typename }"
        " b: _entities(representations: $b) { __typename } }"
    )
    tenants = world.of_tenants()
    sent, _, _ = await statistics.of(query, world.token, {"a": tenants[:30], "b": tenants[20:]})
    assert sent == 1


async def test_nothing_is_sent_for_tenants_that_the_caller_may_not_see(
    api: Api, world: World, statistics: Statistics
) -> None:
    token = api.mint("another-tenant", "datasets:read")
    both = [*world.of_tenants(), *world.of_datasets()]
    sent, _, answer = await statistics.of(ENTITIES, token, {"of": both})
    assert (sent, set(answer["data"]["_entities"])) == (0, {None})


async def test_nothing_is_sent_for_a_key_that_this_service_did_not_make(
    world: World, statistics: Statistics
) -> None:
    made_up = [{"__typename": "Dataset", "id": "made up"}]
    sent, _, _ = await statistics.of(ENTITIES, world.token, {"of": made_up})
    assert sent == 0


@pytest.mark.parametrize("query", ["page", "tenants", "nested", "memory"])
async def test_telemetry_counts_what_postgresql_counts(
    world: World, statistics: Statistics, query: str
) -> None:
    operations: dict[str, tuple[str, dict[str, Any] | None]] = {
        "page": (PAGE % world.tenants[1], None),
        "tenants": (ENTITIES, {"of": world.of_tenants()}),
        "nested": (NESTED, {"of": world.of_tenants()}),
        "memory": ("{ deprecations { nodes { id } } }", None),
    }
    text, variables = operations[query]
    sent, reported, _ = await statistics.of(text, world.token, variables)
    assert reported == sent
