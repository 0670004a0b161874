"""`make bench`: measures all arms on one database and writes the report."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson

from benchmarks import database, machine, plan, report
from benchmarks.arms import catalog
from benchmarks.measure import Instruments, Measured, measure
from benchmarks.plan import Plan
from benchmarks.report import Run

REPORTS = Path(__file__).with_name("reports")


def main() -> int:
    """Run as the environment says (`FULL=1`), and write `benchmarks/reports/`."""
    # A termination must unwind, so that servers and folders go with it, as ^C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    core = machine.separate_cores()
    try:
        run, measured = run_plan(plan.chosen(os.environ), core)
    except KeyboardInterrupt:
        print("interrupted; nothing is written", file=sys.stderr)
        return 130
    print(write(run, measured, REPORTS).read_text())
    return 0


def run_plan(chosen: Plan, core: int | None) -> tuple[Run, list[Measured]]:
    """Start the database and the arms, verify that they agree, measure, and stop everything.

    The arms run on `core`; this process and PostgreSQL, which share what is left, should be off it.
    """
    commit, uncommitted = machine.commit()
    busy = machine.load()
    with _workspace() as folder, database.seeded(folder / "data") as seeded:
        version = seeded.version()
        with catalog.running(seeded.service_dsn, folder, chosen.operations, core) as arms:
            measured = measure(
                arms,
                chosen,
                Instruments(
                    statements=seeded.statements,
                    database_cpu=partial(
                        machine.cpu_seconds_of_children, seeded.server.process.pid
                    ),
                    machine_cpu=machine.busy_seconds,
                ),
                _say,
            )
    return (
        Run(
            day=datetime.now(UTC).date(),
            commit=commit,
            uncommitted=uncommitted,
            environment={
                **machine.environment(),
                "postgresql": version,
                "pinned": core is not None,
                "load_before": busy,
            },
            plan=chosen,
        ),
        measured,
    )


def write(run: Run, measured: list[Measured], folder: Path) -> Path:
    """Write the report as JSON and Markdown, and the page once more as `latest.md`; its path."""
    folder.mkdir(exist_ok=True)
    data = report.as_data(run, measured)
    (folder / f"{run.name}.json").write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2))
    page = report.as_page(run, measured)
    (folder / f"{run.name}.md").write_text(page)
    latest = folder / "latest.md"
    latest.write_text(page)
    return latest


@contextmanager
def _workspace() -> Iterator[Path]:
    """A temporary folder that the account of an embedded PostgreSQL can walk through."""
    folder = Path(tempfile.mkdtemp(prefix="ig-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
