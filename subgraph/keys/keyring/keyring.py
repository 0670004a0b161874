"""The data keys that this process holds unwrapped, and for how long.

A key is served for `hard_seconds` from the moment its unwrapping began, whatever happens to the
provider meanwhile; errors never prolong that. While it is in use it is unwrapped again from
about `soft_seconds` on, in the background. So a reader waits for the provider only when a key is
new here, and a key that its owner disabled is served no longer than `hard_seconds` (published
bound: 300 s and the provider's own propagation), however little else works.
"""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID
from weakref import WeakSet

from subgraph.keys.envelope.datakey import DataKey
from subgraph.keys.keyring.refusals import Refusal, Refusals
from subgraph.kms.faults import KeyFault, KeyProviderError

_Name = tuple[str, UUID]


class Unwrapper(Protocol):
    """Fetches a wrapped data key and has its provider unwrap it."""

    async def unwrap(self, tenant: str, data_key_id: UUID) -> DataKey:
        """Return the data key of this tenant; MUST ask the provider, with every call.

        It MUST bound its own time and MAY be cancelled. Raises `KeyProviderError`, or another
        `SubgraphError` when the wrapped key cannot be read.
        """
        ...


class KeyringTelemetry(Protocol):
    """What is told of a keyring; every call MUST return at once and MUST NOT raise."""

    def hit(self, age_seconds: float) -> None:
        """A key was served from memory, so long after its unwrapping began."""
        ...

    def miss(self) -> None:
        """A caller had to wait for the provider."""
        ...

    def unwrap_failed(self, fault: KeyFault | None, *, refresh: bool) -> None:
        """An unwrapping failed; no fault: for another reason than the provider."""
        ...

    def size(self, keys: int) -> None:
        """So many keys are held now."""
        ...

    def changed(
        self, tenant: str, old: KeyFault | None, new: KeyFault | None, seconds: float
    ) -> None:
        """This process refuses the tenant from now on (or no more, or for another fault).

        When it refuses, the tenant's keys are gone already, `seconds` after the denial was found.
        """
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how many keys are held.

    A refresh is due `soft_seconds` after the last, less a random share of up to `jitter`; one
    that failed is tried again after `retry_seconds`. `denied_seconds` is the pause after which a
    data key that was denied alone is tried again.
    """

    soft_seconds: float = 60.0
    hard_seconds: float = 300.0
    jitter: float = 0.2
    retry_seconds: float = 5.0
    denied_seconds: float = 30.0
    most_keys: int = 10_000


@dataclass(slots=True)
class _Held:
    key: DataKey
    began: float
    refresh_at: float


@dataclass(slots=True, eq=False)
class _Flight:
    """One unwrapping under way; lands with its error, or with None: held now, or purged."""

    began: float
    landed: "asyncio.Future[BaseException | None]"
    task: "asyncio.Task[DataKey] | None" = None
    void: bool = False


class Keyring:
    """Data keys by tenant and id. Use it from one event loop."""

    def __init__(
        self,
        unwrapper: Unwrapper,
        telemetry: KeyringTelemetry,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._unwrapper = unwrapper
        self._telemetry = telemetry
        self._limits = limits
        self._clock = clock
        self._chance = chance
        self._held: OrderedDict[_Name, _Held] = OrderedDict()
        self._flights: dict[_Name, _Flight] = {}
        self._tasks: set[asyncio.Task[DataKey]] = set()
        self._handed_out: dict[str, WeakSet[DataKey]] = {}
        self._refusals = Refusals(retry_seconds=limits.denied_seconds)
        self._closed = False

    async def get(self, tenant: str, data_key_id: UUID) -> DataKey:
        """Return the key, which works until its tenant is purged.

        Raises `KeyProviderError`: a denial for as long as the tenant is refused, and what the
        provider answered when the key is not held; or what else the unwrapper raises.
        """
        name = (tenant, data_key_id)
        waited = False
        while True:
            now = self._clock()
            if self._closed:
                raise KeyProviderError(KeyFault.UNAVAILABLE, "the service is stopping")
            if (fault := self._refusals.of_key(tenant, data_key_id, now)) is not None:
                raise KeyProviderError(fault)
            held = self._held.get(name)
            if held is not None and now - held.began < self._limits.hard_seconds:
                self._held.move_to_end(name)
                if now >= held.refresh_at and name not in self._flights:
                    held.refresh_at = now + self._limits.retry_seconds
                    self._start(name, now)
                if not waited:
                    self._telemetry.hit(now - held.began)
                return held.key
            if not waited:
                self._telemetry.miss()
                waited = True
            flight = self._flights.get(name) or self._start(name, now)
            # A purge may come between the landing and this line: what counts is what is held then.
            if (error := await asyncio.shield(flight.landed)) is not None:
                raise error

    def purge(
        self, tenant: str, reason: KeyFault, *, at: float | None = None, suspected: bool = False
    ) -> None:
        """Drop the tenant's keys at once, and whatever is being unwrapped for it.

        When `reason` is a denial, keys that were handed out stop working too, and the tenant is
        refused until `admit`. `at` is the clock's reading at which the denial was found (now, if
        none is given); one older than the evidence of the last `admit` changes nothing.
        """
        now = self._clock()
        found = now if at is None else at
        before = self._refusals.of_tenant(tenant)
        if reason.denial and not self._refusals.refuse(tenant, reason, found, suspected=suspected):
            return
        for name in [name for name in self._held if name[0] == tenant]:
            del self._held[name]
        for name in [name for name in self._flights if name[0] == tenant]:
            self._void(self._flights.pop(name))
        if reason.denial:
            for key in self._handed_out.pop(tenant, ()):
                key.revoke(reason)
            old = None if before is None else before.fault
            if old is not reason:
                self._telemetry.changed(tenant, old, reason, max(0.0, now - found))
        self._telemetry.size(len(self._held))

    def admit(self, tenant: str, *, since: float | None = None) -> None:
        """Take note that the tenant's key could be used at `since`, by the clock.

        Ends a refusal if that is newer than what the refusal rests on; in any case if no time is
        given, which is for the owner's own word.
        """
        before = self._refusals.of_tenant(tenant)
        now = self._clock()
        if since is None:
            ended = self._refusals.lift(tenant, now)
        else:
            ended = self._refusals.admit(tenant, since)
        if ended:
            assert before is not None
            self._telemetry.changed(
                tenant, before.fault, None, 0.0 if since is None else now - since
            )

    def refusal(self, tenant: str) -> Refusal | None:
        """Why the tenant is refused, if it is."""
        return self._refusals.of_tenant(tenant)

    def tenants(self) -> set[str]:
        """The tenants whose keys are held, handed out or under way, and those refused."""
        names = {tenant for tenant, _ in (*self._held, *self._flights)}
        return names | self._handed_out.keys() | set(self._refusals.tenants())

    def sweep(self) -> None:
        """Drop what is past its hard limit; to be called every second or so."""
        oldest = self._clock() - self._limits.hard_seconds
        for name in [name for name, held in self._held.items() if held.began <= oldest]:
            del self._held[name]
        for tenant in [tenant for tenant, keys in self._handed_out.items() if not keys]:
            del self._handed_out[tenant]
        self._refusals.forget_before(oldest)
        self._telemetry.size(len(self._held))

    async def close(self) -> None:
        """Drop all keys, and end what is under way; `get` refuses from now on."""
        self._closed = True
        self._held.clear()
        for flight in self._flights.values():
            self._void(flight)
        self._flights.clear()
        for keys in self._handed_out.values():
            for key in keys:
                key.revoke(KeyFault.UNAVAILABLE)
        self._handed_out.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, name: _Name, now: float) -> _Flight:
        flight = _Flight(now, asyncio.get_running_loop().create_future())
        flight.task = asyncio.create_task(self._unwrapper.unwrap(*name))
        self._flights[name] = flight
        self._tasks.add(flight.task)
        flight.task.add_done_callback(lambda task: self._land(name, flight, task))
        return flight

    def _void(self, flight: _Flight) -> None:
        flight.void = True
        assert flight.task is not None
        flight.task.cancel()
        if not flight.landed.done():
            flight.landed.set_result(None)

    def _land(self, name: _Name, flight: _Flight, task: "asyncio.Task[DataKey]") -> None:
        self._tasks.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if flight.void:
            return
        del self._flights[name]
        if error is None:
            error = self._store(name, flight.began, task.result())
        if error is None:
            flight.landed.set_result(None)
            return
        if isinstance(error, asyncio.CancelledError):
            error = KeyProviderError(KeyFault.UNAVAILABLE, "the unwrapping was given up")
        flight.landed.set_result(error)
        fault = error.fault if isinstance(error, KeyProviderError) else None
        self._telemetry.unwrap_failed(fault, refresh=name in self._held)
        if fault is not None and fault.denial:
            self._deny(name, fault)

    def _store(self, name: _Name, began: float, key: DataKey) -> KeyProviderError | None:
        """Hold the key; or return why it must not be handed out."""
        now = self._clock()
        if key.id != name[1]:
            return KeyProviderError(KeyFault.INTEGRITY, "another data key was unwrapped")
        if now - began >= self._limits.hard_seconds:
            return KeyProviderError(KeyFault.UNAVAILABLE, "the provider took too long")
        refresh_at = began + self._limits.soft_seconds * (1 - self._limits.jitter * self._chance())
        self._refusals.pass_key(*name)
        held = self._held.get(name)
        if held is not None:
            # The same object stays, so that a purge reaches everybody who holds it.
            held.began, held.refresh_at = began, refresh_at
            return None
        self._held[name] = _Held(key, began, refresh_at)
        self._handed_out.setdefault(name[0], WeakSet()).add(key)
        while len(self._held) > self._limits.most_keys:
            self._held.popitem(last=False)
        self._telemetry.size(len(self._held))
        return None

    def _deny(self, name: _Name, fault: KeyFault) -> None:
        tenant, data_key_id = name
        now = self._clock()
        if self._refusals.deny_key(tenant, data_key_id, fault, now):
            self.purge(tenant, fault, at=now, suspected=True)
            return
        self._held.pop(name, None)
        for key in self._handed_out.get(tenant, ()):
            if key.id == data_key_id:
                key.revoke(fault)
