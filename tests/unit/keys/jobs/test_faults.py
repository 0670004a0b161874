"""A job is cut off behind every one of its steps, and loses nothing."""

import asyncio
from dataclasses import dataclass

import pytest

from subgraph.db.roles import Role
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.jobs.faultpoints import JobFaultPoint
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState
from subgraph.keys.jobs.runner import JobRunner
from tests.unit.db.scratch import ask
from tests.unit.keys.jobs.rig import Process

RECORDS, A_SLICE = 60, 20

POINTS = {
    KeyJobKind.REENCRYPT: [
        (JobFaultPoint.CLAIMED, 1),
        (JobFaultPoint.CLAIMED, 3),
        (JobFaultPoint.GENERATION_MADE, 1),
        (JobFaultPoint.STARTED, 1),
        (JobFaultPoint.BATCH_READ, 2),
        (JobFaultPoint.BATCH_SEALED, 2),
        (JobFaultPoint.FENCED, 1),
        (JobFaultPoint.FENCED, 2),
        (JobFaultPoint.FENCED, 3),
        (JobFaultPoint.ROWS_MOVED, 1),
        (JobFaultPoint.ROWS_MOVED, 3),
        (JobFaultPoint.COUNTERS_MOVED, 2),
        (JobFaultPoint.SAVED, 1),
        (JobFaultPoint.SAVED, 2),
        (JobFaultPoint.SAVED, 3),
        (JobFaultPoint.BATCH_COMMITTED, 1),
        (JobFaultPoint.BATCH_COMMITTED, 3),
        (JobFaultPoint.SWEPT, 1),
        (JobFaultPoint.SWEPT, 2),
        (JobFaultPoint.SAMPLED, 1),
        (JobFaultPoint.RETIRED, 1),
        (JobFaultPoint.ENQUEUED, 1),
        (JobFaultPoint.ENQUEUED, 2),
        (JobFaultPoint.ENQUEUED, 5),
    ],
    KeyJobKind.ROTATE: [
        (JobFaultPoint.CLAIMED, 1),
        (JobFaultPoint.ROTATED_AT_PROVIDER, 1),
        (JobFaultPoint.GENERATION_MADE, 1),
        (JobFaultPoint.STARTED, 1),
        (JobFaultPoint.FENCED, 1),
        (JobFaultPoint.KEY_WRAPPED, 1),
        (JobFaultPoint.REWRAPPED, 1),
        (JobFaultPoint.SAVED, 2),
        (JobFaultPoint.SWEPT, 1),
        (JobFaultPoint.SAMPLED, 1),
        (JobFaultPoint.RETIRED, 1),
        (JobFaultPoint.ENQUEUED, 1),
    ],
}  # fmt: skip
CASES = [(kind, *case) for kind, cases in POINTS.items() for case in cases]


class Cut(Exception):
    """The process ends here."""


@dataclass
class Cutting:
    """Cuts the job off at a step, once: its process ends, or all connections of the service do."""

    here: Process
    at: JobFaultPoint
    left: int
    connections: bool

    async def __call__(self, point: JobFaultPoint) -> None:
        if point is not self.at:
            return
        self.left -= 1
        if self.left:
            return
        if not self.connections:
            raise Cut
        await ask(
            self.here.scratch.url(Role.ADMIN),
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = $1 AND usename = 'ig_service'",
            self.here.scratch.name,
        )


async def finish(here: Process, job: KeyJob, runner: JobRunner) -> KeyJob:
    """Hand slices out again for as long as they fail, as the queue does."""
    for _ in range(100):
        try:
            return await here.finish(job, runner)
        except Cut:
            continue
        except SubgraphError as error:
            if error.code is not ErrorCode.DATABASE_UNAVAILABLE:
                raise
            await asyncio.sleep(0)
    raise AssertionError("the job does not end")


@pytest.mark.parametrize("connections", [False, True], ids=["process", "connections"])
@pytest.mark.parametrize(
    ("kind", "at", "left"), CASES, ids=[f"{k.value}-{p.name}-{n}" for k, p, n in CASES]
)
async def test_a_job_that_is_cut_off_loses_nothing(
    here: Process, kind: KeyJobKind, at: JobFaultPoint, left: int, connections: bool
) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, RECORDS if kind is KeyJobKind.REENCRYPT else 2)
    job = await here.plan(tenant, kind, throttle_per_second=A_SLICE)
    cutting = Cutting(here, at, left, connections)
    finished = await finish(here, job, here.runner(cutting))
    assert cutting.left <= 0
    assert finished.state is KeyJobState.DONE
    expected = RECORDS if kind is KeyJobKind.REENCRYPT else 1
    counts = (finished.total, finished.done, finished.superseded, finished.quarantined)
    assert counts == (expected, expected, 0, 0)
    await here.exact(tenant)
    assert await here.read(tenant, list(written)) == written
    assert (await here.told(tenant)).count("key.job.done") == 1
    if kind is KeyJobKind.ROTATE:
        assert await here.versions(tenant) == [(1, "DISABLED"), (2, "ACTIVE")]


def test_every_step_is_cut_off() -> None:
    assert {point for _, point, _ in CASES} == set(JobFaultPoint)
