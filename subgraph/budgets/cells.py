"""What a histogram counts and a quantile may answer: public, whatever the data hold."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Final

from subgraph.budgets.decimals import adjusted, bounds
from subgraph.budgets.predicates import column_of
from subgraph.budgets.queries import ReleaseRequest
from subgraph.tenants.model import Column, Dataset

_MAGNITUDE: Final = 3
_MOST_STEPS: Final = 10**_MAGNITUDE


def cell_keys(request: ReleaseRequest, dataset: Dataset) -> tuple[str, ...]:
    """The keys of a histogram's cells, in their order: the public values, or `[low, high)`.

    The last interval of numbers is closed, `[low, high]`.
    """
    if request.bins is None:
        return column_of(dataset, request.column or "", "column").values or ()
    *others, last = (f"[{low:f}, {high:f}" for low, high in pairwise(request.bins))
    return *(f"{key})" for key in others), f"{last}]"


@dataclass(frozen=True, slots=True)
class Grid:
    """The numbers origin + i * step, for i from 0 to `last`."""

    origin: Decimal
    step: Decimal
    last: int

    def __getitem__(self, number: int) -> Decimal:
        """The candidate with this number."""
        return self.origin + self.step * number


def candidates(column: Column) -> Grid:
    """What a quantile of this column may be, ascending, at most 1,001 numbers.

    They begin at the lower bound and go up by the finest round step (1, 2 or 5 times a power of
    ten) that divides the range of the column into at most 1,000.
    """
    lower, upper = (Fraction(bound) for bound in bounds(column))
    exponent = adjusted(upper - lower) - _MAGNITUDE - 1
    while True:
        for leading in (1, 2, 5):
            step = leading * Fraction(10) ** exponent
            if upper - lower <= step * _MOST_STEPS:
                last = int((upper - lower) / step)
                return Grid(bounds(column)[0], Decimal(leading).scaleb(exponent), last)
        exponent += 1
