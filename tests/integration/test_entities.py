"""`_entities`: order, isolation of each item, and what it may cost, over HTTP."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from subgraph.db import ids
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.ids import IdKind
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from subgraph.settings import Settings
from tests.conftest import Api, running
from tests.integration.datasets import REGION, tenant_with_datasets

ENTITIES = (
    "query($of: [_Any!]!) { _entities(representations: $of) { __typename"
    " ... on Tenant { id name homeRegion { code } }"
    " ... on Dataset { id slug }"
    " ... on Region { code displayName }"
    " ... on Deprecation { id phase } } }"
)
RECORD = {"__typename": "Deprecation", "id": "DEP-2026-001"}
PLACE = {"__typename": "Region", "code": REGION}


@dataclass(frozen=True)
class World:
    """A tenant with three data sets, and a token that reads them."""

    tenant: str
    datasets: list[str]
    token: str

    @property
    def known(self) -> list[dict[str, str]]:
        """A representation of everything that the caller may see."""
        of_datasets = [{"__typename": "Dataset", "id": item} for item in self.datasets]
        return [{"__typename": "Tenant", "id": self.tenant}, *of_datasets, PLACE, RECORD]

    @property
    def unknown(self) -> list[dict[str, str]]:
        """Representations that name nothing, or nothing that the caller may see."""
        foreign = ids.encode(IdKind.DATASET, "another-tenant", uuid4())
        return [
            {"__typename": "Tenant", "id": "another-tenant"},
            {"__typename": "Dataset", "id": foreign},
            {"__typename": "Dataset", "id": ids.encode(IdKind.DATASET, self.tenant, uuid4())},
            {"__typename": "Dataset", "id": "not an id"},
            {"__typename": "Region", "code": "aws:nowhere-1"},
            {"__typename": "Deprecation", "id": "DEP-1999-001"},
        ]


@pytest.fixture(scope="module")
async def world(api: Api, postgres: EmbeddedServer) -> World:
    tenant, datasets = await tenant_with_datasets(api, postgres, 3)
    return World(tenant, datasets, api.mint(tenant, "datasets:read"))


def identity(item: dict[str, Any] | None) -> object:
    return None if item is None else (item["__typename"], item.get("id") or item.get("code"))


async def entities(api: Api, world: World, representations: list[Any]) -> dict[str, Any]:
    return await api.ask(ENTITIES, token=world.token, variables={"of": representations})


@pytest.mark.parametrize("seed", range(20))
async def test_items_stand_where_their_representations_stood(
    api: Api, world: World, seed: int
) -> None:
    chance = random.Random(seed)
    known, unknown = world.known, world.unknown
    asked = [chance.choice([*known, *unknown]) for _ in range(chance.randint(0, 40))]
    answer = await entities(api, world, asked)
    expected = [identity(item) if item in known else None for item in asked]
    assert [identity(item) for item in answer["data"]["_entities"]] == expected


async def test_what_is_not_found_is_null_without_an_error(api: Api, world: World) -> None:
    answer = await entities(api, world, world.unknown)
    assert answer == {"data": {"_entities": [None] * len(world.unknown)}}


async def test_no_representations_are_no_entities(api: Api, world: World) -> None:
    assert await entities(api, world, []) == {"data": {"_entities": []}}


async def test_same_representation_is_answered_at_each_of_its_places(
    api: Api, world: World
) -> None:
    answer = await entities(api, world, [world.known[0], PLACE, world.known[0]])
    first, _, last = answer["data"]["_entities"]
    assert first == last is not None


BAD = {
    "without a type": {"id": "x"},
    "of an unknown type": {"__typename": "Nothing", "id": "x"},
    "of a type that is no entity": {"__typename": "Query", "id": "x"},
    "of an object for a type": {"__typename": {}, "id": "x"},
    "of a list for a type": {"__typename": ["Tenant"], "id": "x"},
    "of a number": 5,
    "of a text": "Tenant",
    "of a list": ["Tenant", "x"],
    "of a truth": True,
    "without a key": {"__typename": "Tenant"},
    "with a null key": {"__typename": "Tenant", "id": None},
    "with a number for a key": {"__typename": "Tenant", "id": 5},
    "with an object for a key": {"__typename": "Dataset", "id": {"id": "x"}},
    "with a list for a key": {"__typename": "Region", "code": [REGION]},
    "with the key of another type": {"__typename": "Region", "id": REGION},
}


@pytest.mark.parametrize("representation", BAD.values(), ids=BAD)
async def test_bad_representation_is_refused_at_its_own_place(
    api: Api, world: World, representation: object
) -> None:
    answer = await entities(api, world, [world.known[0], representation, PLACE])
    errors = [(error["path"], error["extensions"]["code"]) for error in answer["errors"]]
    assert errors == [(["_entities", 1], "BAD_USER_INPUT")]


@pytest.mark.parametrize("representation", BAD.values(), ids=BAD)
async def test_bad_representation_leaves_its_neighbours_whole(
    api: Api, world: World, representation: object
) -> None:
    answer = await entities(api, world, [world.known[0], representation, PLACE])
    found = [identity(item) for item in answer["data"]["_entities"]]
    assert found == [("Tenant", world.tenant), None, ("Region", REGION)]


ODD_KEYS = {
    "huge": "x" * 500_000,
    "empty": "",
    "spaces": "   ",
    "a quote": "x' OR '1'='1",
    "a backslash": "x\\",
    "a percent sign": "%",
    "beyond the BMP": "\U0001f512",
    "a line break": "x\ny",
    "a right-to-left override": "x\u202ey",
}


@pytest.mark.parametrize("key", ODD_KEYS.values(), ids=ODD_KEYS)
@pytest.mark.parametrize("name", ["Tenant", "Dataset", "Region", "Deprecation"])
async def test_odd_key_names_nothing(api: Api, world: World, name: str, key: str) -> None:
    field = "code" if name == "Region" else "id"
    answer = await entities(api, world, [{"__typename": name, field: key}])
    assert answer == {"data": {"_entities": [None]}}


@pytest.mark.parametrize(
    ("escape", "code"), [(r"\u0000", "BAD_USER_INPUT"), (r"\ud800", "MALFORMED_JSON")]
)
async def test_text_that_nothing_can_hold_refuses_the_request(
    api: Api, world: World, escape: str, code: str
) -> None:
    body = '{"query": "%s", "variables": {"of": [{"__typename": "Tenant", "id": "%s"}]}}'
    response = await api.client.post(
        "/graphql",
        content=body % (ENTITIES, escape),
        headers={"content-type": "application/json", "authorization": f"Bearer {world.token}"},
    )
    assert response.json()["errors"][0]["extensions"]["code"] == code


@pytest.mark.parametrize("name", ["Tenant", "Dataset", "Region", "Deprecation"])
async def test_nul_that_the_document_escapes_names_nothing(
    api: Api, world: World, name: str
) -> None:
    field = "code" if name == "Region" else "id"
    answer = await api.ask(
        '{ _entities(representations: [{ __typename: "%s", %s: "\\u0000" }]) { __typename } }'
        % (name, field),
        token=world.token,
    )
    assert answer == {"data": {"_entities": [None]}}


FORGED = {
    "Tenant": {"name": "forged", "homeRegion": {"code": "forged"}, "displayName": "forged"},
    "Dataset": {"slug": "forged", "tenant": {"id": "forged"}, "record": "forged"},
    "Region": {"displayName": "forged", "jurisdiction": "forged"},
    "Deprecation": {"phase": "ENDED", "reason": "forged", "owner": "forged"},
}


@pytest.mark.parametrize("name", FORGED)
async def test_nothing_that_a_representation_claims_is_believed(
    api: Api, world: World, name: str
) -> None:
    (true,) = [item for item in world.known if item["__typename"] == name][:1]
    answers = [await entities(api, world, [item]) for item in (true, {**true, **FORGED[name]})]
    assert answers[0] == answers[1]


async def test_claims_do_not_make_an_entity(api: Api, world: World) -> None:
    claimed = {"__typename": "Tenant", "id": "another-tenant", "name": "forged"}
    assert await entities(api, world, [claimed]) == {"data": {"_entities": [None]}}


async def test_two_aliases_share_a_variable(api: Api, world: World) -> None:
    answer = await api.ask(
        "query($of: [_Any!]!) { a: _entities(representations: $of) { ... on Tenant { id } }"
        " b: _entities(representations: $of) { ... on Tenant { name } } }",
        token=world.token,
        variables={"of": [{"__typename": "Tenant", "id": world.tenant}, PLACE]},
    )
    assert answer["data"] == {"a": [{"id": world.tenant}, {}], "b": [{"name": "Test"}, {}]}


LITERALS = {
    "a list": '[{ __typename: "Tenant", id: "%s" }]',
    "one object": '{ __typename: "Tenant", id: "%s" }',
    "an enum value for the type": '[{ __typename: Tenant, id: "%s" }]',
    "a variable within": '[{ __typename: "Tenant", id: $id }]',
}


@pytest.mark.parametrize("literal", LITERALS.values(), ids=LITERALS)
async def test_representation_can_stand_in_the_document(
    api: Api, world: World, literal: str
) -> None:
    written = literal.replace("%s", world.tenant)
    declared = "query($id: ID) " if "$id" in literal else ""
    answer = await api.ask(
        declared + "{ _entities(representations: %s) { ... on Tenant { id } } }" % written,
        token=world.token,
        variables={"id": world.tenant} if declared else None,
    )
    assert answer == {"data": {"_entities": [{"id": world.tenant}]}}


async def test_variable_that_is_left_out_of_a_literal_is_no_key(api: Api, world: World) -> None:
    answer = await api.ask(
        'query($id: ID) { _entities(representations: [{ __typename: "Tenant", id: $id }])'
        " { __typename } }",
        token=world.token,
    )
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_without_a_token_only_public_entities_are_answered(api: Api, world: World) -> None:
    answer = await api.ask(ENTITIES, variables={"of": world.known})
    found = [identity(item) for item in answer["data"]["_entities"]]
    assert found == [None] * (len(world.known) - 1) + [("Deprecation", "DEP-2026-001")]


async def test_each_guarded_entity_says_that_a_token_is_missing(api: Api, world: World) -> None:
    answer = await api.ask(ENTITIES, variables={"of": world.known})
    refused = {(error["path"][1], error["extensions"]["code"]) for error in answer["errors"]}
    assert refused == {(place, "UNAUTHENTICATED") for place in range(len(world.known) - 1)}


async def test_missing_scope_harms_only_the_type_that_asks_for_it(api: Api, world: World) -> None:
    answer = await api.ask(ENTITIES, token=api.mint(world.tenant), variables={"of": world.known})
    found = {item["__typename"] for item in answer["data"]["_entities"] if item}
    assert found == {"Tenant", "Region", "Deprecation"}


# --- how many, and at what price


async def test_a_thousand_representations_are_answered(api: Api, world: World) -> None:
    answer = await entities(api, world, [world.known[0], PLACE] * 500)
    found = [identity(item) for item in answer["data"]["_entities"]]
    assert found == [("Tenant", world.tenant), ("Region", REGION)] * 500


def refusal(answer: dict[str, Any]) -> tuple[str, int, int]:
    assert "data" not in answer
    (error,) = answer["errors"]
    extensions = error["extensions"]
    return extensions["code"], extensions["limit"], extensions["asked"]


async def test_one_representation_too_many_is_refused(api: Api, world: World) -> None:
    answer = await entities(api, world, [PLACE] * 1_001)
    assert refusal(answer) == ("TOO_MANY_REPRESENTATIONS", 1_000, 1_001)


async def test_aliases_do_not_raise_the_number_of_representations(api: Api, world: World) -> None:
    answer = await api.ask(
        "query($of: [_Any!]!) { a: _entities(representations: $of) { __typename }"
        " b: _entities(representations: $of) { __typename } }",
        token=world.token,
        variables={"of": [PLACE] * 501},
    )
    assert refusal(answer) == ("TOO_MANY_REPRESENTATIONS", 1_000, 1_002)


@pytest.fixture(scope="module")
async def small(settings: Settings) -> AsyncIterator[Callable[..., Any]]:
    """Asks an application with small limits."""
    limited = msgspec.structs.replace(settings, max_representations=30, max_nodes=100, max_cost=150)
    async with running(limited) as served:
        yield served.ask


NESTED = (
    "query($of: [_Any!]!, $n: Int! = 20) { _entities(representations: $of)"
    " { ... on Tenant { datasets(first: $n) { nodes { id region { code } } } } } }"
)


@pytest.mark.parametrize(
    ("count", "first", "expected"),
    [
        # Of each representation: itself, its connection, and `first` data sets with a region each.
        (31, 1, ("TOO_MANY_REPRESENTATIONS", 30, 31)),
        (2, 24, None),
        (2, 25, ("NODE_LIMIT_EXCEEDED", 100, 2 * (1 + 1 + 25 * 2))),
        (25, 1, None),
        (26, 1, ("NODE_LIMIT_EXCEEDED", 100, 26 * 4)),
        (1, 48, None),
        (1, 50, ("NODE_LIMIT_EXCEEDED", 100, 102)),
    ],
)
async def test_representations_are_priced_before_anything_is_read(
    small: Callable[..., Any], count: int, first: int, expected: tuple[str, int, int] | None
) -> None:
    answer = await small(NESTED, variables={"of": [RECORD] * count, "n": first})
    assert (refusal(answer) if "errors" in answer else None) == expected


async def test_default_of_a_variable_is_priced_too(small: Callable[..., Any]) -> None:
    written = "[" + '{ __typename: "Deprecation", id: "x" } ' * 31 + "]"
    answer = await small(
        "query($of: [_Any!]! = %s) { _entities(representations: $of) { __typename } }" % written
    )
    assert refusal(answer) == ("TOO_MANY_REPRESENTATIONS", 30, 31)


async def test_representations_in_the_document_are_priced_too(small: Callable[..., Any]) -> None:
    written = "[" + '{ __typename: "Deprecation", id: "x" } ' * 31 + "]"
    answer = await small("{ _entities(representations: %s) { __typename } }" % written)
    assert refusal(answer) == ("TOO_MANY_REPRESENTATIONS", 30, 31)


async def test_price_is_that_of_the_dearest_type(settings: Settings) -> None:
    query = (
        "query($of: [_Any!]!) { _entities(representations: $of) { ... on Tenant { homeRegion"
        " { code } } ... on Dataset { tenant { homeRegion { code } } } } }"
    )
    limited = msgspec.structs.replace(settings, max_cost=1)
    async with running(limited) as served:
        answer = await served.ask(query, variables={"of": [RECORD] * 4})
    # The entity, its tenant and the region; not these and the region of a tenant.
    assert refusal(answer) == ("COST_LIMIT_EXCEEDED", 1, 12)


async def test_failing_loader_leaves_the_other_types_whole(
    api: Api, world: World, postgres: EmbeddedServer
) -> None:
    owner = postgres.url(Role.OWNER)
    async with operator_transaction(owner) as transaction:
        await transaction.run("ALTER TABLE dataset RENAME TO dataset_away")
    try:
        answer = await entities(api, world, world.known)
    finally:
        async with operator_transaction(owner) as transaction:
            await transaction.run("ALTER TABLE dataset_away RENAME TO dataset")
    found = {item["__typename"] for item in answer["data"]["_entities"] if item}
    assert found == {"Tenant", "Region", "Deprecation"}
