"""The report of the benchmark."""

import dataclasses
import socket
from datetime import date
from pathlib import Path

import orjson
import pytest

from benchmarks import machine, operations, plan, report, run, stats
from benchmarks.arms.catalog import ARMS, BARE, CACHED, OURS, STOCK
from benchmarks.measure import Cell, Measured


def cell(cost: float, **changes: object) -> Cell:
    """A round of an arm whose operations take `cost` milliseconds."""
    made = Cell(
        throughput=1000 / cost,
        closed_cpu=cost / 1000,
        open_cpu=cost / 1000,
        database_cpu=0.0002,
        latencies=stats.histogram([cost / 1000] * 100),
        lag_p99=0.00001,
        full_collections=0,
        kept_up=True,
        void=False,
        cores_elsewhere=0.1,
    )
    return dataclasses.replace(made, **changes)


def measured(costs: dict[str, float], **changes: object) -> Measured:
    made = Measured(
        operation=operations.TENANT_PAGE,
        rate=300.0,
        capacities={name: 1000 / cost for name, cost in costs.items()},
        statements=dict.fromkeys(ARMS, 2.0),
        answer_bytes=dict.fromkeys(ARMS, 4085),
        cells={name: [cell(cost) for _ in range(5)] for name, cost in costs.items()},
    )
    return dataclasses.replace(made, **changes)


FASTER = {BARE: 0.1, STOCK: 5.0, CACHED: 2.0, OURS: 1.0}
SLOWER = {BARE: 0.1, STOCK: 5.0, CACHED: 2.0, OURS: 2.2}


@pytest.fixture
def made_run() -> run.Run:
    environment = {
        **machine.environment(), "postgresql": "18.6", "pinned": True,
        "load_before": [0.1, 0.1, 0.1],
    }  # fmt: skip
    return run.Run(date(2026, 11, 23), "abc1234", False, environment, plan.STANDARD)


def test_faster_than_the_cached_arm_meets_the_goal():
    assert report.goals([measured(FASTER)])[0].met


def test_slower_than_the_cached_arm_in_every_round_misses_the_goal():
    assert not report.goals([measured(SLOWER)])[0].met


def test_more_than_two_statements_miss_the_goal():
    counts = {**dict.fromkeys(ARMS, 2.0), OURS: 3.0}
    assert not report.goals([measured(FASTER, statements=counts)])[1].met


def test_a_full_collection_in_another_arm_is_not_ours():
    cells = measured(FASTER).cells
    cells = {**cells, CACHED: [cell(2.0, full_collections=4)] * 5}
    assert report.goals([measured(FASTER, cells=cells)])[2].met


def test_a_full_collection_in_one_round_misses_the_goal():
    cells = measured(FASTER).cells
    cells = {**cells, OURS: [cell(1.0)] * 4 + [cell(1.0, full_collections=1)]}
    assert not report.goals([measured(FASTER, cells=cells)])[2].met


def test_every_pair_of_arms_has_a_ratio():
    ratios = report.as_data_of(measured(FASTER))["ratios"]["throughput"]
    assert {(arm, other) for arm in ratios for other in ratios[arm]} == {
        (arm, other) for arm in ARMS for other in ARMS if arm != other
    }


def test_latencies_of_an_arm_that_did_not_keep_up_are_not_compared():
    cells = {**measured(FASTER).cells, STOCK: [cell(5.0, kept_up=False)] * 5}
    assert report.ratio(measured(FASTER, cells=cells), "p99", OURS, STOCK) is None


def test_its_throughput_is_compared():
    cells = {**measured(FASTER).cells, STOCK: [cell(5.0, kept_up=False)] * 5}
    found = report.ratio(measured(FASTER, cells=cells), "throughput", OURS, STOCK)
    assert found is not None
    assert found.median == pytest.approx(5)


def test_void_rounds_are_marked_on_the_page(made_run: run.Run):
    cells = {**measured(FASTER).cells, OURS: [cell(1.0, void=True)] * 5}
    assert "generator late in 5" in report.as_page(made_run, [measured(FASTER, cells=cells)])


def test_the_report_is_written_as_data_and_as_a_page(made_run: run.Run, tmp_path: Path):
    run.write(made_run, [measured(FASTER)], tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"2026-11-23-abc1234.json", "2026-11-23-abc1234.md", "latest.md"}


def test_the_latest_page_is_the_page_of_the_run(made_run: run.Run, tmp_path: Path):
    latest = run.write(made_run, [measured(FASTER)], tmp_path)
    assert latest.read_text() == (tmp_path / "2026-11-23-abc1234.md").read_text()


def test_the_report_names_neither_the_machine_nor_its_folders(made_run: run.Run, tmp_path: Path):
    run.write(made_run, [measured(FASTER)], tmp_path)
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert socket.gethostname() not in text
    assert str(Path(run.__file__).parents[1]) not in text


def test_histograms_survive_in_the_data(made_run: run.Run, tmp_path: Path):
    run.write(made_run, [measured(FASTER)], tmp_path)
    data = orjson.loads((tmp_path / "2026-11-23-abc1234.json").read_bytes())
    encoded = data["operations"][0]["arms"][OURS]["rounds"][0]["histogram"]
    assert stats.HdrHistogram.decode(encoded).get_total_count() == 100
