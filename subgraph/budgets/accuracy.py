"""How far an answer may be from the exact one, with 95 percent confidence.

The exact answer is the one over the rows and values that count: at most C rows of a unit, numbers
clamped to the bounds of the column and rounded to its step. What clamping does is not in here,
since only the data know. Every bound is a function of public parameters and released numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from subgraph.budgets.calibration import Part
from subgraph.budgets.model import DpQueryKind

ALPHA: Final = Fraction(1, 20)

_SLACK = 1 + 1e-12
"""More than the error of the floating-point formula below."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Rational numbers from `low` to `high`."""

    low: Fraction
    high: Fraction

    def radius(self, point: Fraction) -> Fraction:
        """The largest distance of a point to a number of the interval."""
        return max(abs(self.high - point), abs(point - self.low))

    def within(self, low: Fraction, high: Fraction) -> "Interval":
        """The interval with both ends moved into low..high."""
        return Interval(clamped(self.low, low, high), clamped(self.high, low, high))


def clamped(value: Fraction, low: Fraction, high: Fraction) -> Fraction:
    """The nearest number of low..high."""
    return min(max(value, low), high)


def laplace_bound(scale: float, alpha: Fraction) -> int:
    """The least a with P(|noise| > a) <= alpha, for discrete Laplace noise.

    With p = exp(-1/scale), P(|noise| >= t) = 2 p**t / (1 + p) for every t >= 1.
    """
    tail = 2 / (float(alpha) * (1 + math.exp(-1 / scale)))
    return max(math.ceil(scale * math.log(tail) * _SLACK) - 1, 0) if tail > 1 else 0


def bound_before(kind: DpQueryKind, parts: Sequence[Part], cells: int) -> Fraction | None:
    """The bound of a release that is a public number before it is drawn.

    That of a histogram holds for all `cells` at once. Those of a mean and a variance depend on
    the number of rows, and that of a quantile on how the values lie: None.
    """
    if kind in (DpQueryKind.MEAN, DpQueryKind.VARIANCE, DpQueryKind.QUANTILE):
        return None
    (part,) = parts
    return laplace_bound(part.scale, ALPHA / cells) * part.quantity.step


def mean_interval(noisy: Sequence[int], parts: Sequence[Part]) -> Interval:
    """Where the mean deviation is, in half steps: the corners of two intervals at once."""
    count, deviations = _intervals(noisy, parts)
    return _quotient(deviations, count)


def variance_interval(noisy: Sequence[int], parts: Sequence[Part]) -> Interval:
    """Where the variance is, in squared half steps: the corners of three intervals at once.

    That all three come from the same rows is not used, so the interval is wider than need be.
    """
    count, deviations, squares = _intervals(noisy, parts)
    mean, mean_square = _quotient(deviations, count), _quotient(squares, count)
    furthest = max(mean.high**2, mean.low**2)
    nearest = Fraction(0) if mean.low <= 0 <= mean.high else min(mean.low**2, mean.high**2)
    return Interval(mean_square.low - furthest, mean_square.high - nearest)


def _intervals(noisy: Sequence[int], parts: Sequence[Part]) -> list[Interval]:
    alpha = ALPHA / len(parts)
    radii = [laplace_bound(part.scale, alpha) for part in parts]
    return [
        Interval(Fraction(value - radius), Fraction(value + radius))
        for value, radius in zip(noisy, radii, strict=True)
    ]


def _quotient(total: Interval, count: Interval) -> Interval:
    """Where total / count is; a mean is one of at least one row."""
    fewest, most = max(count.low, Fraction(1)), max(count.high, Fraction(1))
    return Interval(
        min(total.low / fewest, total.low / most), max(total.high / fewest, total.high / most)
    )
