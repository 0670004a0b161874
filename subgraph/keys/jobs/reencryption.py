"""Moves records to new data keys: read, seal anew, write back unless somebody else did first.

While PostgreSQL writes one batch, the next one is read and sealed. A batch shrinks when its
transaction takes long, and grows again, a little at a time, when it does not (AIMD).
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import randrange
from time import monotonic
from uuid import UUID

from subgraph.db.service import Database, Row, Transaction
from subgraph.db.tables.keys import COUNTER_SHARDS
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.custody import data_key_store
from subgraph.keys.custody.model import DataKeyState, StoredDataKey
from subgraph.keys.custody.service import KeyCustody
from subgraph.keys.jobs import store
from subgraph.keys.jobs.faultpoints import JobFaultPoint, JobFaultPoints
from subgraph.keys.jobs.fence import WORKER, Fence
from subgraph.keys.jobs.model import KeyJob, KeyJobState
from subgraph.keys.records.cipher import RecordCipher
from subgraph.ledger.model import EventType

_SMALLEST, _LARGEST, _STEP = 20, 1_000, 50
_SLOW_SECONDS = 0.25
_SWEEPS = 2
_BETWEEN_YIELDS = 20
"""Rows sealed before the event loop gets a turn: under a millisecond."""


@dataclass(slots=True)
class _Batch:
    source: StoredDataKey
    target: UUID
    last: UUID
    size: int
    rows: dict[UUID, tuple[int, bytes]] = field(default_factory=dict)
    damaged: dict[UUID, str] = field(default_factory=dict)


class Reencryption:
    """Moves the records of a job, for as long as a slice may take."""

    def __init__(
        self,
        database: Database,
        custody: KeyCustody,
        cipher: RecordCipher,
        fence: Fence,
        faults: JobFaultPoints,
        *,
        slice_seconds: float,
        counted: Counter[str],
    ) -> None:
        self._database = database
        self._custody = custody
        self._cipher = cipher
        self._fence = fence
        self._faults = faults
        self._slice_seconds = slice_seconds
        self._counted = counted
        self._most = _LARGEST // 2

    async def run(self, job: KeyJob) -> None:
        """Move batches until the time is over. Raises `KeyProviderError`, `FencedOut`."""
        sources = await self._sources(job)
        began, moved = monotonic(), 0
        batch = await self._next(job, sources, job.source, job.cursor)
        while batch is not None:
            over = monotonic() - began >= self._slice_seconds or job.throttle_per_second is not None
            writing = asyncio.create_task(self._write(job, batch))
            following = None
            try:
                if not over:
                    following = await self._next(job, sources, batch.source.data_key_id, batch.last)
            finally:
                # It must be known what became of this batch, whatever became of the next one.
                await writing
            moved += batch.size
            if over:
                return await self._end(job, moved, monotonic() - began)
            batch = following
        return await self._sweep(job, sources)

    async def _sources(self, job: KeyJob) -> list[StoredDataKey]:
        async with self._database.transaction(job.tenant_id) as transaction:
            return await data_key_store.data_keys_in(
                transaction, job.tenant_id, DataKeyState.DECRYPT_ONLY, job.object_type
            )

    async def _next(
        self,
        job: KeyJob,
        sources: Sequence[StoredDataKey],
        at: UUID | None,
        cursor: UUID | None,
    ) -> _Batch | None:
        """The batch behind a place in the sweep, sealed; None at the end of the sweep."""
        limit = min(self._most, job.throttle_per_second or self._most)
        known = [key.data_key_id for key in sources]
        place = known.index(at) if at in known else 0
        after = cursor if at in known else None
        for source in sources[place:]:
            rows = await store.batch(
                self._database, job.tenant_id, source.data_key_id, after=after, limit=limit
            )
            await self._faults(JobFaultPoint.BATCH_READ)
            if rows:
                target = await self._target(job, source)
                batch = _Batch(source, target, rows[-1]["record_id"], len(rows))
                await self._seal(job.tenant_id, batch, rows)
                await self._faults(JobFaultPoint.BATCH_SEALED)
                return batch
            after = None
        return None

    async def _target(self, job: KeyJob, source: StoredDataKey) -> UUID:
        active = await self._custody.active_data_key(job.tenant_id, source.object_type, by=WORKER)
        return active.data_key_id

    async def _seal(self, tenant: str, batch: _Batch, rows: Sequence[Row]) -> None:
        reseal = await self._cipher.resealer(tenant, batch.source.data_key_id, batch.target)
        for number, row in enumerate(rows, 1):
            record_id: UUID = row["record_id"]
            try:
                fields = reseal(row["object_type"], record_id, row["fields"])
            except SubgraphError as error:
                if error.code is not ErrorCode.INTEGRITY:
                    raise
                batch.damaged[record_id] = error.code.name
            else:
                batch.rows[record_id] = (row["row_version"], fields)
            if number % _BETWEEN_YIELDS == 0:
                await asyncio.sleep(0)

    async def _write(self, job: KeyJob, batch: _Batch) -> None:
        began = monotonic()
        tenant, source = job.tenant_id, batch.source.data_key_id
        async with self._database.transaction(tenant) as transaction:
            held = await self._fence.go_on(transaction, job)
            moved = await store.move(
                transaction, tenant, source=source, target=batch.target, rows=batch.rows
            )
            await self._faults(JobFaultPoint.ROWS_MOVED)
            await self._count(transaction, tenant, source, batch.target, moved)
            listed = 0
            if batch.damaged:
                listed = await store.quarantine(transaction, tenant, job.job_id, batch.damaged)
            await self._fence.save(
                transaction,
                replace(
                    held,
                    state=KeyJobState.RUNNING,
                    source=source,
                    cursor=batch.last,
                    done=held.done + moved,
                    superseded=held.superseded + len(batch.rows) - moved,
                    quarantined=held.quarantined + listed,
                    empty_sweeps=0 if moved else held.empty_sweeps,
                ),
            )
        self._counted.update(
            reencrypted=moved, superseded=len(batch.rows) - moved, quarantined=listed
        )
        await self._faults(JobFaultPoint.BATCH_COMMITTED)
        self._adapt(monotonic() - began)

    async def _count(
        self, transaction: Transaction, tenant: str, source: UUID, target: UUID, moved: int
    ) -> None:
        # In the order of their ids, so that two workers never wait for each other in a circle.
        for data_key_id, change in sorted(((source, -moved), (target, moved))):
            shard = randrange(COUNTER_SHARDS)  # noqa: S311 - spreads writers, hides nothing
            await data_key_store.count(transaction, tenant, data_key_id, shard, change)
        await self._faults(JobFaultPoint.COUNTERS_MOVED)

    def _adapt(self, seconds: float) -> None:
        if seconds > _SLOW_SECONDS:
            self._most = max(_SMALLEST, self._most // 2)
        else:
            self._most = min(_LARGEST, self._most + _STEP)

    async def _end(self, job: KeyJob, moved: int, seconds: float) -> None:
        throttle = job.throttle_per_second
        delay = timedelta(seconds=max(0.0, moved / throttle - seconds)) if throttle else timedelta()
        rate = moved / max(seconds + delay.total_seconds(), 1e-6)
        async with self._database.transaction(job.tenant_id) as transaction:
            held = await self._fence.hold(transaction, job)
            paced = replace(held, rows_per_second=rate)
            await self._fence.record(transaction, EventType.KEY_JOB_PROGRESSED, paced)
            await self._fence.next_slice(transaction, paced, delay)

    async def _sweep(self, job: KeyJob, sources: Sequence[StoredDataKey]) -> None:
        """The end of a sweep: twice in a row nothing may be left."""
        async with self._database.transaction(job.tenant_id) as transaction:
            held = await self._fence.go_on(transaction, job)
            left = await store.any_left(
                transaction, job.tenant_id, job.job_id, [key.data_key_id for key in sources]
            )
            sweeps = 0 if left else held.empty_sweeps + 1
            state = KeyJobState.VERIFYING if sweeps >= _SWEEPS else KeyJobState.RUNNING
            again = replace(held, state=state, source=None, cursor=None, empty_sweeps=sweeps)
            await self._fence.next_slice(transaction, again, timedelta(0))
        await self._faults(JobFaultPoint.SWEPT)
