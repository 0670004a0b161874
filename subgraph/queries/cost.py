"""What an operation could cost and what it asks for, found in one walk before anything is read.

The number is the one that federation's demand control computes from the same `@cost` and
`@listSize`: an object counts 1, a scalar 0, a mutation 10, a list as many times as it can be
long. Beside it stands the number of objects that the answer could hold. Both are upper bounds:
`@skip` and `@include` are taken as if every field were read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphql import (
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_composite_type,
)
from graphql.language import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
)
from strawberry.federation.schema_directives import Cost, ListSize
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.unset import UNSET

from subgraph.federation.access import Access
from subgraph.federation.directives import DpCost
from subgraph.federation.guards import entity_access, required_access

_ENTITIES = "_entities"
_UNSLICED = 100
"""How long a list is taken to be that says nothing; the schema lint leaves none."""
_INT_CHARACTERS = 11
"""The longest `Int`; Python refuses to read an integer of some thousand digits."""


class Load(NamedTuple):
    """What an operation could ask for."""

    nodes: int
    cost: int
    representations: int


Variables = Mapping[str, object]
Estimate = Callable[[Variables], Load]
Size = Callable[[Variables], int]

_NOTHING = Load(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of an operation: its cost as a function of its variables, and its needs.

    `spends`: it names a field with `@dpCost`, which may cost epsilon.
    """

    estimate: Estimate
    access: frozenset[Access]
    introspects: bool
    spends: bool


def survey(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
) -> Survey:
    """Walk a valid operation."""
    root = schema.get_root_type(operation.operation)
    assert root is not None
    weight = 10 if operation.operation is OperationType.MUTATION else None
    defaults = {
        definition.variable.name.value: _literal(definition.default_value)
        for definition in operation.variable_definitions or ()
    }
    reader = _Reader(schema, fragments, defaults, weight, set(), set(), set())
    estimate = reader.selections(operation.selection_set, root, {})
    introspects = not reader.introspection.isdisjoint(("__schema", "__type"))
    return Survey(estimate, frozenset(reader.access), introspects, bool(reader.spending))


