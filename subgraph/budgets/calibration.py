"""How much noise an epsilon buys: never less than what OpenDP certifies for it."""

import functools
import math
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

from subgraph.budgets import mechanisms
from subgraph.budgets.epsilon import QUANTUM
from subgraph.budgets.model import DpMechanism
from subgraph.budgets.queries import ReleaseRequest
from subgraph.budgets.sensitivity import Quantity, quantities
from subgraph.tenants.model import Dataset


@dataclass(frozen=True, slots=True)
class Part:
    """A quantity, the share of epsilon that it costs, and the scale of its noise in steps."""

    quantity: Quantity
    epsilon: Decimal
    scale: float

    @property
    def scale_in_units(self) -> float:
        """The scale in the unit of the quantity."""
        return float(Fraction(self.scale) * self.quantity.step)


def calibrated(request: ReleaseRequest, dataset: Dataset) -> tuple[Part, ...]:
    """The parts of a normalised request; what they cost adds up to its epsilon, exactly."""
    asked = quantities(request, dataset)
    shares = split(request.epsilon, len(asked))
    return tuple(
        Part(quantity, share, scale(request.mechanism, quantity.sensitivity, share))
        for quantity, share in zip(asked, shares, strict=True)
    )


def certified(mechanism: DpMechanism, part: Part) -> Fraction:
    """The loss that OpenDP certifies for a part; at most the epsilon that is charged for it."""
    return _loss(mechanism, part.quantity.sensitivity, part.scale)


def split(epsilon: Decimal, parts: int) -> tuple[Decimal, ...]:
    """Epsilon in equal shares, multiples of the quantum; the last one takes what is left."""
    share = (epsilon / parts).quantize(QUANTUM, rounding=ROUND_FLOOR)
    return *([share] * (parts - 1)), epsilon - share * (parts - 1)


@functools.lru_cache(maxsize=1024)
def scale(mechanism: DpMechanism, sensitivity: int, epsilon: Decimal) -> float:
    """The least scale, up to a few floats, whose certified loss is at most epsilon.

    Both sides are compared as exact fractions: OpenDP rounds its map up, so the quotient itself
    is often certified for slightly more than epsilon.
    """
    change = 2 * sensitivity if mechanism is DpMechanism.EXPONENTIAL else sensitivity
    candidate = float(Fraction(change) / Fraction(epsilon))
    while _loss(mechanism, sensitivity, candidate) > Fraction(epsilon):
        candidate = math.nextafter(candidate, math.inf)
    return candidate


def _loss(mechanism: DpMechanism, sensitivity: int, scale: float) -> Fraction:
    if mechanism is DpMechanism.EXPONENTIAL:
        return mechanisms.selection_loss(sensitivity, scale)
    return mechanisms.laplace_loss(sensitivity, scale)
