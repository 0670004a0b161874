import asyncio
from uuid import UUID, uuid4

import pytest

from subgraph.keys.envelope import message as envelope
from subgraph.keys.envelope.datakey import DataKey
from subgraph.keys.keyring.keyring import Keyring, Limits
from subgraph.kms.faults import KeyFault, KeyProviderError
from tests.unit.keys.rig import Provider, Telemetry
from tests.unit.keys.samples import PLACE, Clock

K, OTHER = UUID(int=1), UUID(int=2)


class Rig:
    def __init__(self, **limits: float) -> None:
        self.clock = Clock()
        self.provider = Provider(self.clock)
        self.telemetry = Telemetry()
        self.keyring = Keyring(
            self.provider, self.telemetry, Limits(**limits),  # type: ignore[arg-type]
            clock=self.clock, chance=lambda: 0.5,
        )  # fmt: skip

    async def fault(self, tenant: str = "a", key: UUID = K) -> KeyFault:
        with pytest.raises(KeyProviderError) as refused:
            await self.keyring.get(tenant, key)
        return refused.value.fault


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def waiting(rig: Rig, count: int = 1) -> list["asyncio.Task[DataKey]"]:
    """Callers that wait for one flight, which `gate` holds up."""
    rig.provider.gate = asyncio.Event()
    tasks = [asyncio.create_task(rig.keyring.get("a", K)) for _ in range(count)]
    await settle()
    return tasks


def land(rig: Rig) -> None:
    assert rig.provider.gate is not None
    rig.provider.gate.set()


async def test_a_held_key_is_served_without_the_provider(rig: Rig) -> None:
    first = await rig.keyring.get("a", K)
    rig.clock.now += 10
    assert await rig.keyring.get("a", K) is first
    assert rig.provider.calls == [("a", K)]
    assert (rig.telemetry.misses, rig.telemetry.hits, rig.telemetry.keys) == (1, [10.0], 1)


async def test_a_key_is_held_for_its_tenant_only(rig: Rig) -> None:
    assert await rig.keyring.get("a", K) is not await rig.keyring.get("b", K)
    assert rig.provider.calls == [("a", K), ("b", K)]


async def test_callers_at_once_share_one_unwrapping(rig: Rig) -> None:
    tasks = await waiting(rig, 50)
    land(rig)
    assert len(set(await asyncio.gather(*tasks))) == len(rig.provider.calls) == 1


async def test_a_caller_that_gives_up_does_not_end_the_unwrapping(rig: Rig) -> None:
    gone, staying = await waiting(rig, 2)
    gone.cancel()
    await settle()
    assert gone.cancelled()
    land(rig)
    assert (await staying).id == K
    assert len(rig.provider.calls) == 1


async def test_a_key_in_use_is_refreshed_in_the_background(rig: Rig) -> None:
    first = await rig.keyring.get("a", K)
    for _ in range(20):
        rig.clock.now += 53
        await rig.keyring.get("a", K)
        rig.clock.now += 1
        rig.provider.gate = asyncio.Event()
        assert await rig.keyring.get("a", K) is first
        land(rig)
        await settle()
    assert rig.telemetry.misses == 1
    assert len(rig.provider.calls) == 21


async def test_a_refresh_is_tried_once_at_a_time_and_paced_when_it_fails(rig: Rig) -> None:
    await rig.keyring.get("a", K)
    rig.provider.faults["a"] = KeyFault.UNAVAILABLE
    rig.clock.now += 60
    for _ in range(100):
        await rig.keyring.get("a", K)
        await settle()
    assert len(rig.provider.calls) == 2
    rig.clock.now += 5
    await rig.keyring.get("a", K)
    await settle()
    assert len(rig.provider.calls) == 3


@pytest.mark.parametrize("fault", [KeyFault.UNAVAILABLE, KeyFault.THROTTLED, KeyFault.INTEGRITY])
async def test_an_outage_serves_until_the_hard_limit_and_no_longer(
    rig: Rig, fault: KeyFault
) -> None:
    await rig.keyring.get("a", K)
    rig.provider.faults["a"] = fault
    for _ in range(299):
        rig.clock.now += 1
        await rig.keyring.get("a", K)
        await settle()
    rig.clock.now += 1
    assert await rig.fault() is fault
    assert rig.telemetry.failures[0] == (fault, True)
    del rig.provider.faults["a"]
    assert (await rig.keyring.get("a", K)).id == K


