"""The short way for fields that are attributes of an object.

Most fields of an answer are attributes with a built-in scalar type. graphql-core makes a path, a
resolve info and several checks for each. Here such a field is read, and taken as it is when it is
exactly what its type promises; in every other case graphql-core executes it, so errors and null
propagation are its own. Resolvers without GraphQL arguments are called without Strawberry's layer
that would convert them.
"""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    is_specified_scalar_type,
)
from graphql.execution import Executor
from strawberry.schema.schema_converter import GraphQLCoreConverter

from subgraph.federation.guards import required_access

_PLAIN = "governance-plain-fields"
_LARGEST_INT = 2**31 - 1
_KINDS: Mapping[str, type] = MappingProxyType(
    {"String": str, "ID": str, "Int": int, "Boolean": bool}
)


class PlainFieldExecutor(Executor[None]):
    """Executes as graphql-core does, taking the short way where `mark` allows it."""

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        field_details_list: Any,
        path: Any,
        position_context: None,
    ) -> Any:
        """Execute one field of an object; see `Executor.execute_field`."""
        plain = parent_type.extensions.get(_PLAIN)
        if plain is not None:
            read = plain.get(field_details_list[0].node.name.value)
            if read is not None:
                name, kind = read
                value: Any = getattr(source_value, name, None)
                if type(value) is kind and (kind is not int or abs(value) <= _LARGEST_INT):
                    return value
        return super().execute_field(
            parent_type, source_value, field_details_list, path, position_context
        )


def shorten_resolvers(schema: GraphQLSchema) -> None:
    """Call resolvers without Strawberry's layers where these have nothing to do.

    Runs before the guards are installed, which then wrap what stands here.
    """
    for type_ in _object_types(schema):
        for field in type_.fields.values():
            definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
            if definition is None:
                continue
            if definition.is_basic_field:
                field.resolve = _attribute(definition.python_name)
            elif not definition.arguments and not definition.extensions:
                direct = _direct(definition.base_resolver.wrapped_func)
                field.resolve = direct if direct is not None else field.resolve


def mark(schema: GraphQLSchema) -> None:
    """Note which fields may go the short way: unguarded attributes of a built-in scalar type.

    Runs after the guards are installed. An object's class names its type, so types are not asked
    whether an object is theirs.
    """
    names: dict[type, str] = {}
    for type_ in _object_types(schema):
        plain = {name: read for name, field in type_.fields.items() if (read := _plain(field))}
        type_.extensions = {**type_.extensions, _PLAIN: plain}
        type_.is_type_of = None
        definition = type_.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        if definition is not None:
            names[definition.origin] = type_.name
    for union in schema.type_map.values():
        if isinstance(union, GraphQLUnionType):
            union.resolve_type = lambda value, _info, _type: names[type(value)]


def _object_types(schema: GraphQLSchema) -> list[GraphQLObjectType]:
    return [type_ for type_ in schema.type_map.values() if isinstance(type_, GraphQLObjectType)]


def _plain(field: GraphQLField) -> tuple[str, type] | None:
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if definition is None or not definition.is_basic_field or required_access(field):
        return None
    type_ = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
    if not isinstance(type_, GraphQLScalarType) or not is_specified_scalar_type(type_):
        return None
    kind = _KINDS.get(type_.name)
    return None if kind is None else (definition.python_name, kind)


def _attribute(name: str) -> Callable[[Any, Any], Any]:
    return lambda source, _info: getattr(source, name)


def _direct(resolver: Callable[..., Any]) -> Callable[[Any, Any], Any] | None:
    parameters = list(inspect.signature(resolver).parameters)
    if parameters == ["self"]:
        return lambda source, _info: resolver(source)
    return resolver if parameters == ["self", "info"] else None
