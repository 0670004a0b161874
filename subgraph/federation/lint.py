"""The rules of the house for the schema; `make check` holds every element against them."""

import re
from collections.abc import Iterator
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    is_introspection_type,
    is_specified_directive,
    is_specified_scalar_type,
)
from strawberry.federation.schema_directives import ListSize
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.unset import UNSET

from subgraph.federation.guards import required_access
from subgraph.federation.schema import GovernanceSchema
from subgraph.policy.scopes import Scope

_TYPE = re.compile(r"[A-Z][A-Za-z0-9]*")
_NAME = re.compile(r"[a-z][A-Za-z0-9]*")
_VALUE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
_OWN = re.compile(r"_(Any|Entity|FieldSet|Service|entities|service)")
_SCOPES = frozenset(str(scope) for scope in Scope)


def findings(schema: GovernanceSchema) -> list[str]:
    """Every breach: missing descriptions, names out of style, unsized lists, unknown scopes."""
    found: list[str] = []
    for type_ in schema.core.type_map.values():
        own = is_introspection_type(type_) or is_specified_scalar_type(type_)
        if not own and not _OWN.fullmatch(type_.name):
            found.extend(_of_type(type_))
    for directive in schema.core.directives:
        if is_specified_directive(directive) or not directive.name.startswith(("dp", "governance")):
            continue
        found.extend(_of_element(f"@{directive.name}", directive.description))
        for name, argument in directive.args.items():
            found.extend(_of_argument(f"@{directive.name}({name}:)", name, argument))
    return sorted(found)


def _of_type(type_: GraphQLNamedType) -> Iterator[str]:
    yield from _of_element(type_.name, type_.description)
    if not _TYPE.fullmatch(type_.name):
        yield f"{type_.name}: a type is named in PascalCase"
    if isinstance(type_, GraphQLEnumType):
        for name, value in type_.values.items():
            yield from _of_element(f"{type_.name}.{name}", value.description)
            if not _VALUE.fullmatch(name):
                yield f"{type_.name}.{name}: an enum value is named in UPPER_CASE"
    if isinstance(type_, GraphQLInputObjectType):
        for name, item in type_.fields.items():
            yield from _of_argument(f"{type_.name}.{name}", name, item)
    if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
        for name, field in type_.fields.items():
            if not _OWN.fullmatch(name):
                yield from _of_field(type_, name, field)


def _of_field(
    type_: GraphQLObjectType | GraphQLInterfaceType, name: str, field: GraphQLField
) -> Iterator[str]:
    coordinate = f"{type_.name}.{name}"
    yield from _of_element(coordinate, field.description)
    if not _NAME.fullmatch(name) or name.startswith("get"):
        yield f"{coordinate}: a field is named in camelCase, for what it is"
    for argument_name, argument in field.args.items():
        yield from _of_argument(f"{coordinate}({argument_name}:)", argument_name, argument)
    yield from _of_list(type_, coordinate, name, field)
    for access in required_access(field):
        if access.scope is not None and access.scope not in _SCOPES:
            yield f"{coordinate}: {access.scope} is not a scope of the contract"


def _of_list(
    type_: GraphQLObjectType | GraphQLInterfaceType,
    coordinate: str,
    name: str,
    field: GraphQLField,
) -> Iterator[str]:
    size = _list_size(field)
    if str(field.type).rstrip("!").endswith("Connection"):
        if size is None or size.slicing_arguments != ["first"] or "first" not in field.args:
            yield f"{coordinate}: a connection is sliced by `first` and says so in @listSize"
    elif _is_list(field):
        sized_by_parent = type_.name.endswith("Connection") and name in ("edges", "nodes")
        if not sized_by_parent and (size is None or size.assumed_size in (None, UNSET)):
            yield f"{coordinate}: a list says in @listSize how long it can be"


def _of_argument(coordinate: str, name: str, argument: Any) -> Iterator[str]:
    yield from _of_element(coordinate, argument.description)
    if not _NAME.fullmatch(name):
        yield f"{coordinate}: an input is named in camelCase"


def _of_element(coordinate: str, description: str | None) -> Iterator[str]:
    if not (description or "").strip():
        yield f"{coordinate}: has no description"


def _is_list(field: GraphQLField) -> bool:
    type_ = field.type
    return isinstance(type_.of_type if isinstance(type_, GraphQLNonNull) else type_, GraphQLList)


def _list_size(field: GraphQLField) -> ListSize | None:
    definition: Any = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    directives = definition.directives if definition is not None else ()
    return next((item for item in directives if isinstance(item, ListSize)), None)
