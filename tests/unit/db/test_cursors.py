"""Cursors: made by nobody else, and good for one list."""

import base64
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from subgraph.db.cursors import CursorCodec, KeysetValue, ListIdentity
from subgraph.errors import ErrorCode, SubgraphError

CODEC = CursorCodec("k" * 32)
LIST = ListIdentity("datasets", "t-a", "slug")
# What keysets hold: names, ids and counters; no surrogates, since PostgreSQL stores none.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
VALUES = st.lists(TEXT | st.integers(-(2**63), 2**63 - 1), max_size=4).map(tuple)
LISTS = st.builds(ListIdentity, TEXT, TEXT, TEXT)


def refused(of: ListIdentity, cursor: str, codec: CursorCodec = CODEC) -> bool:
    """Whether it is refused as it should be; any other error fails the test."""
    try:
        codec.decode(of, cursor)
    except SubgraphError as error:
        return error.code is ErrorCode.INVALID_CURSOR
    return False


@given(LISTS, VALUES)
def test_what_was_encoded_is_decoded(of: ListIdentity, values: tuple[KeysetValue, ...]) -> None:
    assert CODEC.decode(of, CODEC.encode(of, values)) == values


@given(VALUES, st.data())
def test_a_cursor_with_any_other_character_is_refused(
    values: tuple[KeysetValue, ...], data: st.DataObject
) -> None:
    cursor = CODEC.encode(LIST, values)
    place = data.draw(st.integers(0, len(cursor) - 1))
    alphabet = st.sampled_from("ABCXYZabcxyz0189-_+/=\n")
    other = cursor[:place] + data.draw(alphabet | st.characters()) + cursor[place + 1 :]
    assume(other != cursor)
    assert refused(LIST, other)


@given(VALUES, st.data())
def test_a_cursor_with_any_other_bit_is_refused(
    values: tuple[KeysetValue, ...], data: st.DataObject
) -> None:
    cursor = CODEC.encode(LIST, values)
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    assert refused(LIST, base64.urlsafe_b64encode(raw).rstrip(b"=").decode())


def test_the_spare_bits_of_the_last_character_count() -> None:
    cursors = [CODEC.encode(LIST, ("a" * length,)) for length in range(3)]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = [
        last for cursor in cursors for last in alphabet if not refused(LIST, cursor[:-1] + last)
    ]
    assert len(accepted) == len(cursors)


@pytest.mark.parametrize(
    "other",
    [
        replace(LIST, name="tenants"),
        replace(LIST, tenant="t-b"),
        replace(LIST, tenant=""),
        replace(LIST, ordering="name"),
        ListIdentity("datasetst", "-a", "slug"),
        ListIdentity("t-a", "datasets", "slug"),
    ],
)
def test_a_cursor_of_another_list_is_refused(other: ListIdentity) -> None:
    assert refused(other, CODEC.encode(LIST, ("a", 1)))


@given(LISTS, LISTS, VALUES)
def test_a_cursor_fits_its_own_list_only(
    of: ListIdentity, other: ListIdentity, values: tuple[KeysetValue, ...]
) -> None:
    assume(of != other)
    assert refused(other, CODEC.encode(of, values))


def test_a_cursor_of_another_key_is_refused() -> None:
    assert refused(LIST, CODEC.encode(LIST, ("a",)), CursorCodec("l" * 32))


@given(st.text(max_size=300))
def test_arbitrary_text_is_refused(text: str) -> None:
    assert refused(LIST, text)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(raw: bytes) -> None:
    assert refused(LIST, base64.urlsafe_b64encode(raw).rstrip(b"=").decode())


def test_a_cursor_that_goes_on_is_refused() -> None:
    assert refused(LIST, CODEC.encode(LIST, ("a",)) + "A" * 5000)


@pytest.mark.parametrize("suffix", ["=", "==", "\n", " ", "A", "\x00"])
def test_a_cursor_with_something_behind_it_is_refused(suffix: str) -> None:
    assert refused(LIST, CODEC.encode(LIST, ("a",)) + suffix)


def test_replicas_with_the_same_key_read_each_others_cursors() -> None:
    assert CursorCodec("k" * 32).decode(LIST, CODEC.encode(LIST, ("a",))) == ("a",)
