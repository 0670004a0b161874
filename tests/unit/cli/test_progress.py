import io
from dataclasses import replace

import pytest

from subgraph.cli.progress import Progress, bar, line
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState
from subgraph.keys.jobs.service import new_job

PLANNED = new_job("acme", KeyJobKind.REENCRYPT)
HALFWAY = replace(PLANNED, state=KeyJobState.RUNNING, total=2_500, done=1_250, rows_per_second=10.0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(out: io.StringIO, *jobs: KeyJob) -> str:
    progress = Progress(out)
    for job in jobs:
        progress.show(job)
    progress.close()
    return out.getvalue()


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (PLANNED, "PLANNED, 0 of 0 records"),
        (HALFWAY, "RUNNING, 50.0 %, 1,250 of 2,500 records, 10/s, 2:05 left"),
        (
            replace(HALFWAY, superseded=5, quarantined=2, rows_per_second=None),
            "RUNNING, 50.3 %, 1,250 of 2,500 records, 5 moved by others, 2 in quarantine",
        ),
        (
            replace(
                HALFWAY,
                state=KeyJobState.BLOCKED,
                blocked_code="KEY_DISABLED",
                blocked_message="off",
            ),
            "BLOCKED, 50.0 %, 1,250 of 2,500 records, KEY_DISABLED: off",
        ),
        (
            replace(new_job("acme", KeyJobKind.ROTATE), state=KeyJobState.DONE, total=1, done=1),
            "DONE, 100.0 %, 1 of 1 data keys",
        ),
    ],
)
def test_a_line_says_what_is_known(job: KeyJob, expected: str) -> None:
    assert line(job) == expected


def test_a_bar_is_filled_by_the_share_that_is_dealt_with() -> None:
    assert [bar(job).count("#") for job in (PLANNED, HALFWAY)] == [0, 15]


def test_a_terminal_has_one_line_that_is_drawn_anew() -> None:
    drawn = shown(Terminal(), PLANNED, HALFWAY)
    assert drawn.count("\r\x1b[K[") == 2
    assert drawn.count("\n") == 1


def test_elsewhere_a_line_is_written_when_there_is_something_to_say() -> None:
    little_more = replace(HALFWAY, done=1_251)
    written = shown(io.StringIO(), PLANNED, HALFWAY, little_more, HALFWAY)
    assert written.splitlines() == [line(PLANNED), line(HALFWAY)]
