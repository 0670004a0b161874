"""Offers load: at given times regardless of the answers (open loop), or as fast as they come.

In the open loop a latency is the time from the instant at which a request was due, so a server
that stalls is charged for every request that it kept waiting ("coordinated omission" is what a
closed loop would do). Everything runs in one thread over keep-alive connections; waiting is by
`select` on an epoll set, because epoll alone knows whole milliseconds only.
"""

import gc
import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.wire import Connection, Wire

DRAIN_SECONDS = 1.0

_now = time.perf_counter


@dataclass(slots=True)
class Load:
    """What came of one phase; times are in seconds."""

    seconds: float
    """Length of the measured part, which begins when the warm-up is over."""
    due: int = 0
    """Requests that were due in the measured part."""
    finished: int = 0
    """Answers that came within the measured part."""
    total: int = 0
    """All answers, those to the warm-up included."""
    latencies: list[float] = field(default_factory=list)
    """From due to answered, of the requests that were due in the measured part."""
    lags: list[float] = field(default_factory=list)
    """From due to noticed by the generator: its own lateness."""
    unanswered: int = 0

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return self.finished / self.seconds


def open_loop(wire: Wire, *, rate: float, seconds: float, warmup: float, seed: int) -> Load:
    """Requests due at `rate` a second, with exponential gaps (a Poisson process)."""
    gaps = random.Random(seed)
    idle: list[Connection] = list(wire.connections)
    waiting: deque[float] = deque()
    load = Load(seconds)
    with _undisturbed():
        begin = _now() + warmup
        end = begin + seconds
        due = _now() + gaps.expovariate(rate)
        while True:
            now = _now()
            while due <= now and due < end:
                waiting.append(due)
                if due >= begin:
                    load.due += 1
                    load.lags.append(now - due)
                due += gaps.expovariate(rate)
            while waiting and idle:
                connection = idle.pop()
                connection.ask(waiting.popleft())
            in_flight = len(wire.connections) - len(idle)
            over = due >= end and now >= end
            if over and (now >= end + DRAIN_SECONDS or not (waiting or in_flight)):
                break
            until = min(due, end) if not over else end + DRAIN_SECONDS
            for connection in wire.answered(until - _now()):
                _take(load, connection, begin, end)
                idle.append(connection)
        load.unanswered = len(waiting) + len(wire.connections) - len(idle)
    return load


def closed_loop(wire: Wire, *, seconds: float, warmup: float) -> Load:
    """As many requests as there are connections, each followed by the next one."""
    load = Load(seconds)
    with _undisturbed():
        begin = _now() + warmup
        end = begin + seconds
        for connection in wire.connections:
            connection.ask(_now())
        in_flight = len(wire.connections)
        while in_flight:
            for connection in wire.answered(DRAIN_SECONDS):
                _take(load, connection, begin, end)
                if _now() < end:
                    connection.ask(_now())
                else:
                    in_flight -= 1
    return load


def _take(load: Load, connection: Connection, begin: float, end: float) -> None:
    now = _now()
    load.total += 1
    if connection.due >= begin:
        load.latencies.append(now - connection.due)
    if begin <= now < end:
        load.finished += 1


@contextmanager
def _undisturbed() -> Iterator[None]:
    """The generator must not collect garbage while it measures."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
