"""Every metric of the service: its name, unit, labels and meaning.

`docs/telemetry.md` repeats this table, and a test compares the two.
"""

from dataclasses import dataclass
from typing import Literal

DURATION_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
STATEMENT_BUCKETS = (1, 2, 3, 5, 8, 13, 21, 50, 100)
PAUSE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric; `unit` is a UCUM code, `buckets` the upper bounds of a histogram in it."""

    name: str
    kind: Literal["histogram", "counter", "gauge"]
    unit: str
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


OPERATION_DURATION = Instrument(
    "graphql.operation.duration",
    "histogram",
    "s",
    ("operation", "client", "outcome"),
    "Time from the parsed request to the finished answer of one operation.",
    DURATION_BUCKETS,
)
OPERATION_STATEMENTS = Instrument(
    "graphql.operation.statements",
    "histogram",
    "{statement}",
    (),
    "SQL statements of one operation; operations that sent none are not in it.",
    STATEMENT_BUCKETS,
)
ERRORS = Instrument(
    "graphql.errors",
    "counter",
    "{error}",
    ("code",),
    "Errors in answers, by stable code; an unknown one counts as INTERNAL_ERROR.",
)
OPERATION_CACHE = Instrument(
    "graphql.operation_cache",
    "counter",
    "{lookup}",
    ("result",),
    "Look-ups of parsed and validated documents; result is hit or miss.",
)
IN_FLIGHT = Instrument(
    "http.requests.in_flight",
    "gauge",
    "{request}",
    (),
    "HTTP requests that are being answered.",
)
POOL_SIZE = Instrument(
    "db.pool.size", "gauge", "{connection}", ("pool",), "Open connections of a database pool."
)
POOL_IDLE = Instrument(
    "db.pool.idle", "gauge", "{connection}", ("pool",), "Open connections that nobody uses."
)
LOOP_LAG = Instrument(
    "process.event_loop.lag",
    "histogram",
    "s",
    (),
    "How late a sleep of 100 ms ended; one sample every 100 ms.",
    PAUSE_BUCKETS,
)
GC_PAUSE = Instrument(
    "process.gc.pause",
    "histogram",
    "s",
    ("generation",),
    "Garbage collections that took at least 1 ms.",
    PAUSE_BUCKETS,
)
GC_COLLECTIONS = Instrument(
    "process.gc.collections", "counter", "{collection}", ("generation",), "All garbage collections."
)
GC_TIME = Instrument(
    "process.gc.time", "counter", "s", ("generation",), "Time spent in all garbage collections."
)

INSTRUMENTS = (
    OPERATION_DURATION,
    OPERATION_STATEMENTS,
    ERRORS,
    OPERATION_CACHE,
    IN_FLIGHT,
    POOL_SIZE,
    POOL_IDLE,
    LOOP_LAG,
    GC_PAUSE,
    GC_COLLECTIONS,
    GC_TIME,
)
