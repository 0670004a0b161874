"""From members and parameters to operation requests."""

from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.operations import entries_of, from_object, from_query_string
from subgraph.queries.model import OperationRequest


def test_members_become_a_request() -> None:
    members = {
        "query": "query A { a }",
        "operationName": "A",
        "variables": {"x": 1},
        "extensions": {"y": 2},
        "unknown": 3,
    }
    assert from_object(members) == OperationRequest("query A { a }", "A", {"x": 1}, {"y": 2})


def test_null_is_as_good_as_absent() -> None:
    members = {"query": "{ a }", "operationName": None, "variables": None, "extensions": None}
    assert from_object(members) == from_object({"query": "{ a }"})


@pytest.mark.parametrize("value", [None, 1, "{ a }", True, [], ["{ a }"]])
def test_what_is_no_object_is_no_request(value: object) -> None:
    with pytest.raises(SubgraphError) as refused:
        from_object(value)
    assert refused.value.code is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("query", None),
        ("query", 1),
        ("query", {"a": 1}),
        ("operationName", ["A"]),
        ("operationName", False),
        ("variables", "{}"),
        ("variables", [1]),
        ("variables", 0),
        ("extensions", "{}"),
        ("extensions", []),
    ],
)
def test_wrong_type_is_named(member: str, value: object) -> None:
    with pytest.raises(SubgraphError, match=f"`{member}`") as refused:
        from_object({"query": "{ a }", member: value})
    assert refused.value.code is ErrorCode.BAD_REQUEST


def test_bad_entry_harms_only_itself() -> None:
    good, bad, nested = entries_of([{"query": "{ a }"}, 7, [{"query": "{ a }"}]], limit=3)
    assert isinstance(good, OperationRequest)
    assert isinstance(bad, SubgraphError)
    assert isinstance(nested, SubgraphError)


@pytest.mark.parametrize("count", [0, 3])
def test_batch_size_is_bounded(count: int) -> None:
    with pytest.raises(SubgraphError) as refused:
        entries_of([{"query": "{ a }"}] * count, limit=2)
    assert refused.value.code is ErrorCode.BATCH_TOO_LARGE


def test_parameters_become_a_read_only_request() -> None:
    query_string = urlencode(
        {
            "query": "query A { a }",
            "operationName": "A",
            "variables": '{"x":"é+ "}',
            "extensions": "null",
            "other": "1",
        }
    )
    expected = OperationRequest("query A { a }", "A", {"x": "é+ "}, None, read_only=True)
    assert from_query_string(query_string.encode()) == expected


def test_empty_operation_name_is_none() -> None:
    assert from_query_string(b"query=%7Ba%7D&operationName=").operation_name is None


@pytest.mark.parametrize(
    ("query_string", "code"),
    [
        (b"", ErrorCode.BAD_REQUEST),
        (b"variables={}", ErrorCode.BAD_REQUEST),
        (b"query={a}&query={b}", ErrorCode.BAD_REQUEST),
        (b"query={a}&variables=%7B%7D&%76ariables=%7B%7D", ErrorCode.BAD_REQUEST),
        (b"query={a}&operationName=&operationName=", ErrorCode.BAD_REQUEST),
        (b"query={a}" + b"&x=1" * 200, ErrorCode.BAD_REQUEST),
        (b"query={a}&variables=[]", ErrorCode.BAD_REQUEST),
        (b"query={a}&variables=", ErrorCode.MALFORMED_JSON),
        (b"query={a}&variables={", ErrorCode.MALFORMED_JSON),
        (b'query={a}&variables={"a":1,"a":2}', ErrorCode.DUPLICATE_KEY),
        (b"query={a}&variables=" + b"[" * 5000, ErrorCode.NESTING_TOO_DEEP),
        (b"query=%FF", ErrorCode.INVALID_UTF8),
        (b"query=%ED%A0%80", ErrorCode.INVALID_UTF8),
        (b"query=\xff", ErrorCode.INVALID_UTF8),
        (b"query={a}%00", ErrorCode.BAD_USER_INPUT),
        (b"query={a}&operationName=%00", ErrorCode.BAD_USER_INPUT),
    ],
)
def test_bad_parameters_have_their_code(query_string: bytes, code: ErrorCode) -> None:
    with pytest.raises(SubgraphError) as refused:
        from_query_string(query_string)
    assert refused.value.code is code


@given(st.binary() | st.binary().map(lambda tail: b"query={a}&variables=" + tail))
def test_any_query_string_is_a_request_or_refused(query_string: bytes) -> None:
    with suppress(SubgraphError):
        assert from_query_string(query_string).read_only