async def test_the_age_of_a_key_counts_from_the_beginning_of_its_unwrapping(rig: Rig) -> None:
    (task,) = await waiting(rig)
    rig.clock.now += 50
    land(rig)
    await task
    rig.provider.faults["a"] = KeyFault.UNAVAILABLE
    rig.clock.now += 250
    assert await rig.fault() is KeyFault.UNAVAILABLE


async def test_an_answer_that_came_after_the_hard_limit_is_not_used(rig: Rig) -> None:
    (task,) = await waiting(rig)
    rig.clock.now += 300
    land(rig)
    with pytest.raises(KeyProviderError):
        await task
    assert rig.keyring.tenants() == set()


async def test_a_failure_is_not_remembered(rig: Rig) -> None:
    rig.provider.faults["a"] = KeyFault.THROTTLED
    assert await rig.fault() is KeyFault.THROTTLED
    del rig.provider.faults["a"]
    assert (await rig.keyring.get("a", K)).id == K


async def test_a_denial_refuses_the_tenant_until_something_newer_admits_it(rig: Rig) -> None:
    held = await rig.keyring.get("a", OTHER)
    await rig.keyring.get("b", K)
    rig.provider.faults["a"] = KeyFault.ACCESS_DENIED
    assert await rig.fault() is KeyFault.ACCESS_DENIED
    assert await rig.fault(key=OTHER) is KeyFault.ACCESS_DENIED
    with pytest.raises(KeyProviderError):
        envelope.seal(held, PLACE, b"")
    del rig.provider.faults["a"]
    calls = len(rig.provider.calls)
    rig.keyring.admit("a", since=rig.clock.now - 1)
    assert await rig.fault() is KeyFault.ACCESS_DENIED
    assert len(rig.provider.calls) == calls
    assert (await rig.keyring.get("b", K)).id == K
    rig.clock.now += 1
    rig.keyring.admit("a", since=rig.clock.now)
    assert (await rig.keyring.get("a", K)).id == K
    assert [change[:3] for change in rig.telemetry.changes] == [
        ("a", None, KeyFault.ACCESS_DENIED), ("a", KeyFault.ACCESS_DENIED, None),
    ]  # fmt: skip


async def test_a_refresh_that_is_denied_purges(rig: Rig) -> None:
    held = await rig.keyring.get("a", K)
    rig.provider.faults["a"] = KeyFault.KEY_DISABLED
    rig.clock.now += 60
    assert await rig.keyring.get("a", K) is held
    await settle()
    assert await rig.fault() is KeyFault.KEY_DISABLED
    with pytest.raises(KeyProviderError):
        held.check()


async def test_a_purge_refuses_those_who_wait_and_drops_what_they_waited_for(rig: Rig) -> None:
    tasks = await waiting(rig, 3)
    rig.keyring.purge("a", KeyFault.KEY_DISABLED)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(
        isinstance(r, KeyProviderError) and r.fault is KeyFault.KEY_DISABLED for r in results
    )
    land(rig)
    await settle()
    rig.keyring.admit("a")
    assert rig.telemetry.keys == 0
    await rig.keyring.get("a", K)
    assert len(rig.provider.calls) == 2


async def test_a_purge_between_landing_and_resumption_is_not_overtaken(rig: Rig) -> None:
    (task,) = await waiting(rig)
    flight = rig.keyring._flights["a", K]
    flight.landed.add_done_callback(lambda _: rig.keyring.purge("a", KeyFault.KEY_DISABLED))
    land(rig)
    with pytest.raises(KeyProviderError) as refused:
        await task
    assert refused.value.fault is KeyFault.KEY_DISABLED


async def test_a_purge_without_denial_makes_waiters_ask_anew(rig: Rig) -> None:
    (task,) = await waiting(rig)
    rig.keyring.purge("a", KeyFault.UNAVAILABLE)
    await settle()
    land(rig)
    assert (await task).id == K
    assert len(rig.provider.calls) == 2


