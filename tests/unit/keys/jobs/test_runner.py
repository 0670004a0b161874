from collections import Counter

from subgraph.keys.jobs.model import KeyJobKind, KeyJobState
from tests.unit.keys.jobs.rig import Process


async def test_reencryption_moves_every_record(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 500)
    finished = await here.done(tenant, KeyJobKind.REENCRYPT)
    assert (finished.total, finished.done, finished.superseded) == (500, 500, 0)
    assert await here.read(tenant, list(written)) == written
    assert sorted((await here.counted(tenant)).values()) == [(0, 0), (500, 500)]
    assert await here.data_keys(tenant) == [(1, "RETIRED", 1), (2, "ACTIVE", 1)]


async def test_rows_are_counted_by_outcome_once_they_are_committed(here: Process) -> None:
    tenant = await here.make_tenant()
    ids = list(await here.fill(tenant, 30))
    await here.damage(tenant, ids[0])
    rows = Counter[str]()
    runner = here.runner(rows=rows)
    for kind in (KeyJobKind.REENCRYPT, KeyJobKind.ROTATE):
        await here.finish(await here.plan(tenant, kind), runner)
    # The damaged record keeps its data key in use, so two of them were wrapped again.
    assert {name: count for name, count in rows.items() if count} == {
        "reencrypted": 29,
        "quarantined": 1,
        "rewrapped": 2,
    }


async def test_a_rotation_rewraps_and_gives_writers_new_keys(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 3)
    finished = await here.done(tenant, KeyJobKind.ROTATE)
    assert (finished.total, finished.done) == (1, 1)
    assert await here.versions(tenant) == [(1, "DISABLED"), (2, "ACTIVE")]
    assert await here.data_keys(tenant) == [(1, "DECRYPT_ONLY", 2), (2, "ACTIVE", 2)]
    assert await here.read(tenant, list(written)) == written


async def test_a_rewrap_without_a_newer_version_has_nothing_to_do(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 2)
    finished = await here.done(tenant, KeyJobKind.REWRAP)
    assert (finished.total, finished.done) == (0, 0)
    assert finished.state is KeyJobState.DONE
    assert await here.data_keys(tenant) == [(1, "ACTIVE", 1)]
