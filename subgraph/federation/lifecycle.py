"""Projects lifecycle records onto the schema.

One record becomes the standard `@deprecated(reason:)`, whose text names the date for clients that
see only introspection, and `@governance__deprecated`, which composers carry into the supergraph.
"""

import datetime
import json
from collections.abc import Iterable
from typing import Any, Protocol

from graphql import GraphQLArgument, GraphQLError, GraphQLInputField, GraphQLSchema
from graphql.language import DirectiveNode, ObjectTypeDefinitionNode, parse
from graphql.type import is_required_argument, is_required_input_field
from graphql.utilities import resolve_schema_coordinate

from subgraph.errors import ErrorCode, SubgraphError

STANDARD = "deprecated"
GOVERNANCE = "governance__deprecated"


class LifecycleRecord(Protocol):
    """What is read of a record of `deprecations.yaml`."""

    @property
    def id(self) -> str:
        """The id of the record."""
        ...

    @property
    def coordinate(self) -> str:
        """The schema coordinate of the deprecated element."""
        ...

    @property
    def since(self) -> datetime.date:
        """The first day of the deprecation."""
        ...

    @property
    def until(self) -> datetime.date:
        """The day until which the element works for everybody."""
        ...

    @property
    def grace(self) -> datetime.timedelta:
        """Whole days of grace after `until`."""
        ...

    @property
    def replacement(self) -> str | None:
        """The schema coordinate of what to use."""
        ...

    @property
    def sentence(self) -> str:
        """The reason, with the date in it."""
        ...


def apply(schema: GraphQLSchema, records: Iterable[LifecycleRecord]) -> None:
    """Deprecate the elements in `schema`, so that introspection and validation know it.

    Raises `DEPRECATIONS_INVALID` for a record whose element or replacement is not in the schema,
    and for an argument or input field that is required.
    """
    for record in records:
        element = _element(schema, record, record.coordinate)
        if _is_required(element):
            raise _broken(record, f"{record.coordinate} is required and cannot be deprecated")
        if record.replacement is not None:
            _element(schema, record, record.replacement)
        element.deprecation_reason = record.sentence


def directives(record: LifecycleRecord) -> tuple[DirectiveNode, ...]:
    """The two directives of `record`."""
    arguments = {
        "id": record.id,
        "since": record.since.isoformat(),
        "until": record.until.isoformat(),
        "grace": f"P{record.grace.days}D",
        "replacement": record.replacement,
    }
    written = ", ".join(
        f"{name}: {json.dumps(value)}" for name, value in arguments.items() if value is not None
    )
    reason = json.dumps(record.sentence, ensure_ascii=False)
    document = parse(
        f"type T {{ f: Int @{STANDARD}(reason: {reason}) @{GOVERNANCE}({written}) }}",
        no_location=True,
    )
    (definition,) = document.definitions
    assert isinstance(definition, ObjectTypeDefinitionNode)
    (element,) = definition.fields or ()
    return tuple(element.directives or ())


def _element(schema: GraphQLSchema, record: LifecycleRecord, coordinate: str) -> Any:
    try:
        resolved: Any = resolve_schema_coordinate(schema, coordinate)
    except (GraphQLError, TypeError, ValueError):
        resolved = None
    for kind in ("field_argument", "input_field", "enum_value", "field"):
        element = getattr(resolved, kind, None)
        if element is not None:
            return element
    raise _broken(record, f"{coordinate} is not an element of the schema")


def _is_required(element: Any) -> bool:
    if isinstance(element, GraphQLArgument):
        return is_required_argument(element)
    return isinstance(element, GraphQLInputField) and is_required_input_field(element)


def _broken(record: LifecycleRecord, what: str) -> SubgraphError:
    return SubgraphError(ErrorCode.DEPRECATIONS_INVALID, f"{record.id}: {what}")
