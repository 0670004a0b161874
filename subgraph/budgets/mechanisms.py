"""The samplers and privacy maps of OpenDP, over 64-bit integers only.

Nothing here sees a float that depends on data, so there are no low-order bits to read
(Mironov 2012). OpenDP draws from the operating system's generator, also after a fork. Its
samplers take a time that depends on the noise; whoever answers must not let a client see it.
"""

import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

LARGEST_INTEGER: Final = 2**63 - 1
_CACHED = 256


def laplace_loss(sensitivity: int, scale: float) -> Fraction:
    """The epsilon that OpenDP certifies for integers with this L1 sensitivity; see `add_noise`."""
    return Fraction(_laplace(scale).map(sensitivity))


def selection_loss(sensitivity: int, scale: float) -> Fraction:
    """The epsilon that OpenDP certifies for scores with this L-infinity sensitivity."""
    return Fraction(_least(scale).map(sensitivity))


def add_noise(exact: Sequence[int], scale: float) -> tuple[int, ...]:
    """Each integer with discrete Laplace noise of its own, saturated at 64 bits.

    The noise is k with probability proportional to exp(-|k| / scale), sampled exactly (Canonne,
    Kamath and Steinke, arXiv 2004.00010). Raises `ValueError`, without naming it, for a value
    that is no 64-bit integer.
    """
    return tuple(int(value) for value in _invoked(_laplace(scale), exact))


def select_least(scores: Sequence[int], scale: float) -> int:
    """The index of a low score: of the least one with exponential noise of this scale.

    This is permute-and-flip (McKenna and Sheldon, arXiv 2010.12603). Raises as `add_noise`.
    """
    return int(_invoked(_least(scale), scores))


def _invoked(measurement: Any, values: Sequence[int]) -> Any:
    # What is outside of its domain OpenDP may take without a word, and certify nothing. Asking
    # OpenDP whether a value is a member takes as long as the draw.
    if not all(type(value) is int and abs(value) <= LARGEST_INTEGER for value in values):
        raise ValueError("not a list of 64-bit integers")
    return measurement(list(values))


@functools.lru_cache(maxsize=_CACHED)
def _laplace(scale: float) -> Any:
    dp = _opendp()
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    return dp.m.make_laplace(*space, scale=_positive(scale))


@functools.lru_cache(maxsize=_CACHED)
def _least(scale: float) -> Any:
    dp = _opendp()
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.linf_distance(T="i64")
    measure = dp.max_divergence()
    return dp.m.make_noisy_max(*space, measure, scale=_positive(scale), negate=True)


def _positive(scale: float) -> float:
    # A scale of zero adds no noise, which OpenDP certifies as an infinite loss without complaint.
    if not 0 < scale < float("inf"):
        raise ValueError("a scale is positive and finite")
    return scale


@functools.cache
def _opendp() -> Any:
    """OpenDP, imported and allowed to build what its authors have not yet proven formally."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    return dp
