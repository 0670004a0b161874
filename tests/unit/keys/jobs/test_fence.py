"""A worker that was silent, and was taken over, can commit nothing."""

import asyncio
from dataclasses import dataclass, field

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.jobs.faultpoints import JobFaultPoint
from subgraph.keys.jobs.model import KeyJobKind, KeyJobState
from tests.unit.keys.jobs.rig import Process


@dataclass
class Silence:
    """Holds a worker up at a step, the `left`th time that it gets there."""

    at: JobFaultPoint
    left: int = 1
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, point: JobFaultPoint) -> None:
        if point is self.at:
            self.left -= 1
            if self.left == 0:
                self.reached.set()
                await self.over.wait()


@pytest.mark.parametrize(
    "at",
    [JobFaultPoint.CLAIMED, JobFaultPoint.BATCH_READ, JobFaultPoint.BATCH_SEALED],
)
async def test_a_worker_that_was_taken_over_commits_nothing(
    here: Process, at: JobFaultPoint
) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 50)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT, throttle_per_second=25)
    await here.slice(job)
    due = (await here.job(job)).epoch
    silence = Silence(at)
    zombie = asyncio.create_task(here.runner(silence).run(tenant, job.job_id, due))
    await silence.reached.wait()
    await here.runner().run(tenant, job.job_id, due)
    taken_over = await here.job(job)
    assert taken_over.done == 25
    silence.over.set()
    await zombie
    assert await here.job(job) == taken_over
    await here.exact(tenant)
    finished = await here.finish(job)
    assert (finished.state, finished.done, finished.superseded) == (KeyJobState.DONE, 50, 0)
    assert await here.read(tenant, list(written)) == written


async def test_a_worker_that_was_taken_over_retires_nothing(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 2)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    while (await here.job(job)).state is not KeyJobState.VERIFYING:
        await here.slice(job)
    due = (await here.job(job)).epoch
    silence = Silence(JobFaultPoint.SAMPLED)
    zombie = asyncio.create_task(here.runner(silence).run(tenant, job.job_id, due))
    await silence.reached.wait()
    await here.keys.jobs.cancel(tenant, job.job_id, by="test")
    silence.over.set()
    await zombie
    assert (await here.job(job)).state is KeyJobState.CANCELLED
    assert await here.data_keys(tenant) == [(1, "DECRYPT_ONLY", 1), (2, "ACTIVE", 1)]


async def test_a_slice_that_is_handed_out_again_later_does_nothing(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 10)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    first = await here.slice(job)
    await here.runner().run(tenant, job.job_id, job.epoch)
    assert await here.job(job) == first


@pytest.mark.parametrize("end", [KeyJobState.PAUSED, KeyJobState.CANCELLED])
async def test_a_batch_under_way_when_a_job_is_called_off_moves_nothing(
    here: Process, end: KeyJobState
) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 10)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    await here.slice(job)
    silence = Silence(JobFaultPoint.BATCH_SEALED)
    due = (await here.job(job)).epoch
    running = asyncio.create_task(here.runner(silence).run(tenant, job.job_id, due))
    await silence.reached.wait()
    turn = here.keys.jobs.pause if end is KeyJobState.PAUSED else here.keys.jobs.cancel
    await turn(tenant, job.job_id, by="test")
    silence.over.set()
    await running
    standing = await here.job(job)
    assert (standing.state, standing.done) == (end, 0)
    assert sorted((await here.counted(tenant)).values()) == [(0, 0), (10, 10)]
    assert await here.read(tenant, list(written)) == written


async def test_no_batch_is_written_while_the_database_is_behind_its_witness(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 5)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    await here.slice(job)
    due = (await here.job(job)).epoch
    here.recording._gate.close(ErrorCode.LEDGER_BEHIND_WITNESS)
    with pytest.raises(SubgraphError) as refused:
        await here.runner().run(tenant, job.job_id, due)
    here.recording._gate.open()
    assert refused.value.code is ErrorCode.LEDGER_BEHIND_WITNESS
    assert (await here.job(job)).done == 0
    assert (await here.finish(job)).done == 5
    assert await here.read(tenant, list(written)) == written
