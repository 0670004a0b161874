import asyncio
from uuid import uuid4

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.jobs.model import KeyJobKind, KeyJobState, NewJob
from tests.unit.keys.jobs.rig import Process

REENCRYPT = NewJob(KeyJobKind.REENCRYPT)


async def plan(here: Process, tenant: str, key: str, wanted: NewJob = REENCRYPT):
    return await here.keys.jobs.plan(tenant, wanted, idempotency_key=key, by="ann")


def code(caught: "pytest.ExceptionInfo[SubgraphError]") -> ErrorCode:
    return caught.value.code


async def test_a_repeated_plan_is_the_same_job(here: Process) -> None:
    tenant = await here.make_tenant()
    first = await plan(here, tenant, "once")
    assert (await plan(here, tenant, "once")).job_id == first.job_id
    assert (await here.told(tenant)).count("key.job.planned") == 1
    assert len(await here.delays(first)) == 1


async def test_a_plan_repeated_after_its_job_ended_answers_with_that_job(here: Process) -> None:
    tenant = await here.make_tenant()
    first = await plan(here, tenant, "once")
    await here.finish(first)
    assert (await plan(here, tenant, "once")).state is KeyJobState.DONE


async def test_the_same_key_for_another_plan_is_a_conflict(here: Process) -> None:
    tenant = await here.make_tenant()
    await plan(here, tenant, "once")
    with pytest.raises(SubgraphError) as caught:
        await plan(here, tenant, "once", NewJob(KeyJobKind.REENCRYPT, "person"))
    assert code(caught) is ErrorCode.IDEMPOTENCY_CONFLICT


async def test_one_job_of_a_tenant_is_in_flight(here: Process) -> None:
    tenant = await here.make_tenant()
    outcomes = await asyncio.gather(
        *(plan(here, tenant, str(number)) for number in range(5)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, SubgraphError)]
    assert [error.code for error in refused] == [ErrorCode.JOB_IN_FLIGHT] * 4


async def test_a_plan_that_was_refused_can_be_repeated(here: Process) -> None:
    tenant = await here.make_tenant()
    first = await plan(here, tenant, "first")
    with pytest.raises(SubgraphError):
        await plan(here, tenant, "second")
    await here.keys.jobs.cancel(tenant, first.job_id, by="ann")
    assert (await plan(here, tenant, "second")).job_id != first.job_id


async def test_a_tenant_without_a_key_has_nothing_to_plan(here: Process) -> None:
    tenant = await here.make_tenant(key=False)
    with pytest.raises(SubgraphError) as caught:
        await plan(here, tenant, "once")
    assert code(caught) is ErrorCode.KEY_NOT_FOUND


@pytest.mark.parametrize("throttle", [0, -1, 1_000_001])
async def test_a_throttle_out_of_range_is_refused(here: Process, throttle: int) -> None:
    tenant = await here.make_tenant()
    with pytest.raises(SubgraphError) as caught:
        await plan(here, tenant, "once", NewJob(KeyJobKind.REENCRYPT, None, throttle))
    assert code(caught) is ErrorCode.BAD_USER_INPUT


async def test_a_job_of_another_tenant_is_unknown(here: Process) -> None:
    owner, stranger = await here.make_tenant(), await here.make_tenant()
    job = await plan(here, owner, "once")
    with pytest.raises(SubgraphError) as caught:
        await here.keys.jobs.cancel(stranger, job.job_id, by="ann")
    assert code(caught) is ErrorCode.UNKNOWN_OBJECT
    await here.runner().run(stranger, job.job_id, job.epoch)
    assert (await here.job(job)).state is KeyJobState.PLANNED


async def test_an_unknown_job_is_unknown(here: Process) -> None:
    tenant = await here.make_tenant()
    with pytest.raises(SubgraphError) as caught:
        await here.keys.jobs.pause(tenant, uuid4(), by="ann")
    assert code(caught) is ErrorCode.UNKNOWN_OBJECT


@pytest.mark.parametrize("slices", range(8))
async def test_a_job_can_be_paused_and_resumed_at_any_time(here: Process, slices: int) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 20)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT, throttle_per_second=5)
    for _ in range(slices):
        await here.slice(job)
    if not (await here.job(job)).state.final:
        paused = await here.keys.jobs.pause(tenant, job.job_id, by="ann")
        assert await here.slice(job) == await here.job(paused)
        assert await here.keys.jobs.pause(tenant, job.job_id, by="ann") == await here.job(job)
        resumed = await here.keys.jobs.resume(tenant, job.job_id, by="ann")
        assert not resumed.state.final and resumed.state is not KeyJobState.PAUSED
    finished = await here.finish(job)
    assert (finished.state, finished.done) == (KeyJobState.DONE, 20)
    assert await here.read(tenant, list(written)) == written


@pytest.mark.parametrize("slices", range(8))
async def test_a_job_can_be_cancelled_at_any_time_and_everything_stays_readable(
    here: Process, slices: int
) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 20)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT, throttle_per_second=5)
    for _ in range(slices):
        await here.slice(job)
    if not (await here.job(job)).state.final:
        await here.keys.jobs.cancel(tenant, job.job_id, by="ann")
        await here.slice(job)
        assert (await here.job(job)).state is KeyJobState.CANCELLED
    await here.exact(tenant)
    assert await here.read(tenant, list(written)) == written
    again = await here.done(tenant, KeyJobKind.REENCRYPT)
    assert again.done == again.total == 20
    assert await here.read(tenant, list(written)) == written


@pytest.mark.parametrize("turn", ["pause", "resume"])
async def test_a_job_that_has_ended_cannot_be_turned(here: Process, turn: str) -> None:
    tenant = await here.make_tenant()
    job = await here.done(tenant, KeyJobKind.REWRAP)
    with pytest.raises(SubgraphError) as caught:
        await getattr(here.keys.jobs, turn)(tenant, job.job_id, by="ann")
    assert code(caught) is ErrorCode.JOB_ENDED
