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
from benchmarks.processes import Use
from benchmarks.wire import Wire, connected

_GENERATOR_SHARE = 0.05
"""The generator's own lateness, as a share of the latency, from which a round is void."""
_KEPT_UP = 0.97
"""An arm that answers a smaller share of what is due does not keep up with the rate."""
_SETTLE_SECONDS = 0.05
_AFTERTHOUGHT_SECONDS = 0.3
"""Some statements follow the answer: the end of a transaction, the reset of a session."""


@dataclass(frozen=True, slots=True)
class Instruments:
    """What is read before and after; times are in seconds."""

    statements: Callable[[], int]
    """Statements that PostgreSQL has seen from the service role."""
    database_cpu: Callable[[], float]
    """CPU time of the processes of PostgreSQL."""
    machine_cpu: Callable[[], float]
    """CPU time of everything on the machine."""


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
    cores_elsewhere: float
    """Cores that processes with no part in the benchmark kept busy meanwhile."""

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
    instruments: Instruments,
    say: Callable[[str], None],
) -> list[Measured]:
    """Measure every operation of `plan`; the arms take turns in every round."""
    return [
        _Operation(arms, plan, operation, instruments, say).measured()
        for operation in plan.operations
    ]


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    arm: Use
    database_cpu: float
    machine_cpu: float
    own_cpu: float

    @property
    def elsewhere(self) -> float:
        return self.machine_cpu - self.own_cpu - self.database_cpu - self.arm.cpu_seconds


@dataclass(frozen=True, slots=True)
class _Operation:
    arms: Mapping[str, Arm]
    plan: Plan
    operation: Operation
    instruments: Instruments
    say: Callable[[str], None]

    def measured(self) -> Measured:
        plan = self.plan
        statements = {name: self._statements(arm) for name, arm in self.arms.items()}
        capacities = {name: self._capacity(arm) for name, arm in self.arms.items()}
        rate = max(1.0, plan.share_of_capacity * min(capacities[CACHED], capacities[OURS]))
        found = ", ".join(f"{name} {capacity:.0f}" for name, capacity in capacities.items())
        self.say(f"{self.operation.name}: {found} a second; {rate:.0f} are offered")
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

    def _statements(self, arm: Arm) -> float:
        requests, sent = self.plan.counted_requests, self.instruments.statements
        with self._connected(arm, 1) as wire:
            # Once first: preparing a statement asks for the types in it.
            wire.exchange()
            time.sleep(_AFTERTHOUGHT_SECONDS)
            before = sent()
            for _ in range(requests):
                wire.exchange()
            time.sleep(_AFTERTHOUGHT_SECONDS)
        return (sent() - before) / requests

    def _capacity(self, arm: Arm) -> float:
        plan = self.plan
        with self._connected(arm, plan.closed_connections) as wire:
            done = load.closed_loop(
                wire, seconds=plan.calibration_seconds, warmup=plan.calibration_seconds / 2
            )
        return done.throughput

    def _cell(self, arm: Arm, rate: float, number: int) -> Cell:
        plan = self.plan
        time.sleep(_SETTLE_SECONDS)
        first = self._reading(arm)
        with self._connected(arm, plan.open_connections) as wire:
            opened = load.open_loop(
                wire,
                rate=rate,
                seconds=plan.open_seconds,
                warmup=plan.open_warmup,
                seed=number,
            )
        middle = self._reading(arm)
        with self._connected(arm, plan.closed_connections) as wire:
            closed = load.closed_loop(wire, seconds=plan.closed_seconds, warmup=plan.closed_warmup)
        last = self._reading(arm)
        latencies = stats.histogram(opened.latencies)
        lag_p99 = stats.histogram(opened.lags).get_value_at_percentile(99) / 1e6
        p99 = latencies.get_value_at_percentile(99) / 1e6
        return Cell(
            throughput=closed.throughput,
            closed_cpu=_each(last.arm.cpu_seconds - middle.arm.cpu_seconds, closed),
            open_cpu=_each(middle.arm.cpu_seconds - first.arm.cpu_seconds, opened),
            database_cpu=_each(middle.database_cpu - first.database_cpu, opened),
            latencies=latencies,
            lag_p99=lag_p99,
            full_collections=last.arm.collections[-1] - first.arm.collections[-1],
            kept_up=opened.unanswered == 0 and opened.finished >= _KEPT_UP * opened.due,
            void=lag_p99 > _GENERATOR_SHARE * p99,
            cores_elsewhere=(last.elsewhere - first.elsewhere) / (last.at - first.at),
        )

    def _reading(self, arm: Arm) -> "_Reading":
        return _Reading(
            at=time.perf_counter(),
            arm=arm.server.use(),
            database_cpu=self.instruments.database_cpu(),
            machine_cpu=self.instruments.machine_cpu(),
            own_cpu=time.process_time(),
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
