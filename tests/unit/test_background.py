"""Work beside a block ends with the block, and its failures are not lost."""

import asyncio

import pytest

from subgraph.background import beside


async def test_work_runs_as_long_as_the_block() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    async with beside(work(), work()):
        await begun.wait()
        assert not ended.is_set()
    assert ended.is_set()


async def test_a_failure_shows_at_the_end_of_the_block() -> None:
    async def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        async with beside(work()):
            await asyncio.sleep(0)


async def test_work_that_is_done_is_no_failure() -> None:
    async def work() -> None:
        """Nothing."""

    async with beside(work()):
        await asyncio.sleep(0)


async def test_a_failing_block_ends_the_work_and_keeps_its_own_failure() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def block() -> None:
        async with beside(work()):
            await asyncio.sleep(0)
            raise KeyError

    with pytest.raises(KeyError):
        await block()
    assert ended.is_set()
