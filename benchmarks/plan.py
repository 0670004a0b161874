"""How much is measured."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks import operations
from benchmarks.operations import Operation


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run does; durations are in seconds."""

    operations: tuple[Operation, ...]
    rounds: int
    open_seconds: float
    open_warmup: float
    closed_seconds: float
    closed_warmup: float
    calibration_seconds: float
    counted_requests: int
    """Requests over which statements are counted."""
    retries: int
    """How many void rounds of an arm and operation are measured again."""
    open_connections: int = 32
    closed_connections: int = 16
    share_of_capacity: float = 0.6
    """Of the slower one of the two arms in question, for the rate that all arms are offered."""


STANDARD = Plan(
    operations=operations.STANDARD,
    rounds=5,
    open_seconds=5.0,
    open_warmup=0.5,
    closed_seconds=2.0,
    closed_warmup=0.3,
    calibration_seconds=2.0,
    counted_requests=50,
    retries=1,
)
FULL = Plan(
    operations=operations.FULL,
    rounds=9,
    open_seconds=8.0,
    open_warmup=1.0,
    closed_seconds=3.0,
    closed_warmup=0.5,
    calibration_seconds=3.0,
    counted_requests=50,
    retries=3,
)


def chosen(environ: Mapping[str, str]) -> Plan:
    """The plan that `FULL=1` chooses, or the standard one."""
    return FULL if environ.get("FULL") == "1" else STANDARD
