"""Appending: many events at once against a bare INSERT, one against a transaction without it."""

import asyncio
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from benchmarks.sections.contract import Comparison, Result
from benchmarks.sections.ledger.recorder import ENTRY_BYTES, Recorder, event
from subgraph.db.service import Row, Transaction

BATCH = 256
_BATCHES = 16
"""Batches of an arm in one round."""
_SINGLES = 150
_PARALLEL = 8
_APPENDED, _BARE, _EVENTS, _EACH = "bench-101", "bench-102", "bench-103", "bench-104"

_NODES = (
    "WITH completed AS (INSERT INTO ledger_node (tenant_id, level, index, hash)"
    " SELECT $1, node.* FROM unnest($8::int2[], $9::int8[], $10::bytea[]) AS node) "
)
_INSERT = (
    "INSERT INTO ledger_event (tenant_id, index, event_id, type, entry, leaf, signature)"
    " SELECT $1, event.* FROM"
    " unnest($2::int8[], $3::uuid[], $4::text[], $5::bytea[], $6::bytea[], $7::bytea[]) AS event"
)
_INSERT_ONE = (
    "INSERT INTO ledger_event (tenant_id, index, event_id, type, entry, leaf, signature)"
    " SELECT $1, $2, $3, $4, $5, $6, $7"
)
_WORK = (
    "INSERT INTO dataset (tenant_id, dataset_id, slug, name, source_id, region, license,"
    " license_text_digest, version, privacy_unit, max_contributions, columns, registered_by)"
    " SELECT tenant_id, $2::uuid, 'made-' || $2::uuid, name, source_id, region, license,"
    " license_text_digest, version, privacy_unit, max_contributions, columns, registered_by"
    " FROM dataset WHERE tenant_id = $1 LIMIT 1"
)

Columns = tuple[object, ...]
Arm = TypeVar("Arm")


async def batches(recorder: Recorder, rounds: int) -> Result:
    """`append_many` against the INSERT of the rows that it writes, each in its transaction."""
    await _append(recorder, 0)
    rows = await _rows(recorder)
    if (size := statistics.median(len(row["entry"]) for row in rows)) != ENTRY_BYTES:
        raise AssertionError(f"an entry has {size} bytes")
    arms: dict[str, Callable[[int], Awaitable[None]]] = {
        "append": lambda number: _append(recorder, number),
        "bare": lambda number: _bare(recorder, _BARE, rows, number, nodes=True),
        "events": lambda number: _bare(recorder, _EVENTS, rows, number, nodes=False),
        "each": lambda number: _each(recorder, rows, number),
    }
    rates: dict[str, list[float]] = {name: [] for name in arms}
    # The first round prepares statements; it does not count.
    for turn in range(rounds + 1):
        for name in _turns(list(arms), turn):
            started = time.perf_counter()
            for number in range(_BATCHES):
                await arms[name](1 + turn * _BATCHES + number)
            rates[name].append(_BATCHES * BATCH / (time.perf_counter() - started))
    measured = {name: values[1:] for name, values in rates.items()}

    def against(name: str, other: str) -> Comparison:
        return Comparison(
            f"append_many, {BATCH} events of {ENTRY_BYTES} bytes",
            "events/s",
            "append_many",
            other,
            measured["append"],
            measured[name],
        )

    same = against("bare", "bare INSERT of its rows: events and nodes, from arrays")
    return Result(
        "batches",
        "",
        [
            same,
            against("events", "bare INSERT of the events alone, from arrays"),
            against("each", "bare INSERT of the events alone, `executemany`"),
        ],
        [same.at_least(0.5, "append_many reaches half the rate of a bare batched INSERT")],
        [],
    )


