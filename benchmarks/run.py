"""`make bench`: measures the operations and the sections, and writes the report."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson

from benchmarks import database, machine, plan, report, sections
from benchmarks.arms import catalog
from benchmarks.measure import Instruments, Measured, measure
from benchmarks.plan import Plan
from benchmarks.report import Run
from benchmarks.sections import OPERATIONS, SECTIONS
from benchmarks.sections.contract import Given, Result

REPORTS = Path(__file__).with_name("reports")


def main() -> int:
    """Run as the environment says (`FULL=1`, `SECTIONS`), and write `benchmarks/reports/`."""
    # A termination must unwind, so that servers and folders go with it, as ^C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    core = machine.separate_cores()
    try:
        names, chosen = sections.chosen(os.environ), plan.chosen(os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    measured: list[Measured] = []
    try:
        run, found = run_sections(chosen, names, core)
        if OPERATIONS in names:
            whole, measured = run_plan(chosen, core)
            run = replace(whole, part=run.part)
    except KeyboardInterrupt:
        print("interrupted; nothing is written", file=sys.stderr)
        return 130
    print(write(run, measured, REPORTS, found).read_text())
    return 0


def run_sections(
    chosen: Plan, names: Collection[str], core: int | None
) -> tuple[Run, list[Result]]:
    """Measure the named sections, one after the other, on a database of their own."""
    commit, busy = machine.commit(), machine.load()
    with _workspace() as folder, database.seeded(folder / "data") as seeded:
        given = Given(seeded.server, folder, chosen.rounds, _say)
        found = [section(given) for name, section in SECTIONS.items() if name in names]
        run = _run(chosen, commit, busy, core, seeded.version())
    left = [name for name in (OPERATIONS, *SECTIONS) if name not in names]
    return replace(run, part="-".join(names) if left else None), found


def run_plan(chosen: Plan, core: int | None) -> tuple[Run, list[Measured]]:
    """Start the database and the arms, verify that they agree, measure, and stop everything.

    The arms run on `core`; this process and PostgreSQL, which share what is left, should be off it.
    """
    commit, busy = machine.commit(), machine.load()
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
    return _run(chosen, commit, busy, core, version), measured


def _run(
    chosen: Plan, commit: tuple[str, bool], busy: list[float], core: int | None, version: str
) -> Run:
    name, uncommitted = commit
    return Run(
        day=datetime.now(UTC).date(),
        commit=name,
        uncommitted=uncommitted,
        environment={
            **machine.environment(),
            "postgresql": version,
            "pinned": core is not None,
            "load_before": busy,
        },
        plan=chosen,
    )


def write(
    run: Run, measured: Sequence[Measured], folder: Path, found: Sequence[Result] = ()
) -> Path:
    """Write the report as JSON and Markdown; the path of the page.

    The page of a whole run is written once more as `latest.md`.
    """
    folder.mkdir(exist_ok=True)
    data = report.as_data(run, measured, found)
    (folder / f"{run.name}.json").write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2))
    page = report.as_page(run, measured, found)
    own = folder / f"{run.name}.md"
    own.write_text(page)
    if run.part is not None:
        return own
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
