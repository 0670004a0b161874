"""A key bound to its context comes back in that context only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.kms.bound_key import BOUND_BYTES, bind, unbind
from subgraph.kms.contract import WrapContext
from subgraph.kms.faults import KeyFault, KeyProviderError

KEYS = st.binary(min_size=32, max_size=32)
CONTEXTS = st.builds(WrapContext, st.text(max_size=80), st.uuids(), st.text(max_size=20))


def refused(bound: bytes, context: WrapContext) -> bool:
    with pytest.raises(KeyProviderError) as caught:
        unbind(bound, context)
    return caught.value.fault is KeyFault.INTEGRITY


@given(KEYS, CONTEXTS)
def test_what_is_bound_is_unbound(key: bytes, context: WrapContext) -> None:
    assert len(bind(key, context)) == BOUND_BYTES
    assert unbind(bind(key, context), context) == key


@given(KEYS, CONTEXTS, CONTEXTS)
def test_no_other_context_unbinds(key: bytes, context: WrapContext, other: WrapContext) -> None:
    assert context == other or refused(bind(key, context), other)


@given(KEYS, CONTEXTS, st.integers(0, BOUND_BYTES * 8 - 1))
def test_no_changed_bit_passes(key: bytes, context: WrapContext, bit: int) -> None:
    changed = bytearray(bind(key, context))
    changed[bit // 8] ^= 1 << bit % 8
    assert refused(bytes(changed), context)


@given(KEYS, CONTEXTS, st.binary(max_size=130))
def test_nothing_else_passes(key: bytes, context: WrapContext, noise: bytes) -> None:
    assert noise == b"" or refused(bind(key, context) + noise, context)
    assert refused(noise, context)


@given(KEYS, CONTEXTS)
def test_a_refusal_does_not_hold_the_key(key: bytes, context: WrapContext) -> None:
    with pytest.raises(KeyProviderError) as caught:
        unbind(bind(key, context)[:-1], context)
    assert key.hex() not in str(caught.value) and repr(key) not in str(caught.value)
