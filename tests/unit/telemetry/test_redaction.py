from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.telemetry.redaction import MAX_TEXT, redact, redact_text

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2VjcmV0c2lnbmF0dXJl"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEsecret\n-----END EC PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"token {JWT} refused", "c2VjcmV0"),
        (f"token {JWT[:40]}", "eyJzdWIi"),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJqYW5lIn0.", "eyJzdWIi"),
        ("Authorization: Bearer abc123", "abc123"),
        ("sent bearer abc123, retried", "abc123"),
        ("Basic dXNlcjpzZWNyZXQ=", "dXNlcjpz"),
        ("Bearer%20abc123", "abc123"),
        ("[(b'authorization', b'opaque-token')]", "opaque"),
        ("{'cookie': 'a=1; session=s3cret'}", "s3cret"),
        ("X-IG-Gateway-Secret: s3cret", "s3cret"),
        ("Settings(gateway_secret='s3cret', port=1)", "s3cret"),
        ("PGPASSWORD=s3cret psql", "s3cret"),
        ("host=db user=ig password='s3 cret'", "cret"),
        ('{"query": "x", "variables": {\n"email": "jane"}}', "jane"),
        ("cannot reach postgresql://ig:s3cret@db:5432/ig", "s3cret"),
        ("cannot reach postgresql://ig:p@ss/w#rd@db/ig?x=1", "rd"),
        ("http://collector:s3cret@127.0.0.1:4318/v1/traces", "s3cret"),
        (f"key {PEM} end", "MHcC"),
        (f"key {PEM[:40]}", "MHcC"),
        (PEM.replace("\n", "\\n"), "MHcC"),
        ("-----BEGIN PRIVATE KEY-----\nMHcC", "MHcC"),
        ("Key (email)=(jane.doe+x@mail.example.com)", "jane"),
    ],
)
def test_a_secret_is_not_in_the_text(text: str, secret: str) -> None:
    assert secret not in redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "listening on http://127.0.0.1:8080/graphql",
        "the keyJob moved 3 rows at 12:00:05",
        "subgraph.telemetry.redaction: field Budget.spent of type Decimal!",
        "@dpCost on Query.histogram",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact_text(text) == text


@given(st.text(alphabet="e-:/@.yJAbasic =\nBEGIN", max_size=3_000))
def test_any_text_comes_back_bounded(text: str) -> None:
    assert len(redact_text(text)) <= max(len(text) * 5, MAX_TEXT + 5)


@pytest.mark.parametrize("unit", ["eyJ", "://", "a@", "bearer ", "-----BEGIN ", "a.", "a-"])
def test_a_hostile_text_is_read_in_linear_time(unit: str) -> None:
    assert len(redact_text(unit * 80_000)) <= MAX_TEXT + 5


def test_lone_surrogates_become_escapes() -> None:
    assert redact_text("a\ud800b") == "a\\ud800b"


@pytest.mark.parametrize(
    "name",
    ["authorization", "Cookie", "X-IG-Gateway-Secret", "gateway_secret", "password", "variables"],
)
def test_a_sensitive_name_loses_its_value(name: str) -> None:
    assert redact({"kept": 1, name: {"deep": "x"}}) == {"kept": 1, name: "[redacted]"}


def test_sensitive_names_are_found_at_any_depth() -> None:
    assert "s3cret" not in str(redact([{"a": ({"password": "s3cret"},)}]))


def test_sensitive_headers_as_pairs_lose_their_value() -> None:
    assert redact([(b"cookie", b"s3cret"), ("accept", "x")]) == [
        ["cookie", "[redacted]"],
        ["accept", "x"],
    ]


def test_a_mapping_of_any_type_is_read_as_one() -> None:
    assert redact(MappingProxyType({"password": "s3cret"})) == {"password": "[redacted]"}


def test_an_unknown_object_is_its_type() -> None:
    class Row:
        def __repr__(self) -> str:
            return "jane"

    assert "jane" not in str(redact([Row(), b"jane", {"row": Row()}]))


def test_an_exception_is_its_type() -> None:
    assert redact(KeyError("jane")) == "<KeyError>"


def test_an_expected_failure_says_what_it_is() -> None:
    assert redact(SubgraphError(ErrorCode.NOT_FOUND, "no page")) == "NOT_FOUND: no page"


def test_plain_values_stay_readable() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert redact([1, 2.5, True, None, UUID(int=1), Path("a/b"), moment, 2**70]) == [
        1,
        2.5,
        True,
        None,
        "00000000-0000-0000-0000-000000000001",
        "a/b",
        "2026-01-02 00:00:00+00:00",
        str(2**70),
    ]


def test_a_structure_that_contains_itself_ends() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert str(redact(endless)).count("[") <= 6
