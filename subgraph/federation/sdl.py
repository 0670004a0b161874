"""The two documents that the schema is published as.

The federation document is what `_service { sdl }` answers and `schema.graphql` holds: it composes.
The contract document says `@deprecated(reason:, until:)` literally, for linters and people; no
composer takes it, since none accepts a second definition of a built-in directive.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from graphql.language import (
    REMOVE,
    DirectiveDefinitionNode,
    EnumTypeDefinitionNode,
    EnumValueDefinitionNode,
    FieldDefinitionNode,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    Node,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    SchemaDefinitionNode,
    SchemaExtensionNode,
    UnionTypeDefinitionNode,
    Visitor,
    parse,
    print_ast,
    visit,
)

from subgraph.federation.directives import COMPOSED, FEDERATION_URL, GOVERNANCE_URL
from subgraph.federation.lifecycle import GOVERNANCE, STANDARD, LifecycleRecord, directives

_HEADER = f"""
extend schema
  @link(url: "{FEDERATION_URL}", import: [
    "@key", "@shareable", "@composeDirective", "@authenticated", "@requiresScopes", "@cost", "@listSize"])
  @link(url: "{GOVERNANCE_URL}", import: [
    "@dpCost", {{name: "@deprecated", as: "@governance__deprecated"}}])
""" + "".join(f'  @composeDirective(name: "{name}")\n' for name in COMPOSED)

_ID = '"""\nThe identity of an object.\n"""\nscalar ID\n'
"""Written out: one composer takes a string for an `ID` argument only of a scalar it can see."""

_FEDERATION_OWN = frozenset({"_Any", "_Entity", "_Service"})
_CONTRACT_DEPRECATED = """
directive @deprecated(reason: String! = "No longer supported", until: Date) on FIELD_DEFINITION | ARGUMENT_DEFINITION | INPUT_FIELD_DEFINITION | ENUM_VALUE
"""


def federation_document(printed: str, records: Iterable[LifecycleRecord]) -> str:
    """The federation document from what Strawberry printed and the lifecycle records."""
    document = visit(parse(printed, no_location=True), _OwnPart())
    document = visit(document, _Lifecycle({record.coordinate: record for record in records}))
    return _HEADER.lstrip() + "\n" + _ID + "\n" + print_ast(document) + "\n"


def contract_document(federation_sdl: str) -> str:
    """The contract document from the federation document: the dates move into `@deprecated`."""
    document = visit(parse(federation_sdl, no_location=True), _Contract())
    return _CONTRACT_DEPRECATED.lstrip() + "\n" + print_ast(document) + "\n"


_Element = FieldDefinitionNode | InputValueDefinitionNode | EnumValueDefinitionNode


class _OwnPart(Visitor):
    """Leaves federation's own machinery out, and the schema definition that the header replaces."""

    def enter(self, node: Node, *_: Any) -> Any:
        if isinstance(node, SchemaDefinitionNode | SchemaExtensionNode):
            return REMOVE
        if isinstance(node, DirectiveDefinitionNode):
            # Strawberry prints those in use once more, without descriptions of their arguments.
            bare = any(item.description is None for item in node.arguments or ())
            return REMOVE if bare else None
        if isinstance(
            node, ScalarTypeDefinitionNode | UnionTypeDefinitionNode | ObjectTypeDefinitionNode
        ):
            return REMOVE if node.name.value in _FEDERATION_OWN else None
        if isinstance(node, FieldDefinitionNode) and node.name.value in ("_service", "_entities"):
            return REMOVE
        return None


class _Lifecycle(Visitor):
    """Writes the directives of each record to the element that it names."""

    def __init__(self, records: Mapping[str, LifecycleRecord]) -> None:
        super().__init__()
        self._records = records

    def leave(self, node: Any, _key: Any, _parent: Any, _path: Any, ancestors: list[Any]) -> Any:
        coordinate = _coordinate(node, [item for item in ancestors if isinstance(item, Node)])
        record = self._records.get(coordinate) if coordinate else None
        if record is None:
            return None
        return replace(node, directives=(*(node.directives or ()), *directives(record)))


def _coordinate(node: Any, ancestors: list[Any]) -> str | None:
    """The schema coordinate of a field, argument, input field or enum value."""
    if not isinstance(node, _Element) or not ancestors:
        return None
    owner = ancestors[-1]
    if isinstance(
        owner,
        ObjectTypeDefinitionNode
        | InterfaceTypeDefinitionNode
        | InputObjectTypeDefinitionNode
        | EnumTypeDefinitionNode,
    ):
        return f"{owner.name.value}.{node.name.value}"
    if isinstance(owner, FieldDefinitionNode):
        return f"{ancestors[-2].name.value}.{owner.name.value}({node.name.value}:)"
    return None


class _Contract(Visitor):
    """Moves `until` into `@deprecated` and leaves the composition machinery out."""

    def enter(self, node: Any, *_: Any) -> Any:
        if isinstance(node, SchemaExtensionNode):
            return REMOVE
        if isinstance(node, ScalarTypeDefinitionNode) and node.name.value == "ID":
            return REMOVE
        if isinstance(node, DirectiveDefinitionNode) and node.name.value == GOVERNANCE:
            return REMOVE
        return None

    def leave(self, node: Any, *_: Any) -> Any:
        given = {item.name.value: item for item in getattr(node, "directives", None) or ()}
        if GOVERNANCE not in given:
            return None
        until = [item for item in given[GOVERNANCE].arguments if item.name.value == "until"]
        standard = given[STANDARD]
        given[STANDARD] = replace(standard, arguments=(*standard.arguments, *until))
        del given[GOVERNANCE]
        return replace(node, directives=tuple(given.values()))
