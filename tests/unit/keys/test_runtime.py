"""Two processes on one database: revocation, an outage, suspension, and what a read costs."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.custody.verdict_store import SharedVerdicts
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch
from tests.unit.keys.jobs.rig import Process, process
from tests.unit.keys.owner import Owner

Run = Callable[..., Awaitable[list[Process]]]

READERS = 50
HARD_SECONDS = 1.0
PATIENCE = 20.0


@pytest.fixture
async def run(
    scratch: Scratch, settings: Settings, owner: Owner, tmp_path: Path
) -> AsyncIterator[Run]:
    """Starts processes that probe, with the given settings."""
    async with AsyncExitStack() as stack:

        async def start(count: int = 2, **changes: Any) -> list[Process]:
            quick = {"key_verdict_seconds": 0.02, "key_probe_seconds": 0.2, **changes}
            configured = msgspec.structs.replace(settings, **quick)
            started = []
            for _ in range(count):
                opened = await stack.enter_async_context(
                    process(scratch, configured, tmp_path, opener=owner)
                )
                await stack.enter_async_context(opened.keys.running())
                started.append(opened)
            return started

        yield start


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


async def outcome(process: Process, tenant: str, record: UUID) -> ErrorCode | None:
    try:
        await process.read(tenant, [record])
    except SubgraphError as error:
        return error.code
    return None


def refuses(process: Process, tenant: str) -> bool:
    return tenant in process.keys.telemetry.refused


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("DISABLED", ErrorCode.KEY_DISABLED),
        ("PENDING_DELETION", ErrorCode.KEY_PENDING_DELETION),
        ("DESTROYED", ErrorCode.KEY_NOT_FOUND),
    ],
)
async def test_no_read_succeeds_once_the_key_was_purged(
    run: Run, owner: Owner, state: str, code: ErrorCode
) -> None:
    here, there = await run()
    tenant = await here.make_tenant()
    record = await here.put(tenant, "a value")
    after: dict[int, list[ErrorCode | None]] = {0: [], 1: []}
    stop = asyncio.Event()

    async def read(number: int, process: Process) -> None:
        while not stop.is_set():
            purged = refuses(process, tenant)
            answer = await outcome(process, tenant, record)
            if purged:
                after[number].append(answer)

    readers = [
        asyncio.create_task(read(number, process))
        for number, process in enumerate((here, there))
        for _ in range(4)
    ]
    await until(lambda: all(process.keys.telemetry.hits > READERS for process in (here, there)))
    owner.turn(tenant, state)
    await until(lambda: all(len(seen) > READERS for seen in after.values()))
    stop.set()
    await asyncio.gather(*readers)
    assert {answer for seen in after.values() for answer in seen} == {code}
    assert "key.refused" in await here.told(tenant)


async def test_what_the_owner_enables_again_is_read_again_everywhere(
    run: Run, owner: Owner
) -> None:
    both = await run()
    tenant = await both[0].make_tenant()
    record = await both[0].put(tenant, "a value")
    for each in both:
        await each.read(tenant, [record])
    owner.turn(tenant, "DISABLED")
    await until(lambda: all(refuses(process, tenant) for process in both))
    owner.turn(tenant, "ENABLED")
    await until(lambda: not any(refuses(process, tenant) for process in both))
    for each in both:
        assert await each.read(tenant, [record]) == {record: "a value"}
    await until(lambda: not any(process.keys.telemetry.refusals for process in both))


async def test_an_outage_is_bridged_up_to_the_hard_limit_and_no_longer(
    run: Run, owner: Owner
) -> None:
    (here,) = await run(1, key_soft_seconds=0.2, key_hard_seconds=HARD_SECONDS)
    tenant = await here.make_tenant()
    record = await here.put(tenant, "a value")
    owner.faults = {"unwrap": KeyFault.UNAVAILABLE}
    began = time.monotonic()
    served = []
    async with asyncio.timeout(PATIENCE):
        asked = time.monotonic()
        while (code := await outcome(here, tenant, record)) is None:
            served.append(asked - began)
            asked = time.monotonic()
    assert code is ErrorCode.KEY_UNAVAILABLE
    assert served
    # A key that was unwrapped before the outage is never served past its limit.
    assert max(served) < HARD_SECONDS
    assert not refuses(here, tenant)
    owner.faults = {}
    assert await here.read(tenant, [record]) == {record: "a value"}


async def test_a_suspension_and_its_end_reach_a_process_that_reads_nothing(run: Run) -> None:
    # Probes are far apart here: what is seen came with the readings.
    here, there = await run(key_probe_seconds=3600.0)
    tenant = await here.make_tenant()
    record = await here.put(tenant, "a value")
    await there.read(tenant, [record])
    await here.keys.custody.suspend(tenant, "an incident", by="ann")
    assert refuses(here, tenant)
    await until(lambda: refuses(there, tenant))
    await here.keys.custody.resume(tenant, "it is over", by="ann")
    await until(lambda: not refuses(there, tenant) and not refuses(here, tenant))
    assert await there.read(tenant, [record]) == {record: "a value"}
    told = await here.told(tenant)
    assert [kind for kind in told if kind in ("key.refused", "key.restored")] == []


async def test_a_resumption_is_not_held_up_by_the_leaders_last_probe(run: Run) -> None:
    (here,) = await run(1, key_probe_seconds=3600.0)
    tenant = await here.make_tenant()
    record = await here.put(tenant, "a value")
    verdicts = SharedVerdicts(here.database, here.recording.ledger)

    async def led() -> bool:
        return (await verdicts.read([tenant]))[tenant].age_seconds < PATIENCE

    async with asyncio.timeout(PATIENCE):
        while not await led():
            await asyncio.sleep(0.005)
    # Another process suspends and resumes: this one hears of both from the readings alone.
    async with here.database.transaction(tenant) as transaction:
        await transaction.run(
            "UPDATE tenant_cmk SET state = 'SUSPENDED' WHERE tenant_id = $1", tenant
        )
    await until(lambda: refuses(here, tenant))
    async with here.database.transaction(tenant) as transaction:
        await transaction.run("UPDATE tenant_cmk SET state = 'ACTIVE' WHERE tenant_id = $1", tenant)
        await transaction.run(
            "UPDATE key_verdict SET checked_at = NULL, holder = NULL, lease_until = NULL"
            " WHERE tenant_id = $1",
            tenant,
        )
    await until(lambda: not refuses(here, tenant))
    assert await here.read(tenant, [record]) == {record: "a value"}


async def test_a_cold_start_asks_once_for_each_data_key(
    here: Process, there: Process, owner: Owner
) -> None:
    tenant = await here.make_tenant()
    known = [await here.put(tenant, "x", object_type=kind) for kind in "abc" for _ in range(5)]
    owner.calls.clear()
    await asyncio.gather(*(there.read(tenant, [record]) for record in known))
    assert owner.calls["unwrap"] == 3


async def test_many_cold_reads_at_once_share_one_call(
    here: Process, there: Process, owner: Owner
) -> None:
    tenant = await here.make_tenant()
    record = await here.put(tenant, "a value")
    owner.calls.clear()
    found = await asyncio.gather(*(there.read(tenant, [record]) for _ in range(READERS)))
    assert found == [{record: "a value"}] * READERS
    assert owner.calls["unwrap"] == 1


async def test_hot_reads_ask_nobody(here: Process, owner: Owner) -> None:
    tenant = await here.make_tenant()
    known = list(await here.fill(tenant, 10))
    await here.read(tenant, known)
    owner.calls.clear()
    latencies: list[str] = []
    here.keys.telemetry.latency = lambda _, kind: latencies.append(kind)
    for _ in range(5):
        await here.read(tenant, known)
    assert not owner.calls
    assert latencies == ["hot"] * 50


async def test_cold_reads_are_told_from_hot_ones(here: Process, there: Process) -> None:
    tenant = await here.make_tenant()
    known = list(await here.fill(tenant, 3))
    latencies: list[str] = []
    there.keys.telemetry.latency = lambda _, kind: latencies.append(kind)
    await there.read(tenant, known)
    assert latencies == ["cold", "hot", "hot"]


async def test_a_prober_that_fails_is_begun_again(
    run: Run, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()
    read = SharedVerdicts.read

    async def fail_once(self: SharedVerdicts, tenants: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        return await read(self, tenants)

    monkeypatch.setattr(SharedVerdicts, "read", fail_once)
    (here,) = await run(1)
    tenant = await here.make_tenant()
    await here.put(tenant, "a value")
    await failed.wait()
    owner.turn(tenant, "DISABLED")
    await until(lambda: refuses(here, tenant))


async def test_nothing_is_served_once_the_process_stops(run: Run) -> None:
    (here,) = await run(1)
    tenant = await here.make_tenant()
    record = await here.put(tenant, "a value")
    await here.keys.keyring.close()
    with pytest.raises(KeyProviderError) as caught:
        await here.read(tenant, [record])
    assert caught.value.fault is KeyFault.UNAVAILABLE
