"""The steps at which a job can be interrupted, by name, so that tests reach every one."""

from collections.abc import Awaitable, Callable
from enum import Enum


class JobFaultPoint(Enum):
    """A step that was just completed."""

    CLAIMED = "job.claimed"
    ROTATED_AT_PROVIDER = "job.rotated"
    GENERATION_MADE = "job.generation"
    STARTED = "job.started"
    BATCH_READ = "job.read"
    BATCH_SEALED = "job.sealed"
    FENCED = "job.fenced"
    ROWS_MOVED = "job.moved"
    COUNTERS_MOVED = "job.counted"
    SAVED = "job.saved"
    BATCH_COMMITTED = "job.committed"
    KEY_WRAPPED = "job.wrapped"
    REWRAPPED = "job.rewrapped"
    SWEPT = "job.swept"
    SAMPLED = "job.sampled"
    RETIRED = "job.retired"
    ENQUEUED = "job.enqueued"


JobFaultPoints = Callable[[JobFaultPoint], Awaitable[None]]
"""Called at each step; production passes `no_faults`."""


async def no_faults(_: JobFaultPoint) -> None:
    """Go on."""
