"""Decimals in their one spelling, and the public bounds of a column as exact numbers."""

import math
from decimal import Context, Decimal
from fractions import Fraction
from typing import Final

from subgraph.budgets.refusals import invalid
from subgraph.tenants.model import Column

MOST_DIGITS: Final = 28
"""A number of a request is written with at most so many characters."""


def plain(value: Decimal) -> Decimal:
    """The one decimal of this finite value: without trailing zeros or a negative zero.

    Exact for numbers of `MOST_DIGITS` digits; every float has fewer in its shortest form.
    """
    return value.normalize(Context(prec=MOST_DIGITS)) if value else Decimal(0)


def shortest(value: float, field: str) -> Decimal:
    """A Float of a request as the shortest decimal that reads as this float.

    Raises `INVALID_INPUT` for NaN and the infinities.
    """
    if not math.isfinite(value):
        raise invalid(field, "a finite number")
    return plain(Decimal(repr(float(value))))


def bounds(column: Column) -> tuple[Decimal, Decimal]:
    """The public bounds of a NUMBER, as they were written when it was registered."""
    if column.lower is None or column.upper is None:
        raise invalid("column", "a column with bounds")
    return shortest(column.lower, "column"), shortest(column.upper, "column")


def rounded(value: Fraction) -> int:
    """The nearest integer, halves away from zero: what `round` of a PostgreSQL numeric does."""
    nearest = math.floor(abs(value) + Fraction(1, 2))
    return nearest if value >= 0 else -nearest


def adjusted(value: Fraction) -> int:
    """The power of ten of the first digit of a positive number; one too many at 9.99...9."""
    return (Decimal(value.numerator) / Decimal(value.denominator)).adjusted()
