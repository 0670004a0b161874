"""Random schedules of readers, outages, denials, purges and time, against what must always hold."""

import asyncio
import random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.keys.envelope.datakey import DataKey
from subgraph.keys.keyring.keyring import Keyring, Limits
from subgraph.kms.faults import KeyFault, KeyProviderError
from tests.unit.keys.rig import Telemetry
from tests.unit.keys.samples import Clock

TENANTS = ("a", "b")
KEYS = tuple(UUID(int=number) for number in range(1, 4))
OUTAGES = (KeyFault.UNAVAILABLE, KeyFault.THROTTLED)
DENIALS = (KeyFault.KEY_DISABLED, KeyFault.ACCESS_DENIED)


class SlowProvider:
    """Answers by its state at the moment of answering, which the schedule chooses."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.faults: dict[str, KeyFault] = {}
        self.under_way: list[tuple[str, UUID, asyncio.Event]] = []
        self.proved: dict[tuple[str, UUID], float] = {}

    async def unwrap(self, tenant: str, data_key_id: UUID) -> DataKey:
        call = (tenant, data_key_id, asyncio.Event())
        assert [c[:2] for c in self.under_way].count(call[:2]) == 0, "two flights for one key"
        self.under_way.append(call)
        began = self.clock.now
        try:
            await call[2].wait()
        finally:
            self.under_way.remove(call)
        if tenant in self.faults:
            raise KeyProviderError(self.faults[tenant])
        self.proved[tenant, data_key_id] = began
        return DataKey(data_key_id, bytes(32))


class World:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = Clock()
        self.provider = SlowProvider(self.clock)
        self.limits = Limits(soft_seconds=60, hard_seconds=300, most_keys=4)
        self.keyring = Keyring(
            self.provider, Telemetry(), self.limits, clock=self.clock, chance=self.chance.random
        )
        self.refused: dict[str, KeyFault] = {}
        self.readers: list[asyncio.Task[None]] = []

    async def read(self, tenant: str, key: UUID) -> None:
        try:
            found = await self.keyring.get(tenant, key)
        except KeyProviderError:
            return
        assert found.id == key
        found.check()
        assert tenant not in self.refused, "served after a purge"
        assert self.keyring.refusal(tenant) is None
        assert self.clock.now - self.provider.proved[tenant, key] < self.limits.hard_seconds

    def step(self) -> None:
        actions = [self.start_reader] * 4 + [self.answer] * 2 + [self.pass_time, self.fail]
        actions += [self.mend, self.purge, self.admit, self.cancel_reader]
        self.chance.choice(actions)(self.chance.choice(TENANTS))

    def start_reader(self, tenant: str) -> None:
        key = self.chance.choice(KEYS)
        self.readers.append(asyncio.create_task(self.read(tenant, key)))

    def answer(self, tenant: str) -> None:
        if self.provider.under_way:
            self.chance.choice(self.provider.under_way)[2].set()

    def pass_time(self, tenant: str) -> None:
        self.clock.now += self.chance.choice((0.5, 5, 30, 70, 299))
        self.keyring.sweep()

    def fail(self, tenant: str) -> None:
        self.provider.faults[tenant] = self.chance.choice(OUTAGES + DENIALS)

    def mend(self, tenant: str) -> None:
        self.provider.faults.pop(tenant, None)

    def purge(self, tenant: str) -> None:
        self.refused[tenant] = self.chance.choice(DENIALS)
        self.keyring.purge(tenant, self.refused[tenant])

    def admit(self, tenant: str) -> None:
        self.refused.pop(tenant, None)
        self.keyring.admit(tenant)

    def cancel_reader(self, tenant: str) -> None:
        if self.readers:
            self.chance.choice(self.readers).cancel()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**64))
async def test_no_schedule_serves_a_purged_or_outdated_key(seed: int) -> None:
    world = World(seed)
    for _ in range(150):
        world.step()
        for _ in range(world.chance.randrange(4)):
            await asyncio.sleep(0)
    while any(not reader.done() for reader in world.readers):
        for call in list(world.provider.under_way):
            call[2].set()
        await asyncio.sleep(0)
    for reader in world.readers:
        if not reader.cancelled():
            reader.result()
    await world.keyring.close()
    with pytest.raises(KeyProviderError):
        await world.keyring.get("a", KEYS[0])
