"""How far one privacy unit can move an aggregate: what the noise must hide.

Two data sets are neighbours when one has all rows of the other and those of one unit more. Of
each unit at most C rows count (`maxContributions`), in all groups together. Each aggregate is a
list of integers; a sensitivity bounds, over all neighbours, the sum of their changes, or for the
scores of a quantile the largest change.

Numbers are summed as integers: as steps of 10**-exponent, the finest at which the sensitivity
does not exceed `LARGEST`. The bounds of the column and C alone decide on it. The noise is then at
least 2**40 / 10**(2 or less) steps for an epsilon of 1, and rounding a row moves half a step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from subgraph.budgets.decimals import adjusted, bounds, rounded
from subgraph.budgets.model import DpQueryKind
from subgraph.budgets.predicates import column_of
from subgraph.budgets.queries import ReleaseRequest
from subgraph.tenants.model import Column, Dataset

LARGEST: Final = 2**40
"""In steps. It leaves 2**22 between a sensitivity and the end of a 64-bit integer."""

_TOO_FINE = 13
"""A range of 10**13 steps exceeds `LARGEST`, whatever the rest."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity that is released with noise.

    `step` is what one of its integers means, in the unit of the quantity: rows, units, or the
    column's own, squared for `SQUARES`.
    """

    sensitivity: int
    step: Fraction


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Numbers as steps: `round((clamped value - origin) * 10**exponent)` in `lower..upper`."""

    exponent: int
    origin: Decimal
    lower: int
    upper: int

    @property
    def step(self) -> Fraction:
        """One step, in the unit of the column."""
        return Fraction(10) ** -self.exponent


def quantities(request: ReleaseRequest, dataset: Dataset) -> tuple[Quantity, ...]:
    """What is released to answer a normalised request, in the order of its aggregate.

    A mean is a count and a sum of deviations from the middle of the bounds; a variance is these
    and the sum of their squares. Deviations are counted in half steps, so that they are integers
    whether or not the middle is one.
    """
    rows = dataset.max_contributions
    count = Quantity(rows, Fraction(1))
    match request.kind:
        case DpQueryKind.COUNT | DpQueryKind.HISTOGRAM:
            # A row is in one cell, so a unit moves all cells together by its rows at most.
            return (count,)
        case DpQueryKind.DISTINCT_COUNT:
            return (Quantity(1, Fraction(1)),)
        case DpQueryKind.QUANTILE:
            below, above = weights(request)
            return (Quantity(rows * max(below, above), Fraction(1)),)
    point = fixed_point(request, dataset)
    if request.kind is DpQueryKind.SUM:
        return (Quantity(rows * max(abs(point.lower), abs(point.upper)), point.step),)
    deviations = Quantity(rows * point.upper, point.step / 2)
    if request.kind is DpQueryKind.MEAN:
        return count, deviations
    return count, deviations, Quantity(rows * point.upper**2, (point.step / 2) ** 2)


def fixed_point(request: ReleaseRequest, dataset: Dataset) -> FixedPoint:
    """How the numbers of a sum, a mean or a variance become integers.

    Sums count from zero, so that one row more or less moves them by its value; the others count
    from the lower bound.
    """
    column = column_of(dataset, request.column or "", "column")
    rows = dataset.max_contributions
    match request.kind:
        case DpQueryKind.SUM:
            return _finest(
                column, Decimal(0), lambda low, high: rows * max(abs(low), abs(high)) <= LARGEST
            )
        case DpQueryKind.VARIANCE:
            origin, _ = bounds(column)
            return _finest(column, origin, lambda _, high: rows * high**2 <= LARGEST)
        case _:
            origin, _ = bounds(column)
            return _finest(column, origin, lambda _, high: rows * high <= LARGEST)


def weights(request: ReleaseRequest) -> tuple[int, int]:
    """What a row below, and a row above a candidate weighs in the score of a quantile.

    A candidate's score is |below * w_below - above * w_above|, with w_below : w_above equal to
    1 - q : q in lowest terms: zero where the quantile is.
    """
    rank = Fraction(request.q or 0)
    return rank.denominator - rank.numerator, rank.numerator


def _finest(column: Column, origin: Decimal, fits: Callable[[int, int], bool]) -> FixedPoint:
    low, high = (Fraction(bound) - Fraction(origin) for bound in bounds(column))
    widest = max(abs(low), abs(high))
    exponent = _TOO_FINE - adjusted(widest)
    while True:
        steps = Fraction(10) ** exponent
        point = FixedPoint(exponent, origin, rounded(low * steps), rounded(high * steps))
        if fits(point.lower, point.upper):
            return point
        exponent -= 1
