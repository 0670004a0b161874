"""What OpenDP certifies never exceeds what is charged, and is not much less."""

import random
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.budgets import mechanisms
from subgraph.budgets.calibration import calibrated, certified, scale, split
from subgraph.budgets.epsilon import QUANTUM
from subgraph.budgets.model import DpMechanism
from subgraph.budgets.queries import ReleaseRequest, normalised
from subgraph.budgets.sensitivity import LARGEST
from tests.unit.budgets.relations import REQUESTS, dataset

LAPLACE, EXPONENTIAL = DpMechanism.DISCRETE_LAPLACE, DpMechanism.EXPONENTIAL


@pytest.mark.parametrize("mechanism", DpMechanism)
def test_certified_is_at_most_charged_for_a_thousand_random_pairs(mechanism: DpMechanism) -> None:
    random_ = random.Random(2020)
    loss = {LAPLACE: mechanisms.laplace_loss, EXPONENTIAL: mechanisms.selection_loss}[mechanism]
    for _ in range(1_000):
        epsilon = Decimal(random_.randint(10**6 // 3, 10**10)) * QUANTUM
        sensitivity = random_.randint(1, 2 ** random_.randint(1, 40))
        found = loss(sensitivity, scale(mechanism, sensitivity, epsilon))
        assert found <= Fraction(epsilon)
        assert found >= Fraction(epsilon) * (1 - Fraction(1, 10**12)), "noise was wasted"


@pytest.mark.parametrize("most", [1, 3, 1_000_000])
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: f"{one.kind.name} {one.column}")
def test_the_parts_of_a_request_cost_its_epsilon_exactly(
    request_: ReleaseRequest, most: int
) -> None:
    described = dataset(most)
    asked = normalised(request_, described)
    parts = calibrated(asked, described)
    assert sum(part.epsilon for part in parts) == asked.epsilon
    assert all(certified(asked.mechanism, part) <= Fraction(part.epsilon) for part in parts)
    assert sum(certified(asked.mechanism, part) for part in parts) <= Fraction(asked.epsilon)


@given(quanta=st.integers(10**6, 10**10), parts=st.integers(1, 3))
def test_shares_are_multiples_of_the_quantum_and_add_up(quanta: int, parts: int) -> None:
    epsilon = quanta * QUANTUM
    shares = split(epsilon, parts)
    assert sum(shares) == epsilon
    assert all(share > 0 and share % QUANTUM == 0 for share in shares)
    assert max(shares) - min(shares) < parts * QUANTUM


def test_the_quotient_alone_would_be_certified_for_more_than_was_charged() -> None:
    # Ten in a million or so; here the shortest scale is the quotient, and its loss is too high.
    quotient = float(Fraction(1) / Fraction(Decimal("0.000001")))
    assert mechanisms.laplace_loss(1, quotient) > Fraction(Decimal("0.000001"))
    assert scale(LAPLACE, 1, Decimal("0.000001")) > quotient


def test_the_largest_noise_is_far_from_the_ends_of_64_bits() -> None:
    widest = scale(LAPLACE, LARGEST, Decimal("0.000333333"))
    # P(|noise| > 2**62) = exp(-2**62 / scale), less than exp(-1000).
    assert 2**62 / widest > 1_000
    assert all(abs(noise) < 2**62 for noise in mechanisms.add_noise((0,) * 1_000, widest))
