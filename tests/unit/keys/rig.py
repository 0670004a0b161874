"""A provider, a store of verdicts and a telemetry that a test steers."""

import asyncio
import math
import os
from collections.abc import Collection, Mapping
from uuid import UUID

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.envelope.datakey import DataKey
from subgraph.keys.keyring.verdicts import Verdict
from subgraph.kms.faults import KeyFault, KeyProviderError
from tests.unit.keys.samples import Clock


class Provider:
    """Unwraps at once, or when `gate` is opened; as its owner and the network allow."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.faults: dict[str, KeyFault] = {}
        self.key_faults: dict[UUID, KeyFault] = {}
        self.gate: asyncio.Event | None = None
        self.calls: list[tuple[str, UUID]] = []
        self.probes: list[str] = []

    async def unwrap(self, tenant: str, data_key_id: UUID) -> DataKey:
        self.calls.append((tenant, data_key_id))
        if self.gate is not None:
            await self.gate.wait()
        fault = self.key_faults.get(data_key_id) or self.faults.get(tenant)
        if fault is not None:
            raise KeyProviderError(fault)
        return DataKey(data_key_id, os.urandom(32))

    async def probe(self, tenant: str) -> None:
        self.probes.append(tenant)
        if self.gate is not None:
            await self.gate.wait()
        if tenant in self.faults:
            raise KeyProviderError(self.faults[tenant])


class Telemetry:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.hits: list[float] = []
        self.misses = 0
        self.failures: list[tuple[KeyFault | None, bool]] = []
        self.keys = 0
        self.changes: list[tuple[str, KeyFault | None, KeyFault | None, float]] = []

    def hit(self, age_seconds: float) -> None:
        self.hits.append(age_seconds)

    def miss(self) -> None:
        self.misses += 1

    def unwrap_failed(self, fault: KeyFault | None, *, refresh: bool) -> None:
        self.failures.append((fault, refresh))

    def size(self, keys: int) -> None:
        self.keys = keys

    def changed(
        self, tenant: str, old: KeyFault | None, new: KeyFault | None, seconds: float
    ) -> None:
        self.changes.append((tenant, old, new, seconds))


class Store:
    """The verdicts as a database would keep them, by the test's clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rows: dict[str, tuple[KeyFault | None, float]] = {}
        self.leases: dict[str, tuple[UUID, float]] = {}
        self.away = False
        self.reads: list[set[str]] = []
        self.refused: list[UUID] = []

    async def read(self, tenants: Collection[str]) -> Mapping[str, Verdict]:
        self._check()
        self.reads.append(set(tenants))
        return {
            tenant: Verdict(*self._state(tenant), self._holder(tenant))
            for tenant in tenants
            if tenant in self.rows or tenant in self.leases
        }

    async def claim(self, tenant: str, holder: UUID, seconds: float) -> bool:
        self._check()
        if self._holder(tenant) not in (None, holder):
            return False
        self.leases[tenant] = (holder, self.clock.now + seconds)
        return True

    async def record(
        self, tenant: str, holder: UUID, fault: KeyFault | None, took_seconds: float
    ) -> bool:
        self._check()
        if self._holder(tenant) != holder:
            self.refused.append(holder)
            return False
        self.rows[tenant] = (fault, self.clock.now - took_seconds)
        return True

    def _state(self, tenant: str) -> tuple[KeyFault | None, float]:
        fault, at = self.rows.get(tenant, (None, -math.inf))
        return fault, self.clock.now - at

    def _holder(self, tenant: str) -> UUID | None:
        holder, until = self.leases.get(tenant, (None, 0.0))
        return holder if until > self.clock.now else None

    def _check(self) -> None:
        if self.away:
            raise SubgraphError(ErrorCode.DATABASE_UNAVAILABLE)
