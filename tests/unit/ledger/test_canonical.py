import enum
import json
import struct
import unicodedata

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from subgraph.ledger import canonical
from subgraph.ledger.errors import EntryInvalid, Finding

TEXTS = st.text(st.characters(exclude_categories=["Cs"])).map(
    lambda text: unicodedata.normalize("NFC", text)
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def refusal(call, *arguments):
    with pytest.raises(EntryInvalid) as raised:
        call(*arguments)
    return raised.value.finding


@given(VALUES)
def test_the_text_is_that_of_the_rfc8785_package(value):
    assert canonical.encode(value) == rfc8785.dumps(value)


@given(VALUES)
def test_a_value_comes_back_from_its_text(value):
    assert canonical.parse(canonical.encode(value)) == value


def test_members_stand_in_the_order_of_utf16():
    value = {"\U0001f30d": 1, "\uff5e": 2, "b": 3, "\r": 4}
    assert canonical.encode(value) == '{"\\r":4,"b":3,"\U0001f30d":1,"\uff5e":2}'.encode()


def test_control_characters_are_escaped_as_the_rfc_says():
    assert (
        canonical.encode('\x00\b\t\n\f\r"\\\x1f\x7f/')
        == b'"\\u0000\\b\\t\\n\\f\\r\\"\\\\\\u001f\x7f/"'
    )


@pytest.mark.parametrize("number", [2**53, -(2**53), 10**40, 1.0, 0.1, float("nan"), float("inf")])
def test_a_number_that_not_every_reader_would_see_alike_is_refused(number):
    assert refusal(canonical.encode, {"n": number}) is Finding.NUMBER_REFUSED


@pytest.mark.parametrize(
    "text", ["1.0", "1e3", "NaN", "-Infinity", "9007199254740993000", "9" * 5000]
)
def test_a_text_with_such_a_number_is_refused(text):
    assert refusal(canonical.parse, text.encode()) is Finding.NUMBER_REFUSED


def test_the_largest_integers_are_kept():
    assert canonical.encode([2**53 - 1, -(2**53) + 1]) == b"[9007199254740991,-9007199254740991]"


def test_text_that_is_not_nfc_is_refused_as_value_and_as_name():
    assert refusal(canonical.encode, "e\u0301") is Finding.TEXT_NOT_NFC
    assert refusal(canonical.encode, {"e\u0301": 1}) is Finding.TEXT_NOT_NFC
    assert refusal(canonical.parse, '"e\u0301"'.encode()) is Finding.TEXT_NOT_NFC


def test_a_lone_surrogate_is_refused():
    assert refusal(canonical.encode, "\ud800") is Finding.TEXT_NOT_UNICODE
    assert refusal(canonical.parse, b'"\\ud800"') is Finding.TEXT_NOT_UNICODE
    assert refusal(canonical.parse, b'"\xed\xa0\x80"') is Finding.JSON_MALFORMED


def test_a_repeated_key_is_refused():
    assert refusal(canonical.parse, b'{"a":1,"a":1}') is Finding.JSON_DUPLICATE_KEY
    assert refusal(canonical.load, b'{"a":1, "\\u0061":2}') is Finding.JSON_DUPLICATE_KEY


@pytest.mark.parametrize(
    "text",
    ['{"b":1,"a":2}', '{ "a":1}', '{"a":1}\n', '"\\u0041"', '"\\/"', "-0", '"\\u001F"', "[1 ]"],
)
def test_another_text_of_the_same_value_is_refused(text):
    json.loads(text)
    assert refusal(canonical.parse, text.encode()) is Finding.JSON_NOT_CANONICAL


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b"\xef\xbb\xbf1", b"1 2", b"{'a':1}", b"\x00"]
)
def test_what_is_not_json_is_refused(text):
    assert refusal(canonical.parse, text) is Finding.JSON_MALFORMED


@pytest.mark.parametrize("depth", [40, 30_000])
def test_huge_nesting_is_refused(depth):
    assert refusal(canonical.parse, b"[" * depth + b"]" * depth) is Finding.JSON_TOO_DEEP


def test_nesting_of_values_is_refused_without_a_text():
    value = []
    value.append(value)
    assert refusal(canonical.encode, value) is Finding.JSON_TOO_DEEP


@pytest.mark.parametrize(
    "value", [b"bytes", {1: 2}, {None: 1}, {1, 2}, object(), struct.Struct("I")]
)
def test_what_json_does_not_have_is_refused(value):
    assert refusal(canonical.encode, value) in {Finding.NUMBER_REFUSED, Finding.ENTRY_MALFORMED}


def test_enumerations_are_written_as_their_values():
    class Colour(enum.StrEnum):
        RED = "red"

    class Level(enum.IntEnum):
        HIGH = 3

    assert canonical.encode({Colour.RED: [Colour.RED, Level.HIGH]}) == b'{"red":["red",3]}'
