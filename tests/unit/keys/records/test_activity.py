"""Counts reach the ledger as sums, and wait while it is away."""

import asyncio
from collections import Counter

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.records.activity import Activity, RecordActivity
from subgraph.ledger.entry import decode
from tests.unit.keys.jobs.rig import Process


async def sums(process: Process, tenant: str) -> Counter[tuple[str, str]]:
    total: Counter[tuple[str, str]] = Counter()
    for event in await process.recording.reader.events(tenant, first=1_000):
        entry = decode(event.entry)
        if entry.type == "record.activity":
            assert entry.payload is not None
            types = entry.payload["objectTypes"]
            assert isinstance(types, dict)
            for name, counts in types.items():
                assert isinstance(counts, dict)
                for activity, count in counts.items():
                    total[name, activity] += int(str(count))
    return total


def on(process: Process) -> RecordActivity:
    return RecordActivity(process.database, process.recording.ledger)


async def test_what_was_done_is_summed_up(here: Process) -> None:
    tenant = await here.make_tenant()
    known = await here.fill(tenant, 3)
    await here.read(tenant, list(known)[:2])
    await here.keys.activity.flush()
    await here.keys.activity.flush()
    assert await sums(here, tenant) == {("person", "puts"): 3, ("person", "decrypts"): 2}
    assert (await here.told(tenant)).count("record.activity") == 1


async def test_a_refused_read_is_not_counted(here: Process) -> None:
    tenant = await here.make_tenant()
    record = await here.put(tenant, "a value")
    await here.damage(tenant, record)
    with pytest.raises(SubgraphError):
        await here.read(tenant, [record])
    await here.keys.activity.flush()
    assert await sums(here, tenant) == {("person", "puts"): 1}


async def test_what_cannot_be_recorded_is_kept(
    here: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = [await here.make_tenant() for _ in range(3)]
    activity = on(here)
    for tenant in tenants:
        activity.note(tenant, "person", Activity.PUT)

    def refuse() -> None:
        raise SubgraphError(ErrorCode.WITNESS_UNAVAILABLE)

    monkeypatch.setattr(here.recording.ledger, "_permit", refuse)
    await activity.flush()
    monkeypatch.undo()
    activity.note(tenants[0], "person", Activity.PUT)
    await activity.flush()
    assert [await sums(here, tenant) for tenant in tenants] == [
        {("person", "puts"): 2}, {("person", "puts"): 1}, {("person", "puts"): 1},
    ]  # fmt: skip


async def test_more_types_than_an_entry_holds_take_several(here: Process) -> None:
    tenant = await here.make_tenant()
    activity = on(here)
    for number in range(1_500):
        activity.note(tenant, f"{'x' * 55}{number}", Activity.DECRYPT)
    await activity.flush()
    assert len(await sums(here, tenant)) == 1_500


async def test_a_flush_that_is_cut_short_keeps_the_rest(
    here: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = [await here.make_tenant() for _ in range(3)]
    activity = on(here)
    for tenant in tenants:
        activity.note(tenant, "person", Activity.PUT)
    reached = asyncio.Event()

    async def hang(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(here.recording.ledger, "append", hang)
    flushing = asyncio.create_task(activity.flush())
    await reached.wait()
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    monkeypatch.undo()
    await activity.flush()
    assert [await sums(here, tenant) for tenant in tenants] == [{("person", "puts"): 1}] * 3


async def test_it_is_flushed_every_minute(here: Process) -> None:
    tenant = await here.make_tenant()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 1:
            raise asyncio.CancelledError

    activity = RecordActivity(here.database, here.recording.ledger, sleep=sleep)
    activity.note(tenant, "person", Activity.PUT)
    with pytest.raises(asyncio.CancelledError):
        await activity.run()
    assert slept == [60.0, 60.0]
    assert await sums(here, tenant) == {("person", "puts"): 1}
