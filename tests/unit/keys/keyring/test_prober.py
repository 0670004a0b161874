import asyncio
from uuid import UUID, uuid4

import pytest

from subgraph.keys.keyring.keyring import Keyring, Limits
from subgraph.keys.keyring.prober import Prober, Timing
from subgraph.kms.faults import KeyFault, KeyProviderError
from tests.unit.keys.rig import Provider, Store, Telemetry
from tests.unit.keys.samples import Clock

K, OLD = UUID(int=1), UUID(int=2)


class Replica:
    def __init__(self, clock: Clock, store: Store) -> None:
        self.holder = uuid4()
        self.provider = Provider(clock)
        self.telemetry = Telemetry()
        self.keyring = Keyring(
            self.provider, self.telemetry, Limits(), clock=clock, chance=lambda: 0.5
        )
        self.prober = Prober(
            self.keyring, store, self.provider, Timing(), holder=self.holder, clock=clock
        )

    async def usable(self, key: UUID = K) -> bool:
        try:
            await self.keyring.get("a", key)
        except KeyProviderError:
            return False
        return True


class Cluster:
    """Replicas over one store and one provider's state, in seconds that a test counts."""

    def __init__(self, size: int = 2) -> None:
        self.clock = Clock()
        self.store = Store(self.clock)
        self.replicas = [Replica(self.clock, self.store) for _ in range(size)]
        self.up = list(self.replicas)
        shared: dict[str, KeyFault] = {}
        for replica in self.replicas:
            replica.provider.faults = shared
        self.faults = shared

    async def begin(self) -> "Cluster":
        for replica in self.replicas:
            assert await replica.usable()
        await self.seconds(3)
        return self

    async def seconds(self, count: int) -> None:
        for _ in range(count):
            self.clock.now += 1
            for replica in self.up:
                await replica.prober.tick()
                await replica.prober.settled()

    @property
    def probes(self) -> int:
        return sum(len(replica.provider.probes) for replica in self.replicas)

    @property
    def leader(self) -> Replica:
        holder, _ = self.store.leases["a"]
        return next(replica for replica in self.replicas if replica.holder == holder)


async def test_one_replica_probes_for_all() -> None:
    cluster = await Cluster(3).begin()
    await cluster.seconds(120)
    assert 3 <= cluster.probes <= 5
    assert sum(bool(replica.provider.probes) for replica in cluster.replicas) == 1


async def test_tenants_are_read_in_one_call_a_second_and_only_those_in_use() -> None:
    cluster = Cluster(1)
    await cluster.seconds(5)
    assert cluster.store.reads == []
    await cluster.replicas[0].usable()
    await cluster.replicas[0].keyring.get("b", K)
    await cluster.seconds(5)
    assert cluster.store.reads == [{"a", "b"}] * 5


async def test_a_denial_reaches_every_replica_within_a_period_and_a_reading() -> None:
    cluster = await Cluster(3).begin()
    held = [await replica.keyring.get("a", K) for replica in cluster.replicas]
    cluster.faults["a"] = KeyFault.KEY_DISABLED
    await cluster.seconds(32)
    for replica, key in zip(cluster.replicas, held, strict=True):
        assert not await replica.usable()
        with pytest.raises(KeyProviderError):
            key.check()
        ((tenant, old, new, seconds),) = replica.telemetry.changes
        assert (tenant, old, new) == ("a", None, KeyFault.KEY_DISABLED)
        assert 0 <= seconds <= 2
    assert cluster.store.rows["a"][0] is KeyFault.KEY_DISABLED


async def test_a_key_that_is_enabled_again_is_noticed_though_nobody_may_use_it() -> None:
    cluster = await Cluster(2).begin()
    cluster.faults["a"] = KeyFault.KEY_DISABLED
    await cluster.seconds(32)
    await cluster.seconds(600)
    del cluster.faults["a"]
    await cluster.seconds(32)
    for replica in cluster.replicas:
        assert await replica.usable()
        assert replica.telemetry.changes[-1][1:3] == (KeyFault.KEY_DISABLED, None)


async def test_an_outage_neither_purges_nor_admits() -> None:
    cluster = await Cluster(2).begin()
    cluster.faults["a"] = KeyFault.UNAVAILABLE
    await cluster.seconds(100)
    assert [await replica.usable() for replica in cluster.replicas] == [True, True]
    cluster.faults["a"] = KeyFault.ACCESS_DENIED
    await cluster.seconds(46)
    cluster.faults["a"] = KeyFault.UNAVAILABLE
    await cluster.seconds(100)
    assert [await replica.usable() for replica in cluster.replicas] == [False, False]
    assert cluster.store.rows["a"][0] is KeyFault.ACCESS_DENIED


