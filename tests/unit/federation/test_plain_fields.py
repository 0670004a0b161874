"""The short way answers what graphql-core answers."""

import enum
from typing import Any

import pytest
import strawberry
from graphql import ExecutionResult, execute, parse
from hypothesis import given
from hypothesis import strategies as st

from subgraph.federation.access import PUBLIC, scope
from subgraph.federation.declare import attribute, field, object_type
from subgraph.federation.plain_fields import PlainFieldExecutor
from tests.unit.federation.schemas import Context, Root, build


@object_type(access=PUBLIC)
class Thing:
    """A thing, whose attributes may hold anything."""

    held: strawberry.Private[dict[str, Any]]
    text: str | None = attribute("A text.", default=None)
    must_text: str = attribute("A text.", default="x")
    number: int | None = attribute("A number.", default=None)
    must_number: int = attribute("A number.", default=1)
    truth: bool | None = attribute("A truth.", default=None)
    identity: strawberry.ID | None = attribute("An id.", default=None)
    share: float | None = attribute("A share.", default=None)
    texts: list[str] | None = attribute("Texts.", at_most=3, default=None)
    secret: str | None = attribute("Guarded.", access=scope("keys:read"), default="hidden")

    @field()
    def computed(self) -> str | None:
        """Computed."""
        return str(self.held.get("text"))


class Colour(enum.Enum):
    """A colour, which is no text."""

    RED = "RED"


class Text(str):
    """A text of a class of its own."""

    __slots__ = ()


@object_type(access=None)
class Query(Root):
    """What can be read."""

    @field(access=PUBLIC)
    def thing(self, info: strawberry.Info[Any, None]) -> Thing | None:
        """A thing."""
        thing = Thing(held={})
        for name, value in info.context.values.items():
            setattr(thing, name, value)
        return thing


SCHEMA = build(Query).core


class Holding(Context):
    """A caller, and what the thing holds for it."""

    def __init__(self, values: dict[str, Any], scopes: frozenset[str] = frozenset()) -> None:
        super().__init__(scopes)
        self.values = values


def both(query: str, values: dict[str, Any]) -> list[tuple[Any, list[Any]]]:
    answers = []
    for options in ({}, {"executor_class": PlainFieldExecutor}):
        result = execute(SCHEMA, parse(query), context_value=Holding(values), **options)
        assert isinstance(result, ExecutionResult)
        answers.append((result.data, [error.formatted for error in result.errors or []]))
    return answers


EVERYTHING = (
    "{ thing { __typename text mustText number mustNumber truth identity share texts computed"
    " secret alias: text } }"
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**33), 2**33),
    st.floats(),
    st.text(max_size=5),
    st.builds(Text, st.text(max_size=5)),
    st.just(Colour.RED),
    st.binary(max_size=3),
    st.lists(st.text(max_size=3), max_size=3),
    st.just(ValueError("held")),
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["text", "must_text", "number", "must_number", "truth", "identity", "share", "texts"]
        ),
        VALUES,
    )
)
def test_any_value_is_answered_as_without_it(values: dict[str, Any]) -> None:
    plain, short = both(EVERYTHING, values)
    assert repr(plain) == repr(short)


@pytest.mark.parametrize(
    "query",
    [
        "{ thing { text @skip(if: true) number @include(if: false) } }",
        "{ thing { ...F ...F } } fragment F on Thing { text mustText }",
        "{ thing { a: text b: text text } }",
        "{ __typename }",
    ],
)
def test_any_selection_is_answered_as_without_it(query: str) -> None:
    plain, short = both(query, {"text": "t"})
    assert plain == short


def test_guarded_field_is_guarded_on_the_short_way() -> None:
    _, (data, errors) = both("{ thing { secret } }", {})
    assert (data, [error["message"] for error in errors]) == (
        {"thing": {"secret": None}},
        ["keys:read"],
    )