async def test_a_purge_reaches_keys_that_were_dropped_but_are_still_in_use() -> None:
    rig = Rig(most_keys=1)
    evicted = await rig.keyring.get("a", K)
    await rig.keyring.get("b", K)
    assert rig.keyring.tenants() == {"a", "b"}
    rig.keyring.purge("a", KeyFault.KEY_DISABLED)
    with pytest.raises(KeyProviderError):
        evicted.check()


async def test_the_keys_longest_unused_make_room() -> None:
    rig = Rig(most_keys=2)
    for key in (K, OTHER, K, uuid4(), K):
        await rig.keyring.get("a", key)
    assert len(rig.provider.calls) == 3
    await rig.keyring.get("a", OTHER)
    assert len(rig.provider.calls) == 4


async def test_a_denied_old_key_does_not_take_the_tenant_with_it_twice(rig: Rig) -> None:
    rig.provider.key_faults[K] = KeyFault.KEY_DISABLED
    assert await rig.fault() is KeyFault.KEY_DISABLED
    assert await rig.fault(key=OTHER) is KeyFault.KEY_DISABLED
    rig.clock.now += 1
    rig.keyring.admit("a", since=rig.clock.now)
    rig.keyring.sweep()
    assert await rig.fault() is KeyFault.KEY_DISABLED
    assert (await rig.keyring.get("a", OTHER)).id == OTHER
    calls = len(rig.provider.calls)
    assert await rig.fault() is KeyFault.KEY_DISABLED
    assert len(rig.provider.calls) == calls
    rig.clock.now += 30
    del rig.provider.key_faults[K]
    assert (await rig.keyring.get("a", K)).id == K


async def test_old_evidence_does_not_purge(rig: Rig) -> None:
    await rig.keyring.get("a", K)
    rig.keyring.admit("a", since=rig.clock.now)
    rig.keyring.purge("a", KeyFault.KEY_DISABLED, at=rig.clock.now - 5)
    assert (await rig.keyring.get("a", K)).id == K
    assert len(rig.provider.calls) == 1


async def test_expired_keys_do_not_linger(rig: Rig) -> None:
    await rig.keyring.get("a", K)
    rig.clock.now += 300
    rig.keyring.sweep()
    rig.keyring.sweep()
    assert rig.telemetry.keys == 0
    assert rig.keyring.tenants() == set()


async def test_a_wrong_answer_is_not_handed_out(rig: Rig) -> None:
    class Confused(Provider):
        async def unwrap(self, tenant: str, data_key_id: UUID) -> DataKey:
            return await super().unwrap(tenant, OTHER)

    keyring = Keyring(Confused(rig.clock), rig.telemetry, Limits(), clock=rig.clock)
    with pytest.raises(KeyProviderError) as refused:
        await keyring.get("a", K)
    assert refused.value.fault is KeyFault.INTEGRITY


async def test_an_unexpected_failure_reaches_every_waiter(rig: Rig) -> None:
    class Broken(Provider):
        async def unwrap(self, tenant: str, data_key_id: UUID) -> DataKey:
            await asyncio.sleep(0)
            raise LookupError("a fault of ours")

    keyring = Keyring(Broken(rig.clock), rig.telemetry, Limits(), clock=rig.clock)
    tasks = [keyring.get("a", K) for _ in range(3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [LookupError] * 3


async def test_a_closed_keyring_hands_out_nothing(rig: Rig) -> None:
    held = await rig.keyring.get("a", OTHER)
    (task,) = await waiting(rig)
    await rig.keyring.close()
    assert await rig.fault() is KeyFault.UNAVAILABLE
    with pytest.raises(KeyProviderError):
        await task
    with pytest.raises(KeyProviderError):
        held.check()


async def test_the_last_word_counts_also_within_one_tick_of_the_clock(rig: Rig) -> None:
    for _ in range(3):
        rig.keyring.purge("a", KeyFault.KEY_DISABLED)
        assert await rig.fault() is KeyFault.KEY_DISABLED
        rig.keyring.admit("a")
        assert (await rig.keyring.get("a", K)).id == K