async def test_another_replica_takes_over_from_one_that_died() -> None:
    cluster = await Cluster(2).begin()
    dead = cluster.leader
    cluster.up.remove(dead)
    cluster.faults["a"] = KeyFault.KEY_DISABLED
    await cluster.seconds(46)
    assert cluster.leader is not dead
    assert not await cluster.leader.usable()


async def test_a_replica_that_cannot_read_verdicts_probes_by_itself() -> None:
    cluster = await Cluster(2).begin()
    cluster.store.away = True
    cluster.faults["a"] = KeyFault.ACCESS_DENIED
    await cluster.seconds(47)
    assert [await replica.usable() for replica in cluster.replicas] == [False, False]


async def test_a_replica_probes_when_the_holder_of_the_lease_is_silent() -> None:
    cluster = await Cluster(2).begin()
    silent = cluster.leader
    cluster.up.remove(silent)
    cluster.faults["a"] = KeyFault.ACCESS_DENIED
    for _ in range(47):
        cluster.store.leases["a"] = (silent.holder, cluster.clock.now + 40)
        await cluster.seconds(1)
    assert not await cluster.up[0].usable()
    assert cluster.store.rows["a"][0] is None


async def test_the_verdict_of_a_replica_that_was_held_up_is_not_recorded() -> None:
    cluster = await Cluster(2).begin()
    late = cluster.leader
    late.provider.gate = asyncio.Event()
    cluster.clock.now += 31
    await late.prober.tick()
    while len(late.provider.probes) < 2:
        await asyncio.sleep(0)
    cluster.up.remove(late)
    cluster.clock.now += 20
    cluster.faults["a"] = KeyFault.KEY_DISABLED
    await cluster.seconds(25)
    assert cluster.leader is not late
    assert cluster.store.rows["a"][0] is KeyFault.KEY_DISABLED
    del cluster.faults["a"]
    late.provider.gate.set()
    await late.prober.settled()
    assert cluster.store.refused == [late.holder]
    assert cluster.store.rows["a"][0] is KeyFault.KEY_DISABLED


async def test_a_denial_of_one_old_key_is_checked_at_once_with_the_current_one() -> None:
    cluster = await Cluster(2).begin()
    replica = next(r for r in cluster.replicas if r is not cluster.leader)
    replica.provider.key_faults[OLD] = KeyFault.KEY_DISABLED
    assert not await replica.usable(OLD)
    assert not await replica.usable()
    await cluster.seconds(1)
    assert await replica.usable()
    assert not await replica.usable(OLD)
    assert await replica.usable()


async def test_an_old_verdict_does_not_refuse_a_tenant_that_comes_back() -> None:
    cluster = Cluster(1)
    cluster.store.rows["a"] = (KeyFault.KEY_DISABLED, cluster.clock.now - 600)
    assert await cluster.replicas[0].usable()
    await cluster.seconds(1)
    assert await cluster.replicas[0].usable()
    assert cluster.store.rows["a"][0] is None


async def test_a_verdict_from_before_a_denial_does_not_lift_it() -> None:
    cluster = await Cluster(2).begin()
    replica = next(r for r in cluster.replicas if r is not cluster.leader)
    replica.keyring.purge("a", KeyFault.KEY_DISABLED)
    await replica.prober.tick()
    await replica.prober.settled()
    assert cluster.store.rows["a"][0] is None
    assert not await replica.usable()


async def test_verdicts_from_the_future_are_no_evidence_and_cause_no_rush() -> None:
    cluster = await Cluster(2).begin()
    cluster.store.rows["a"] = (None, cluster.clock.now + 3600)
    cluster.store.record = refuse_record  # type: ignore[method-assign]
    cluster.faults["a"] = KeyFault.KEY_DISABLED
    before = cluster.probes
    await cluster.seconds(92)
    assert [await replica.usable() for replica in cluster.replicas] == [False, False]
    assert cluster.probes - before <= 6


async def refuse_record(*_: object) -> bool:
    return False


async def test_a_running_prober_reads_between_pauses_and_stops_when_cancelled() -> None:
    cluster = Cluster(1)
    (replica,) = cluster.replicas
    await replica.usable()
    pauses: list[float] = []
    reached = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        cluster.clock.now += seconds
        await asyncio.sleep(0)
        if len(pauses) == 40:
            reached.set()

    prober = Prober(
        replica.keyring, cluster.store, replica.provider, Timing(),
        holder=replica.holder, clock=cluster.clock, sleep=sleep,
    )  # fmt: skip
    running = asyncio.create_task(prober.run())
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert set(pauses) == {1.0}
    assert len(replica.provider.probes) >= 2


async def test_a_fault_of_ours_in_a_probe_ends_the_prober_instead_of_hiding() -> None:
    cluster = Cluster(1)
    (replica,) = cluster.replicas

    async def broken(tenant: str) -> None:
        raise LookupError(tenant)

    replica.provider.probe = broken  # type: ignore[method-assign]
    await replica.usable()
    with pytest.raises(LookupError):
        await replica.prober.run()
