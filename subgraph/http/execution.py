"""Runs operations within their deadline, so that the fault of one stays its own."""

import asyncio
import logging
import time
from collections.abc import Sequence

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.ports import Observer, OperationRunner
from subgraph.http.responses import refusal
from subgraph.queries.model import OperationRequest, OperationResult

logger = logging.getLogger(__name__)


class OperationExecution:
    """Runs operations; whatever happens to one becomes its `OperationResult`."""

    def __init__(self, runner: OperationRunner, observer: Observer, deadline: float) -> None:
        """`deadline` is the longest run of one operation, in seconds."""
        self._runner = runner
        self._observer = observer
        self._deadline = deadline

    async def run(
        self, request: OperationRequest, context: object, client: str | None, request_id: str
    ) -> OperationResult:
        """Run one operation; raises nothing but cancellation."""
        started = time.perf_counter()
        try:
            return await self._run(request, context)
        except SubgraphError as error:
            failure = error
        except Exception:
            logger.exception("an operation of request %s failed unexpectedly", request_id)
            failure = SubgraphError(ErrorCode.INTERNAL_ERROR)
        seconds = time.perf_counter() - started
        self._observer.operation_finished(
            request.operation_name, client, seconds, (failure.code.name,), 0
        )
        return result_of(failure, request_id)

    async def run_batch(
        self,
        entries: Sequence[OperationRequest | SubgraphError],
        context: object,
        client: str | None,
        request_id: str,
    ) -> list[OperationResult]:
        """Run the entries concurrently; results in their order, errors answered as they are."""
        running = asyncio.gather(
            *(
                self.run(entry, context, client, request_id)
                for entry in entries
                if isinstance(entry, OperationRequest)
            )
        )
        results = iter(await running)
        answers = []
        for entry in entries:
            if isinstance(entry, SubgraphError):
                self._observer.operation_finished(None, client, 0.0, (entry.code.name,), 0)
                answers.append(result_of(entry, request_id))
            else:
                answers.append(next(results))
        return answers

    async def _run(self, request: OperationRequest, context: object) -> OperationResult:
        clock = asyncio.timeout(self._deadline)
        try:
            async with clock:
                return await self._runner.run(request, context)
        except TimeoutError:
            if clock.expired():
                raise SubgraphError(ErrorCode.DEADLINE_EXCEEDED) from None
            raise


def result_of(error: SubgraphError, request_id: str) -> OperationResult:
    """Return the result of an operation that `error` kept from being executed."""
    return OperationResult(refusal(error, request_id), error.code.status)
