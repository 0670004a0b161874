"""Work whose client has gone away ends; other work does not."""

import asyncio

import pytest

from subgraph.http.body import ClientDisconnected
from subgraph.http.disconnects import CancelOnDisconnect


async def test_work_ends_with_its_client(exchange) -> None:
    exchange.hang_up()
    with pytest.raises(ClientDisconnected):
        async with CancelOnDisconnect(exchange.receive, 0.0):
            await asyncio.Event().wait()


async def test_task_lives_on_after_its_client(exchange) -> None:
    exchange.hang_up()
    with pytest.raises(ClientDisconnected):
        async with CancelOnDisconnect(exchange.receive, 0.0):
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_rest_of_a_body_is_no_disconnect(exchange) -> None:
    exchange.give(b"", more=True)
    exchange.give(b"")
    async with CancelOnDisconnect(exchange.receive, 0.0):
        for _ in range(10):
            await asyncio.sleep(0)
    assert exchange.received == 2


async def test_short_work_is_not_watched(exchange) -> None:
    exchange.hang_up()
    async with CancelOnDisconnect(exchange.receive, 60.0):
        await asyncio.sleep(0)
    assert exchange.received == 0


async def test_no_listener_is_left_behind(exchange) -> None:
    before = asyncio.all_tasks()
    async with CancelOnDisconnect(exchange.receive, 0.0):
        for _ in range(10):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() != before
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_shutdown_is_not_taken_for_a_disconnect(exchange) -> None:
    async def work() -> None:
        async with CancelOnDisconnect(exchange.receive, 0.0):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_failure_of_the_work_is_its_own(exchange) -> None:
    with pytest.raises(ZeroDivisionError):
        async with CancelOnDisconnect(exchange.receive, 0.0):
            raise ZeroDivisionError
