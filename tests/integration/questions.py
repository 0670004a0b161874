"""An operation for every field of the schema, and what the published document asks for on it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLObjectType,
    GraphQLSchema,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    is_composite_type,
    is_required_argument,
    parse,
    visit,
)

from subgraph import schema
from subgraph.deprecations import policy_file
from tests.integration.roads import ARGUMENTS, ROADS

AUTHENTICATED = "authenticated"
PUBLISHED = build_schema(
    (Path(__file__).parents[2] / "schema.graphql").read_text(encoding="utf-8"),
    assume_valid=True,
)
SERVED: GraphQLSchema = schema.build(policy_file.load(policy_file.default_path())).core


def questions(schema_: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """Every field of every object type, with each of the operations that reach it."""
    for type_ in sorted(schema_.type_map.values(), key=lambda item: item.name):
        if not isinstance(type_, GraphQLObjectType) or type_.name.startswith("__"):
            continue
        assert type_.name in ROADS, f"no road leads to {type_.name}"
        for name, field in type_.fields.items():
            coordinate = f"{type_.name}.{name}"
            needs = any(is_required_argument(item) for item in field.args.values())
            assert needs == (coordinate in ARGUMENTS), f"{coordinate} takes other arguments"
            below = " { __typename }" if is_composite_type(get_named_type(field.type)) else ""
            selection = f"{name}{ARGUMENTS.get(coordinate, '')}{below}"
            for road in ROADS[type_.name]:
                yield coordinate, road % selection


def stated(element: Any) -> frozenset[str]:
    """What the directives on a definition of the published document ask for."""
    found = set()
    for directive in getattr(element.ast_node, "directives", None) or ():
        if directive.name.value == "authenticated":
            found.add(AUTHENTICATED)
        elif directive.name.value == "requiresScopes":
            ((scope,),) = [either.values for either in directive.arguments[0].value.values]
            found.add(scope.value)
    return frozenset(found)


class Asked(Visitor):
    """Gathers what the published document says that an operation takes."""

    def __init__(self) -> None:
        super().__init__()
        self.types = TypeInfo(SERVED)
        self.found: set[str] = set()

    def enter_field(self, node: Any, *_: Any) -> None:
        parent = PUBLISHED.get_type(self.types.get_parent_type().name)
        field = getattr(parent, "fields", {}).get(node.name.value)
        if field is not None:
            self.found |= stated(parent) | stated(field) | stated(get_named_type(field.type))

    def enter_inline_fragment(self, node: Any, *_: Any) -> None:
        self.found |= stated(PUBLISHED.get_type(node.type_condition.name.value))


def asked(operation: str) -> frozenset[str]:
    visitor = Asked()
    visit(parse(operation), TypeInfoVisitor(visitor.types, visitor))
    return frozenset(visitor.found)
