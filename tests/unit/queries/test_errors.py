"""What clients see of an error."""

import logging
from collections.abc import Iterator

import pytest
from graphql import GraphQLError, build_schema, graphql_sync

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.queries import errors
from subgraph.telemetry import request_id

SCHEMA = build_schema("type Query { it: Int must: Int! }")


def failed(raised: Exception, query: str = "{ it }") -> dict[str, object]:
    """The entry of `errors` for a field that raised."""

    def fail(_: object) -> int:
        raise raised

    answer = graphql_sync(SCHEMA, query, {"it": fail, "must": fail})
    (entry,) = errors.of_execution(answer.errors or [])
    return entry


@pytest.fixture(autouse=True)
def numbered() -> Iterator[None]:
    token = request_id.set("r-1")
    yield
    request_id.reset(token)


def test_expected_failure_says_its_code_its_details_and_its_place() -> None:
    entry = failed(SubgraphError(ErrorCode.FORBIDDEN, "No.", limit=3))
    assert entry == {
        "message": "No.",
        "locations": [{"line": 1, "column": 3}],
        "path": ["it"],
        "extensions": {"code": "FORBIDDEN", "limit": 3, "requestId": "r-1"},
    }


def test_fault_says_nothing_from_inside() -> None:
    entry = failed(RuntimeError("the password is x"))
    assert (entry["message"], entry["extensions"]) == (
        ErrorCode.INTERNAL_ERROR.meaning,
        {"code": "INTERNAL_ERROR", "requestId": "r-1"},
    )


def test_fault_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    fault = RuntimeError("broken")
    with caplog.at_level(logging.ERROR):
        failed(fault)
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [fault]


def test_expected_failure_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    failed(SubgraphError(ErrorCode.FORBIDDEN))
    assert caplog.records == []


def test_cause_of_an_expected_failure_is_not_told() -> None:
    error = SubgraphError(ErrorCode.DATABASE_UNAVAILABLE)
    error.__cause__ = OSError("10.0.0.1 refused")
    assert "10.0.0.1" not in str(failed(error))


def test_wrong_argument_is_the_callers() -> None:
    assert failed(GraphQLError("no"))["extensions"] == {
        "code": "BAD_USER_INPUT",
        "requestId": "r-1",
    }


def test_extensions_of_a_library_are_left_out() -> None:
    entry = failed(GraphQLError("no", extensions={"code": "X", "secret": "y"}))
    assert entry["extensions"] == {"code": "BAD_USER_INPUT", "requestId": "r-1"}


def test_refusal_of_a_request_has_no_place_in_the_data() -> None:
    entry = errors.of_subgraph(SubgraphError(ErrorCode.COST_LIMIT_EXCEEDED, limit=1, asked=2))
    assert entry == {
        "message": ErrorCode.COST_LIMIT_EXCEEDED.meaning,
        "extensions": {
            "code": "COST_LIMIT_EXCEEDED", "limit": 1, "asked": 2, "requestId": "r-1",
        },
    }  # fmt: skip


def test_codes_are_told_in_their_order() -> None:
    found = [
        errors.of_subgraph(SubgraphError(code))
        for code in (ErrorCode.FORBIDDEN, ErrorCode.INVALID_ID)
    ]
    assert errors.codes(found) == ("FORBIDDEN", "INVALID_ID")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "Variable '$v' has invalid value at .a: String cannot represent a non string value: 7",
            "Variable '$v' has invalid value at .a: String cannot represent a non string value.",
        ),
        (
            "Expected value of type 'A' to include required field 'b', found: {c: \"x: y\"}.",
            "Expected value of type 'A' to include required field 'b'.",
        ),
        ("Did you mean 'b'? Found: {c: 1}.", "Did you mean 'b'?"),
        (
            "Enum 'E' cannot represent non-enum value: \"x\". Did you mean the enum value 'Y'?",
            "Enum 'E' cannot represent non-enum value. Did you mean the enum value 'Y'?",
        ),
        (
            "Cannot query field 'found' on type 'Query'.",
            "Cannot query field 'found' on type 'Query'.",
        ),
    ],
)
def test_a_refused_value_is_not_told(message: str, told: str) -> None:
    (entry,) = errors.of_request([GraphQLError(message)], ErrorCode.BAD_USER_INPUT)
    assert entry["message"] == told
