"""Strawberry's federated schema under the rules of this service.

Entities come from batch loaders only, every element declares its access, lifecycle records are
projected onto it, and the document that is served is made once, when the schema is built.
"""

from collections.abc import Iterable
from typing import Annotated, Any

import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLDirective,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
)
from strawberry.federation.schema import FederationAny
from strawberry.federation.schema import Schema as FederatedSchema
from strawberry.printer import print_schema
from strawberry.schema.config import StrawberryConfig
from strawberry.types import Info

from subgraph.budgets.model import DpMechanism, DpQueryKind
from subgraph.federation import entities, guards, lifecycle, plain_fields, sdl
from subgraph.federation.directives import ARGUMENTS, DpCost, GovernanceDeprecated
from subgraph.federation.lifecycle import LifecycleRecord
from subgraph.federation.scalars import SCALARS


class GovernanceSchema(FederatedSchema):
    """The schema, its documents and its entity types; `types` are those that no field names.

    Raises `SCHEMA_INVALID` if an element declares no access or an entity has no batch loader, and
    `DEPRECATIONS_INVALID` if a record does not fit the schema.
    """

    def __init__(
        self,
        *,
        query: type,
        mutation: type | None,
        records: Iterable[LifecycleRecord],
        types: Iterable[type] = (),
    ) -> None:
        super().__init__(
            query=query,
            mutation=mutation,
            types=[DpMechanism, DpQueryKind, *types],
            federation_version="2.9",
            config=StrawberryConfig(scalar_map=SCALARS),
        )
        records = tuple(records)
        core = self.core
        # Strawberry defines those that a field carries, without descriptions.
        own = [self._directive(cls) for cls in (DpCost, GovernanceDeprecated)]
        names = {directive.name for directive in own}
        standard = [item for item in core.directives if item.name not in names]
        core.directives = (*standard, *own)
        _drop_null_defaults(core)
        plain_fields.shorten_resolvers(core)
        guards.install(core)
        plain_fields.mark(core)
        self.entity_types = entities.entity_types(core)
        self.sdl = sdl.federation_document(print_schema(self), records)
        lifecycle.apply(core, records)

    @property
    def core(self) -> GraphQLSchema:
        """The executable graphql-core schema."""
        return self._schema

    def entities_resolver(
        self,
        info: Info[Any, None],
        representations: Annotated[
            list[FederationAny],
            strawberry.argument(description="The type and key of each entity."),
        ],
    ) -> Any:
        """Resolve `_entities`; see `subgraph.federation.entities`."""
        return entities.resolve(self.entity_types, representations, info.context)

    def _directive(self, cls: type) -> GraphQLDirective:
        directive = self.schema_converter.from_schema_directive(cls)
        for name, argument in directive.args.items():
            argument.description = ARGUMENTS[directive.name][name]
        return directive

    def _prepare_schema_directives(self) -> None:
        """Generate nothing: `subgraph.federation.sdl` holds the links as the contract has them."""
        self._validate_directive_compatibility()


def _drop_null_defaults(schema: GraphQLSchema) -> None:
    """Leave "not given" to the resolvers' own defaults: the contract's inputs have none."""
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLInputObjectType):
            inputs: list[GraphQLInputField | GraphQLArgument] = [*type_.fields.values()]
        elif isinstance(type_, GraphQLObjectType):
            inputs = [item for field in type_.fields.values() for item in field.args.values()]
        else:
            continue
        for item in inputs:
            if item.default_value is None:
                item.default_value = Undefined
