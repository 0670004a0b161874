"""Many writers, slow ones and killed ones: the tree stays whole and nothing is lost or doubled."""

import asyncio
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from subgraph.db.roles import Role
from subgraph.errors import SubgraphError
from subgraph.ledger.entry import decode
from subgraph.ledger.fsck import Damage, fsck
from subgraph.ledger.merkle import Frontier, leaf_hash
from subgraph.ledger.model import Receipt
from subgraph.ledger.publickey import PublicKey
from subgraph.ledger.recording import CHUNK
from tests.unit.ledger.deployment import Deployment, event, new_tenant

WRITER = Path(__file__).with_name("writer.py")


async def rebuilt(process: Deployment, tenant: str) -> list[UUID]:
    """The ids of all events, whose tree is the one that the head says."""
    head = await process.reader.head(tenant)
    events = await process.reader.events(tenant, first=100_000)
    tree = Frontier()
    tree.extend([leaf_hash(e.entry) for e in events])
    assert [e.index for e in events] == list(range(head.size))
    assert (tree.size, tree.root()) == (head.size, head.root)
    return [e.event_id for e in events]


async def structure(process: Deployment) -> set[Damage]:
    result = await fsck(
        process.scratch.url(Role.SYSTEM), [PublicKey.from_pem(process.root.public_key_pem)]
    )
    return {fault.damage for fault in result.faults}


async def test_many_writers_of_one_log_each_find_their_place(process: Deployment) -> None:
    tenant = new_tenant()

    async def write(writer: int) -> list[Receipt]:
        receipts = []
        for number in range(10):
            count = random.Random(writer * 100 + number).randrange(1, 4)
            receipts += await process.record(*(event(tenant, number) for _ in range(count)))
        return receipts

    receipts = [r for written in await asyncio.gather(*map(write, range(8))) for r in written]
    ids = await rebuilt(process, tenant)
    assert {r.index: r.event_id for r in receipts} == dict(enumerate(ids))
    assert await structure(process) == set()


async def test_a_slow_transaction_keeps_its_place_and_others_wait(process: Deployment) -> None:
    tenant = new_tenant()
    held, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> Receipt:
        async with process.database.transaction(tenant) as transaction:
            receipt = await process.ledger.append(transaction, event(tenant, 0))
            held.set()
            await go_on.wait()
        return receipt

    first = asyncio.create_task(slow())
    await held.wait()
    others = [asyncio.create_task(process.record(event(tenant, n))) for n in range(1, 5)]
    elsewhere = new_tenant()
    await process.record(event(elsewhere))
    assert (await process.reader.head(tenant)).size == 0
    go_on.set()
    receipts = [await first, *(await asyncio.gather(*others))]
    assert receipts[0].index == 0
    assert len(await rebuilt(process, tenant)) == 5


async def test_a_slow_transaction_that_rolls_back_leaves_no_gap(process: Deployment) -> None:
    tenant = new_tenant()
    held, go_on = asyncio.Event(), asyncio.Event()

    async def abandoned() -> None:
        async with process.database.transaction(tenant) as transaction:
            await process.ledger.append_many(transaction, [event(tenant, n) for n in range(3)])
            held.set()
            await go_on.wait()
            raise RuntimeError

    task = asyncio.create_task(abandoned())
    await held.wait()
    waiting = asyncio.create_task(process.record(event(tenant, 9)))
    go_on.set()
    with pytest.raises(RuntimeError):
        await task
    assert (await waiting)[0].index == 0
    assert len(await rebuilt(process, tenant)) == 1


async def test_the_same_event_from_many_at_once_is_recorded_once(process: Deployment) -> None:
    tenant, event_id = new_tenant(), uuid4()
    wanted = event(tenant, event_id=event_id)
    answers = await asyncio.gather(*(process.record(wanted) for _ in range(8)))
    assert {receipts[0].index for receipts in answers} == {0}
    assert await rebuilt(process, tenant) == [event_id]


async def test_of_many_statements_under_one_id_one_stands(process: Deployment) -> None:
    tenant, event_id = new_tenant(), uuid4()
    answers = await asyncio.gather(
        *(process.record(event(tenant, n, event_id=event_id)) for n in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, SubgraphError) for answer in answers) == 5
    assert await rebuilt(process, tenant) == [event_id]


async def test_a_cancelled_writer_leaves_the_log_free(process: Deployment) -> None:
    tenant = new_tenant()
    for delay in range(12):
        task = asyncio.create_task(process.record(*(event(tenant, n) for n in range(20))))
        for _ in range(delay):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await process.record(event(tenant))
    ids = await rebuilt(process, tenant)
    assert len(ids) % 20 == 1


async def test_a_writer_that_is_cancelled_between_chunks_leaves_the_log_free(
    process: Deployment,
) -> None:
    tenant, count = new_tenant(), 2 * CHUNK + 5
    await process.record(event(tenant))
    before = asyncio.all_tasks()
    for delay in range(0, 40, 3):
        task = asyncio.create_task(process.record(*(event(tenant, n) for n in range(count))))
        for _ in range(delay):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert asyncio.all_tasks() <= before
    await process.record(event(tenant))
    assert len(await rebuilt(process, tenant)) % count == 2


async def test_a_killed_writer_loses_nothing_that_it_acknowledged(process: Deployment) -> None:
    tenant, number = new_tenant(), 1
    acknowledged: list[int] = []
    for kill in range(4):
        writer = await asyncio.create_subprocess_exec(
            sys.executable, str(WRITER), process.scratch.url(Role.SERVICE), tenant, str(number),
            stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(WRITER.parents[3])},
        )  # fmt: skip
        assert writer.stdout is not None
        acknowledged += [int(await writer.stdout.readline()) for _ in range(30 + 7 * kill)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in (await writer.stdout.read()).split()]
        await writer.wait()
        # What was not acknowledged is sent again, under the same ids.
        number = max(acknowledged) // 5 * 5 + 1
    ids = await rebuilt(process, tenant)
    assert max(Counter(ids).values()) == 1
    assert {UUID(int=n) for n in acknowledged} <= set(ids)
    events = await process.reader.events(tenant, first=100_000)
    assert all(decode(e.entry).payload == {"number": e.event_id.int} for e in events)
