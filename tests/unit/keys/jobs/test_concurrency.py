"""Writers go on while a job runs, and several workers run it."""

import asyncio
import random
from uuid import UUID

import pytest

from subgraph.keys.jobs.faultpoints import JobFaultPoint
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState
from tests.unit.keys.jobs.rig import Process
from tests.unit.keys.jobs.test_fence import Silence


class Writers:
    """Update, delete and create records for as long as a job runs."""

    def __init__(self, here: Process, tenant: str, written: dict[UUID, str]) -> None:
        self._here = here
        self._tenant = tenant
        self.written = written
        self.changes = 0
        self._busy: set[UUID] = set()

    async def run(self, job: KeyJob, seed: int) -> None:
        chance = random.Random(seed)
        while not (await self._here.job(job)).state.final:
            free = [record_id for record_id in self.written if record_id not in self._busy]
            record_id = chance.choice(free)
            self._busy.add(record_id)
            match chance.randrange(4):
                case 0:
                    await self._here.keys.records.delete(self._tenant, record_id, by="test")
                    del self.written[record_id]
                case 1:
                    made = await self._here.put(self._tenant, f"new {seed}")
                    self.written[made] = f"new {seed}"
                case _:
                    value = f"changed {chance.random()}"
                    await self._here.put(self._tenant, value, record_id)
                    self.written[record_id] = value
            self._busy.discard(record_id)
            self.changes += 1


@pytest.mark.parametrize("workers", [1, 2])
async def test_writers_go_on_while_records_are_moved(here: Process, workers: int) -> None:
    tenant = await here.make_tenant()
    writers = Writers(here, tenant, await here.fill(tenant, 400))
    job = await here.plan(tenant, KeyJobKind.REENCRYPT, throttle_per_second=10)
    async with asyncio.TaskGroup() as tasks:
        for seed in range(3):
            tasks.create_task(writers.run(job, seed))
        for _ in range(workers):
            tasks.create_task(run_until_ended(here, job))
    finished = await here.job(job)
    assert (finished.state, finished.quarantined) == (KeyJobState.DONE, 0)
    assert writers.changes > 0
    assert 0 < finished.done <= 400
    await here.exact(tenant)
    assert await here.read(tenant, list(writers.written)) == writers.written
    rows = await here.ask("SELECT count(*) AS n FROM protected_record WHERE tenant_id = $1", tenant)
    assert rows[0]["n"] == len(writers.written)
    assert [state for _, state, _ in await here.data_keys(tenant)] == ["RETIRED", "ACTIVE"]


async def run_until_ended(here: Process, job: KeyJob) -> None:
    runner = here.runner()
    while not (await here.job(job)).state.final:
        await here.slice(job, runner)
        await asyncio.sleep(0)


async def test_two_workers_with_the_same_slices_move_every_record_once(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 300)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT, throttle_per_second=30)
    await asyncio.gather(run_until_ended(here, job), run_until_ended(here, job))
    finished = await here.job(job)
    assert (finished.done, finished.superseded) == (300, 0)
    await here.exact(tenant)
    assert await here.read(tenant, list(written)) == written


async def test_two_workers_rotate_a_key(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 5)
    job = await here.plan(tenant, KeyJobKind.ROTATE)
    await asyncio.gather(run_until_ended(here, job), run_until_ended(here, job))
    versions = await here.versions(tenant)
    assert [state for _, state in versions[:-1]] == ["DISABLED"] * (len(versions) - 1)
    assert versions[-1][1] == "ACTIVE"
    assert await here.read(tenant, list(written)) == written


async def test_jobs_of_two_tenants_run_at_once(here: Process) -> None:
    tenants = [await here.make_tenant() for _ in range(2)]
    written = [await here.fill(tenant, 40) for tenant in tenants]
    jobs = [await here.plan(tenant, KeyJobKind.REENCRYPT) for tenant in tenants]
    await asyncio.gather(*(run_until_ended(here, job) for job in jobs))
    assert [await here.read(t, list(w)) for t, w in zip(tenants, written, strict=True)] == written


async def test_a_writer_that_waited_for_a_batch_finds_its_record(here: Process) -> None:
    tenant = await here.make_tenant()
    [(record_id, _)] = (await here.fill(tenant, 1)).items()
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    await here.slice(job)
    # The batch has moved the row, and holds it, when the writer comes.
    silence = Silence(JobFaultPoint.COUNTERS_MOVED)
    due = (await here.job(job)).epoch
    moving = asyncio.create_task(here.runner(silence).run(tenant, job.job_id, due))
    await silence.reached.wait()
    writing = asyncio.create_task(here.put(tenant, "new", record_id))
    waiting = (
        "SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'"
        " AND query LIKE '%protected_record%'"
    )
    while not await here.ask(waiting, here.scratch.name):
        assert not writing.done()
    silence.over.set()
    await asyncio.gather(moving, writing)
    assert await here.read(tenant, [record_id]) == {record_id: "new"}
    await here.exact(tenant)
