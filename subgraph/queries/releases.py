"""Which differentially private releases an operation asks for, found before any resolver runs.

The walk collects fields as execution will: by response key, through fragments, under the `@skip`
and `@include` and the arguments that the variables make. What it finds is a release at a place of
the answer, of a data set that is named in the operation itself:

    tenant(id:) { dataset(id:) { dp } }
    _entities(representations:) { ... on Dataset { dp } ... on Tenant { dataset(id:) { dp } } }

Everywhere else a data set is known only once resolvers have run, so a release there is refused
before anything runs. No list but `_entities` is on these roads, and its length is known.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLField,
    GraphQLIncludeDirective,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSkipDirective,
    get_argument_values,
    get_directive_values,
    get_named_type,
    get_variable_values,
    is_abstract_type,
    is_composite_type,
)
from graphql.language import FieldNode, FragmentSpreadNode, SelectionNode, SelectionSetNode

from subgraph.budgets.decimals import shortest
from subgraph.budgets.planning import AskedRelease, DatasetKey, ResponsePath
from subgraph.budgets.predicates import Operator, Predicate
from subgraph.budgets.queries import ReleaseRequest
from subgraph.budgets.refusals import invalid
from subgraph.db import ids
from subgraph.db.ids import IdKind
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.directives import DpCost
from subgraph.queries.cost import Variables, directives_of
from subgraph.queries.documents import Operation


@dataclass(frozen=True, slots=True)
class _Tenant:
    """Below a tenant that the operation names."""

    tenant: str


@dataclass(frozen=True, slots=True)
class _Dataset:
    """Below a data set that the operation names."""

    key: DatasetKey


_Named = _Tenant | _Dataset | None
"""What is known of the object that a selection is on; None is nothing."""


def asked_releases(
    schema: GraphQLSchema, operation: Operation, variables: Variables
) -> list[AskedRelease]:
    """The releases that a valid operation asks for, in the order of its fields.

    Fields under an id that names no data set of its tenant are left out: they will not run. So is
    everything if the variables do not fit, since execution will refuse them. Raises
    `DP_PATH_NOT_PLANNABLE`.
    """
    definition = operation.definition
    root = schema.get_root_type(definition.operation)
    assert root is not None
    given = get_variable_values(
        schema, definition.variable_definitions or (), dict(variables), hide_suggestions=True
    )
    if isinstance(given, list):
        return []
    walk = _Walk(schema, operation, given, {})
    # An argument that cannot be coerced is execution's to refuse; nothing is paid for then.
    with suppress(GraphQLError):
        walk.selections(definition.selection_set, root, (), None)
        return list(walk.found.values())
    return []


@dataclass(frozen=True, slots=True)
class _Walk:
    schema: GraphQLSchema
    operation: Operation
    variables: Any
    found: dict[ResponsePath, AskedRelease]

    def selections(
        self, selection_set: SelectionSetNode, parent: Any, path: ResponsePath, named: _Named
    ) -> None:
        for selection in selection_set.selections:
            if not self._included(selection):
                continue
            if isinstance(selection, FieldNode):
                field = self.schema.get_field(parent, selection.name.value)
                if field is not None:
                    self._field(selection, field, parent, path, named)
                continue
            fragment: Any = selection
            if isinstance(selection, FragmentSpreadNode):
                fragment = self.operation.fragments[selection.name.value]
            for type_ in self._applied(fragment, parent):
                self.selections(fragment.selection_set, type_, path, named)

    def _included(self, node: SelectionNode) -> bool:
        skip = get_directive_values(GraphQLSkipDirective, node, self.variables)
        if skip is not None and skip["if"]:
            return False
        include = get_directive_values(GraphQLIncludeDirective, node, self.variables)
        return include is None or bool(include["if"])

    def _applied(self, fragment: Any, parent: Any) -> list[Any]:
        """The type under which a fragment's selections run, if they can."""
        condition = fragment.type_condition
        if condition is None:
            return [parent]
        type_: Any = self.schema.type_map[condition.name.value]
        if type_ is parent or not isinstance(parent, GraphQLObjectType):
            return [type_]
        matches = is_abstract_type(type_) and self.schema.is_sub_type(type_, parent)
        return [parent] if matches else []

    def _field(
        self,
        node: FieldNode,
        field: GraphQLField,
        parent: Any,
        path: ResponsePath,
        named: _Named,
    ) -> None:
        place = (*path, node.alias.value if node.alias else node.name.value)
        cost = next((item for item in directives_of(field) if isinstance(item, DpCost)), None)
        if cost is not None:
            self._release(node, field, cost, place, named)
            return
        type_ = get_named_type(field.type)
        if node.selection_set is None or not is_composite_type(type_):
            return
        coordinate = f"{parent.name}.{node.name.value}"
        if coordinate == "Query._entities":
            for index, (entity, known) in self._entities(node, field):
                self.selections(node.selection_set, entity, (*place, index), known)
            return
        below: _Named = None
        if coordinate == "Query.tenant":
            below = _Tenant(self._arguments(node, field)["id"])
        elif coordinate == "Tenant.dataset" and isinstance(named, _Tenant):
            below = _dataset(self._arguments(node, field)["id"])
            if below is None or below.key[0] != named.tenant:
                return
        elif coordinate == "Dataset.dp":
            below = named
        self.selections(node.selection_set, type_, place, below)

    def _entities(
        self, node: FieldNode, field: GraphQLField
    ) -> Iterator[tuple[int, tuple[GraphQLObjectType, _Named]]]:
        for index, item in enumerate(self._arguments(node, field)["representations"]):
            name = item.get("__typename") if isinstance(item, Mapping) else None
            type_ = self.schema.type_map.get(name) if isinstance(name, str) else None
            if not isinstance(type_, GraphQLObjectType):
                continue
            key: object = item.get("id")
            known: _Named = None
            if name == "Tenant" and isinstance(key, str):
                known = _Tenant(key)
            elif name == "Dataset":
                known = _dataset(key)
                if known is None:
                    continue
            yield index, (type_, known)

    def _release(
        self, node: FieldNode, field: GraphQLField, cost: DpCost, place: ResponsePath, named: _Named
    ) -> None:
        if not isinstance(named, _Dataset):
            where = ".".join(map(str, place))
            raise SubgraphError(ErrorCode.DP_PATH_NOT_PLANNABLE, path=where)
        request: ReleaseRequest | SubgraphError
        try:
            request = release_request(cost, self._arguments(node, field))
        except SubgraphError as error:
            request = error
        self.found[place] = AskedRelease(place, named.key, request)

    def _arguments(self, node: FieldNode, field: GraphQLField) -> Mapping[str, Any]:
        return get_argument_values(field, node, self.variables)


