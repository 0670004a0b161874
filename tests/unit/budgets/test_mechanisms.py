"""Only integers go in, only integers come out, and nothing outside of the domain is taken."""

import math
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from subgraph.budgets import mechanisms

EDGE = 2**63 - 1


@pytest.mark.parametrize(
    "value", [EDGE + 1, -EDGE - 1, 1.0, math.nan, math.inf, True, None, "1", Decimal(1)]
)
def test_a_value_outside_of_the_domain_is_refused_without_being_named(value: Any) -> None:
    for apply in (mechanisms.add_noise, mechanisms.select_least):
        with pytest.raises(ValueError, match=r"^not a list of 64-bit integers$"):
            apply((0, value), 1.0)


def test_what_is_taken_is_a_member_of_the_domain_of_opendp() -> None:
    for measurement in (mechanisms._laplace(1.0), mechanisms._least(1.0)):
        for taken in ([0], [EDGE, -EDGE], [], list(range(-500, 500))):
            assert measurement.input_domain.member(taken)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_a_scale_that_would_hide_nothing_is_refused(scale: float) -> None:
    for build in (mechanisms._laplace, mechanisms._least):
        with pytest.raises(ValueError, match="a scale is positive and finite"):
            build(scale)


def test_a_negative_sensitivity_is_refused() -> None:
    for loss in (mechanisms.laplace_loss, mechanisms.selection_loss):
        with pytest.raises(Exception, match=r"(?i)sensitivity|distance|negative"):
            loss(-1, 1.0)


def test_noise_at_the_ends_of_64_bits_is_saturated() -> None:
    noisy = mechanisms.add_noise((EDGE, -EDGE) * 100, 1e6)
    assert max(noisy) == EDGE
    assert min(noisy) <= -EDGE


def test_a_clear_winner_is_selected_and_order_does_not_matter() -> None:
    scores = [10**6] * 50
    scores[17] = 0
    assert {mechanisms.select_least(scores, 10.0) for _ in range(50)} == {17}


def test_equal_scores_are_selected_evenly() -> None:
    drawn = [mechanisms.select_least((5, 5), 1.0) for _ in range(4_000)]
    # Hoeffding, at a false alarm in 10**9: sqrt(ln(2e9) / 8000).
    assert abs(sum(drawn) / len(drawn) - 0.5) < 0.0518


def test_opendp_is_not_loaded_before_it_is_used() -> None:
    program = (
        "import sys, subgraph.budgets.drawing;"
        " sys.exit(any(name.startswith('opendp') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_only_the_feature_that_is_needed_is_enabled() -> None:
    mechanisms._laplace(1.0)
    from opendp.mod import GLOBAL_FEATURES

    assert set(GLOBAL_FEATURES) == {"contrib"}
