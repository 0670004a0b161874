"""The metrics of customer-managed keys, read from the numbers that the keyring counts."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from opentelemetry.metrics import Observation

from subgraph.telemetry import instruments
from subgraph.telemetry.instruments import Instrument


class KeyNumbers(Protocol):
    """What one process counts; see `subgraph.keys.telemetry.KeyTelemetry`."""

    hits: int
    misses: int
    held: int
    last_purge_seconds: float
    latency: Callable[[float, str], None] | None

    @property
    def failures(self) -> Mapping[tuple[str, str], int]:
        """Failed unwrappings by fault and by who asked."""
        ...

    @property
    def calls(self) -> Mapping[tuple[str, str], int]:
        """Calls of providers by operation and outcome."""
        ...

    @property
    def job_rows(self) -> Mapping[str, int]:
        """Rows that jobs dealt with, by outcome."""
        ...

    @property
    def refusals(self) -> Mapping[str, int]:
        """Tenants that are refused now, by fault."""
        ...

    def take_oldest(self) -> float:
        """The oldest age at which a key was served since this was last asked, in seconds."""
        ...


Read = Callable[[KeyNumbers], Iterable[Observation]]


def observed() -> Iterable[tuple[Instrument, Read]]:
    """Each metric that is read when somebody collects, and how."""
    yield (
        instruments.KEY_LOOKUPS,
        lambda keys: [
            Observation(keys.hits, {"result": "hit"}),
            Observation(keys.misses, {"result": "miss"}),
        ],
    )
    yield instruments.KEYS_HELD, lambda keys: [Observation(keys.held)]
    yield instruments.KEY_OLDEST, lambda keys: [Observation(keys.take_oldest())]
    yield (
        instruments.KEY_FAILURES,
        lambda keys: [
            Observation(count, {"fault": fault, "by": by})
            for (fault, by), count in keys.failures.items()
        ],
    )
    yield (
        instruments.KEY_CALLS,
        lambda keys: [
            Observation(count, {"operation": operation, "outcome": outcome})
            for (operation, outcome), count in keys.calls.items()
        ],
    )
    yield (
        instruments.KEY_REFUSALS,
        lambda keys: [Observation(count, {"fault": name}) for name, count in keys.refusals.items()],
    )
    yield instruments.KEY_PURGE, lambda keys: [Observation(keys.last_purge_seconds)]
    yield (
        instruments.KEY_JOB_ROWS,
        lambda keys: [
            Observation(count, {"outcome": outcome}) for outcome, count in keys.job_rows.items()
        ],
    )
