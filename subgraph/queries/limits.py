"""Limits on the shape of a document, checked before it is validated.

Validation of a hostile document can cost more than its execution, so what can be refused by
counting is refused first. Fragments count at every place where they are spread.
"""

from dataclasses import dataclass

from graphql.language import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from subgraph.errors import ErrorCode, SubgraphError


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one operation may have of each."""

    tokens: int
    depth: int
    aliases: int
    directives: int
    nodes: int
    cost: int
    representations: int


@dataclass(frozen=True, slots=True)
class _Size:
    depth: int
    aliases: int
    directives: int
    fields: int


def check_shape(document: DocumentNode, limits: Limits) -> None:
    """Raise `TOO_MANY_TOKENS`, `DEPTH_LIMIT_EXCEEDED`, `ALIAS_...` or `DIRECTIVE_LIMIT_EXCEEDED`.

    Introspection fields are exempt from the depth: their own rule bounds them. A field that is
    repeated counts as an alias: validation compares every two fields of the same name.
    """
    fragments = {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    sizes: dict[str, _Size] = {}
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            size = _measure(definition.selection_set, fragments, sizes, frozenset())
            directives = size.directives + len(definition.directives or ())
            if size.fields > limits.tokens:
                message = (
                    f"Its fragments expand to {size.fields} fields; {limits.tokens} are allowed."
                )
                raise SubgraphError(ErrorCode.TOO_MANY_TOKENS, message)
            _refuse(size.depth, limits.depth, ErrorCode.DEPTH_LIMIT_EXCEEDED, "levels")
            aliases = "aliases and repeated fields"
            _refuse(size.aliases, limits.aliases, ErrorCode.ALIAS_LIMIT_EXCEEDED, aliases)
            _refuse(directives, limits.directives, ErrorCode.DIRECTIVE_LIMIT_EXCEEDED, "directives")


def _refuse(count: int, limit: int, code: ErrorCode, what: str) -> None:
    if count > limit:
        raise SubgraphError(code, f"The operation has {count} {what}; {limit} are allowed.")


def _measure(
    selection_set: SelectionSetNode,
    fragments: dict[str, FragmentDefinitionNode],
    sizes: dict[str, _Size],
    within: frozenset[str],
) -> _Size:
    depth = aliases = directives = fields = 0
    names: set[str] = set()
    for selection in selection_set.selections:
        directives += len(selection.directives or ())
        below = None
        if isinstance(selection, FieldNode):
            fields += 1
            aliases += selection.alias is not None or selection.name.value in names
            names.add(selection.name.value)
            if selection.selection_set is not None:
                below = _measure(selection.selection_set, fragments, sizes, within)
            own = 0 if selection.name.value.startswith("__") else 1
            depth = max(depth, own + (below.depth if below and own else 0))
        elif isinstance(selection, FragmentSpreadNode):
            below = _measure_fragment(selection.name.value, fragments, sizes, within)
            depth = max(depth, below.depth)
        elif isinstance(selection, InlineFragmentNode):
            below = _measure(selection.selection_set, fragments, sizes, within)
            depth = max(depth, below.depth)
        if below is not None:
            aliases += below.aliases
            directives += below.directives
            fields += below.fields
    return _Size(depth, aliases, directives, fields)


def _measure_fragment(
    name: str,
    fragments: dict[str, FragmentDefinitionNode],
    sizes: dict[str, _Size],
    within: frozenset[str],
) -> _Size:
    # A cycle or an unknown name counts nothing here: validation refuses both.
    if name in within or name not in fragments:
        return _Size(0, 0, 0, 0)
    if name not in sizes:
        size = _measure(fragments[name].selection_set, fragments, sizes, within | {name})
        sizes[name] = size
    return sizes[name]
