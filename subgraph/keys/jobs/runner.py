"""Runs the slices of jobs: claims, does a second's work, and puts the next slice into the queue.

The queue may hand a slice to two workers, late or twice. What keeps a job whole is its own row:
a claim raises `attempt`, and every transaction of the slice first takes the row and checks that
its claim still stands.
"""

import logging
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from subgraph.db.service import Database
from subgraph.keys.custody.service import KeyCustody
from subgraph.keys.custody.wrapping import Wrappers
from subgraph.keys.jobs import store
from subgraph.keys.jobs.faultpoints import JobFaultPoint, JobFaultPoints, no_faults
from subgraph.keys.jobs.fence import Fence, FencedOut
from subgraph.keys.jobs.following import Following
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState
from subgraph.keys.jobs.reencryption import Reencryption
from subgraph.keys.jobs.rewrapping import Rewrapping
from subgraph.keys.jobs.service import Enqueue
from subgraph.keys.jobs.starting import Starting
from subgraph.keys.jobs.verification import Verification
from subgraph.keys.records.cipher import RecordCipher
from subgraph.kms.faults import KeyProviderError
from subgraph.ledger.model import EventType
from subgraph.ledger.service import Ledger

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a slice takes, and how long a job waits that is blocked.

    It waits `retry_seconds` where the provider may answer soon without anybody doing anything.
    """

    slice_seconds: float = 1.0
    blocked_seconds: float = 30.0
    retry_seconds: float = 5.0


class JobRunner:
    """Runs slices for the worker; any number of them, on any number of machines.

    `rows` counts, by outcome, what this process has committed.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        custody: KeyCustody,
        wrappers: Wrappers,
        cipher: RecordCipher,
        *,
        enqueue: Enqueue,
        pace: Pace,
        rows: Counter[str] | None = None,
        faults: JobFaultPoints = no_faults,
    ) -> None:
        counted = Counter[str]() if rows is None else rows
        self._database = database
        self._pace = pace
        self._faults = faults
        self._fence = Fence(ledger, enqueue, faults)
        following = Following(database, custody, wrappers, self._fence, faults)
        self._starting = Starting(database, custody, following, self._fence, faults)
        self._rewrapping = Rewrapping(
            database, custody, wrappers, following, self._fence, faults=faults, counted=counted
        )
        self._reencryption = Reencryption(
            database,
            custody,
            cipher,
            self._fence,
            faults,
            slice_seconds=pace.slice_seconds,
            counted=counted,
        )
        self._verification = Verification(database, custody, cipher, self._fence, faults)

    async def run(self, tenant: str, job_id: UUID, epoch: int) -> None:
        """Run the slice `epoch` of a job; nothing happens if it is not due.

        What the key's provider refuses blocks the job, with the reason, and the slice is due
        again later: it goes on by itself once the provider agrees. Raises what the database
        raises; the queue hands the slice out again then.
        """
        async with self._database.transaction(tenant) as transaction:
            job = await store.claim(transaction, tenant, job_id, epoch)
        if job is None:
            return
        await self._faults(JobFaultPoint.CLAIMED)
        try:
            await self._work(job)
        except FencedOut:
            _log.info("a slice was taken over or called off", extra={"job_id": str(job_id)})
        except KeyProviderError as error:
            await self._block(job, error)

    async def _work(self, job: KeyJob) -> None:
        state = job.resumes_as if job.state is KeyJobState.BLOCKED else job.state
        if state is KeyJobState.PLANNED:
            await self._starting.start(job)
        elif state is KeyJobState.VERIFYING:
            await self._verification.run(job)
        elif job.kind is KeyJobKind.REENCRYPT:
            await self._reencryption.run(job)
        else:
            await self._rewrapping.run(job)

    async def _block(self, job: KeyJob, error: KeyProviderError) -> None:
        pace = self._pace
        seconds = pace.retry_seconds if error.fault.retryable else pace.blocked_seconds
        async with self._database.transaction(job.tenant_id) as transaction:
            try:
                held = await self._fence.hold(transaction, job)
            except FencedOut:
                return
            if held.state is not KeyJobState.BLOCKED or held.blocked_code != error.fault.name:
                held = replace(
                    held,
                    state=KeyJobState.BLOCKED,
                    blocked_code=error.fault.name,
                    blocked_message=error.message,
                )
                await self._fence.record(
                    transaction, EventType.KEY_JOB_BLOCKED, held, code=error.fault.name
                )
            await self._fence.next_slice(transaction, held, timedelta(seconds=seconds))
