"""Bodies within limits, and JSON that everything behind can hold."""

import asyncio
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.body import MAX_NESTING, ClientDisconnected, parse_json, read_body

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=20,
)


def code_of(encoded: bytes) -> ErrorCode:
    with pytest.raises(SubgraphError) as refused:
        parse_json(encoded)
    return refused.value.code


@pytest.mark.parametrize(
    ("encoded", "code"),
    [
        (b"", ErrorCode.MALFORMED_JSON),
        (b"   ", ErrorCode.MALFORMED_JSON),
        (b'{"a":1', ErrorCode.MALFORMED_JSON),
        (b'{"a":1} x', ErrorCode.MALFORMED_JSON),
        (b"{'a':1}", ErrorCode.MALFORMED_JSON),
        (b'{"a":1,}', ErrorCode.MALFORMED_JSON),
        (b"[01]", ErrorCode.MALFORMED_JSON),
        (b"\xef\xbb\xbf{}", ErrorCode.MALFORMED_JSON),
        (b'{"a":NaN}', ErrorCode.MALFORMED_JSON),
        (b"[-Infinity]", ErrorCode.MALFORMED_JSON),
        (b'"raw\x00"', ErrorCode.MALFORMED_JSON),
        (b'"\\ud800"', ErrorCode.MALFORMED_JSON),
        (b'{"\\udfff":1}', ErrorCode.MALFORMED_JSON),
        (b'["\\ude00\\ud83d"]', ErrorCode.MALFORMED_JSON),
        (b'"\xff"', ErrorCode.INVALID_UTF8),
        (b'"\xed\xa0\x80"', ErrorCode.INVALID_UTF8),
        ('{"é":1}'.encode("utf-16"), ErrorCode.INVALID_UTF8),
        (b'{"a":1,"a":1}', ErrorCode.DUPLICATE_KEY),
        (b'{"a":[{"b":{"c":1,"\\u0063":2}}]}', ErrorCode.DUPLICATE_KEY),
        (b'{"a":9223372036854775808}', ErrorCode.NUMBER_OUT_OF_RANGE),
        (b"-9223372036854775809", ErrorCode.NUMBER_OUT_OF_RANGE),
        (b"[" + b"9" * 10_000 + b"]", ErrorCode.NUMBER_OUT_OF_RANGE),
        (b"1e999", ErrorCode.NUMBER_OUT_OF_RANGE),
        (b'{"a":"x\\u0000"}', ErrorCode.BAD_USER_INPUT),
        (b'[["\\u0000"]]', ErrorCode.BAD_USER_INPUT),
        (b'{"\\u0000":1}', ErrorCode.BAD_USER_INPUT),
        (b"[" * 100_000, ErrorCode.NESTING_TOO_DEEP),
        (b'{"a":' * 100_000, ErrorCode.NESTING_TOO_DEEP),
    ],
)
def test_fault_has_its_own_code(encoded: bytes, code: ErrorCode) -> None:
    assert code_of(encoded) is code


@pytest.mark.parametrize("leaf", [b"", b"1"])
def test_nesting_up_to_the_limit_is_taken(leaf: bytes) -> None:
    assert parse_json(b"[" * MAX_NESTING + leaf + b"]" * MAX_NESTING)


@pytest.mark.parametrize("leaf", [b"", b"1"])
def test_nesting_beyond_the_limit_is_refused(leaf: bytes) -> None:
    depth = MAX_NESTING + 1
    assert code_of(b"[" * depth + leaf + b"]" * depth) is ErrorCode.NESTING_TOO_DEEP


def test_wide_is_not_deep() -> None:
    assert parse_json(b"[" + b"{}," * 1000 + b"{}]") == [{}] * 1001


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\u0000"', "\\u0000"),
        (b'"\\\\ud800"', "\\ud800"),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"-0", 0),
        (b"1e-999", 0.0),
        (b' {"a" : [ ] } \n', {"a": []}),
    ],
)
def test_edge_of_json_is_taken(encoded: bytes, value: object) -> None:
    assert parse_json(encoded) == value


@given(value=JSON_VALUES, ascii_only=st.booleans())
def test_every_plain_value_survives(value: object, *, ascii_only: bool) -> None:
    encoded = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert parse_json(encoded) == value


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_what_is_taken_can_be_serialised(encoded: bytes) -> None:
    try:
        value = parse_json(encoded)
    except SubgraphError:
        return
    assert b"\0" not in orjson.dumps(value)


async def read(
    exchange, length: bytes | None = None, *, limit: int = 10, seconds: float = 5
) -> bytes:
    return await read_body(exchange.receive, length, limit, seconds)


async def test_body_of_several_messages_is_joined(exchange) -> None:
    exchange.give(b"ab", more=True)
    exchange.give(b"", more=True)
    exchange.give(b"cd")
    assert await read(exchange) == b"abcd"


async def test_body_of_exactly_the_limit_is_taken(exchange) -> None:
    exchange.give(b"x" * 10)
    assert await read(exchange, b"10") == b"x" * 10


@pytest.mark.parametrize("length", [b"11", b"9" * 5_000, b"0011"])
async def test_declared_length_is_refused_unread(exchange, length: bytes) -> None:
    with pytest.raises(SubgraphError) as refused:
        await read(exchange, length)
    assert (refused.value.code, exchange.received) == (ErrorCode.BODY_TOO_LARGE, 0)


@pytest.mark.parametrize("length", [None, b"1", b"-5", b"1,1", b"x", b""])
async def test_lying_length_does_not_lift_the_limit(exchange, length: bytes | None) -> None:
    for _ in range(5):
        exchange.give(b"x" * 4, more=True)
    with pytest.raises(SubgraphError) as refused:
        await read(exchange, length)
    assert (refused.value.code, exchange.received) == (ErrorCode.BODY_TOO_LARGE, 3)


async def test_body_that_stalls_is_given_up(exchange) -> None:
    exchange.give(b"{", more=True)
    with pytest.raises(SubgraphError) as refused:
        await read(exchange, seconds=0.01)
    assert refused.value.code is ErrorCode.BODY_TIMEOUT


async def test_client_that_leaves_in_the_body_is_noticed(exchange) -> None:
    exchange.give(b"{", more=True)
    exchange.hang_up()
    with pytest.raises(ClientDisconnected):
        await read(exchange)


async def test_cancellation_is_not_taken_for_a_slow_body(exchange) -> None:
    reading = asyncio.create_task(read(exchange))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
