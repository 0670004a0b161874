"""Every metric of the service: its name, unit, labels and meaning.

`docs/telemetry.md` repeats this table, and a test compares the two.
"""

from dataclasses import dataclass
from typing import Literal

DURATION_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
STATEMENT_BUCKETS = (1, 2, 3, 5, 8, 13, 21, 50, 100)
DECRYPT_BUCKETS = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25,
)  # fmt: skip
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
KEY_LOOKUPS = Instrument(
    "keys.lookups",
    "counter",
    "{lookup}",
    ("result",),
    "Look-ups of unwrapped data keys; result is hit, or miss when a provider was waited for.",
)
KEYS_HELD = Instrument("keys.held", "gauge", "{key}", (), "Data keys that are held unwrapped.")
KEY_OLDEST = Instrument(
    "keys.oldest_served",
    "gauge",
    "s",
    (),
    "The oldest age at which a data key was served since the last collection.",
)
KEY_FAILURES = Instrument(
    "keys.unwrap.failures",
    "counter",
    "{failure}",
    ("fault", "by"),
    "Failed unwrappings; by is read when a caller waited, refresh when nobody did.",
)
KEY_CALLS = Instrument(
    "keys.provider.calls",
    "counter",
    "{call}",
    ("operation", "outcome"),
    "Calls of key providers; outcome is ok or the fault.",
)
KEY_REFUSALS = Instrument(
    "keys.refused_tenants",
    "gauge",
    "{tenant}",
    ("fault",),
    "Tenants whose keys this process refuses to use now.",
)
KEY_PURGE = Instrument(
    "keys.last_purge",
    "gauge",
    "s",
    (),
    "Time from finding the last denial to the purge of that tenant's keys here.",
)
KEY_JOB_ROWS = Instrument(
    "keys.job.rows", "counter", "{row}", ("outcome",), "Rows that jobs on keys dealt with."
)
DECRYPT_DURATION = Instrument(
    "records.decrypt.duration",
    "histogram",
    "s",
    ("key",),
    "Time to decrypt one record; key is hot, or cold when a provider was waited for.",
    DECRYPT_BUCKETS,
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
    KEY_LOOKUPS,
    KEYS_HELD,
    KEY_OLDEST,
    KEY_FAILURES,
    KEY_CALLS,
    KEY_REFUSALS,
    KEY_PURGE,
    KEY_JOB_ROWS,
    DECRYPT_DURATION,
)
