"""Documents, parsed, limited and validated once, and kept for the next time."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLField,
    GraphQLSchema,
    GraphQLSyntaxError,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    parse,
    validate,
    visit,
)
from graphql.language import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    OperationDefinitionNode,
    OperationType,
)

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import Access
from subgraph.federation.guards import access_of_type, required_access
from subgraph.queries.cost import Estimate, estimate
from subgraph.queries.limits import Limits, check_shape

_LARGEST_KEPT = 32_768
"""Characters; a longer document is served and not remembered."""


class InvalidDocument(Exception):
    """The document does not fit the schema; `errors` say where."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(f"{len(errors)} validation errors")
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a document."""

    name: str | None
    type: OperationType
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document and what is known of it before it runs."""

    ast: DocumentNode
    operations: Mapping[str | None, Operation]
    access: frozenset[Access]
    """Every access that a field of the document asks for."""
    introspects: bool

    def operation(self, name: str | None) -> Operation:
        """The operation `name`, or the only one. Raises `OPERATION_RESOLUTION_FAILED`."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        found = self.operations.get(name)
        if found is None or name is None:
            raise SubgraphError(ErrorCode.OPERATION_RESOLUTION_FAILED)
        return found


class DocumentCache:
    """The documents used last, by their text; those that are refused are not kept."""

    def __init__(
        self, schema: GraphQLSchema, limits: Limits, size: int, *, hide_suggestions: bool
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._size = size
        self._hide_suggestions = hide_suggestions
        self._documents: OrderedDict[str, Document] = OrderedDict()

    def get(self, text: str) -> tuple[Document, bool]:
        """The document in `text`, and whether it was remembered.

        Raises `SubgraphError` for syntax and limits, and `InvalidDocument`.
        """
        known = self._documents.get(text)
        if known is not None:
            self._documents.move_to_end(text)
            return known, True
        document = read(self._schema, text, self._limits, hide_suggestions=self._hide_suggestions)
        if len(text) <= _LARGEST_KEPT:
            self._documents[text] = document
            if len(self._documents) > self._size:
                self._documents.popitem(last=False)
        return document, False


def read(schema: GraphQLSchema, text: str, limits: Limits, *, hide_suggestions: bool) -> Document:
    """Parse, limit and validate `text`; see `DocumentCache.get`."""
    try:
        ast = parse(text, max_lexical_tokens=limits.tokens)
        check_shape(ast, limits)
    except GraphQLSyntaxError as error:
        raise _unparsable(error) from None
    except RecursionError:
        raise SubgraphError(ErrorCode.DEPTH_LIMIT_EXCEEDED) from None
    errors = validate(schema, ast, max_errors=20, hide_suggestions=hide_suggestions)
    if errors:
        raise InvalidDocument(errors)
    found = _Found(schema)
    visit(ast, TypeInfoVisitor(found.types, found))
    fragments = {
        definition.name.value: definition
        for definition in ast.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    operations = {
        definition.name.value if definition.name else None: Operation(
            definition.name.value if definition.name else None,
            definition.operation,
            estimate(schema, definition, fragments),
        )
        for definition in ast.definitions
        if isinstance(definition, OperationDefinitionNode)
    }
    return Document(ast, operations, frozenset(found.access), found.introspects)


class _Found(Visitor):
    """Gathers what the fields of a document ask for."""

    def __init__(self, schema: GraphQLSchema) -> None:
        super().__init__()
        self.types = TypeInfo(schema)
        self.access: set[Access] = set()
        self.introspects = False
        self._schema = schema

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        name = node.name.value
        self.introspects |= name in ("__schema", "__type")
        field: GraphQLField | None = self.types.get_field_def()
        if field is None:
            return
        self.access |= required_access(field)
        if name == "_entities":
            union: Any = self._schema.type_map["_Entity"]
            of_types = {access_of_type(self._schema, type_.name) for type_ in union.types}
            self.access |= {access for access in of_types if access.guarded}


def _unparsable(error: GraphQLSyntaxError) -> SubgraphError:
    if "Document contains more than" in error.message:
        return SubgraphError(ErrorCode.TOO_MANY_TOKENS, error.message)
    if "Document is nested too deeply" in error.message:
        return SubgraphError(ErrorCode.DEPTH_LIMIT_EXCEEDED, error.message)
    return SubgraphError(ErrorCode.GRAPHQL_PARSE_FAILED, error.message)
