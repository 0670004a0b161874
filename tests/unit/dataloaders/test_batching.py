"""One call for all keys that are asked for in one turn of the loop."""

import asyncio
from collections.abc import Sequence

import pytest

from dataloaders.batching import BatchLoader


class Shelf:
    """Answers `<key>!` for every key but those that start with `no`."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.suffix = "!"
        self.fault: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.loader: BatchLoader[str, str | None] = BatchLoader(self.read, missing=None)

    async def read(self, keys: Sequence[str]) -> dict[str, str | None]:
        self.batches.append(list(keys))
        suffix = self.suffix
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return {key: key + suffix for key in keys if not key.startswith("no")}


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def test_values_come_in_the_order_of_their_keys(shelf: Shelf) -> None:
    found = await shelf.loader.load_many(["b", "no", "a", "b"])
    assert found == ["b!", None, "a!", "b!"]


async def test_no_keys_ask_for_nothing(shelf: Shelf) -> None:
    assert (await shelf.loader.load_many([]), shelf.batches) == ([], [])


async def test_loads_of_one_turn_are_one_batch(shelf: Shelf) -> None:
    await asyncio.gather(shelf.loader.load("a"), shelf.loader.load_many(["b", "c"]))
    assert shelf.batches == [["a", "b", "c"]]


async def test_key_is_asked_for_once(shelf: Shelf) -> None:
    await asyncio.gather(*(shelf.loader.load("a") for _ in range(5)))
    await shelf.loader.load("a")
    assert shelf.batches == [["a"]]


async def test_what_is_missing_is_not_asked_for_again(shelf: Shelf) -> None:
    found = [await shelf.loader.load("no"), await shelf.loader.load("no")]
    assert (found, shelf.batches) == ([None, None], [["no"]])


async def test_key_that_is_on_its_way_is_waited_for(shelf: Shelf) -> None:
    shelf.gate = asyncio.Event()
    first = asyncio.create_task(shelf.loader.load("a"))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(shelf.loader.load_many(["a", "b"]))
    await asyncio.sleep(0.01)
    shelf.gate.set()
    assert (await first, await second, shelf.batches) == ("a!", ["a!", "b!"], [["a"], ["b"]])


async def test_fault_reaches_everybody_who_waits(shelf: Shelf) -> None:
    shelf.fault = RuntimeError("broken")
    found = await asyncio.gather(
        shelf.loader.load("a"), shelf.loader.load_many(["a", "b"]), return_exceptions=True
    )
    assert found == [shelf.fault, shelf.fault]


async def test_after_a_fault_it_is_tried_again(shelf: Shelf) -> None:
    shelf.fault = RuntimeError("broken")
    with pytest.raises(RuntimeError):
        await shelf.loader.load("a")
    shelf.fault = None
    assert await shelf.loader.load("a") == "a!"


async def test_caller_that_leaves_takes_nothing_from_the_others(shelf: Shelf) -> None:
    shelf.gate = asyncio.Event()
    leaving = asyncio.create_task(shelf.loader.load("a"))
    staying = asyncio.create_task(shelf.loader.load("b"))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.sleep(0.01)
    shelf.gate.set()
    assert (await staying, leaving.cancelled()) == ("b!", True)


async def test_what_was_forgotten_is_read_anew(shelf: Shelf) -> None:
    before = await shelf.loader.load("a")
    shelf.suffix = "?"
    shelf.loader.forget()
    assert (before, await shelf.loader.load("a")) == ("a!", "a?")


async def test_what_was_on_its_way_when_it_was_forgotten_is_read_anew(shelf: Shelf) -> None:
    shelf.gate = asyncio.Event()
    before = asyncio.create_task(shelf.loader.load("a"))
    await asyncio.sleep(0.01)
    shelf.suffix = "?"
    shelf.loader.forget()
    after = asyncio.create_task(shelf.loader.load("a"))
    await asyncio.sleep(0.01)
    shelf.gate.set()
    found = [await before, await after, await shelf.loader.load("a")]
    assert found == ["a!", "a?", "a?"]


async def test_batch_that_had_not_started_when_it_was_forgotten_still_answers(
    shelf: Shelf,
) -> None:
    before = asyncio.create_task(shelf.loader.load("a"))
    await asyncio.sleep(0)
    shelf.loader.forget()
    after = asyncio.create_task(shelf.loader.load("b"))
    assert [await before, await after] == ["a!", "b!"]
