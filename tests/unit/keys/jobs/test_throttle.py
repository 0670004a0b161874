from itertools import pairwise

import pytest

from subgraph.keys.jobs.model import KeyJobKind
from tests.unit.keys.jobs.rig import Process


async def test_a_throttled_slice_moves_as_many_records_as_a_second_may(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 25)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT, throttle_per_second=10)
    done = [(await here.slice(job)).done for _ in range(4)]
    assert done == [0, 10, 20, 25]


async def test_the_slice_behind_a_throttled_one_is_due_a_second_after_it_began(
    here: Process,
) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 8)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT, throttle_per_second=2)
    await here.slice(job)
    for _ in range(4):
        standing = await here.slice(job)
        assert standing.rows_per_second == pytest.approx(2, rel=0.01)
    # What the slice itself took is not waited for again.
    assert all(0 < delay <= 1 for delay in (await here.delays(job))[2:6])


async def test_a_rewrap_is_throttled_by_data_keys(here: Process) -> None:
    tenant = await here.make_tenant()
    for number in range(5):
        await here.put(tenant, "value", None, f"type{number}")
    job = await here.plan(tenant, KeyJobKind.ROTATE, throttle_per_second=2)
    done = [(await here.slice(job)).done for _ in range(4)]
    assert done == [0, 2, 4, 5]
    assert (await here.delays(job))[2:5] == [1.0, 1.0, 0.5]


async def test_a_job_without_a_throttle_goes_on_at_once(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 30)
    job = await here.done(tenant, KeyJobKind.REENCRYPT)
    assert set(await here.delays(job)) == {0.0}


async def test_a_slice_ends_with_its_time(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 1_100)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    runner = here.runner(slice_seconds=0.0)
    done = [(await here.slice(job, runner)).done for _ in range(4)]
    assert done[0] == 0 and done[-1] == 1_100
    assert all(after - before <= 1_000 for before, after in pairwise(done))
    assert len(set(done)) > 2
