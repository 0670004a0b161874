"""The benchmark as a process, with rounds so short that only its conduct can be judged."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

TINY = """
import dataclasses, json, sys
from benchmarks import operations, plan, report, run

tiny = dataclasses.replace(
    plan.STANDARD, operations=operations.FULL, rounds=1, open_seconds=0.1, open_warmup=0.05,
    closed_seconds=0.1, closed_warmup=0.0, calibration_seconds=0.1, counted_requests=10,
    retries=0, share_of_capacity=0.1,
)
made, measured = run.run_plan(tiny, None)
print(json.dumps(report.as_data(made, measured)))
"""
LONG = """
from benchmarks import plan, run

print(run.run_plan(plan.FULL, None))
"""
ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.xdist_group("benchmarks")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where the process keeps its folders; PostgreSQL's account must be able to reach it."""
    folder = Path(tempfile.mkdtemp(prefix="ig-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def start(script: str, temporary: Path, mark: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "BENCHMARK_TEST": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_over(temporary: Path, mark: str) -> list[str]:
    """Command lines of processes that were started for a run and live on."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
            environment = (process / "environ").read_text()
        except OSError:
            continue
        if command and (str(temporary) in command or mark in environment):
            found.append(command)
    return found


@pytest.fixture(scope="module")
def report() -> dict[str, object]:
    """The report of one tiny run over all operations."""
    folder = Path(tempfile.mkdtemp(prefix="ig-tests-"))
    folder.chmod(0o711)
    process = start(TINY, folder, uuid.uuid4().hex)
    printed, said = process.communicate(timeout=150)
    shutil.rmtree(folder)
    assert process.returncode == 0, said[-3000:]
    return json.loads(printed)


def test_every_arm_answers_every_operation_with_the_same_data(report):
    """The run ends with an error if they differ, before and while it measures."""
    assert [len(operation["arms"]) for operation in report["operations"]] == [4] * 5


def test_this_service_sends_one_or_two_statements(report):
    sent = {each["name"]: each["arms"]["ours"]["statements"] for each in report["operations"]}
    assert sent == {
        "tenant-page": 2, "entities-50": 1, "caller": 0, "list-100": 2, "uncached": 2,
    }  # fmt: skip


def test_bare_asgi_sends_none(report):
    assert {each["arms"]["bare"]["statements"] for each in report["operations"]} == {0}


def test_cpu_time_is_measured_for_every_arm(report):
    times = [arm["cpu_ms"] for each in report["operations"] for arm in each["arms"].values()]
    assert all(time > 0 for time in times)


def test_an_interrupt_leaves_no_process_and_no_folder(temporary: Path):
    mark = uuid.uuid4().hex
    process = start(LONG, temporary, mark)
    try:
        while not any("strawberry_app:cached" in command for command in left_over(temporary, mark)):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert left_over(temporary, mark) == []
    assert list(temporary.iterdir()) == []
