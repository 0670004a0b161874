"""Finds out that the owner of a key has withdrawn it, also while nothing is unwrapped.

For each tenant whose keys are held, one replica has the lease: it unwraps the current data key
every `period_seconds` and writes the verdict. All replicas read the verdicts every second and
purge. A replica that finds no verdict that is fresh enough probes by itself, as it does when one
of its own unwrappings was denied. So a denial reaches every replica about `period_seconds` after
the provider enforces it; the keyring's hard limit stands behind that, should all of this fail.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from subgraph.errors import SubgraphError
from subgraph.keys.keyring.keyring import Keyring
from subgraph.keys.keyring.verdicts import Verdict, VerdictStore, apply
from subgraph.kms.faults import KeyFault, KeyProviderError

logger = logging.getLogger(__name__)

_MOST_SLEW_SECONDS = 1.0


class Probe(Protocol):
    """Tries out a tenant's key."""

    async def probe(self, tenant: str) -> None:
        """Have the provider unwrap the tenant's current data key.

        MUST ask the provider, past every cache: a key's description does not show that its policy
        denies. Raises `KeyProviderError`; KEY_DISABLED for a tenant that is suspended here.
        """
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """How often verdicts are read and made, and when one no longer counts.

    A lease outlasts the period, so that its holder keeps it; and is over before a verdict is
    stale, so that another replica takes over before all of them probe. `deadline_seconds` bounds
    each call of the store and of the provider.
    """

    read_seconds: float = 1.0
    period_seconds: float = 30.0
    lease_seconds: float = 40.0
    stale_seconds: float = 45.0
    deadline_seconds: float = 10.0
    most_at_once: int = 16


@dataclass(slots=True)
class _Watch:
    """What is known of one tenant here; times are readings of the clock."""

    seen_at: float
    probed_at: float = -math.inf
    led_at: float = -math.inf
    verdict: Verdict | None = None
    read_at: float = -math.inf

    def age(self, now: float) -> float:
        """Infinite also for a verdict from the future: the store's clock was set back since."""
        if self.verdict is None or self.verdict.age_seconds < -_MOST_SLEW_SECONDS:
            return math.inf
        return self.verdict.age_seconds + now - self.read_at


class Prober:
    """The probes of one replica. `holder` is an id that no other process has."""

    def __init__(
        self,
        keyring: Keyring,
        store: VerdictStore,
        probe: Probe,
        timing: Timing,
        *,
        holder: UUID,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._keyring = keyring
        self._store = store
        self._probe = probe
        self._timing = timing
        self._holder = holder
        self._clock = clock
        self._sleep = sleep
        self._watched: dict[str, _Watch] = {}
        self._probing: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(timing.most_at_once)

    async def run(self) -> None:
        """Read and probe until cancelled; raises only what is a fault of this service."""
        try:
            while True:
                await self.tick()
                await self._sleep(self._timing.read_seconds)
        finally:
            tasks = list(self._probing.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def tick(self) -> None:
        """Do what is due: one reading of all verdicts, and probes in the background."""
        self._keyring.sweep()
        self._finish()
        tenants = self._keyring.tenants()
        now = self._clock()
        self._watched = {
            tenant: self._watched.get(tenant) or _Watch(seen_at=now) for tenant in tenants
        }
        if not tenants:
            return
        reachable = await self._read()
        now = self._clock()
        for tenant, watch in self._watched.items():
            if tenant in self._probing:
                continue
            leader = reachable and self._may_lead(watch, now)
            alone = self._must_probe(tenant, watch, now)
            if leader or alone:
                self._probing[tenant] = asyncio.create_task(
                    self._examine(tenant, watch, leader=leader, alone=alone)
                )

    async def settled(self) -> None:
        """Wait for the probes under way."""
        await asyncio.gather(*self._probing.values())

    def _finish(self) -> None:
        for tenant, task in list(self._probing.items()):
            if task.done():
                del self._probing[tenant]
                task.result()

    async def _read(self) -> bool:
        asked = self._clock()
        verdicts: Mapping[str, Verdict]
        try:
            async with asyncio.timeout(self._timing.deadline_seconds):
                verdicts = await self._store.read(self._watched.keys())
        except (SubgraphError, TimeoutError) as error:
            logger.warning("verdicts cannot be read: %s", type(error).__name__)
            return False
        answered = self._clock()
        for tenant, watch in self._watched.items():
            watch.verdict, watch.read_at = verdicts.get(tenant), asked
            if watch.verdict is not None and watch.age(asked) < self._timing.stale_seconds:
                apply(self._keyring, tenant, watch.verdict, asked=asked, answered=answered)
        return True

    def _may_lead(self, watch: _Watch, now: float) -> bool:
        """Whether a verdict is due that this replica may be the one to make."""
        verdict = watch.verdict
        free = verdict is None or verdict.holder in (None, self._holder)
        if verdict is not None and verdict.holder is None and verdict.age_seconds == math.inf:
            # Forgotten, lease and all: its owner has resumed the key and waits for this probe.
            return True
        # A verdict that could not be recorded is not made again with every reading.
        return free and min(watch.age(now), now - watch.led_at) >= self._timing.period_seconds

    def _must_probe(self, tenant: str, watch: _Watch, now: float) -> bool:
        """Whether this replica has to find out by itself, lease or not."""
        refusal = self._keyring.refusal(tenant)
        if refusal is not None and refusal.suspected and watch.probed_at <= refusal.at:
            return True
        known = (
            watch.age(now) if watch.verdict is not None and watch.verdict.conclusive else (math.inf)
        )
        own = now - max(watch.seen_at, watch.probed_at)
        return min(known, own) >= self._timing.stale_seconds

    async def _examine(self, tenant: str, watch: _Watch, *, leader: bool, alone: bool) -> None:
        async with self._slots:
            leads = leader and await self._claimed(tenant)
            if not (leads or alone):
                return
            began = self._clock()
            fault = await self._asked(tenant)
            ended = watch.probed_at = self._clock()
            if fault is None:
                self._keyring.admit(tenant, since=began)
            elif fault.denial:
                self._keyring.purge(tenant, fault, at=ended)
            if leads:
                watch.led_at = began
                await self._record(tenant, watch, fault, ended - began)

    async def _claimed(self, tenant: str) -> bool:
        try:
            async with asyncio.timeout(self._timing.deadline_seconds):
                return await self._store.claim(tenant, self._holder, self._timing.lease_seconds)
        except (SubgraphError, TimeoutError) as error:
            logger.warning("a probe cannot be leased: %s", type(error).__name__)
            return False

    async def _asked(self, tenant: str) -> KeyFault | None:
        try:
            async with asyncio.timeout(self._timing.deadline_seconds):
                await self._probe.probe(tenant)
        except KeyProviderError as error:
            return error.fault
        except (SubgraphError, TimeoutError):
            return KeyFault.UNAVAILABLE
        return None

    async def _record(
        self, tenant: str, watch: _Watch, fault: KeyFault | None, took: float
    ) -> None:
        before = None if watch.verdict is None else watch.verdict.fault
        if fault is not None and not fault.denial and before is not None and before.denial:
            # Only a probe that succeeds ends a denial.
            fault = before
        try:
            async with asyncio.timeout(self._timing.deadline_seconds):
                await self._store.record(tenant, self._holder, fault, took)
        except (SubgraphError, TimeoutError) as error:
            logger.warning("a verdict cannot be recorded: %s", type(error).__name__)
