"""What the GraphQL endpoint needs of the rest of the service; `subgraph/app.py` wires it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from subgraph.http.authentication import Caller
from subgraph.queries.model import OperationRequest, OperationResult


class OperationRunner(Protocol):
    """Runs one operation.

    It MUST answer faults of the document and of its execution with an `OperationResult`, and MAY
    raise `SubgraphError` when it refuses the whole operation. It MUST stop at its next await when
    cancelled: that is how the deadline and a client that has gone away reach it. It reports each
    operation that it answers as finished; the endpoint reports those that ended otherwise.
    """

    async def run(self, request: OperationRequest, context: Any) -> OperationResult:
        """Run `request` with the context of its HTTP request."""
        ...


class ContextFactory(Protocol):
    """Makes the context that all operations of one HTTP request share."""

    def __call__(self, caller: Caller) -> Any:
        """Return a new context; MUST NOT wait."""
        ...


class Authenticate(Protocol):
    """Tells who sent a request."""

    async def authenticate(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Return the caller; raise `SubgraphError` for credentials that do not hold."""
        ...


class Observer(Protocol):
    """Counts and times requests and operations; neither method may wait or raise."""

    def request_span(
        self, headers: Iterable[tuple[bytes, bytes]], name: str
    ) -> AbstractContextManager[object]:
        """Around one HTTP request."""
        ...

    def operation_finished(
        self,
        name: str | None,
        client: str | None,
        seconds: float,
        error_codes: Sequence[str],
        statements: int,
    ) -> None:
        """Take note of one operation. `name` and `client` are the caller's words."""
        ...


class Readiness(Protocol):
    """Tells whether the process can serve."""

    async def __call__(self) -> Mapping[str, str]:
        """Return each check with `ok` or a reason code such as `DATABASE_UNAVAILABLE`."""
        ...


class Metrics(Protocol):
    """Exposes the metrics of the process."""

    def __call__(self) -> tuple[bytes, str]:
        """Return a page of metrics and its content type."""
        ...
