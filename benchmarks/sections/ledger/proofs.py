"""Proofs of inclusion from a log of a million leaves, against a read by primary key."""

import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator

import asyncpg

from benchmarks import stats
from benchmarks.sections.contract import Comparison, Goal, Result
from benchmarks.sections.ledger.recorder import BASE, Recorder
from subgraph.db.binding import tenant_read
from subgraph.db.roles import Role
from subgraph.db.service import StatementCount, statement_count
from subgraph.ledger.merkle import Frontier, leaf_hashes, verify_inclusion
from subgraph.ledger.model import log_origin

LEAVES = 1_000_000
_TENANT = "bench-105"
_CHUNK = 50_000
_ASKED = 300
"""Reads of an arm in one round."""
_MOST_STATEMENTS = 3
_MOST_TIMES = 10.0
_BY_KEY = tenant_read(
    "SELECT tenant_id, index, event_id, type, entry, leaf, signature FROM ledger_event"
    " WHERE tenant_id = bound.tenant AND index = $2"
)


async def inclusions(recorder: Recorder, rounds: int) -> Result:
    """Statements and 95th percentile of a proof for a leaf at random."""
    seconds = await _grow(recorder)
    signed = await recorder.checkpoints.require(_TENANT)
    draw = random.Random(0)
    sent: set[int] = set()

    async def proof(index: int) -> None:
        count = StatementCount()
        token = statement_count.set(count)
        found = await recorder.reader.inclusion(_TENANT, index)
        statement_count.reset(token)
        sent.add(count.sent)
        if found is None:
            raise AssertionError("a leaf has no proof")
        if not held:
            verify_inclusion(found.leaf, index, signed.size, found.hashes, signed.root)
            held.append(index)

    async def by_key(index: int) -> None:
        await recorder.database.read(_BY_KEY, _TENANT, index)

    held: list[int] = []
    arms: tuple[Callable[[int], Awaitable[None]], ...] = (proof, by_key)
    slow: dict[str, list[float]] = {arm.__name__: [] for arm in arms}
    for turn in range(rounds + 1):
        for arm in arms if turn % 2 else arms[::-1]:
            taken = [await _timed(arm, draw.randrange(LEAVES)) for _ in range(_ASKED)]
            slow[arm.__name__].append(stats.histogram(taken).get_value_at_percentile(95) / 1000)
    latency = Comparison(
        f"A proof of inclusion from {LEAVES:,} leaves, 95th percentile",
        "ms",
        "proof",
        "read by primary key",
        slow["proof"][1:],
        slow["by_key"][1:],
    )
    most = max(sent)
    return Result(
        "proofs",
        "",
        [latency],
        [
            Goal("A proof takes three statements at most", most <= _MOST_STATEMENTS, f"{most}"),
            latency.at_most(_MOST_TIMES, "A proof takes ten times a read by key at most"),
        ],
        [f"The log of {LEAVES:,} leaves was made by COPY in {seconds:.0f} s."],
    )


async def _timed(arm: Callable[[int], Awaitable[None]], index: int) -> float:
    started = time.perf_counter()
    await arm(index)
    return time.perf_counter() - started


async def _grow(recorder: Recorder) -> float:
    """Copy the log into the database; seconds. Its entries are short, and nobody signed them."""
    started = time.perf_counter()
    connection = await asyncpg.connect(recorder.server.url(Role.ADMIN))
    try:
        frontier = Frontier()
        for first in range(0, LEAVES, _CHUNK):
            entries = [b"entry %d" % index for index in range(first, first + _CHUNK)]
            leaves = leaf_hashes(entries)
            await connection.copy_records_to_table(
                "ledger_event", records=_events(first, entries, leaves)
            )
            nodes = frontier.append_all(leaves)
            await connection.copy_records_to_table(
                "ledger_node", records=((_TENANT, *node) for node in nodes)
            )
        await connection.execute(
            "INSERT INTO ledger_log (tenant_id, origin, size, frontier, root)"
            " VALUES ($1, $2, $3, $4, $5)",
            _TENANT,
            log_origin(BASE, _TENANT),
            frontier.size,
            frontier.hashes,
            frontier.root(),
        )
        await connection.execute("VACUUM ANALYZE ledger_event, ledger_node")
    finally:
        await connection.close()
    return time.perf_counter() - started


def _events(
    first: int, entries: list[bytes], leaves: list[bytes]
) -> Iterator[tuple[str, int, uuid.UUID, str, bytes, bytes, bytes]]:
    for index, (entry, leaf) in enumerate(zip(entries, leaves, strict=True), first):
        yield _TENANT, index, uuid.UUID(int=index), "dataset.registered", entry, leaf, b""
