"""The rounds: every arm in turn, for every operation, and again."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from hdrh.histogram import HdrHistogram

from benchmarks import load, stats
from benchmarks.arms.catalog import ARMS, CACHED, OURS, Arm
from benchmarks.load import Load
from benchmarks.operations import Operation
from benchmarks.plan import Plan
from benchmarks.wire import Wire, connected

_GENERATOR_SHARE = 0.05
"""The generator's own lateness, as a share of the latency, from which a round is void."""
_KEPT_UP = 0.97
"""An arm that answers a smaller share of what is due does not keep up with the rate."""
_SETTLE_SECONDS = 0.05

Counter = Callable[[], int]
"""How many statements PostgreSQL has seen from the service role."""
DatabaseClock = Callable[[], float]
"""How many seconds of CPU the backends of PostgreSQL have used."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm in one round of one operation; durations are in seconds."""

    throughput: float
    closed_cpu: float
    """CPU time of the arm for one operation, at its own limit."""
    open_cpu: float
    """The same, at the offered rate."""
    database_cpu: float
    """CPU time of PostgreSQL for one operation, at the offered rate."""
    latencies: HdrHistogram
    lag_p99: float
    full_collections: int
    kept_up: bool
    void: bool

    @property
    def percentiles(self) -> stats.Percentiles | None:
        """Latencies at the offered rate; None where nothing was answered."""
        return stats.percentiles(self.latencies)


@dataclass(frozen=True, slots=True)
class Measured:
    """All rounds of one operation."""

    operation: Operation
    rate: float
    """Operations a second that every arm was offered."""
    capacities: Mapping[str, float]
    """Operations a second at the calibration."""
    statements: Mapping[str, float]
    """For one operation."""
    answer_bytes: Mapping[str, int]
    cells: Mapping[str, list[Cell]]


def measure(
    arms: Mapping[str, Arm],
    plan: Plan,
    counter: Counter,
    database_clock: DatabaseClock,
    say: Callable[[str], None],
) -> list[Measured]:
    """Measure every operation of `plan`; the arms take turns in every round."""
    return [
        _Operation(arms, plan, operation, database_clock, say).measured(counter)
        for operation in plan.operations
    ]


@dataclass(frozen=True, slots=True)
class _Operation:
    arms: Mapping[str, Arm]
    plan: Plan
    operation: Operation
    database_clock: DatabaseClock
    say: Callable[[str], None]

    def measured(self, counter: Counter) -> Measured:
        plan = self.plan
        statements = {name: self._statements(arm, counter) for name, arm in self.arms.items()}
        capacities = {name: self._capacity(arm) for name, arm in self.arms.items()}
        rate = max(1.0, plan.share_of_capacity * min(capacities[CACHED], capacities[OURS]))
        self.say(f"{self.operation.name}: {rate:.0f} operations a second are offered")
        cells: dict[str, list[Cell]] = {name: [] for name in ARMS}
        retries = dict.fromkeys(ARMS, plan.retries)
        for number in range(plan.rounds):
            for name in _turns(number):
                cell = self._cell(self.arms[name], rate, number)
                if cell.void and retries[name]:
                    retries[name] -= 1
                    cell = self._cell(self.arms[name], rate, number)
                cells[name].append(cell)
            self.say(f"{self.operation.name}: round {number + 1} of {plan.rounds}")
        sizes = {name: len(arm.answers[self.operation.name]) for name, arm in self.arms.items()}
        return Measured(self.operation, rate, capacities, statements, sizes, cells)

    def _statements(self, arm: Arm, counter: Counter) -> float:
        requests = self.plan.counted_requests
        with self._connected(arm, 1) as wire:
            # Once first: preparing a statement asks for the types in it.
            wire.exchange()
            # Some statements follow the answer: the end of a transaction, the reset of a session.
            time.sleep(_SETTLE_SECONDS)
            before = counter()
            for _ in range(requests):
                wire.exchange()
            time.sleep(_SETTLE_SECONDS)
        return (counter() - before) / requests

    def _capacity(self, arm: Arm) -> float:
        plan = self.plan
        with self._connected(arm, plan.closed_connections) as wire:
            done = load.closed_loop(
                wire, seconds=plan.calibration_seconds, warmup=plan.calibration_seconds / 2
            )
        return done.throughput

    def _cell(self, arm: Arm, rate: float, number: int) -> Cell:
        plan = self.plan
        server = arm.server
        time.sleep(_SETTLE_SECONDS)
        at_first = server.use()
        database_at_first = self.database_clock()
        with self._connected(arm, plan.open_connections) as wire:
            opened = load.open_loop(
                wire,
                rate=rate,
                seconds=plan.open_seconds,
                warmup=plan.open_warmup,
                seed=number,
            )
        after_open = server.use()
        database_after_open = self.database_clock()
        with self._connected(arm, plan.closed_connections) as wire:
            closed = load.closed_loop(wire, seconds=plan.closed_seconds, warmup=plan.closed_warmup)
        at_last = server.use()
        latencies = stats.histogram(opened.latencies)
        lag_p99 = stats.histogram(opened.lags).get_value_at_percentile(99) / 1e6
        p99 = latencies.get_value_at_percentile(99) / 1e6
        return Cell(
            throughput=closed.throughput,
            closed_cpu=_each(at_last.cpu_seconds - after_open.cpu_seconds, closed),
            open_cpu=_each(after_open.cpu_seconds - at_first.cpu_seconds, opened),
            database_cpu=_each(database_after_open - database_at_first, opened),
            latencies=latencies,
            lag_p99=lag_p99,
            full_collections=at_last.collections[-1] - at_first.collections[-1],
            kept_up=opened.unanswered == 0 and opened.finished >= _KEPT_UP * opened.due,
            void=lag_p99 > _GENERATOR_SHARE * p99,
        )

    @contextmanager
    def _connected(self, arm: Arm, connections: int) -> Iterator[Wire]:
        with connected(
            arm.server.address,
            arm.path(self.operation),
            self.operation.bodies(),
            arm.tokens,
            connections=connections,
            expected=arm.answers[self.operation.name],
        ) as wire:
            yield wire


def _turns(number: int) -> list[str]:
    """The arms, beginning with another one in each round, so that none always goes first."""
    first = number % len(ARMS)
    return [*ARMS[first:], *ARMS[:first]]


def _each(seconds: float, done: Load) -> float:
    return seconds / max(done.total, 1)
