"""Each rule of the house for the schema, broken once."""

import enum
from typing import Annotated

import pytest
import strawberry

from subgraph.federation import lint
from subgraph.federation.access import AS_PARENT, PUBLIC, scope
from subgraph.federation.declare import attribute, field, input_type, object_type
from tests.unit.federation.schemas import Root, build, returning


def findings(type_: object, **options: object) -> list[str]:
    return lint.findings(build(returning(type_, **options)))


@object_type(access=AS_PARENT)
class ThingConnection:
    """A page."""

    @field()
    def nodes(self) -> list[str]:
        """The items."""
        return []


def test_schema_that_breaks_nothing_has_no_findings() -> None:
    @object_type(access=PUBLIC)
    class Thing:
        """A thing."""

        name: str = attribute("The name.")
        names: list[str] | None = attribute("The names.", at_most=3)

    assert findings(Thing) == []


def test_type_without_description() -> None:
    @object_type(access=PUBLIC)
    class Thing:
        name: str = attribute("The name.")

    assert findings(Thing) == ["Thing: has no description"]


def test_field_without_description() -> None:
    @object_type(access=PUBLIC)
    class Thing:
        """A thing."""

        name: str = attribute(" ")

        @field()
        def other(self) -> str | None:
            return None

    assert findings(Thing) == ["Thing.name: has no description", "Thing.other: has no description"]


def test_argument_without_description() -> None:
    @object_type(access=None)
    class Query(Root):
        """What can be read."""

        @field(access=PUBLIC)
        def item(self, name: str) -> str | None:
            """An item."""

    assert lint.findings(build(Query)) == ["Query.item(name:): has no description"]


def test_input_without_description() -> None:
    @input_type
    class Filter:
        name: str = attribute("")

    @object_type(access=None)
    class Query(Root):
        """What can be read."""

        @field(access=PUBLIC)
        def item(
            self, of: Annotated[Filter, strawberry.argument(description="Which.")]
        ) -> str | None:
            """An item."""

    assert lint.findings(build(Query)) == [
        "Filter.name: has no description",
        "Filter: has no description",
    ]


def test_enum_without_descriptions() -> None:
    @strawberry.enum
    class Colour(enum.Enum):
        RED = "RED"

    assert findings(Colour) == ["Colour.RED: has no description", "Colour: has no description"]


def test_enum_value_that_is_not_upper_case() -> None:
    @strawberry.enum(description="A colour.")
    class Colour(enum.Enum):
        red = strawberry.enum_value("red", description="Red.")

    assert findings(Colour) == ["Colour.red: an enum value is named in UPPER_CASE"]


def test_type_that_is_not_in_pascal_case() -> None:
    @object_type(access=PUBLIC, name="thing_of_mine")
    class Thing:
        """A thing."""

        name: str = attribute("The name.")

    assert findings(Thing) == ["thing_of_mine: a type is named in PascalCase"]


@pytest.mark.parametrize("name", ["Name", "the_name", "getName", "_name"])
def test_field_that_is_not_named_for_what_it_is(name: str) -> None:
    @object_type(access=PUBLIC)
    class Thing:
        """A thing."""

        it: str = attribute("The name.", name=name)

    assert findings(Thing) == [f"Thing.{name}: a field is named in camelCase, for what it is"]


def test_argument_that_is_not_in_camel_case() -> None:
    @object_type(access=None)
    class Query(Root):
        """What can be read."""

        @field(access=PUBLIC)
        def item(
            self, it: Annotated[str, strawberry.argument(description="It.", name="the_name")]
        ) -> str | None:
            """An item."""

    assert lint.findings(build(Query)) == ["Query.item(the_name:): an input is named in camelCase"]


def test_list_that_does_not_say_how_long_it_can_be() -> None:
    @object_type(access=PUBLIC)
    class Thing:
        """A thing."""

        names: list[str] = attribute("The names.")

    assert findings(Thing) == ["Thing.names: a list says in @listSize how long it can be"]


def test_connection_that_is_not_sliced() -> None:
    assert findings(ThingConnection) == [
        "Query.item: a connection is sliced by `first` and says so in @listSize"
    ]


def test_connection_that_is_sliced_by_an_argument_it_does_not_take() -> None:
    assert findings(ThingConnection, paged=True) == [
        "Query.item: a connection is sliced by `first` and says so in @listSize"
    ]


def test_scope_that_the_contract_does_not_know() -> None:
    assert findings(str, access=scope("everything:read")) == [
        "Query.item: everything:read is not a scope of the contract"
    ]
