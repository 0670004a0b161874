"""Epsilons at the edge: exact, bounded, and never a float."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.budgets.epsilon import (
    ceil_epsilon,
    format_epsilon,
    from_quanta,
    parse_epsilon,
    to_quanta,
)
from subgraph.errors import ErrorCode, SubgraphError

QUANTA = st.integers(1, 10**18 - 1)


@pytest.mark.parametrize(
    "text",
    [
        "0", "0.0", "0.000000000", "-1", "+1", "-0.1", "NaN", "nan", "sNaN", "Infinity", "-inf",
        "1e-400", "1e999999", "1E2", "0.0000000001", "1.0000000000", "1000000000", "01", ".5",
        "1.", "1,5", "1_000", " 1", "1\n", "", "\u0661", "1" * 10_000, 1, 0.1, None, True,
        Decimal("0.1"),
    ],
)  # fmt: skip
def test_what_is_no_epsilon_is_refused(text: object) -> None:
    with pytest.raises(SubgraphError) as caught:
        parse_epsilon(text)
    assert caught.value.code is ErrorCode.INVALID_INPUT


def test_a_tenth_decimal_is_called_a_wrong_scale() -> None:
    with pytest.raises(SubgraphError, match="wrong scale"):
        parse_epsilon("0.0000000004")


@given(QUANTA)
def test_every_epsilon_has_one_text_that_is_read_back(quanta: int) -> None:
    value = from_quanta(quanta)
    assert to_quanta(parse_epsilon(format_epsilon(value))) == quanta


@given(st.fractions(min_value=Fraction(1, 10**12), max_value=10**6))
def test_a_derived_cost_is_covered_by_less_than_one_quantum_too_much(cost: Fraction) -> None:
    excess = Fraction(ceil_epsilon(cost)) - cost
    assert 0 <= excess < Fraction(1, 10**9)


@pytest.mark.parametrize("cost", [Fraction(0), Fraction(-1, 3), Fraction(10**9)])
def test_a_derived_cost_that_is_no_epsilon_is_a_fault(cost: Fraction) -> None:
    with pytest.raises(ValueError):
        ceil_epsilon(cost)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "1e-400", "1e-99999999", "1e999999"])
def test_an_amount_that_is_none_has_no_text(value: str) -> None:
    with pytest.raises(ValueError):
        format_epsilon(Decimal(value))
