"""The deadline, and faults that stay with their operation."""

import asyncio

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.execution import OperationExecution
from subgraph.queries.model import OperationRequest, OperationResult

BOOM = OperationRequest("boom", "Boom")
FINE = OperationRequest("fine")
HANG = OperationRequest("hang")
REFUSE = OperationRequest("refuse")
INNER = OperationRequest("inner timeout")


class Scripted:
    async def run(self, request: OperationRequest, context: object) -> OperationResult:
        if request is HANG:
            await asyncio.Event().wait()
        if request is BOOM:
            raise RuntimeError("password=hunter2")
        if request is REFUSE:
            raise SubgraphError(ErrorCode.POLICY_UNAVAILABLE)
        if request is INNER:
            raise TimeoutError
        return OperationResult({"data": {"fine": True}})


@pytest.fixture
def execution(site) -> OperationExecution:
    return OperationExecution(Scripted(), site.notes, 0.01)


def code(result: OperationResult) -> object:
    (error,) = result.payload["errors"]  # type: ignore[misc]
    return error["extensions"]["code"]


@pytest.mark.parametrize(
    ("request_", "expected", "status"),
    [
        (HANG, "DEADLINE_EXCEEDED", 504),
        (BOOM, "INTERNAL_ERROR", 500),
        (REFUSE, "POLICY_UNAVAILABLE", 503),
        (INNER, "INTERNAL_ERROR", 500),
    ],
)
async def test_failure_becomes_a_result(execution, request_, expected: str, status: int) -> None:
    result = await execution.run(request_, None, None, "r1")
    assert (code(result), result.status, "data" in result.payload) == (expected, status, False)


async def test_internals_stay_inside(execution) -> None:
    assert "hunter2" not in str(await execution.run(BOOM, None, None, "r1"))


async def test_unexpected_failure_is_logged_with_its_request(execution, caplog) -> None:
    await execution.run(BOOM, None, None, "r1")
    assert "r1" in caplog.text


async def test_only_failures_are_reported_here(execution, site) -> None:
    await execution.run(FINE, None, "portal", "r1")
    await execution.run(BOOM, None, "portal", "r1")
    assert site.notes.operations == [("Boom", "portal", ("INTERNAL_ERROR",))]


async def test_batch_keeps_order_and_neighbours(execution) -> None:
    bad = SubgraphError(ErrorCode.BAD_REQUEST)
    results = await execution.run_batch([HANG, FINE, bad, BOOM, FINE], None, None, "r1")
    assert [result.status for result in results] == [504, 200, 400, 500, 200]


async def test_cancelled_batch_cancels_its_operations(execution) -> None:
    before = asyncio.all_tasks()
    batch = asyncio.create_task(execution.run_batch([HANG, HANG], None, None, "r1"))
    await asyncio.sleep(0)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
