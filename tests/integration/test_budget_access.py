"""Who may read what of privacy budgets: every field, by every way to it, over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import get_named_type, is_composite_type

from subgraph.db.embedded import EmbeddedServer
from tests.conftest import Api
from tests.integration.budget_roads import BUDGET_ARGUMENTS, BUDGET_ROADS
from tests.integration.datasets import DIGEST
from tests.integration.questions import AUTHENTICATED, SERVED, asked
from tests.integration.releases import Spender, codes, spender


def _questions() -> Iterator[tuple[str, str]]:
    for name, roads in BUDGET_ROADS.items():
        type_: Any = SERVED.type_map[name]
        for field_name, field in type_.fields.items():
            coordinate = f"{name}.{field_name}"
            below = " { __typename }" if is_composite_type(get_named_type(field.type)) else ""
            for road in roads:
                yield (
                    coordinate,
                    road % f"{field_name}{BUDGET_ARGUMENTS.get(coordinate, '')}{below}",
                )


QUESTIONS = list(_questions())
SCOPED = [
    (coordinate, operation, scope)
    for coordinate, operation in QUESTIONS
    for scope in sorted(asked(operation) - {AUTHENTICATED})
]


@pytest.fixture(scope="module")
async def world(api: Api, postgres: EmbeddedServer) -> tuple[Spender, dict[str, str]]:
    """A tenant that has one of everything."""
    owner = await spender(api, postgres, "1000")
    found = await owner.released("count { spend { id } }")
    made = await owner.request_override("1")
    names = {
        "$tenant": owner.tenant,
        "$dataset": owner.dataset,
        "$budget": (await owner.budget("id"))["id"],
        "$spend": found["count"]["spend"]["id"],
        "$override": made["override"]["id"],
        "$key": "a-key",
        "$digest": DIGEST,
    }
    return owner, names


def filled(operation: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        operation = operation.replace(name, value)
    return operation


@pytest.mark.parametrize(("coordinate", "operation"), QUESTIONS)
async def test_field_answers_whoever_holds_what_it_asks_for(
    world: tuple[Spender, dict[str, str]], coordinate: str, operation: str
) -> None:
    owner, names = world
    token = owner.token(*sorted(asked(operation) - {AUTHENTICATED}))
    answer = await owner.api.ask(filled(operation, names), token=token)
    assert codes(answer) == {}


@pytest.mark.parametrize(("coordinate", "operation"), QUESTIONS)
async def test_field_says_nothing_without_a_token(
    world: tuple[Spender, dict[str, str]], coordinate: str, operation: str
) -> None:
    owner, names = world
    answer = await owner.api.ask(filled(operation, names))
    assert set(codes(answer).values()) == {"UNAUTHENTICATED"}


@pytest.mark.parametrize(("coordinate", "operation", "scope"), SCOPED)
async def test_field_is_refused_without_each_of_its_scopes(
    world: tuple[Spender, dict[str, str]], coordinate: str, operation: str, scope: str
) -> None:
    owner, names = world
    token = owner.token("caller:none", *sorted(asked(operation) - {AUTHENTICATED, scope}))
    answer = await owner.api.ask(filled(operation, names), token=token)
    assert set(codes(answer).values()) == {"FORBIDDEN"}


@pytest.mark.parametrize(("coordinate", "operation"), QUESTIONS)
async def test_foreign_tenant_says_nothing(
    api: Api, world: tuple[Spender, dict[str, str]], coordinate: str, operation: str
) -> None:
    _, names = world
    token = api.mint("t-another", *sorted(asked(operation) - {AUTHENTICATED}))
    answer = await api.ask(filled(operation, names), token=token)
    if "dpEstimate" in operation:
        # It says what an operation would cost, and this one finds nothing to ask.
        assert "count" not in str(answer["data"]["dpEstimate"].get("releases", ""))
        return
    assert list(_values(answer["data"])) == []


def _values(data: object) -> Iterator[object]:
    if isinstance(data, dict):
        for name, item in data.items():
            if name != "__typename":
                yield from _values(item)
    elif isinstance(data, list):
        for item in data:
            yield from _values(item)
    elif data is not None:
        yield data
