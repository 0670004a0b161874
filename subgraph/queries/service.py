"""Runs operations: document, limits, access, price, execution, answer."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from inspect import isawaitable
from typing import Any, Protocol, Self

from graphql import ExecutionResult, execute
from graphql.language import OperationType
from strawberry.execution.is_awaitable import optimized_is_awaitable

from subgraph.budgets.planning import AskedRelease
from subgraph.db.service import StatementCount, statement_count
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import Access
from subgraph.federation.plain_fields import PlainFieldExecutor
from subgraph.federation.schema import GovernanceSchema
from subgraph.queries import errors
from subgraph.queries.documents import Document, DocumentCache, InvalidDocument, Operation
from subgraph.queries.limits import Limits
from subgraph.queries.model import OperationRequest, OperationResult
from subgraph.queries.releases import asked_releases

_is_awaitable: Any = optimized_is_awaitable
_LARGEST_NUMBER = 2**53 - 1
"""The largest integer that every reader of JSON keeps exact; prices have no bound."""


class Observer(Protocol):
    """Counts, times and traces operations; no method may wait or raise."""

    def operation_span(
        self, operation_type: str, name: str | None, client: str | None
    ) -> AbstractContextManager[object]:
        """Around one operation whose document is valid."""
        ...

    def operation_finished(
        self,
        name: str | None,
        client: str | None,
        seconds: float,
        error_codes: Sequence[str],
        statements: int,
    ) -> None:
        """Take note of one operation that was answered."""
        ...

    def operation_looked_up(self, *, cached: bool) -> None:
        """Take note of one look-up in the document cache."""
        ...


class OperationContext(Protocol):
    """What the service asks of a request's context."""

    @property
    def client_name(self) -> str | None:
        """The client, as it names itself; for metrics only."""
        ...

    async def authorise(self, wanted: Iterable[Access]) -> None:
        """Decide each access before the operation begins. Raises `POLICY_UNAVAILABLE`."""
        ...

    async def paying(self, asked: Sequence[AskedRelease]) -> Self:
        """Pay for the releases of one operation, before its resolvers run.

        MUST answer a context for this operation alone, whose releases are those, and MUST touch
        no protected data that was not paid for. Raises `SubgraphError` to refuse the operation.
        """
        ...


