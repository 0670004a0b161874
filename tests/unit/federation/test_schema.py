"""What stands in the served document of a small schema."""

from typing import Annotated

import pytest
import strawberry
from graphql import graphql_sync

from subgraph.federation.access import AUTHENTICATED, PUBLIC, deployment_scope, scope
from subgraph.federation.declare import attribute, field, interface_type, object_type
from tests.unit.federation.schemas import Root, build, returning


@pytest.mark.parametrize(
    ("access", "directive"),
    [
        (PUBLIC, ""),
        (AUTHENTICATED, " @authenticated"),
        (scope("keys:read"), ' @requiresScopes(scopes: [["keys:read"]])'),
        (deployment_scope("platform:tenants"), ' @requiresScopes(scopes: [["platform:tenants"]])'),
    ],
)
def test_access_of_a_field_is_its_directive(access, directive: str) -> None:
    assert f"  item: String{directive}\n" in build(returning(str, access=access)).sdl


def test_access_of_a_type_is_its_directive() -> None:
    @object_type(access=scope("keys:read"), shareable=True)
    class Thing:
        """A thing."""

        name: str = attribute("The name.")

    header = 'type Thing @shareable @requiresScopes(scopes: [["keys:read"]]) {'
    assert header in build(returning(Thing)).sdl


def test_interface_carries_no_access() -> None:
    @interface_type(access=AUTHENTICATED)
    class Proof:
        """Something proven."""

        name: str = attribute("The name.")

    @object_type(access=AUTHENTICATED)
    class Residency(Proof):
        """A proof."""

    assert "interface Proof {" in build(returning(Proof), types=[Residency]).sdl


def test_type_that_no_field_names_is_part_of_the_schema() -> None:
    @object_type(access=PUBLIC)
    class Stray:
        """Reached through an interface only."""

        name: str = attribute("The name.")

    assert "type Stray {" in build(types=[Stray]).sdl


@pytest.mark.parametrize(
    "own", ["_Any", "_Entity", "_Service", "_entities", "_service", "schema {"]
)
def test_federation_machinery_is_left_to_federation(own: str) -> None:
    assert own not in build().sdl


def test_argument_that_may_be_left_out_has_no_default_of_null() -> None:
    @object_type(access=None)
    class Query(Root):
        """What can be read."""

        @field(access=PUBLIC)
        def item(
            self, note: Annotated[str | None, strawberry.argument(description="A note.")] = None
        ) -> str | None:
            """An item."""
            return note or "none"

    schema = build(Query)
    assert "note: String\n" in schema.sdl
    assert graphql_sync(schema.core, "{ item }").data == {"item": "none"}


def test_same_source_makes_the_same_document() -> None:
    assert build().sdl == build().sdl
