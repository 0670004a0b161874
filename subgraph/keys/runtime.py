"""The keys of one process: their parts, and what runs beside the requests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

from subgraph.approvals.service import ApprovalService
from subgraph.background import beside
from subgraph.db.queue import enqueue
from subgraph.db.service import Database, Transaction
from subgraph.keys.breakglass.service import BreakGlassService
from subgraph.keys.custody.counting import counting
from subgraph.keys.custody.destruction import KeyDestructions
from subgraph.keys.custody.model import KeyState
from subgraph.keys.custody.service import KeyCustody
from subgraph.keys.custody.verdict_store import SharedVerdicts
from subgraph.keys.custody.wrapping import Opener, Wrappers
from subgraph.keys.envelope.datakey import DataKey
from subgraph.keys.jobs.model import KeyJob
from subgraph.keys.jobs.service import KeyJobs
from subgraph.keys.keyring.keyring import Keyring, Limits
from subgraph.keys.keyring.prober import Prober, Timing
from subgraph.keys.records.activity import RecordActivity
from subgraph.keys.records.cipher import RecordCipher
from subgraph.keys.records.service import RecordService
from subgraph.keys.telemetry import KeyTelemetry
from subgraph.kms.faults import KeyFault
from subgraph.kms.options import KmsOptions
from subgraph.kms.providers import open_wrap
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.settings import Settings

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0

JOB_ENTRYPOINT = "key-job"
"""The name under which slices of jobs wait in the queue."""


class KeysRuntime:
    """What a process needs to use tenants' keys; it opens nothing before it is used."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        recording: LedgerRuntime,
        *,
        opener: Opener | None = None,
    ) -> None:
        ledger = recording.ledger
        self.telemetry = KeyTelemetry()
        self.wrappers = Wrappers(counting(opener or _opener(settings), self.telemetry))
        self.custody = KeyCustody(database, ledger, self.wrappers, self._turned)
        self.keyring = Keyring(
            _Unwrapping(self.custody),
            self.telemetry,
            Limits(soft_seconds=settings.key_soft_seconds, hard_seconds=settings.key_hard_seconds),
        )
        self.cipher = RecordCipher(self.keyring)
        self.activity = RecordActivity(database, ledger)
        self.records = RecordService(
            database,
            ledger,
            self.custody,
            self.cipher,
            self.activity,
            telemetry=self.telemetry,
        )
        self.jobs = KeyJobs(database, ledger, enqueue_slice)
        self.approvals = ApprovalService(database, ledger, recording.keys, recording.reader)
        self.break_glass = BreakGlassService(database, ledger, self.approvals)
        self.destructions = KeyDestructions(database, ledger, self.approvals)
        self._prober = partial(
            Prober,
            self.keyring,
            SharedVerdicts(database, ledger),
            self.custody,
            _timing(settings),
            holder=uuid4(),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Probe and count for as long as the block runs; keys are forgotten at its end."""
        try:
            async with beside(
                _kept("probes", lambda: self._prober().run()),
                _kept("record activity", self.activity.run),
            ):
                yield
        finally:
            await self.activity.flush()
            await self.keyring.close()
            await self.wrappers.close()

    def _turned(self, tenant: str, state: KeyState) -> None:
        if state is KeyState.SUSPENDED:
            self.keyring.purge(tenant, KeyFault.KEY_DISABLED)
        else:
            self.keyring.admit(tenant)


class _Unwrapping:
    def __init__(self, custody: KeyCustody) -> None:
        self._custody = custody

    async def unwrap(self, tenant: str, data_key_id: UUID) -> DataKey:
        """See `subgraph.keys.keyring.keyring.Unwrapper`."""
        return DataKey(data_key_id, await self._custody.unwrap(tenant, data_key_id))


async def _kept(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run for ever; what a fault of this service ends is begun again.

    Without probes a key that its owner withdrew would be served until the hard limit.
    """
    while True:
        try:
            await run()
        except Exception:  # noqa: BLE001 - logged, and begun again
            _log.exception("%s ended and begin again", name)
        await asyncio.sleep(_PAUSE_SECONDS)


async def enqueue_slice(transaction: Transaction, job: KeyJob, delay: timedelta) -> None:
    """Put the slice that is due into the queue; see `subgraph.keys.jobs.service.Enqueue`."""
    await enqueue(
        transaction,
        JOB_ENTRYPOINT,
        {"tenant": job.tenant_id, "job": str(job.job_id), "epoch": job.epoch},
        delay=delay,
        dedupe_key=f"{job.job_id}:{job.epoch}",
    )


def _opener(settings: Settings) -> Opener:
    return partial(open_wrap, options=KmsOptions.of(settings))


def _timing(settings: Settings) -> Timing:
    period = settings.key_probe_seconds
    return Timing(
        read_seconds=settings.key_verdict_seconds,
        period_seconds=period,
        lease_seconds=period * 4 / 3,
        stale_seconds=period * 3 / 2,
    )
