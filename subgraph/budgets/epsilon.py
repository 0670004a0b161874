"""Epsilon: an exact decimal of scale 9, positive and below a thousand million; never a float."""

import re
from decimal import Decimal
from fractions import Fraction

from subgraph.errors import ErrorCode, SubgraphError

SCALE = 9
QUANTUM = Decimal(1).scaleb(-SCALE)
"""The least epsilon that there is."""

_TEXT = re.compile(r"(?:0|[1-9]\d{0,8})(?:\.(\d+))?", re.ASCII)
_LONGEST = 64
_QUANTA = 10**SCALE
_LIMIT = 10**9 * _QUANTA


def parse_epsilon(text: object) -> Decimal:
    """The epsilon that a request names.

    Raises `INVALID_INPUT` for anything but plain decimal digits above zero: no sign, no exponent,
    no NaN, no more than nine decimals. A price is never rounded for its buyer.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise _refused("an epsilon is a string of decimal digits")
    found = _TEXT.fullmatch(text)
    if found is None:
        raise _refused("an epsilon is a string of decimal digits, below 1000000000")
    if len(found[1] or "") > SCALE:
        raise _refused(f"wrong scale: an epsilon has at most {SCALE} decimals")
    value = Decimal(text)
    if value == 0:
        raise _refused("an epsilon is more than zero")
    return value


def format_epsilon(value: Decimal) -> str:
    """The one text of an amount: nine decimals. `ValueError` for an amount that has no such text.

    Amounts are epsilons and their sums, so zero has a text too.
    """
    quanta = _whole(value)
    return f"{quanta // _QUANTA}.{quanta % _QUANTA:0{SCALE}}"


def to_quanta(value: Decimal) -> int:
    """How many thousand-millionths an epsilon is; `ValueError` unless it is one."""
    quanta = _whole(value)
    if not 0 < quanta < _LIMIT:
        raise ValueError(f"{value} is no epsilon")
    return quanta


def from_quanta(quanta: int) -> Decimal:
    """The amount of so many thousand-millionths."""
    return Decimal(quanta).scaleb(-SCALE)


def ceil_epsilon(cost: Fraction) -> Decimal:
    """The least epsilon that covers a derived cost; `ValueError` unless the cost is positive."""
    value = from_quanta(-(-cost.numerator * _QUANTA // cost.denominator))
    to_quanta(value)
    return value


def _whole(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or value < 0 or value.adjusted() > SCALE * 2:
        raise ValueError(f"{value} is no amount of epsilon")
    if exponent < -_LONGEST or (scaled := Fraction(value) * _QUANTA).denominator != 1:
        raise ValueError(f"{value} has more than {SCALE} decimals")
    return int(scaled)


def _refused(message: str) -> SubgraphError:
    return SubgraphError(ErrorCode.INVALID_INPUT, message)
