import pytest

from subgraph.db.roles import Role
from subgraph.keys.jobs import store
from subgraph.keys.jobs.maintenance import Maintenance
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState
from subgraph.keys.runtime import enqueue_slice
from tests.unit.keys.jobs.rig import Process
from tests.unit.keys.jobs.test_kinds import rotate_at_provider


@pytest.fixture
def maintenance(here: Process) -> Maintenance:
    return maintained(here)


def maintained(here: Process, stalled_seconds: float = 60.0) -> Maintenance:
    return Maintenance(
        here.database,
        here.scratch.url(Role.SYSTEM),
        wrappers=here.keys.wrappers,
        jobs=here.keys.jobs,
        approvals=here.keys.approvals,
        break_glass=here.keys.break_glass,
        enqueue=enqueue_slice,
        stalled_seconds=stalled_seconds,
    )


async def newest(here: Process, tenant: str) -> list[KeyJob]:
    return await store.job_page(here.database, tenant, first=10, after=None, state=None)


async def test_one_worker_at_a_time_has_the_lease(here: Process) -> None:
    first, second = maintained(here), maintained(here)
    assert [await first.leads(60), await second.leads(60)] == [True, False]
    assert await first.leads(0)
    assert await second.leads(0)


async def test_a_slice_that_got_lost_is_queued_again(
    here: Process, maintenance: Maintenance
) -> None:
    tenant = await here.make_tenant()
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    await here.slice(job)
    await here.ask("DELETE FROM work.pgqueuer WHERE payload IS NOT NULL")
    await here.ask(
        "UPDATE key_job SET updated_at = now() - interval '2 minutes' WHERE job_id = $1", job.job_id
    )
    await maintenance.round()
    assert [row["dedupe_key"] for row in await queued(here, job)] == [f"{job.job_id}:1"]
    await maintenance.round()
    assert len(await queued(here, job)) == 1


async def queued(here: Process, job: KeyJob) -> list[dict[str, str]]:
    return await here.ask(
        "SELECT dedupe_key FROM work.pgqueuer WHERE dedupe_key LIKE $1 || ':%'", str(job.job_id)
    )


@pytest.mark.parametrize("state", [KeyJobState.PAUSED, KeyJobState.DONE, KeyJobState.CANCELLED])
async def test_a_job_that_is_not_to_go_on_is_left_alone(
    here: Process, maintenance: Maintenance, state: KeyJobState
) -> None:
    tenant = await here.make_tenant()
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    await here.ask("DELETE FROM work.pgqueuer WHERE payload IS NOT NULL")
    await here.ask(
        "UPDATE key_job SET updated_at = now() - interval '2 minutes', state = $2"
        " WHERE job_id = $1",
        job.job_id,
        state.value,
    )
    await maintenance.round()
    assert await queued(here, job) == []


async def test_a_rotation_at_the_provider_is_noticed_once(
    here: Process, maintenance: Maintenance
) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 2)
    await maintenance.round()
    assert await newest(here, tenant) == []
    await rotate_at_provider(here, tenant)
    await maintenance.round()
    await maintenance.round()
    [job] = await newest(here, tenant)
    assert job.kind is KeyJobKind.REWRAP
    await here.finish(job)
    await maintenance.round()
    assert len(await newest(here, tenant)) == 1
    assert await here.versions(tenant) == [(1, "DISABLED"), (2, "ACTIVE")]


async def test_a_scheduled_rotation_is_planned_when_it_is_due(
    here: Process, maintenance: Maintenance
) -> None:
    tenant = await here.make_tenant()
    await here.keys.custody.schedule_rotation(tenant, 30, by="test")
    await maintenance.round()
    assert await newest(here, tenant) == []
    await here.ask(
        "UPDATE tenant_cmk SET last_rotated_at = now() - interval '31 days' WHERE tenant_id = $1",
        tenant,
    )
    await maintenance.round()
    [job] = await newest(here, tenant)
    assert (await here.finish(job)).kind is KeyJobKind.ROTATE
    await maintenance.round()
    assert len(await newest(here, tenant)) == 1


async def test_a_key_that_cannot_be_described_keeps_nothing_else_from_being_done(
    here: Process, maintenance: Maintenance
) -> None:
    broken, other = sorted([await here.make_tenant(), await here.make_tenant()])
    here.turn_key(broken, "DESTROYED")
    await rotate_at_provider(here, other)
    await maintenance.round()
    assert await newest(here, broken) == []
    assert len(await newest(here, other)) == 1


async def test_a_suspended_key_is_not_asked_about(here: Process, maintenance: Maintenance) -> None:
    tenant = await here.make_tenant()
    await rotate_at_provider(here, tenant)
    await here.keys.custody.suspend(tenant, "an incident", by="test")
    await maintenance.round()
    assert await newest(here, tenant) == []
