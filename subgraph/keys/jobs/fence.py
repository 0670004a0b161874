"""The claim of a slice, in whose name its transactions commit."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from subgraph.db.service import Transaction
from subgraph.keys.jobs import store
from subgraph.keys.jobs.events import about_job
from subgraph.keys.jobs.faultpoints import JobFaultPoint, JobFaultPoints
from subgraph.keys.jobs.model import KeyJob, KeyJobState
from subgraph.keys.jobs.service import Enqueue
from subgraph.ledger.model import EventType, NewEvent
from subgraph.ledger.service import Ledger
from subgraph.ledger.subjects import append_about

WORKER = "worker"
"""The actor of what jobs do by themselves."""


class FencedOut(Exception):
    """Another worker claimed the slice, or somebody paused or cancelled the job."""


class Fence:
    """Lets a slice write only while its claim stands; every transaction holds the job first."""

    def __init__(self, ledger: Ledger, enqueue: Enqueue, faults: JobFaultPoints) -> None:
        self._ledger = ledger
        self._enqueue = enqueue
        self._faults = faults

    async def hold(self, transaction: Transaction, job: KeyJob) -> KeyJob:
        """The job as it stands, held; raises `FencedOut` if the claim does not stand any more.

        Raises what `Ledger.permit` raises: batches have no event of their own.
        """
        self._ledger.permit()
        held = await store.fenced(transaction, job.tenant_id, job)
        if held is None:
            raise FencedOut
        await self._faults(JobFaultPoint.FENCED)
        return held

    async def go_on(self, transaction: Transaction, job: KeyJob) -> KeyJob:
        """Hold the job like `hold`; a blocked one goes on from here, which is recorded."""
        held = await self.hold(transaction, job)
        if held.state is not KeyJobState.BLOCKED:
            return held
        going = replace(held, state=held.resumes_as, blocked_code=None, blocked_message=None)
        await self.record(transaction, EventType.KEY_JOB_CONTINUED, going)
        return going

    async def save(self, transaction: Transaction, job: KeyJob) -> KeyJob:
        """Write a job that is held back."""
        await store.save(transaction, job.tenant_id, job)
        await self._faults(JobFaultPoint.SAVED)
        return job

    async def next_slice(self, transaction: Transaction, job: KeyJob, delay: timedelta) -> KeyJob:
        """End the slice: the next one is due after `delay`."""
        following = await self.save(transaction, replace(job, epoch=job.epoch + 1))
        await self._enqueue(transaction, following, delay)
        await self._faults(JobFaultPoint.ENQUEUED)
        return following

    async def record(
        self, transaction: Transaction, kind: EventType, job: KeyJob, **said: str
    ) -> None:
        """Record what happened to the job."""
        await self.append(transaction, about_job(kind, job, by=WORKER, **said), job.job_id)

    async def append(self, transaction: Transaction, event: NewEvent, *about: UUID) -> None:
        """Record an event in a transaction that holds the job."""
        await append_about(transaction, self._ledger, event, *about)
