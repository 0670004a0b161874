"""How far a job is: a bar on a terminal, a line for every change elsewhere."""

import sys
from typing import TextIO

from subgraph.keys.jobs.model import KeyJob, KeyJobKind

_WIDTH = 30
_MINUTE = 60
_STEP = 10.0
"""Percent between two lines where there is no terminal."""


class Progress:
    """Shows the states of one job, one after the other."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._drawn = False
        self._told: tuple[object, ...] | None = None

    def show(self, job: KeyJob) -> None:
        """Draw the bar anew, or write a line if there is something new to say."""
        if self._out.isatty():
            self._out.write(f"\r\x1b[K{bar(job)} {line(job)}")
            self._out.flush()
            self._drawn = True
            return
        said = (job.state, job.blocked_code, int((job.percent or 0.0) / _STEP))
        if said != self._told:
            self._told = said
            print(line(job), file=self._out, flush=True)

    def close(self) -> None:
        """Leave the bar as it is, and go on below it."""
        if self._drawn:
            print(file=self._out)


def bar(job: KeyJob) -> str:
    """The share that is dealt with, as a bar."""
    filled = round(_WIDTH * (job.percent or 0.0) / 100)
    return "[" + "#" * filled + "." * (_WIDTH - filled) + "]"


def line(job: KeyJob) -> str:
    """State, counts, rate and expected end, as far as they are known."""
    what = "records" if job.kind is KeyJobKind.REENCRYPT else "data keys"
    parts = [job.state.value]
    if job.percent is not None:
        parts.append(f"{job.percent:.1f} %")
    parts.append(f"{job.done:,} of {job.total:,} {what}")
    if job.superseded:
        parts.append(f"{job.superseded:,} moved by others")
    if job.quarantined:
        parts.append(f"{job.quarantined:,} in quarantine")
    left = job.remaining_seconds
    if job.rows_per_second is not None and left is not None:
        parts.append(f"{job.rows_per_second:,.0f}/s")
        parts.append(f"{int(left) // _MINUTE}:{int(left) % _MINUTE:02} left")
    if job.blocked_code is not None:
        parts.append(f"{job.blocked_code}: {job.blocked_message}")
    return ", ".join(parts)
