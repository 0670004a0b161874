"""Re-encrypting records, against an UPDATE of the same rows in batches of the same size."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

from benchmarks import machine
from benchmarks.sections.contract import Comparison, Given, Result
from benchmarks.sections.keys.custodian import OBJECT_TYPE, Custodian
from subgraph.keys.custody import data_key_store
from subgraph.keys.custody.model import DataKeyState
from subgraph.keys.jobs import store

_ROWS = 20_000
_BATCH = 1_000
_MOVED, _BARE, _SECOND = "bench-032", "bench-033", "bench-034"
_INSERT = (
    "INSERT INTO protected_record (tenant_id, record_id, object_type, data_key_id, row_version,"
    " fields) SELECT $1, r.record_id, $2, $3, 1, r.fields"
    " FROM unnest($4::uuid[], $5::bytea[]) AS r(record_id, fields)"
)
_WAITING = "SELECT count(*) AS waiting FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


Moved = Mapping[UUID, tuple[int, bytes]]


async def rates(custodian: Custodian, given: Given) -> Result:
    """Rows a second, each arm over the same number of rows; then two workers side by side."""
    for tenant in (_MOVED, _BARE, _SECOND):
        await custodian.attach(tenant)
        await _fill(custodian, tenant)
    moved: list[float] = []
    bare: list[float] = []
    for turn in range(given.rounds + 1):
        for reencrypts in (turn % 2 == 0, turn % 2 != 0):
            prepared = None if reencrypts else await _prepared(custodian)
            started = time.perf_counter()
            if prepared is None:
                await custodian.reencrypt(_MOVED)
            else:
                await _update(custodian, *prepared)
            rate = _ROWS / (time.perf_counter() - started)
            if turn:
                (moved if reencrypts else bare).append(rate)
    compared = Comparison(
        f"Re-encryption of {_ROWS:,} records of one field, from planning to done",
        "rows/s",
        "one worker",
        f"bare UPDATE of the same columns, batches of {_BATCH:,}",
        moved,
        bare,
    )
    goal = compared.at_least(0.5, "Re-encryption reaches half the rate of a bare batched UPDATE")
    return Result("reencryption", "", [compared], [goal], await _workers(custodian, given))


async def _workers(custodian: Custodian, given: Given) -> list[str]:
    """CPU time and lock waits a row, with one tenant's job and with two at once."""
    notes = []
    for tenants in ((_MOVED,), (_MOVED, _SECOND)):
        cpu, postgres = time.process_time(), _postgres_seconds(given)
        watching = asyncio.create_task(_watch(custodian))
        async with asyncio.TaskGroup() as group:
            for tenant in tenants:
                group.create_task(custodian.reencrypt(tenant))
        watching.cancel()
        samples = await watching
        rows = _ROWS * len(tenants)
        here = (time.process_time() - cpu) / rows * 1e6
        there = (_postgres_seconds(given) - postgres) / rows * 1e6
        share = sum(samples) / max(1, len(samples))
        notes.append(
            f"{len(tenants)} job(s) at once: {here:.0f} us of CPU a row here, {there:.0f} us in"
            f" PostgreSQL; {share:.3f} connections waiting for a lock on average"
            f" ({len(samples)} samples)."
        )
    return notes


async def _watch(custodian: Custodian) -> list[int]:
    samples: list[int] = []
    try:
        while True:
            await asyncio.sleep(0.02)
            async with custodian.database.transaction(_MOVED) as transaction:
                row = await transaction.row(_WAITING)
            assert row is not None
            samples.append(row["waiting"])
    except asyncio.CancelledError:
        return samples


async def _fill(custodian: Custodian, tenant: str) -> None:
    key = await custodian.keys.custody.active_data_key(tenant, OBJECT_TYPE, by="bench-operator")
    ids = [uuid4() for _ in range(_ROWS)]
    fields = [
        await custodian.keys.cipher.seal(
            tenant, key.data_key_id, OBJECT_TYPE, record_id, {"name": "x" * 64}
        )
        for record_id in ids
    ]
    async with custodian.database.transaction(tenant) as transaction:
        await transaction.run(_INSERT, tenant, OBJECT_TYPE, key.data_key_id, ids, fields)
        await data_key_store.count(transaction, tenant, key.data_key_id, 0, _ROWS)


async def _prepared(custodian: Custodian) -> tuple[UUID, UUID, list[Moved]]:
    """What the bare UPDATE needs, so that it neither reads nor asks for anything while it is timed.

    It moves all rows from one data key to another, with the content that they have.
    """
    async with custodian.database.transaction(_BARE) as transaction:
        (source,) = await data_key_store.data_keys_in(
            transaction, _BARE, DataKeyState.ACTIVE, OBJECT_TYPE
        )
    target = await custodian.keys.custody.new_generation(
        _BARE, OBJECT_TYPE, after=source.generation, by="bench-operator"
    )
    assert target is not None
    batches: list[Moved] = []
    after: UUID | None = None
    while rows := await store.batch(
        custodian.database, _BARE, source.data_key_id, after=after, limit=_BATCH
    ):
        batches.append({row["record_id"]: (row["row_version"], row["fields"]) for row in rows})
        after = rows[-1]["record_id"]
    return source.data_key_id, target.data_key_id, batches


async def _update(
    custodian: Custodian, source: UUID, target: UUID, batches: Sequence[Moved]
) -> None:
    for rows in batches:
        async with custodian.database.transaction(_BARE) as transaction:
            await store.move(transaction, _BARE, source=source, target=target, rows=rows)


def _postgres_seconds(given: Given) -> float:
    return machine.cpu_seconds_of_children(given.server.process.pid)