def release_request(cost: DpCost, arguments: Mapping[str, Any]) -> ReleaseRequest:
    """The release that a field with these coerced arguments asks for.

    Raises `INVALID_INPUT` for an epsilon outside of the field's bounds, and for numbers that are
    no decimals.
    """
    named = arguments.get(cost.epsilon_argument) if cost.epsilon_argument else None
    epsilon = Decimal(cost.epsilon) if named is None else named
    least, most = Decimal(cost.min_epsilon or cost.epsilon), Decimal(cost.max_epsilon or epsilon)
    if not least <= epsilon <= most:
        raise invalid("epsilon", f"{least} to {most}")
    bins, rank = arguments.get("bins"), arguments.get("q")
    return ReleaseRequest(
        kind=cost.query,
        epsilon=epsilon,
        column=arguments.get("column"),
        predicates=tuple(map(_predicate, arguments.get("where") or ())),
        q=None if rank is None else shortest(rank, "q"),
        bins=None if bins is None else tuple(shortest(edge, "bins") for edge in bins),
    )


def _predicate(given: Mapping[str, Any]) -> Predicate:
    value, values = given.get("value"), given.get("values")
    if (value is None) == (values is None) or (given["op"] is Operator.IN) != (value is None):
        raise invalid("where", "`values` with IN, and `value` with every other operator")
    compared = (value,) if values is None else values
    return Predicate(given["column"], given["op"], tuple(map(str, compared)))


def _dataset(key: object) -> _Dataset | None:
    entity = ids.decode(IdKind.DATASET, key) if isinstance(key, str) else None
    return None if entity is None else _Dataset((entity.tenant, entity.key))
