"""How long a key that its owner disabled still serves, on two replicas with default intervals."""

import asyncio
import time
from contextlib import AsyncExitStack
from uuid import UUID

from benchmarks.sections.contract import Given, Goal, Result
from benchmarks.sections.keys.custodian import Custodian, custodian
from subgraph.keys.records import store
from subgraph.kms.faults import KeyProviderError

_TENANTS = ("bench-035", "bench-036", "bench-037")
_PUBLISHED_SECONDS = 300.0


async def seconds(given: Given) -> Result:
    """From the provider's refusal to the last successful read on either replica."""
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(custodian(given)) for _ in range(2)]
        first = replicas[0]
        records = {}
        for tenant in _TENANTS:
            await first.attach(tenant)
            records[tenant] = await first.put(tenant, {"name": "x" * 64})
        for replica in replicas:
            for tenant, record_id in records.items():
                await _open(replica, tenant, record_id)
        # Each at another moment of the probing period.
        taken = await asyncio.gather(
            *(
                _until_refused(replicas, tenant, records[tenant], wait=4.0 + 11.0 * place)
                for place, tenant in enumerate(_TENANTS)
            )
        )
    longest = max(taken)
    found = f"{longest:.1f} s at the most ({', '.join(f'{value:.1f}' for value in sorted(taken))})"
    goal = Goal(
        "A disabled key serves no read on any replica after the published 300 s",
        longest <= _PUBLISHED_SECONDS,
        found,
    )
    note = "Probes every 30 s, verdicts read every second; the provider itself takes no time here."
    return Result("revocation", "", [], [goal], [note])


async def _until_refused(
    replicas: list[Custodian], tenant: str, record_id: UUID, *, wait: float
) -> float:
    await asyncio.sleep(wait)
    replicas[0].disable(tenant)
    disabled = last = time.monotonic()
    refused: set[int] = set()
    while len(refused) < len(replicas):
        for place, replica in enumerate(replicas):
            try:
                await _open(replica, tenant, record_id)
            except KeyProviderError:
                refused.add(place)
            else:
                refused.discard(place)
                last = time.monotonic()
        await asyncio.sleep(0.05)
    return last - disabled


async def _open(replica: Custodian, tenant: str, record_id: UUID) -> None:
    key = (tenant, record_id)
    await replica.keys.records.open((await store.records(replica.database, [key]))[key])
