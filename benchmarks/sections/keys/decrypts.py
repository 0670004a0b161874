"""Reading a record: the row alone, and the row with its fields decrypted by a key in memory."""

import time
from uuid import UUID

from benchmarks.sections.contract import Comparison, Goal, Result
from benchmarks.sections.keys.custodian import Custodian
from subgraph.keys.records import store

_TENANT = "bench-031"
_RECORDS = 200
_READS = 1_000
_FIELDS = {f"field{number}": "x" * 64 for number in range(10)}
_REQUIRED_MS = 5.0
_AIM_MS = 0.2


async def hot(custodian: Custodian, rounds: int) -> Result:
    """Reads of records with ten fields of 64 bytes, in turns one by one."""
    await custodian.attach(_TENANT)
    ids = [await custodian.put(_TENANT, _FIELDS) for _ in range(_RECORDS)]
    bare: list[float] = []
    opened: list[float] = []
    for turn in range(rounds + 1):
        times: dict[bool, list[float]] = {False: [], True: []}
        for number in range(_READS):
            for decrypt in (turn % 2 == 0, turn % 2 != 0):
                record_id = ids[(number * 7 + turn) % len(ids)]
                times[decrypt].append(await _read(custodian, record_id, decrypt=decrypt))
        if turn:
            bare.append(_p95(times[False]))
            opened.append(_p95(times[True]))
    compared = Comparison(
        "Reading a record of ten fields of 64 bytes, p95",
        "ms",
        "decrypted",
        "the row",
        opened,
        bare,
    )
    added = sorted(with_ - without for with_, without in zip(opened, bare, strict=True))
    median = added[len(added) // 2]
    found = f"{median:.3f} ms ({added[0]:.3f} to {added[-1]:.3f})"
    goals = [
        Goal("Decrypting adds at most 5 ms at p95, hot", median <= _REQUIRED_MS, found),
        Goal("Our own aim: 0.2 ms for ten fields", median <= _AIM_MS, found),
    ]
    note = "The row that is read without decryption is the same row: what differs is decryption."
    return Result("decrypts", "", [compared], goals, [note])


async def _read(custodian: Custodian, record_id: UUID, *, decrypt: bool) -> float:
    started = time.perf_counter()
    key = (_TENANT, record_id)
    record = (await store.records(custodian.database, [key]))[key]
    if decrypt:
        values = await custodian.keys.records.open(record)
        if values != _FIELDS:
            raise AssertionError("a record says something else")
    return (time.perf_counter() - started) * 1000


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]
