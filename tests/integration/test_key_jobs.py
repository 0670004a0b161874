"""`ig worker` and `ig keys`, as processes on a real database."""

import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.keys.jobs.model import KeyJobKind, KeyJobState
from subgraph.settings import Settings
from tests.integration.workers import Worker, ig, start, stop, survive, until
from tests.unit.db.scratch import Scratch, scratch_database
from tests.unit.keys.jobs.rig import Process, process

RECORDS = 6_000


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as made:
        yield made


@pytest.fixture(scope="module")
async def here(
    scratch: Scratch, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Process]:
    folder: Path = tmp_path_factory.mktemp("keys")
    async with process(scratch, settings, folder) as opened:
        yield opened


@pytest.fixture
def worker(here: Process) -> Iterator[Worker]:
    running = start(here)
    yield running
    if running.poll() is None:
        assert stop(running) == 0


async def test_ten_killed_workers_lose_nothing(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill_fast(tenant, RECORDS)
    jobs = await survive(here, tenant, kills=10)
    counts = {(job.total, job.done, job.superseded, job.quarantined) for job in jobs}
    assert counts == {(RECORDS, RECORDS, 0, 0)}
    await here.exact(tenant)
    assert await here.read(tenant, list(written)) == written


async def test_a_job_that_is_blocked_goes_on_by_itself(here: Process, worker: Worker) -> None:
    tenant = await here.make_tenant()
    written = await here.fill_fast(tenant, 2_000)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT, throttle_per_second=400)
    await until(here, job, KeyJobState.RUNNING, done=1)
    here.turn_key(tenant, "DISABLED")
    blocked = await until(here, job, KeyJobState.BLOCKED)
    assert blocked.blocked_code == "KEY_DISABLED"
    assert blocked.done < 2_000
    here.turn_key(tenant, "ENABLED")
    finished = await until(here, job, KeyJobState.DONE)
    assert finished.done == 2_000
    assert await here.read(tenant, list(written)) == written


async def test_a_worker_that_is_stopped_leaves_the_job_to_others(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.fill_fast(tenant, 500)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT, throttle_per_second=100)
    first = start(here)
    await until(here, job, done=1)
    assert stop(first) == 0
    assert (await here.job(job)).state is KeyJobState.RUNNING
    second = start(here)
    assert (await until(here, job, KeyJobState.DONE)).done == 500
    assert stop(second, signal.SIGINT) == 0


async def test_maintenance_runs_beside_the_slices(here: Process, worker: Worker) -> None:
    tenant = await here.make_tenant()
    await here.keys.custody.schedule_rotation(tenant, 1, by="test")
    await here.ask(
        "UPDATE tenant_cmk SET last_rotated_at = now() - interval '2 days' WHERE tenant_id = $1",
        tenant,
    )
    while await here.versions(tenant) != [(1, "DISABLED"), (2, "ACTIVE")]:
        assert worker.poll() is None


async def test_rotation_from_the_command_line_is_followed_to_its_end(
    here: Process, worker: Worker
) -> None:
    tenant = await here.make_tenant()
    await here.put(tenant, "value")
    status, out, err = await ig(here, "keys", "rotate", "--tenant", tenant)
    assert (status, out.startswith("job ")) == (0, True)
    assert "DONE, 100.0 %, 1 of 1 data keys" in err
    status, out, _ = await ig(here, "keys", "status", "--tenant", tenant)
    lines = [re.sub(r"\s+", " ", line) for line in out.splitlines()]
    assert lines[0].endswith("local:records ACTIVE")
    assert lines[1:3] == ["version 2 ACTIVE, 1 records", "version 1 DISABLED, 0 records"]
    assert "ROTATE: DONE" in lines[3]


async def test_reencryption_from_the_command_line_takes_a_type_and_a_throttle(
    here: Process, worker: Worker
) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 3)
    arguments = ["--tenant", tenant, "--object-type", "person", "--throttle", "2"]
    status, _, err = await ig(here, "keys", "reencrypt", *arguments)
    assert (status, "DONE, 100.0 %, 3 of 3 records" in err) == (0, True)


async def test_a_second_job_is_refused_with_its_code(here: Process) -> None:
    tenant = await here.make_tenant()
    assert (await ig(here, "keys", "rewrap", "--tenant", tenant, "--detach"))[0] == 0
    status, _, err = await ig(here, "keys", "rotate", "--tenant", tenant)
    assert (status, err.partition(": another")[0]) == (1, "ig: JOB_IN_FLIGHT")


@pytest.mark.parametrize("command", ["rotate", "status"])
async def test_a_tenant_without_a_key_is_told_so(here: Process, command: str) -> None:
    tenant = await here.make_tenant(key=False)
    status, _, err = await ig(here, "keys", command, "--tenant", tenant)
    assert (status, err.startswith("ig: KEY_NOT_FOUND: ")) == (1, True)


async def test_a_rotation_is_scheduled_and_called_off(here: Process) -> None:
    tenant = await here.make_tenant()
    assert (await ig(here, "keys", "schedule", "--tenant", tenant, "--days", "90"))[0] == 0
    assert "rotation every 90 days" in (await ig(here, "keys", "status", "--tenant", tenant))[1]
    assert (await ig(here, "keys", "schedule", "--tenant", tenant))[0] == 0
    assert "rotation" not in (await ig(here, "keys", "status", "--tenant", tenant))[1]


@pytest.mark.parametrize("days", ["0", "3651", "-1", "1.5", "\u0663"])
async def test_a_rotation_is_scheduled_in_whole_days(here: Process, days: str) -> None:
    status, _, err = await ig(here, "keys", "schedule", "--tenant", "any", f"--days={days}")
    assert (status, "1 to 3650 days" in err) == (2, True)


async def test_a_text_without_markers_names_nobody(here: Process) -> None:
    tenant = await here.make_tenant()
    status, out, _ = await ig(here, "keys", "attribute", "--tenant", tenant, "-", given="text")
    assert (status, out) == (1, "no markers of this tenant\n")


async def test_a_worker_without_a_database_says_what_is_missing(
    here: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("IG_", "DATABASE_"))]:
        monkeypatch.delenv(name)
    bare = Process(
        here.scratch,
        Settings(data_dir=str(tmp_path)),
        here.database,
        here.recording,
        here.keys,
    )
    status, _, err = await ig(bare, "worker")
    assert (status, err.startswith("ig: SETTINGS_INVALID: ")) == (1, True)
