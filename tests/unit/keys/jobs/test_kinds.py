"""What each kind of job leaves behind."""

from subgraph.keys.jobs.model import KeyJobKind, KeyJobState
from tests.unit.keys.jobs.rig import KEY, Process


async def rotate_at_provider(here: Process, tenant: str) -> None:
    from subgraph.kms.contract import KeyProvider

    async with here.keys.wrappers.using(KeyProvider.LOCAL, KEY, tenant) as wrapper:
        await wrapper.rotate()


async def test_one_type_is_moved_and_others_stay(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 10, "cat")
    await here.fill(tenant, 10, "dog")
    finished = await here.done(tenant, KeyJobKind.REENCRYPT, object_type="cat")
    assert (finished.total, finished.done) == (10, 10)
    assert await here.data_keys(tenant) == [(1, "RETIRED", 1), (2, "ACTIVE", 1), (1, "ACTIVE", 1)]


async def test_a_type_without_records_is_done_at_once(here: Process) -> None:
    tenant = await here.make_tenant()
    finished = await here.done(tenant, KeyJobKind.REENCRYPT, object_type="none")
    assert (finished.total, finished.done, finished.percent) == (0, 0, 100.0)


async def test_a_rewrap_follows_a_rotation_at_the_provider(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 3)
    await rotate_at_provider(here, tenant)
    finished = await here.done(tenant, KeyJobKind.REWRAP)
    assert finished.done == 1
    assert await here.versions(tenant) == [(1, "DISABLED"), (2, "ACTIVE")]
    assert await here.data_keys(tenant) == [(1, "ACTIVE", 2)]
    assert await here.read(tenant, list(written)) == written


async def test_a_rewrap_follows_a_rotation_in_mid_job(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 3)
    await rotate_at_provider(here, tenant)
    job = await here.plan(tenant, KeyJobKind.REWRAP)
    await here.slice(job)
    await rotate_at_provider(here, tenant)
    assert (await here.finish(job)).state is KeyJobState.DONE
    versions = [(1, "DISABLED"), (2, "DISABLED"), (3, "ACTIVE")]
    assert await here.versions(tenant) == versions
    assert await here.data_keys(tenant) == [(1, "ACTIVE", 3)]
    assert await here.read(tenant, list(written)) == written


async def test_a_rotation_uses_the_version_that_the_owner_just_made(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 3)
    await rotate_at_provider(here, tenant)
    await here.done(tenant, KeyJobKind.ROTATE)
    assert await here.versions(tenant) == [(1, "DISABLED"), (2, "ACTIVE")]


async def test_nothing_retires_before_two_sweeps_found_nothing(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 3)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    runner = here.runner(slice_seconds=0.0)
    seen = []
    while not (await here.job(job)).state.final:
        standing = await here.slice(job, runner)
        states = [state for _, state, _ in await here.data_keys(tenant)]
        seen.append((standing.empty_sweeps, standing.state.value, states[0]))
    assert seen == [
        (0, "RUNNING", "DECRYPT_ONLY"),
        (0, "RUNNING", "DECRYPT_ONLY"),
        (1, "RUNNING", "DECRYPT_ONLY"),
        (2, "VERIFYING", "DECRYPT_ONLY"),
        (2, "DONE", "RETIRED"),
    ]


async def test_records_of_an_earlier_job_that_was_cancelled_are_moved_too(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 20)
    first = await here.plan(tenant, KeyJobKind.REENCRYPT, throttle_per_second=5)
    for _ in range(2):
        await here.slice(first)
    await here.keys.jobs.cancel(tenant, first.job_id, by="test")
    finished = await here.done(tenant, KeyJobKind.REENCRYPT)
    assert (finished.total, finished.done) == (20, 20)
    states = [state for _, state, _ in await here.data_keys(tenant)]
    assert states == ["RETIRED", "RETIRED", "ACTIVE"]
    assert await here.read(tenant, list(written)) == written


async def test_the_ledger_tells_a_job_from_its_plan_to_its_end(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 3)
    before = len(await here.told(tenant))
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    await here.finish(job, here.runner(slice_seconds=0.0))
    assert (await here.told(tenant))[before:] == [
        "key.job.planned",
        "key.data.created",
        "key.job.started",
        "key.job.progressed",
        "key.data.retired",
        "key.job.done",
    ]