class OperationService:
    """Every GraphQL operation of this process goes through `run`."""

    def __init__(
        self,
        schema: GovernanceSchema,
        limits: Limits,
        observer: Observer,
        *,
        cache_size: int,
        production: bool,
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._observer = observer
        self._production = production
        self._documents = DocumentCache(
            schema.core, limits, cache_size, hide_suggestions=production
        )

    async def run(self, request: OperationRequest, context: OperationContext) -> OperationResult:
        """The answer to one operation; raises nothing that the client sent or the data caused."""
        started = time.perf_counter()
        count = StatementCount()
        token = statement_count.set(count)
        try:
            found = self._find(request)
            if isinstance(found, OperationResult):
                self._finished(found, context, started)
                return found
            document, operation = found
            kind = operation.type.value
            with self._observer.operation_span(kind, operation.name, context.client_name):
                result = await self._answer(document, operation, request, context)
                result = replace(result, operation_name=operation.name, statements=count.sent)
                self._finished(result, context, started)
            return result
        finally:
            statement_count.reset(token)

    def releases(self, request: OperationRequest) -> list[AskedRelease]:
        """The releases that `run` would pay for, without running anything.

        Raises `SubgraphError` for what is refused before an operation runs.
        """
        try:
            document, _ = self._documents.get(request.document)
        except InvalidDocument as invalid:
            message = invalid.errors[0].message
            raise SubgraphError(ErrorCode.GRAPHQL_VALIDATION_FAILED, message) from None
        operation = document.operation(request.operation_name)
        self._admit(operation, request)
        if not operation.survey.spends:
            return []
        return asked_releases(self._schema.core, operation, request.variables or {})

    def _find(self, request: OperationRequest) -> tuple[Document, Operation] | OperationResult:
        try:
            document, cached = self._documents.get(request.document)
            self._observer.operation_looked_up(cached=cached)
            return document, document.operation(request.operation_name)
        except InvalidDocument as invalid:
            code = ErrorCode.GRAPHQL_VALIDATION_FAILED
            return _refused(errors.of_request(invalid.errors, code), code.status)
        except SubgraphError as error:
            return _refused([errors.of_subgraph(error)], error.code.status)

    async def _answer(
        self,
        document: Document,
        operation: Operation,
        request: OperationRequest,
        context: OperationContext,
    ) -> OperationResult:
        try:
            self._admit(operation, request)
            await context.authorise(operation.survey.access)
            if operation.survey.spends:
                asked = asked_releases(self._schema.core, operation, request.variables or {})
                context = await context.paying(asked)
            return _result(await self._execute(document, operation, request, context))
        except SubgraphError as error:
            return _refused([errors.of_subgraph(error)], error.code.status)

    def _finished(self, result: OperationResult, context: OperationContext, started: float) -> None:
        self._observer.operation_finished(
            result.operation_name,
            context.client_name,
            time.perf_counter() - started,
            result.codes,
            result.statements,
        )

    def _admit(self, operation: Operation, request: OperationRequest) -> None:
        if request.read_only and operation.type is not OperationType.QUERY:
            raise SubgraphError(ErrorCode.METHOD_NOT_ALLOWED, "A mutation is sent by POST.")
        if request.read_only and operation.survey.spends:
            # A GET may be prefetched, cached and repeated by whatever is on the way.
            message = "An operation that spends a privacy budget is sent by POST."
            raise SubgraphError(ErrorCode.METHOD_NOT_ALLOWED, message)
        if operation.type is OperationType.SUBSCRIPTION:
            raise SubgraphError(
                ErrorCode.OPERATION_RESOLUTION_FAILED, "There are no subscriptions."
            )
        if operation.survey.introspects and self._production:
            raise SubgraphError(ErrorCode.INTROSPECTION_DISABLED)
        load = operation.survey.estimate(request.variables or {})
        limits = self._limits
        for count, limit, code in (
            (load.representations, limits.representations, ErrorCode.TOO_MANY_REPRESENTATIONS),
            (load.nodes, limits.nodes, ErrorCode.NODE_LIMIT_EXCEEDED),
            (load.cost, limits.cost, ErrorCode.COST_LIMIT_EXCEEDED),
        ):
            if count > limit:
                raise SubgraphError(code, limit=limit, asked=min(count, _LARGEST_NUMBER))

    async def _execute(
        self,
        document: Document,
        operation: Operation,
        request: OperationRequest,
        context: OperationContext,
    ) -> ExecutionResult:
        result = execute(
            self._schema.core,
            document.ast,
            context_value=context,
            variable_values=dict(request.variables or {}),
            operation_name=operation.name,
            is_awaitable=_is_awaitable,
            hide_suggestions=self._production,
            executor_class=PlainFieldExecutor,
        )
        if isawaitable(result):
            result = await result
        return result


def _result(result: ExecutionResult) -> OperationResult:
    if not result.errors:
        return OperationResult({"data": result.data})
    if result.data is None and all(error.path is None for error in result.errors):
        code = ErrorCode.BAD_USER_INPUT
        return _refused(errors.of_request(result.errors, code), code.status)
    found = errors.of_execution(result.errors)
    codes = errors.codes(found)
    away = ErrorCode.DATABASE_UNAVAILABLE
    if away.name in codes and _is_empty(result.data):
        return _refused(found, away.status)
    return OperationResult({"data": result.data, "errors": found}, codes=codes)


def _is_empty(data: Mapping[str, object] | None) -> bool:
    """Whether no field was answered, so that the whole operation can be sent again."""
    return data is None or all(
        value is None or (isinstance(value, list) and not any(value)) for value in data.values()
    )


def _refused(found: list[dict[str, object]], status: int) -> OperationResult:
    return OperationResult({"errors": found}, status, codes=errors.codes(found))