async def singles(recorder: Recorder, rounds: int) -> Result:
    """A transaction that registers a data set, with an event and without."""
    medians: dict[bool, list[float]] = {True: [], False: []}
    rates: dict[bool, list[float]] = {True: [], False: []}
    tenants = [f"bench-{number:03}" for number in range(10, 10 + _PARALLEL)]
    for turn in range(rounds + 1):
        for recorded in _turns([True, False], turn):
            latencies = [
                await _one(recorder, tenants[0], recorded=recorded) for _ in range(_SINGLES)
            ]
            medians[recorded].append(statistics.median(latencies) * 1000)
        for recorded in _turns([True, False], turn):
            started = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for tenant in tenants:
                    group.create_task(_ones(recorder, tenant, recorded=recorded))
            rates[recorded].append(_PARALLEL * _SINGLES / (time.perf_counter() - started))
    latency = Comparison(
        "A transaction on one connection, median latency",
        "ms",
        "with one append",
        "without",
        medians[True][1:],
        medians[False][1:],
    )
    parallel = Comparison(
        f"The same for {_PARALLEL} tenants side by side",
        "transactions/s",
        "with one append",
        "without",
        rates[True][1:],
        rates[False][1:],
    )
    goal = latency.at_most(2.5, "An append multiplies the latency of a transaction by 2.5 at most")
    return Result("singles", "", [latency, parallel], [goal], [])


async def _append(recorder: Recorder, number: int) -> None:
    events = [event(_APPENDED, number * BATCH + place) for place in range(BATCH)]
    async with recorder.database.transaction(_APPENDED) as transaction:
        await recorder.ledger.append_many(transaction, events)


async def _rows(recorder: Recorder) -> list[Row]:
    async with recorder.database.transaction(_APPENDED) as transaction:
        return await transaction.rows(
            "SELECT type, entry, leaf, signature FROM ledger_event WHERE tenant_id = $1"
            " ORDER BY index LIMIT $2",
            _APPENDED,
            BATCH,
        )


def _columns(rows: Sequence[Row], number: int) -> Columns:
    return (
        list(range(number * BATCH, (number + 1) * BATCH)),
        [uuid.uuid4() for _ in rows],
        *([row[name] for row in rows] for name in ("type", "entry", "leaf", "signature")),
    )


def _node_columns(rows: Sequence[Row], number: int) -> Columns:
    """The nodes that a batch completes below its own subtree's root, and that root."""
    places = [
        (level, (number * BATCH >> level) + place)
        for level in range(1, BATCH.bit_length())
        for place in range(BATCH >> level)
    ]
    return (
        [level for level, _ in places],
        [place for _, place in places],
        [row["leaf"] for row, _ in zip(rows, places, strict=False)],
    )


async def _bare(
    recorder: Recorder, tenant: str, rows: Sequence[Row], number: int, *, nodes: bool
) -> None:
    async with recorder.database.transaction(tenant) as transaction:
        columns = _columns(rows, number)
        if nodes:
            columns = (*columns, *_node_columns(rows, number))
        await transaction.run(_NODES + _INSERT if nodes else _INSERT, tenant, *columns)


async def _each(recorder: Recorder, rows: Sequence[Row], number: int) -> None:
    async with recorder.database.transaction(_EACH) as transaction:
        arguments = [(_EACH, *row) for row in zip(*_columns(rows, number), strict=True)]
        await transaction.connection.executemany(_INSERT_ONE, arguments)


async def _one(recorder: Recorder, tenant: str, *, recorded: bool) -> float:
    started = time.perf_counter()
    async with recorder.database.transaction(tenant) as transaction:
        await _work(transaction, tenant)
        if recorded:
            await recorder.ledger.append(transaction, event(tenant, 0))
    return time.perf_counter() - started


async def _ones(recorder: Recorder, tenant: str, *, recorded: bool) -> None:
    for _ in range(_SINGLES):
        await _one(recorder, tenant, recorded=recorded)


async def _work(transaction: Transaction, tenant: str) -> None:
    await transaction.run(_WORK, tenant, uuid.uuid4())


def _turns(arms: Sequence[Arm], turn: int) -> list[Arm]:
    first = turn % len(arms)
    return [*arms[first:], *arms[:first]]