@dataclass(frozen=True, slots=True)
class _Reader:
    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    defaults: Mapping[str, object]
    root_weight: int | None
    access: set[Access]
    introspection: set[str]
    spending: set[str]

    def selections(
        self, selection_set: SelectionSetNode, parent: GraphQLNamedType, sized: Mapping[str, Size]
    ) -> Estimate:
        """The load of a selection set; `sized` are the list fields that the parent has sized."""
        common: list[Estimate] = []
        exclusive: dict[str, list[Estimate]] = {}
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                field = self.schema.get_field(parent, selection.name.value)  # type: ignore[arg-type]
                if selection.name.value.startswith("__"):
                    self.introspection.add(selection.name.value)
                elif field is not None:
                    common.append(self._field(selection, field, parent, sized))
                continue
            fragment: Any = selection
            if isinstance(selection, FragmentSpreadNode):
                fragment = self.fragments[selection.name.value]
            condition, inner = fragment.type_condition, fragment.selection_set
            name = condition.name.value if condition is not None else parent.name
            type_ = self.schema.type_map[name]
            part = self.selections(inner, type_, sized if type_ is parent else {})
            if is_abstract_type(parent) and isinstance(type_, GraphQLObjectType):
                exclusive.setdefault(name, []).append(part)
            else:
                common.append(part)
        if exclusive:
            common.append(_highest([_sum(parts) for parts in exclusive.values()]))
        return _sum(common)

    def _field(
        self,
        node: FieldNode,
        field: GraphQLField,
        parent: GraphQLNamedType,
        sized: Mapping[str, Size],
    ) -> Estimate:
        type_ = get_named_type(field.type)
        self.access.update(required_access(field))
        if node.name.value == _ENTITIES:
            self.access.update(entity_access(self.schema))
        directives = directives_of(field)
        if any(isinstance(item, DpCost) for item in directives):
            self.spending.add(node.name.value)
        cost = next((item.weight for item in directives if isinstance(item, Cost)), None)
        list_size = next((item for item in directives if isinstance(item, ListSize)), None)
        slices = self._slices(node, field, list_size)
        size = self._size(node, field, list_size, sized)
        below: Estimate = _nothing
        if node.selection_set is not None and is_composite_type(type_):
            below = self.selections(node.selection_set, type_, slices)
        is_object = int(is_composite_type(type_))
        weight = cost if cost is not None else is_object
        if self.root_weight is not None and parent is self.schema.mutation_type:
            weight = max(weight, self.root_weight)
        return _scaled(size, is_object, weight, below, entities=node.name.value == _ENTITIES)

    def _size(
        self,
        node: FieldNode,
        field: GraphQLField,
        list_size: ListSize | None,
        sized: Mapping[str, Size],
    ) -> Size | None:
        if not _is_list(field):
            return None
        if node.name.value == _ENTITIES:
            return self._length_of(node, "representations")
        if node.name.value in sized:
            return sized[node.name.value]
        if list_size is not None and list_size.assumed_size not in (None, UNSET):
            return _constant(int(list_size.assumed_size))
        return _constant(_UNSLICED)

    def _slices(
        self, node: FieldNode, field: GraphQLField, list_size: ListSize | None
    ) -> dict[str, Size]:
        names = _given(list_size.sized_fields) if list_size is not None else ()
        if not names or list_size is None:
            return {}
        sizes = [self._argument(node, field, name) for name in _given(list_size.slicing_arguments)]
        return {name: lambda variables: max(size(variables) for size in sizes) for name in names}

    def _argument(self, node: FieldNode, field: GraphQLField, name: str) -> Size:
        default = field.args[name].default_value
        for argument in node.arguments or ():
            if argument.name.value == name:
                return self._number(argument.value, default)
        return _constant(default if isinstance(default, int) else _UNSLICED)

    def _number(self, value: object, default: object) -> Size:
        fallback = default if isinstance(default, int) else _UNSLICED
        if isinstance(value, VariableNode):
            name = value.name.value
            declared = self.defaults.get(name)
            otherwise = declared if isinstance(declared, int) else fallback
            return lambda variables: _natural(variables.get(name, otherwise), otherwise)
        written = _literal(value)
        return _constant(written if isinstance(written, int) else fallback)

    def _length_of(self, node: FieldNode, name: str) -> Size:
        for argument in node.arguments or ():
            if argument.name.value != name:
                continue
            value = argument.value
            if isinstance(value, VariableNode):
                variable = value.name.value
                declared = self.defaults.get(variable)
                return lambda variables: _length(variables.get(variable, declared))
            # One that stands without a list is taken for a list of one.
            return _constant(_length(_literal(value)))
        return _constant(0)


def directives_of(field: GraphQLField) -> Sequence[object]:
    """The schema directives that a field was declared with."""
    definition: Any = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    return definition.directives if definition is not None else ()


def _is_list(field: GraphQLField) -> bool:
    type_ = field.type
    return isinstance(type_.of_type if isinstance(type_, GraphQLNonNull) else type_, GraphQLList)


def _given(names: Sequence[str] | None) -> Sequence[str]:
    return () if names is None or names is UNSET else names


def _literal(value: object) -> object:
    """What a price can depend on: an `Int`, or a list for its length."""
    if isinstance(value, ListValueNode):
        return list(value.values)
    if isinstance(value, IntValueNode) and len(value.value) <= _INT_CHARACTERS:
        return int(value.value)
    return None


def _constant(size: int) -> Size:
    return lambda _: max(size, 0)


def _natural(value: object, otherwise: int) -> int:
    # JSON has one kind of number, and GraphQL takes 100.0 for an Int.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return max(value, 0) if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else 1


def _nothing(_: Variables) -> Load:
    return _NOTHING


def _sum(parts: Sequence[Estimate]) -> Estimate:
    if len(parts) == 1:
        return parts[0]
    return lambda variables: _add([part(variables) for part in parts])


def _add(loads: Sequence[Load]) -> Load:
    return Load(
        sum(load.nodes for load in loads),
        sum(load.cost for load in loads),
        sum(load.representations for load in loads),
    )


def _highest(parts: Sequence[Estimate]) -> Estimate:
    def highest(variables: Variables) -> Load:
        loads = [part(variables) for part in parts]
        return Load(*(max(values) for values in zip(*loads, strict=True)))

    return highest


def _scaled(
    size: Size | None, nodes: int, weight: int, below: Estimate, *, entities: bool
) -> Estimate:
    def scaled(variables: Variables) -> Load:
        load = below(variables)
        times = 1 if size is None else size(variables)
        return Load(
            times * (nodes + load.nodes),
            times * (weight + load.cost),
            load.representations + (times if entities else 0),
        )

    return scaled
