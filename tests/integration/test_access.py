"""Who may read what: every field of the schema, asked over HTTP by every kind of caller."""

import pytest
from graphql import GraphQLObjectType, get_named_type

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.service import Database
from subgraph.federation import guards
from subgraph.settings import Settings
from tests.conftest import Api
from tests.integration.questions import AUTHENTICATED, PUBLISHED, SERVED, asked, stated
from tests.integration.world import (
    CLIENT,
    GUARDED,
    OF_TENANT,
    PUBLIC,
    QUESTIONS,
    SCOPED,
    World,
    build,
    codes,
    token_for,
    values,
)


@pytest.fixture(scope="module")
async def world(
    api: Api, postgres: EmbeddedServer, settings: Settings, database: Database
) -> World:
    return await build(api, postgres, settings, database)


def test_every_guarded_field_says_in_the_document_what_is_enforced() -> None:
    enforced = {
        coordinate: {access.scope or AUTHENTICATED for access in required}
        for coordinate, required in guards.table(SERVED).items()
    }
    published = {
        f"{type_.name}.{name}": stated(field) | stated(get_named_type(field.type))
        for type_ in PUBLISHED.type_map.values()
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__")
        for name, field in type_.fields.items()
    }
    # Federation's own two fields stand in no document; entities are guarded one by one.
    federation = {"Query._service": set(), "Query._entities": set()}
    assert enforced == published | federation


def test_only_lifecycle_records_keys_and_the_document_are_public() -> None:
    types = {coordinate.partition(".")[0] for coordinate, _ in PUBLIC}
    assert types == {
        "Query", "_Service", "Deprecation", "DeprecationConnection", "DeprecationEdge", "PageInfo",
        "VerificationKey", "VerificationKeyConnection", "VerificationKeyEdge",
    }  # fmt: skip


@pytest.mark.parametrize(("coordinate", "operation"), QUESTIONS)
async def test_field_answers_whoever_holds_what_it_asks_for(
    api: Api, world: World, coordinate: str, operation: str
) -> None:
    token = token_for(api, world, asked(operation))
    answer = await api.ask(world.fill(operation), token=token, headers=CLIENT)
    assert "errors" not in answer


@pytest.mark.parametrize(("coordinate", "operation"), PUBLIC)
async def test_public_field_answers_without_a_token(
    api: Api, world: World, coordinate: str, operation: str
) -> None:
    answer = await api.ask(world.fill(operation))
    # A Tenant is no public entity: the field answers, its item does not.
    assert codes(answer) == ({"UNAUTHENTICATED"} if coordinate == "Query._entities" else set())


@pytest.mark.parametrize(("coordinate", "operation"), GUARDED)
async def test_guarded_field_asks_for_a_token(
    api: Api, world: World, coordinate: str, operation: str
) -> None:
    answer = await api.ask(world.fill(operation))
    assert codes(answer) == {"UNAUTHENTICATED"}


@pytest.mark.parametrize(("coordinate", "operation"), GUARDED)
async def test_guarded_field_says_nothing_without_a_token(
    api: Api, world: World, coordinate: str, operation: str
) -> None:
    answer = await api.ask(world.fill(operation))
    assert list(values(answer["data"])) == []


@pytest.mark.parametrize(("coordinate", "operation", "scope"), SCOPED)
async def test_field_names_the_scope_that_is_missing(
    api: Api, world: World, coordinate: str, operation: str, scope: str
) -> None:
    token = token_for(api, world, asked(operation) - {scope})
    answer = await api.ask(world.fill(operation), token=token)
    found = [error for error in answer["errors"] if error["extensions"]["code"] == "FORBIDDEN"]
    assert [scope in error["message"] for error in found] == [True]


@pytest.mark.parametrize(("coordinate", "operation"), OF_TENANT)
async def test_foreign_tenant_is_answered_like_one_that_does_not_exist(
    api: Api, world: World, coordinate: str, operation: str
) -> None:
    token = api.mint(world.other, *sorted(asked(operation) - {AUTHENTICATED}))
    bodies = [
        (
            await api.client.post(
                "/graphql",
                json={"query": world.fill(operation, **names)},
                headers={**CLIENT, "authorization": f"Bearer {token}"},
            )
        ).content
        for names in ({}, world.made_up())
    ]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(("coordinate", "operation"), OF_TENANT)
async def test_foreign_tenant_says_nothing(
    api: Api, world: World, coordinate: str, operation: str
) -> None:
    token = api.mint(world.other, *sorted(asked(operation) - {AUTHENTICATED}))
    answer = await api.ask(world.fill(operation), token=token)
    assert list(values(answer["data"])) == []
