"""Entities, a batch at a time.

A representation is untrusted: only its type and key are read, the object comes from a loader that
binds the tenant, and nothing that the representation claims is ever part of an answer.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Protocol

from graphql import GraphQLSchema, GraphQLUnionType
from strawberry.federation.schema_directives import Key
from strawberry.schema.schema_converter import GraphQLCoreConverter

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AS_PARENT, Access
from subgraph.federation.guards import access_of_type


class EntityLoader(Protocol):
    """Loads the entities of one type.

    It MUST answer as many items as keys, in their order: the entity, None for a key that names
    nothing the caller may see, or the exception that belongs to this key alone. It MUST bind the
    tenant of each key, MUST NOT send more than one statement however many keys and tenants there
    are, and MUST NOT trust anything but the key. It MAY raise: then every key fails with it.
    """

    async def __call__(self, keys: Sequence[str], context: Any) -> Sequence[object]:
        """Load `keys` for the caller of `context`."""
        ...


@dataclass(frozen=True, slots=True)
class EntityType:
    """A type that `_entities` resolves."""

    name: str
    key_field: str
    access: Access
    load_many: EntityLoader


def entity_types(schema: GraphQLSchema) -> dict[str, EntityType]:
    """The entity types of `schema` by name.

    Raises `SCHEMA_INVALID` for one without `load_many`, without an access of its own, or with a
    key that is not one field.
    """
    union = schema.type_map.get("_Entity")
    if not isinstance(union, GraphQLUnionType):
        return {}
    return {type_.name: _entity_type(schema, type_.name) for type_ in union.types}


def _entity_type(schema: GraphQLSchema, name: str) -> EntityType:
    definition = schema.type_map[name].extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
    keys = [str(item.fields) for item in definition.directives if isinstance(item, Key)]
    if len(keys) != 1 or " " in keys[0]:
        raise SubgraphError(ErrorCode.SCHEMA_INVALID, f"{name} has a key that is not one field")
    access = access_of_type(schema, name)
    if access == AS_PARENT:
        raise SubgraphError(ErrorCode.SCHEMA_INVALID, f"the entity {name} has no access of its own")
    load_many = getattr(definition.origin, "load_many", None)
    if not iscoroutinefunction(load_many):
        raise SubgraphError(ErrorCode.SCHEMA_INVALID, f"the entity {name} has no load_many")
    return EntityType(name, keys[0], access, load_many)


async def resolve(
    types: Mapping[str, EntityType], representations: Sequence[object], context: Any
) -> list[object]:
    """The entities of `representations`, in their order; an exception stands for its item alone."""
    items: list[object] = [None] * len(representations)
    groups: dict[str, list[tuple[int, str]]] = {}
    for index, representation in enumerate(representations):
        try:
            name, key = _read(types, representation)
        except SubgraphError as error:
            items[index] = error
        else:
            groups.setdefault(name, []).append((index, key))
    loads = [
        _load(types[name], [key for _, key in group], context) for name, group in groups.items()
    ]
    for group, loaded in zip(groups.values(), await asyncio.gather(*loads), strict=True):
        for (index, _), item in zip(group, loaded, strict=True):
            items[index] = item
    return items


def _read(types: Mapping[str, EntityType], representation: object) -> tuple[str, str]:
    if not isinstance(representation, Mapping):
        raise _bad("a representation is an object")
    name = representation.get("__typename")
    entity = types.get(name) if isinstance(name, str) else None
    if entity is None:
        raise _bad("`__typename` does not name an entity of this subgraph")
    key = representation.get(entity.key_field)
    if not isinstance(key, str):
        raise _bad(f"the key `{entity.key_field}` is a string")
    return entity.name, key


async def _load(entity: EntityType, keys: list[str], context: Any) -> Sequence[object]:
    try:
        if entity.access.guarded:
            context.require(entity.access)
        loaded = await entity.load_many(keys, context)
    except Exception as error:  # noqa: BLE001 the failure of one type leaves the others whole
        return [error] * len(keys)
    if len(loaded) != len(keys):
        message = f"the loader of {entity.name} answered {len(loaded)} items for {len(keys)} keys"
        return [RuntimeError(message)] * len(keys)
    return loaded


def _bad(message: str) -> SubgraphError:
    return SubgraphError(ErrorCode.BAD_USER_INPUT, message)
