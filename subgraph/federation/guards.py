"""Puts the declared access in force, and refuses a schema in which it is not declared.

A field is guarded by its own access and by that of the type that it returns. So every way into a
type is guarded, and its plain fields cost nothing more.
"""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AS_PARENT, Access
from subgraph.federation.declare import ACCESS, ACCESS_ATTRIBUTE

_DEFINITION = GraphQLCoreConverter.DEFINITION_BACKREF
_REQUIRED = "governance-required-access"
_UNION = "_Entity"
_ENTITIES = "_entities"
"""Checks the access of each entity's type by itself, so that one refusal harms only its items."""


def access_of_type(schema: GraphQLSchema, name: str) -> Access:
    """The access that the type declares. Raises `SCHEMA_INVALID` if it declares none."""
    declared = _declared(schema.type_map[name])
    if declared is None:
        raise SubgraphError(ErrorCode.SCHEMA_INVALID, f"{name} declares no access")
    return declared


def required_access(field: GraphQLField) -> frozenset[Access]:
    """What a caller needs to read the field, as `install` found."""
    required: frozenset[Access] = field.extensions.get(_REQUIRED, frozenset())
    return required


def entity_access(schema: GraphQLSchema) -> frozenset[Access]:
    """What a caller needs to read any entity by its key; each type is checked with its items."""
    union: Any = schema.type_map[_UNION]
    declared = {access_of_type(schema, type_.name) for type_ in union.types}
    return frozenset(access for access in declared if access.guarded)


def install(schema: GraphQLSchema) -> None:
    """Guard every field of `schema`. Raises `SCHEMA_INVALID` for one without a declaration."""
    for type_ in list(schema.type_map.values()):
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            inherited = _declared(type_)
            for name, field in type_.fields.items():
                if type_.name == "Query" and name == _ENTITIES:
                    continue
                required = _required(schema, field, inherited, f"{type_.name}.{name}")
                if not required:
                    continue
                field.extensions = {**field.extensions, _REQUIRED: required}
                field.resolve = _guarded(field.resolve, required)


def _required(
    schema: GraphQLSchema, field: GraphQLField, inherited: Access | None, coordinate: str
) -> frozenset[Access]:
    definition = field.extensions.get(_DEFINITION)
    own = definition.metadata.get(ACCESS) if definition is not None else None
    if own is None and inherited is None:
        raise SubgraphError(ErrorCode.SCHEMA_INVALID, f"{coordinate} declares no access")
    of_types = {
        access_of_type(schema, name) for name in _object_names(schema, get_named_type(field.type))
    }
    return frozenset(access for access in {own or AS_PARENT, *of_types} if access.guarded)


def _object_names(schema: GraphQLSchema, type_: object) -> list[str]:
    if isinstance(type_, GraphQLObjectType):
        return [type_.name]
    if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType):
        members = [member.name for member in schema.get_possible_types(type_)]
        if not members:
            raise SubgraphError(ErrorCode.SCHEMA_INVALID, f"nothing implements {type_.name}")
        return members
    return []


def _declared(type_: Any) -> Access | None:
    definition = type_.extensions.get(_DEFINITION)
    return getattr(definition.origin, ACCESS_ATTRIBUTE, None) if definition is not None else None


def _guarded(resolve: Callable[..., Any] | None, required: frozenset[Access]) -> Callable[..., Any]:
    assert resolve is not None
    checks = tuple(sorted(required, key=lambda access: access.name))

    def guarded(source: Any, info: Any, **arguments: Any) -> Any:
        for access in checks:
            info.context.require(access)
        return resolve(source, info, **arguments)

    return guarded


def table(schema: GraphQLSchema) -> Mapping[str, frozenset[Access]]:
    """What reading each field takes, by coordinate; for tests and documents."""
    return {
        f"{type_.name}.{name}": required_access(field)
        for type_ in schema.type_map.values()
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("_")
        for name, field in type_.fields.items()
    }
