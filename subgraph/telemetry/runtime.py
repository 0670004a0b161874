"""What the interpreter itself adds to latency: a late event loop and garbage collection."""

import asyncio
import gc
import time
from collections import deque
from collections.abc import Callable

LAG_PERIOD_SECONDS = 0.1
LONG_PAUSE_SECONDS = 0.001
GENERATIONS = 3

_KEPT_PAUSES = 1_000


async def sample_event_loop(record: Callable[[float], None]) -> None:
    """Pass to `record` how late a 100 ms sleep ended, in seconds, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_PERIOD_SECONDS
        await asyncio.sleep(LAG_PERIOD_SECONDS)
        record(max(0.0, loop.time() - due))


class GcObserver:
    """Counts and times every garbage collection between `start` and `stop`.

    The callback runs inside the collector, possibly while this very thread holds a lock of the
    metrics SDK, so it may not record there: it adds to plain numbers, and keeps the pauses of at
    least 1 ms until `drain` is called.
    """

    def __init__(self) -> None:
        self.collections = [0] * GENERATIONS
        self.seconds = [0.0] * GENERATIONS
        self._long: deque[tuple[int, float]] = deque(maxlen=_KEPT_PAUSES)
        self._began = 0.0

    def start(self) -> None:
        """Begin to observe."""
        gc.callbacks.append(self._observe)

    def stop(self) -> None:
        """Observe no more; harmless when not started."""
        if self._observe in gc.callbacks:
            gc.callbacks.remove(self._observe)

    def drain(self, record: Callable[[int, float], None]) -> None:
        """Pass generation and seconds of every kept long pause to `record`, once."""
        # Recording may itself be interrupted by a collection; that one is for the next time.
        for _ in range(len(self._long)):
            record(*self._long.popleft())

    def _observe(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
            return
        if not self._began:
            return
        seconds = time.perf_counter() - self._began
        generation = info["generation"]
        self.collections[generation] += 1
        self.seconds[generation] += seconds
        if seconds >= LONG_PAUSE_SECONDS:
            self._long.append((generation, seconds))
