"""The bounds hold with 95 percent, and are the least that do."""

import math
from fractions import Fraction

import pytest

from subgraph.budgets import mechanisms
from subgraph.budgets.accuracy import (
    ALPHA,
    Interval,
    bound_before,
    laplace_bound,
    mean_interval,
    variance_interval,
)
from subgraph.budgets.calibration import calibrated
from subgraph.budgets.model import DpQueryKind
from subgraph.budgets.queries import normalised
from tests.unit.budgets.relations import REQUESTS, dataset


def beyond(bound: int, scale: float) -> float:
    """P(|noise| > bound), summed over the definition."""
    p = math.exp(-1 / scale)
    return 2 * p ** (bound + 1) / (1 + p)


@pytest.mark.parametrize("scale", [0.01, 0.1, 0.34, 1, 2.5, 10, 50, 1e4])
@pytest.mark.parametrize("alpha", [ALPHA, ALPHA / 3, ALPHA / 100])
def test_the_bound_is_the_least_that_holds(scale: float, alpha: Fraction) -> None:
    bound = laplace_bound(scale, alpha)
    assert beyond(bound, scale) <= alpha
    assert bound == 0 or beyond(bound - 1, scale) > alpha


def test_the_bound_agrees_with_opendp() -> None:
    dp = mechanisms._opendp()
    for scale in (1.0, 10.0, 123.4, 1e9):
        # OpenDP names the least a with P(|noise| >= a) <= alpha, as a real number.
        least = dp.discrete_laplacian_scale_to_accuracy(scale, float(ALPHA))
        assert laplace_bound(scale, ALPHA) == pytest.approx(math.floor(least), abs=1, rel=1e-9)
    assert laplace_bound(10.0, ALPHA) == 30


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: f"{one.kind.name} {one.column}")
def test_a_bound_is_known_before_unless_it_depends_on_data(request_: object) -> None:
    described = dataset(3)
    asked = normalised(request_, described)  # type: ignore[arg-type]
    bound = bound_before(asked.kind, calibrated(asked, described), 1)
    unknown = (DpQueryKind.MEAN, DpQueryKind.VARIANCE, DpQueryKind.QUANTILE)
    assert (bound is None) == (asked.kind in unknown)


def test_the_bound_of_a_histogram_holds_for_all_cells_at_once() -> None:
    cells, draws, missed = 50, 400, 0
    bound = laplace_bound(10.0, ALPHA / cells)
    for _ in range(draws):
        missed += max(map(abs, mechanisms.add_noise((0,) * cells, 10.0))) > bound
    # Hoeffding, at a false alarm in 10**9: sqrt(ln(1e9) / 800) = 0.161.
    assert missed / draws <= 0.05 + 0.161
    alone = laplace_bound(10.0, ALPHA)
    assert any(max(map(abs, mechanisms.add_noise((0,) * cells, 10.0))) > alone for _ in range(50))


@pytest.mark.parametrize(("rows", "deviations"), [(1, 0), (40, 900), (40, -900), (1_000, 5_000)])
def test_the_intervals_of_moments_hold_the_exact_ones(rows: int, deviations: int) -> None:
    described = dataset()
    mean, variance = (
        calibrated(normalised(request, described), described)
        for request in REQUESTS
        if request.kind in (DpQueryKind.MEAN, DpQueryKind.VARIANCE)
    )
    squares = deviations**2 // rows + 77 * rows
    draws, outside = 400, 0
    for _ in range(draws):
        two, three = (
            [
                mechanisms.add_noise((exact,), part.scale)[0]
                for part, exact in zip(parts, (rows, deviations, squares), strict=False)
            ]
            for parts in (mean, variance)
        )
        exact_mean = Fraction(deviations, rows)
        exact_variance = Fraction(squares, rows) - exact_mean**2
        means, variances = mean_interval(two, mean), variance_interval(three, variance)
        outside += not means.low <= exact_mean <= means.high
        outside += not variances.low <= exact_variance <= variances.high
    assert outside / (2 * draws) <= 0.05 + 0.161


def test_the_radius_reaches_the_further_end() -> None:
    interval = Interval(Fraction(-3), Fraction(10)).within(Fraction(0), Fraction(8))
    assert interval == Interval(Fraction(0), Fraction(8))
    assert interval.radius(Fraction(3)) == 5
