"""Lifecycle records on small schemas."""

import datetime
from typing import Annotated

import pytest
import strawberry
from graphql import build_schema, graphql_sync, parse
from graphql.utilities import resolve_schema_coordinate
from hypothesis import given
from hypothesis import strategies as st

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation import lifecycle
from subgraph.federation.access import PUBLIC
from subgraph.federation.declare import attribute, described_enum, field, input_type, object_type
from subgraph.federation.directives import DpMechanism
from tests.unit.federation.schemas import Record, Root, build


@input_type
class Filter:
    """What to look for."""

    name: str = attribute("The name.")
    hint: str | None = attribute("A hint.", default=None)
    size: int = attribute("The size.", default=3)


@object_type(access=None)
class Query(Root):
    """What can be read."""

    @field(access=PUBLIC)
    def item(
        self,
        of: Annotated[Filter, strawberry.argument(description="What to look for.")],
        limit: Annotated[int, strawberry.argument(description="At most.")] = 3,
        note: Annotated[str | None, strawberry.argument(description="A note.")] = None,
    ) -> str | None:
        """An item."""

    @field(access=PUBLIC)
    def thing(self) -> str | None:
        """A thing."""

    @field(access=PUBLIC)
    def day(self) -> datetime.date | None:
        """A day."""

    @field(access=PUBLIC)
    def mechanism(self) -> DpMechanism | None:
        """A mechanism."""


DEPRECABLE = [
    "Query.item",
    "Query.item(limit:)",
    "Query.item(note:)",
    "Filter.hint",
    "Filter.size",
    "DpMechanism.EXPONENTIAL",
]


def refusal(record: Record) -> str:
    with pytest.raises(SubgraphError) as caught:
        build(Query, records=[record])
    assert caught.value.code is ErrorCode.DEPRECATIONS_INVALID
    return caught.value.message


@pytest.mark.parametrize("coordinate", DEPRECABLE)
def test_element_is_deprecated_in_the_served_document(coordinate: str) -> None:
    sdl = build(Query, records=[Record(coordinate)]).sdl
    assert sdl.count('@governance__deprecated(id: "DEP-2026-001"') == 1


@pytest.mark.parametrize("coordinate", DEPRECABLE)
def test_directives_stand_on_the_element_that_the_record_names(coordinate: str) -> None:
    published = build_schema(build(Query, records=[Record(coordinate)]).sdl, assume_valid_sdl=True)
    resolved = resolve_schema_coordinate(published, coordinate)
    kinds = ("field_argument", "input_field", "enum_value", "field")
    (element,) = [getattr(resolved, kind) for kind in kinds if hasattr(resolved, kind)][:1]
    names = [directive.name.value for directive in element.ast_node.directives]
    assert names == ["deprecated", "governance__deprecated"]


INTROSPECTION = """{
  __schema { types {
    name
    fields(includeDeprecated: true) {
      name deprecationReason
      args(includeDeprecated: true) { name deprecationReason }
    }
    inputFields(includeDeprecated: true) { name deprecationReason }
    enumValues(includeDeprecated: true) { name deprecationReason }
  } }
}"""


def deprecated(coordinate: str) -> list[str]:
    """The coordinates that introspection calls deprecated."""
    schema = build(Query, records=[Record(coordinate)])
    answer = graphql_sync(schema.core, INTROSPECTION)
    assert answer.data is not None
    found = []
    for type_ in answer.data["__schema"]["types"]:
        fields = type_["fields"] or []
        for item in [*fields, *(type_["inputFields"] or []), *(type_["enumValues"] or [])]:
            here = f"{type_['name']}.{item['name']}"
            found += [here] if item["deprecationReason"] else []
            found += [
                f"{here}({argument['name']}:)"
                for argument in item.get("args", [])
                if argument["deprecationReason"]
            ]
    return found


@pytest.mark.parametrize("coordinate", DEPRECABLE)
def test_introspection_knows_the_deprecated_element_and_no_other(coordinate: str) -> None:
    assert deprecated(coordinate) == [coordinate]


@pytest.mark.parametrize(
    "coordinate",
    [
        "Query.nothing",
        "Nothing.item",
        "Query.item(nothing:)",
        "Filter.nothing",
        "DpMechanism.NOTHING",
        "Query",
        "@deprecated",
        "@deprecated(reason:)",
        "Query.item.of",
        "",
        "Query.",
    ],
)
def test_record_of_an_unknown_element_is_refused(coordinate: str) -> None:
    message = refusal(Record(coordinate))
    assert message == f"DEP-2026-001: {coordinate} is not an element of the schema"


@pytest.mark.parametrize("coordinate", ["Query.item(of:)", "Filter.name"])
def test_required_input_cannot_be_deprecated(coordinate: str) -> None:
    message = refusal(Record(coordinate))
    assert message == f"DEP-2026-001: {coordinate} is required and cannot be deprecated"


def test_replacement_is_an_element_of_the_schema() -> None:
    message = refusal(Record("Query.item", replacement="Query.nothing"))
    assert message == "DEP-2026-001: Query.nothing is not an element of the schema"


def test_record_without_replacement_names_none() -> None:
    assert (
        "replacement:"
        not in build(Query, records=[Record("Query.item")]).sdl.partition("type Query")[2]
    )


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=40)


@given(TEXTS)
def test_any_sentence_is_written_so_that_it_reads_back(sentence: str) -> None:
    standard, _ = lifecycle.directives(Record("Query.item", sentence=sentence))
    assert standard.arguments[0].value.value == sentence


@given(TEXTS, st.dates(), st.dates(), st.integers(0, 999))
def test_directives_are_graphql(
    text: str, since: datetime.date, until: datetime.date, days: int
) -> None:
    record = Record(
        "Query.item", since=since, until=until, grace=datetime.timedelta(days), sentence=text
    )
    _, governance = lifecycle.directives(record)
    values = {item.name.value: item.value.value for item in governance.arguments}
    assert values == {
        "id": record.id,
        "since": since.isoformat(),
        "until": until.isoformat(),
        "grace": f"P{days}D",
    }


def test_document_with_every_kind_of_record_parses() -> None:
    records = [
        Record(coordinate, id=f"DEP-2026-00{number}")
        for number, coordinate in enumerate(DEPRECABLE)
    ]
    parse(build(Query, records=records).sdl)


def test_described_enum_demands_a_text_for_each_value() -> None:
    import enum

    class Colour(enum.Enum):
        """A colour."""

        RED = "RED"

    with pytest.raises(KeyError):
        described_enum(Colour, {})
