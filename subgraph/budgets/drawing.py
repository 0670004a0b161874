"""From a reserved request to a noisy answer, and what an answer would be like.

`draw` is the only way from protected data to an answer. It runs for requests that were paid for,
and once it has touched data it fails in one way only, whatever happened: a failure that can be
told from another one would say something about the data, and cost nothing.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from subgraph.budgets import mechanisms
from subgraph.budgets.accuracy import bound_before, clamped, mean_interval, variance_interval
from subgraph.budgets.aggregates import aggregate
from subgraph.budgets.calibration import Part, calibrated
from subgraph.budgets.cells import candidates, cell_keys
from subgraph.budgets.decimals import bounds
from subgraph.budgets.model import DpMechanism, DpQueryKind, ReleaseKey
from subgraph.budgets.predicates import column_of
from subgraph.budgets.queries import ReleaseRequest, normalised, release_key
from subgraph.budgets.sensitivity import fixed_point
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.tenants import store
from subgraph.tenants.model import Dataset


class Reserved(Protocol):
    """What the accountant gives for a durable reservation."""

    def covers(self, release_key: ReleaseKey, epsilon: Decimal) -> bool:
        """Whether this release was reserved at this epsilon, and may be drawn now."""
        ...


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a histogram and its noisy count, which may be negative."""

    key: str
    value: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an answer would be like.

    `scales` are those of the noise of each part, in the unit of the part. `bound95` bounds the
    error with 95 percent confidence; None when it is no function of public parameters.
    """

    epsilon: Decimal
    mechanism: DpMechanism
    scales: tuple[float, ...]
    bound95: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A noisy answer: a value, or the cells of a histogram. See `Estimate` for the rest."""

    value: float | None
    cells: tuple[Cell, ...]
    epsilon: Decimal
    mechanism: DpMechanism
    scales: tuple[float, ...]
    bound95: float | None


def estimate(request: ReleaseRequest, dataset: Dataset) -> Estimate:
    """What drawing would cost and yield; reads no data. Raises `INVALID_INPUT`."""
    asked = normalised(request, dataset)
    parts = calibrated(asked, dataset)
    return Estimate(
        asked.epsilon, asked.mechanism, _scales(parts), _bound_before(asked, dataset, parts)
    )


async def draw(
    database: Database, tenant: str, dataset: Dataset, request: ReleaseRequest, reserved: Reserved
) -> Answer:
    """Aggregate, add noise, answer. Each call is a new draw: store what it answers.

    Raises `INVALID_INPUT` for what cannot be asked, and `INTERNAL_ERROR` for what is not covered by
    `reserved` or not a data set of `tenant`, before any data is touched. Afterwards every failure
    is `DP_RELEASE_FAILED`, without a cause; it is not to be refunded.
    """
    asked = normalised(request, dataset)
    covered = reserved.covers(release_key(asked, dataset), asked.epsilon)
    if not covered or dataset.tenant_id != tenant:
        raise SubgraphError(ErrorCode.INTERNAL_ERROR, "this release was not reserved")
    parts = calibrated(asked, dataset)
    source = await store.source(database, tenant, dataset.source_id)
    if source is None:
        raise SubgraphError(ErrorCode.INTERNAL_ERROR, "the source of the data set is gone")
    # Suppressed, not chained: a cause would go into logs, which more people read than the data.
    with suppress(Exception):
        exact = await aggregate(database, tenant, dataset, source, asked)
        return answered(asked, dataset, parts, exact)
    raise SubgraphError(ErrorCode.DP_RELEASE_FAILED)


def answered(
    request: ReleaseRequest, dataset: Dataset, parts: tuple[Part, ...], exact: tuple[int, ...]
) -> Answer:
    """The answer to a normalised request, made with noise from exact integers."""
    value: float | None = None
    cells: tuple[Cell, ...] = ()
    bound95 = _bound_before(request, dataset, parts)
    match request.kind:
        case DpQueryKind.QUANTILE:
            column = column_of(dataset, request.column or "", "column")
            chosen = mechanisms.select_least(exact, parts[0].scale)
            value = float(candidates(column)[chosen])
        case DpQueryKind.HISTOGRAM:
            noisy = mechanisms.add_noise(exact, parts[0].scale)
            keys = cell_keys(request, dataset)
            cells = tuple(Cell(key, float(n)) for key, n in zip(keys, noisy, strict=True))
        case DpQueryKind.MEAN | DpQueryKind.VARIANCE:
            noisy = _noisy(parts, exact)
            moment = _mean if request.kind is DpQueryKind.MEAN else _variance
            value, bound95 = moment(request, dataset, parts, noisy)
        case _:
            (noisy_value,) = _noisy(parts, exact)
            value = float(noisy_value * parts[0].quantity.step)
    return Answer(value, cells, request.epsilon, request.mechanism, _scales(parts), bound95)


def _noisy(parts: tuple[Part, ...], exact: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(
        mechanisms.add_noise((value,), part.scale)[0]
        for part, value in zip(parts, exact, strict=True)
    )


def _mean(
    request: ReleaseRequest, dataset: Dataset, parts: tuple[Part, ...], noisy: tuple[int, ...]
) -> tuple[float, float]:
    lower, upper = _bounds(request, dataset)
    # Half steps from the middle, which is half of all steps above the lower bound.
    half = parts[1].quantity.step
    middle = lower + fixed_point(request, dataset).upper * half
    reach = Fraction(fixed_point(request, dataset).upper)
    deviation = clamped(Fraction(noisy[1], max(noisy[0], 1)), -reach, reach)
    interval = mean_interval(noisy, parts).within(-reach, reach)
    value = clamped(middle + deviation * half, lower, upper)
    return float(value), _upward(interval.radius(deviation) * half)


def _variance(
    request: ReleaseRequest, dataset: Dataset, parts: tuple[Part, ...], noisy: tuple[int, ...]
) -> tuple[float, float]:
    square = parts[2].quantity.step
    # No variance of numbers within a range exceeds a quarter of its square (Popoviciu).
    largest = Fraction(fixed_point(request, dataset).upper) ** 2
    rows = max(noisy[0], 1)
    found = Fraction(noisy[2], rows) - Fraction(noisy[1], rows) ** 2
    variance = clamped(found, Fraction(0), largest)
    interval = variance_interval(noisy, parts).within(Fraction(0), largest)
    return float(variance * square), _upward(interval.radius(variance) * square)


def _bounds(request: ReleaseRequest, dataset: Dataset) -> tuple[Fraction, Fraction]:
    lower, upper = bounds(column_of(dataset, request.column or "", "column"))
    return Fraction(lower), Fraction(upper)


def _bound_before(
    request: ReleaseRequest, dataset: Dataset, parts: tuple[Part, ...]
) -> float | None:
    cells = len(cell_keys(request, dataset)) if request.kind is DpQueryKind.HISTOGRAM else 1
    bound = bound_before(request.kind, parts, cells)
    return None if bound is None else _upward(bound)


def _scales(parts: tuple[Part, ...]) -> tuple[float, ...]:
    return tuple(part.scale_in_units for part in parts)


def _upward(bound: Fraction) -> float:
    """The least float that is not below the bound."""
    nearest = float(bound)
    return nearest if Fraction(nearest) >= bound else math.nextafter(nearest, math.inf)
