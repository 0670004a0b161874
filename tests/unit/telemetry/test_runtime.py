import asyncio
import contextlib
import gc
import time
from collections.abc import Iterator

import pytest

from subgraph import settings
from subgraph.telemetry import Telemetry, runtime
from subgraph.telemetry.runtime import GcObserver, sample_event_loop


@pytest.fixture
def observer() -> Iterator[GcObserver]:
    started = GcObserver()
    started.start()
    yield started
    started.stop()


@pytest.fixture
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_a_collection_is_counted_in_its_generation(observer: GcObserver) -> None:
    before = observer.collections[2]
    gc.collect()
    assert observer.collections[2] == before + 1


def test_a_collection_takes_time(observer: GcObserver) -> None:
    gc.collect()
    assert observer.seconds[2] > 0


def test_a_long_pause_is_drained_once(
    observer: GcObserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "LONG_PAUSE_SECONDS", 0.0)
    gc.collect()
    monkeypatch.undo()
    drained: list[int] = []
    observer.drain(lambda generation, _: drained.append(generation))
    once = drained.count(2)
    observer.drain(lambda generation, _: drained.append(generation))
    assert (once, drained.count(2)) == (1, 1)


def test_pauses_that_nobody_drains_are_bounded(
    observer: GcObserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "LONG_PAUSE_SECONDS", 0.0)
    for _ in range(2_000):
        gc.collect(0)
    kept: list[int] = []
    observer.drain(lambda generation, _: kept.append(generation))
    assert len(kept) <= 1_000


def test_a_stopped_observer_leaves_no_callback() -> None:
    before = list(gc.callbacks)
    observer = GcObserver()
    observer.start()
    observer.stop()
    observer.stop()
    assert gc.callbacks == before


def test_shutdown_removes_the_callback() -> None:
    before = len(gc.callbacks)
    Telemetry.start(settings.load({}), {}).shutdown()
    assert len(gc.callbacks) == before


def test_collections_inside_the_metrics_sdk_do_not_deadlock(
    thresholds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "LONG_PAUSE_SECONDS", 0.0)
    telemetry = Telemetry.start(settings.load({}), {})
    gc.set_threshold(1, 1, 1_000)
    page = b""
    for _ in range(5):
        telemetry.operation_finished("Budget", None, 0.001, (), 1)
        page, _ = telemetry.metrics_page()
    gc.set_threshold(700, 10, 10)
    telemetry.shutdown()
    assert b"process_gc_pause_seconds_count" in page


async def test_a_blocked_event_loop_is_late() -> None:
    samples: list[float] = []
    task = asyncio.create_task(sample_event_loop(samples.append))
    await asyncio.sleep(0)
    time.sleep(0.25)  # noqa: ASYNC251 - blocking is the point
    while not samples:
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert samples[0] >= 0.1


async def test_watching_ends_when_cancelled() -> None:
    telemetry = Telemetry.start(settings.load({}), {})
    task = asyncio.create_task(telemetry.watch_event_loop())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    telemetry.shutdown()
    assert task.cancelled()
