"""Percentiles, and ratios of paired rounds with the interval that a bootstrap gives."""

import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hdrh.histogram import HdrHistogram

_HIGHEST_MICROSECONDS = 60_000_000
_SIGNIFICANT_DIGITS = 3
_RESAMPLES = 2_000
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Latencies in milliseconds."""

    p50: float
    p99: float
    p999: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of the rounds' ratios, and its 95 % interval."""

    median: float
    low: float
    high: float

    @property
    def written(self) -> str:
        """The median and the interval, to three digits."""
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def histogram(seconds: Iterable[float]) -> HdrHistogram:
    """A histogram of durations: microseconds up to a minute, three significant digits."""
    made = HdrHistogram(1, _HIGHEST_MICROSECONDS, _SIGNIFICANT_DIGITS)
    for duration in seconds:
        made.record_value(max(1, min(round(duration * 1e6), _HIGHEST_MICROSECONDS)))
    return made


def merged(histograms: Iterable[HdrHistogram]) -> HdrHistogram:
    """All values of `histograms` together."""
    total = histogram(())
    for part in histograms:
        total.add(part)
    return total


def percentiles(of: HdrHistogram) -> Percentiles | None:
    """The percentiles of a histogram; None of an empty one."""
    if of.get_total_count() == 0:
        return None
    return Percentiles(*(of.get_value_at_percentile(rank) / 1000 for rank in (50, 99, 99.9)))


def middle(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


def ratio(numerators: Sequence[float], denominators: Sequence[float], *, seed: int = 0) -> Ratio:
    """The ratio of two arms, paired by round; both sequences hold one value a round.

    The rounds are resampled with replacement, so the interval says what other rounds of the same
    kind might have shown, and nothing of a machine or a day of another kind.
    """
    ratios = [above / below for above, below in zip(numerators, denominators, strict=True)]
    draw = random.Random(seed)
    medians = sorted(
        statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES)
    )
    tail = round(_RESAMPLES * (1 - _CONFIDENCE) / 2)
    return Ratio(statistics.median(ratios), medians[tail], medians[-tail - 1])
