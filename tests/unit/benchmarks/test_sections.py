"""Which sections are measured, and how their findings are told."""

from datetime import date
from pathlib import Path

import pytest

from benchmarks import plan, report, run, sections
from benchmarks.report import Run
from benchmarks.sections.contract import Comparison, Result

FASTER = Comparison("Something", "ms", "ours", "theirs", [1.0, 1.1], [4.0, 4.4])
ENVIRONMENT = {
    "cpu": "",
    "cores": 2,
    "kernel": "",
    "python": "",
    "postgresql": "",
    "load_before": [],
}


def made(part: str | None) -> Run:
    return Run(date(2026, 11, 24), "abc1234", False, ENVIRONMENT, plan.STANDARD, part)


@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        ({}, ("operations", *sections.SECTIONS)),
        ({"SECTIONS": ""}, ("operations", *sections.SECTIONS)),
        ({"SECTIONS": "ledger"}, ("ledger",)),
        ({"SECTIONS": "ledger, operations"}, ("operations", "ledger")),
    ],
)
def test_sections_are_chosen_by_their_names(named, wanted):
    assert sections.chosen(named) == wanted


def test_a_name_that_is_no_section_is_refused():
    with pytest.raises(ValueError, match="nothing: known are operations, ledger"):
        sections.chosen({"SECTIONS": "ledger,nothing"})


@pytest.mark.parametrize(("bound", "met"), [(0.2, False), (0.25, True), (0.3, True)])
def test_a_goal_is_met_by_the_median_of_the_ratios(bound, met):
    assert FASTER.at_most(bound, "goal").met is met


@pytest.mark.parametrize(("bound", "met"), [(0.2, True), (0.25, True), (0.3, False)])
def test_a_goal_may_be_a_lower_bound(bound, met):
    assert FASTER.at_least(bound, "goal").met is met


def test_a_section_alone_makes_a_page_with_its_goals_and_ratios():
    found = Result("some", "Some section", [FASTER], [FASTER.at_most(1, "Faster")], ["A note."])
    page = report.as_page(made("some"), [], [found])
    assert "| Faster | yes | 0.25 (0.25 to 0.25) |" in page
    assert "| Something, ms | ours | 1.05 | theirs | 4.2 | 0.25 (0.25 to 0.25) |" in page


@pytest.mark.parametrize(("part", "latest"), [(None, True), ("ledger", False)])
def test_only_a_whole_run_is_the_latest(tmp_path: Path, part: str | None, latest: bool):
    run.write(made(part), [], tmp_path)
    assert (tmp_path / "latest.md").exists() is latest
