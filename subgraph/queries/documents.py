"""Documents, parsed, limited and validated once, and kept for the next time."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from graphql import (
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    parse,
    validate,
)
from graphql.language import (
    DocumentNode,
    FragmentDefinitionNode,
    OperationDefinitionNode,
    OperationType,
)

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.queries.cost import Survey, survey
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
    """One operation of a document, with the fragments that it may spread."""

    name: str | None
    type: OperationType
    survey: Survey
    definition: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document and what is known of it before it runs."""

    ast: DocumentNode
    operations: Mapping[str | None, Operation]

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
    fragments = {
        definition.name.value: definition
        for definition in ast.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    operations = [
        Operation(
            definition.name.value if definition.name else None,
            definition.operation,
            survey(schema, definition, fragments),
            definition,
            fragments,
        )
        for definition in ast.definitions
        if isinstance(definition, OperationDefinitionNode)
    ]
    return Document(ast, {operation.name: operation for operation in operations})


def _unparsable(error: GraphQLSyntaxError) -> SubgraphError:
    if "Document contains more than" in error.message:
        return SubgraphError(ErrorCode.TOO_MANY_TOKENS, error.message)
    if "Document is nested too deeply" in error.message:
        return SubgraphError(ErrorCode.DEPTH_LIMIT_EXCEEDED, error.message)
    return SubgraphError(ErrorCode.GRAPHQL_PARSE_FAILED, error.message)
