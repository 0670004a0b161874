"""Open keys: shared, closed when nobody uses them, never under somebody's hands."""

import asyncio
from collections import Counter
from uuid import uuid4

import pytest

from subgraph.keys.custody.counting import counting
from subgraph.keys.custody.wrapping import Wrappers
from subgraph.keys.telemetry import KeyTelemetry
from subgraph.kms.contract import KeyDescription, KeyProvider, Wrap, WrapContext, WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from tests.unit.keys.owner import Owner

LOCAL = KeyProvider.LOCAL


class Client:
    """Notices use after it was closed."""

    provider = LOCAL

    def __init__(self, door: asyncio.Event) -> None:
        self.door = door
        self.closed = False

    async def close(self) -> None:
        self.closed = True
        await self.door.wait()

    async def describe(self) -> KeyDescription:
        raise NotImplementedError

    async def wrap(self, key: bytes, context: WrapContext) -> WrappedKey:
        raise NotImplementedError

    async def unwrap(self, wrapped: WrappedKey, context: WrapContext) -> bytes:
        assert not self.closed
        return bytes(32)

    async def rotate(self) -> KeyDescription:
        raise NotImplementedError


class Door:
    """Opens clients; closing one takes until the door is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.opening = asyncio.Event()
        self.opening.set()
        self.clients: list[Client] = []

    async def __call__(
        self, provider: KeyProvider, key_uri: str, tenant: str, *, create: bool = False
    ) -> Wrap:
        client = Client(self.open)
        self.clients.append(client)
        await self.opening.wait()
        return client


async def use(wrappers: Wrappers, name: str) -> None:
    wrapped = WrappedKey(b"", name, "1")
    await wrappers.unwrap(LOCAL, wrapped, WrapContext("t", uuid4(), "records"))


async def test_a_key_is_opened_once() -> None:
    door = Door()
    wrappers = Wrappers(door)
    for _ in range(3):
        await use(wrappers, "a")
    assert len(door.clients) == 1


async def test_tenants_never_share_an_open_key() -> None:
    door = Door()
    wrappers = Wrappers(door)
    for tenant in ("t", "u"):
        async with wrappers.using(LOCAL, "a", tenant):
            pass
    assert len(door.clients) == 2


async def test_of_two_that_open_at_once_one_is_kept_and_usable() -> None:
    door = Door()
    wrappers = Wrappers(door, most=1)
    door.opening.clear()
    both = [asyncio.create_task(use(wrappers, "a")) for _ in range(2)]
    while len(door.clients) < 2:
        await asyncio.sleep(0)
    door.opening.set()
    for _ in range(10):
        await asyncio.sleep(0)
    # The surplus client is still closing; meanwhile others push the kept one out of the table.
    pushing = asyncio.create_task(use(wrappers, "b"))
    for _ in range(10):
        await asyncio.sleep(0)
    door.open.set()
    await asyncio.gather(*both, pushing)
    assert [client.closed for client in door.clients].count(False) == 1


async def test_the_longest_unused_is_closed_first() -> None:
    door = Door()
    door.open.set()
    wrappers = Wrappers(door, most=2)
    for name in ("a", "b", "a", "c"):
        await use(wrappers, name)
    assert [client.closed for client in door.clients] == [False, True, False]


async def test_one_in_use_is_not_closed() -> None:
    door = Door()
    door.open.set()
    wrappers = Wrappers(door, most=1)
    async with wrappers.using(LOCAL, "a", "t"):
        await use(wrappers, "b")
        assert [client.closed for client in door.clients] == [False, True]


async def test_many_that_shrink_at_once_close_each_key_once() -> None:
    door = Door()
    wrappers = Wrappers(door, most=1)
    many = [asyncio.create_task(use(wrappers, str(number))) for number in range(20)]
    for _ in range(20):
        await asyncio.sleep(0)
    door.open.set()
    await asyncio.gather(*many)
    assert [client.closed for client in door.clients].count(False) == 1


async def test_calls_are_counted_by_outcome(owner: Owner) -> None:
    telemetry = KeyTelemetry()
    wrappers = Wrappers(counting(owner, telemetry))
    context = WrapContext("t", uuid4(), "records")
    async with wrappers.using(LOCAL, "local:a", "t", create=True) as wrapper:
        await wrapper.describe()
        await wrapper.rotate()
    wrapped = await wrappers.wrap_proven(LOCAL, "local:a", bytes(32), context)
    owner.faults = {"unwrap": KeyFault.THROTTLED}
    with pytest.raises(KeyProviderError):
        await wrappers.unwrap(LOCAL, wrapped, context)
    assert telemetry.calls == Counter(
        [
            ("describe", "ok"), ("rotate", "ok"), ("wrap", "ok"), ("unwrap", "ok"),
            ("unwrap", "THROTTLED"),
        ]
    )  # fmt: skip
    await wrappers.close()


async def test_a_wrap_that_comes_back_as_another_key_is_refused(owner: Owner) -> None:
    wrappers = Wrappers(owner)
    async with wrappers.using(LOCAL, "local:a", "t", create=True):
        pass
    owner.answers = bytes(32)
    with pytest.raises(KeyProviderError) as caught:
        await wrappers.wrap_proven(
            LOCAL, "local:a", b"k" * 32, WrapContext("t", uuid4(), "records")
        )
    assert caught.value.fault is KeyFault.INTEGRITY
    await wrappers.close()
