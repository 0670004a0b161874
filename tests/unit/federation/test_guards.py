"""A schema whose access is not declared does not come to be."""

from typing import Annotated

import pytest
import strawberry
from graphql import graphql

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation import guards
from subgraph.federation.access import (
    AS_PARENT,
    AUTHENTICATED,
    PUBLIC,
    Access,
    deployment_scope,
    scope,
)
from subgraph.federation.declare import attribute, field, interface_type, mutation, object_type
from tests.unit.federation.schemas import Context, Plain, Root, build, returning


def refusal(query: type | None, **options: object) -> str:
    with pytest.raises(SubgraphError) as caught:
        build(query, **options)
    assert caught.value.code is ErrorCode.SCHEMA_INVALID
    return caught.value.message


def test_root_field_without_access_is_refused() -> None:
    @object_type(access=None)
    class Query(Root):
        """What can be read."""

        @field()
        def item(self) -> str | None:
            """An item."""

    assert refusal(Query) == "Query.item declares no access"


def test_root_attribute_without_access_is_refused() -> None:
    @object_type(access=None)
    class Query(Root):
        """What can be read."""

        item: str = attribute("An item.", default="x")

    assert refusal(Query) == "Query.item declares no access"


def test_document_that_federation_itself_would_serve_is_refused() -> None:
    @object_type(access=None)
    class Query:
        """What can be read, without an access of its own for the document."""

        @field(access=PUBLIC)
        def item(self) -> str | None:
            """An item."""

    assert refusal(Query) == "Query._service declares no access"


def test_mutation_without_access_is_refused() -> None:
    @object_type(access=None)
    class Mutation:
        """What can be changed."""

        @field()
        def change(self) -> str | None:
            """Change it."""

    assert refusal(None, mutation=Mutation) == "Mutation.change declares no access"


def test_type_that_was_not_declared_here_is_refused() -> None:
    @strawberry.type(description="Made with Strawberry alone.")
    class Stray:
        name: str

    assert refusal(returning(Stray)) == "Stray declares no access"


def test_type_without_access_is_refused_where_it_is_returned() -> None:
    @object_type(access=None)
    class Loose:
        """Declares nothing."""

        name: str = attribute("The name.", access=PUBLIC)

    assert refusal(returning(Loose)) == "Loose declares no access"


def test_member_of_a_union_without_access_is_refused() -> None:
    @object_type(access=None)
    class Loose:
        """Declares nothing."""

        name: str = attribute("The name.", access=PUBLIC)

    either = Annotated[Plain | Loose, strawberry.union("Either", description="One of them.")]
    assert refusal(returning(either)) == "Loose declares no access"


def test_interface_that_nothing_implements_is_refused() -> None:
    @interface_type(access=AS_PARENT)
    class Outcome:
        """What came of it."""

        code: str = attribute("A code.")

    assert refusal(returning(Outcome)) == "nothing implements Outcome"


def required(query: type, coordinate: str, **options: object) -> set[Access]:
    return set(guards.table(build(query, **options).core)[coordinate])


def test_field_takes_its_own_access_and_that_of_what_it_returns() -> None:
    @object_type(access=scope("datasets:read"))
    class Guarded:
        """Asks for a scope."""

        name: str = attribute("The name.")

    found = required(returning(Guarded, access=AUTHENTICATED), "Query.item")
    assert found == {AUTHENTICATED, scope("datasets:read")}


def test_plain_field_of_a_guarded_type_takes_nothing_more() -> None:
    @object_type(access=AUTHENTICATED)
    class Guarded:
        """Asks for a token."""

        name: str = attribute("The name.")

    assert required(returning(Guarded), "Guarded.name") == set()


def test_list_takes_the_access_of_its_items() -> None:
    @object_type(access=AUTHENTICATED)
    class Guarded:
        """Asks for a token."""

        name: str = attribute("The name.")

    assert required(returning(list[Guarded]), "Query.item") == {AUTHENTICATED}


def test_union_takes_the_access_of_all_its_members() -> None:
    @object_type(access=AUTHENTICATED)
    class Guarded:
        """Asks for a token."""

        name: str = attribute("The name.")

    @object_type(access=scope("keys:read"))
    class Other:
        """Asks for a scope."""

        name: str = attribute("The name.")

    either = Annotated[Guarded | Other, strawberry.union("Either", description="One of them.")]
    found = required(returning(either), "Query.item")
    assert found == {AUTHENTICATED, scope("keys:read")}


def test_interface_takes_the_access_of_all_that_implement_it() -> None:
    @interface_type(access=AS_PARENT)
    class Proof:
        """Something proven."""

        name: str = attribute("The name.")

    @object_type(access=scope("proofs:read"))
    class Residency(Proof):
        """A proof."""

    found = required(returning(Proof), "Query.item", types=[Residency])
    assert found == {scope("proofs:read")}


def test_deployment_scope_is_not_the_scope_of_a_tenant() -> None:
    assert deployment_scope("keys:read") != scope("keys:read")


class Counted:
    """Counts how often a resolver ran."""

    def __init__(self) -> None:
        self.runs = 0

    def query(self, access: Access) -> type:
        counted = self

        @object_type(access=None)
        class Query(Root):
            """What can be read."""

            @field(access=access)
            def item(self) -> str | None:
                """An item."""
                counted.runs += 1
                return "here"

        return Query


@pytest.mark.parametrize(
    ("access", "scopes", "item"),
    [
        (PUBLIC, None, "here"),
        (AUTHENTICATED, None, None),
        (AUTHENTICATED, frozenset(), "here"),
        (scope("keys:read"), frozenset(), None),
        (scope("keys:read"), frozenset({"keys:read"}), "here"),
    ],
)
async def test_field_answers_those_that_have_its_access(
    access: Access, scopes: frozenset[str] | None, item: str | None
) -> None:
    schema = build(Counted().query(access))
    answer = await graphql(schema.core, "{ item }", context_value=Context(scopes))
    assert answer.data == {"item": item}


async def test_resolver_does_not_run_for_a_caller_that_is_refused() -> None:
    counted = Counted()
    schema = build(counted.query(scope("keys:read")))
    await graphql(schema.core, "{ item }", context_value=Context())
    assert counted.runs == 0


async def test_mutation_does_not_run_for_a_caller_that_is_refused() -> None:
    runs = []

    @object_type(access=None)
    class Mutation:
        """What can be changed."""

        @mutation(access=scope("keys:write"))
        def change(self) -> str | None:
            """Change it."""
            runs.append(1)

    schema = build(mutation=Mutation)
    await graphql(schema.core, "mutation { change }", context_value=Context())
    assert runs == []


async def test_public_field_asks_nobody() -> None:
    context = Context(None)
    await graphql(build(Counted().query(PUBLIC)).core, "{ item }", context_value=context)
    assert context.asked == 0
