"""`ig worker` as processes of their own, and what kills them."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Mapping

from subgraph.cli.stack import environment
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState
from tests.unit.keys.jobs.rig import Process

QUICK = {
    "IG_WORKER_TAKEOVER_SECONDS": "1",
    "IG_WORKER_BLOCKED_SECONDS": "0.2",
    "IG_WORKER_MAINTENANCE_SECONDS": "0.2",
    "IG_KEY_PROBE_SECONDS": "0.2",
    "IG_KEY_VERDICT_SECONDS": "0.1",
}
LOOK_SECONDS = 0.005

Worker = subprocess.Popen[bytes]


def variables(here: Process) -> Mapping[str, str]:
    """The environment in which `ig` works on the database of `here`."""
    return {**environment(here.settings), **QUICK}


def start(here: Process) -> Worker:
    return subprocess.Popen(
        [sys.executable, "-m", "subgraph.cli.main", "worker"], env=dict(variables(here))
    )


def stop(worker: Worker, number: int = signal.SIGTERM) -> int:
    worker.send_signal(number)
    return worker.wait(30)


async def ig(here: Process, *arguments: str, given: str = "") -> tuple[int, str, str]:
    """Status, stdout and stderr of a command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "subgraph.cli.main", *arguments,
        env=variables(here),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(given.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def until(here: Process, job: KeyJob, *states: KeyJobState, done: int = 0) -> KeyJob:
    """Wait until the job is in one of the states, and has moved so much."""
    while True:
        standing = await here.job(job)
        if standing.done >= done and (not states or standing.state in states):
            return standing
        await asyncio.sleep(LOOK_SECONDS)


async def survive(here: Process, tenant: str, *, kills: int) -> list[KeyJob]:
    """Re-encrypt again and again while worker after worker is killed; the jobs, ended."""
    jobs = [await here.plan(tenant, KeyJobKind.REENCRYPT)]
    for _ in range(kills):
        worker = start(here)
        try:
            before = await here.job(jobs[-1])
            if before.state is KeyJobState.DONE:
                jobs.append(await here.plan(tenant, KeyJobKind.REENCRYPT))
                before = jobs[-1]
            standing = before
            while standing.done == before.done and standing.state is not KeyJobState.DONE:
                assert worker.poll() is None, f"the worker ended: {worker.returncode}"
                await asyncio.sleep(LOOK_SECONDS)
                standing = await here.job(jobs[-1])
        finally:
            worker.kill()
            worker.wait()
    worker = start(here)
    try:
        await until(here, jobs[-1], KeyJobState.DONE)
    finally:
        assert stop(worker) == 0
    return [await here.job(job) for job in jobs]
