"""What is asked of the operation service, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """One GraphQL operation as a client sent it, already well-formed as an HTTP request."""

    document: str
    operation_name: str | None = None
    variables: Mapping[str, object] | None = None
    extensions: Mapping[str, object] | None = None
    read_only: bool = False
    """True for GET: a mutation is refused with METHOD_NOT_ALLOWED, an operation that spends too."""


@dataclass(frozen=True, slots=True)
class OperationResult:
    """One GraphQL response, not yet serialised."""

    payload: Mapping[str, object]
    """`data`, `errors` and `extensions` as they apply; no `data` key when nothing was executed."""

    status: int = 200
    """HTTP status for `application/graphql-response+json`; 200 once execution began."""

    operation_name: str | None = None
    statements: int = 0
    """SQL statements that were sent for it."""
    codes: tuple[str, ...] = ()
    """The codes of its errors."""
