from dataclasses import replace
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest

from subgraph.errors import ErrorCode
from subgraph.ledger.entry import MAX_ENTRY_BYTES, Entry, commitment, decode
from subgraph.ledger.errors import EntryInvalid, Finding
from tests.unit.ledger.logs import START, TENANT

ENTRY = Entry(
    origin=TENANT,
    event_id=UUID("0b8e6a52-7b52-4f0c-9a4c-6a8f6f6f4b11"),
    tenant="acme",
    type="tenant.registered",
    at=START,
    actor="c2:5d0f",
    key_id="ab" * 32,
    payload={"region": "eu-central-1"},
)
TEXT = (
    b'{"actor":"c2:5d0f","at":"2026-11-23T12:00:00.123456Z",'
    b'"eventId":"0b8e6a52-7b52-4f0c-9a4c-6a8f6f6f4b11","keyId":"' + b"ab" * 32 + b'",'
    b'"origin":"ledger.example/tenant/acme","payload":{"region":"eu-central-1"},'
    b'"schemaVersion":1,"tenant":"acme","type":"tenant.registered"}'
)


def refusal(call, *arguments, **values):
    with pytest.raises(EntryInvalid) as raised:
        call(*arguments, **values)
    return raised.value.finding


def test_the_bytes_are_those_that_the_documentation_shows():
    assert ENTRY.encode() == TEXT


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY,
        replace(ENTRY, payload=None, payload_commitment="sha256:" + "0" * 64),
        replace(ENTRY, payload_commitment="sha256:" + "0" * 64),
        replace(ENTRY, payload={}),
        replace(ENTRY, origin="ledger.example/deployment", tenant=None),
        replace(ENTRY, at=START.replace(microsecond=0, year=900)),
    ],
)
def test_an_entry_comes_back_from_its_bytes(entry):
    assert decode(entry.encode()) == entry


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("origin", ""),
        ("origin", "ledger.example"),
        ("origin", "ledger.example/tenant/acme\n"),
        ("origin", "Ledger+example/tenant/acme"),
        ("tenant", None),
        ("tenant", "other"),
        ("type", "registered"),
        ("type", "Tenant.registered"),
        ("type", "a." + "b" * 100),
        ("actor", ""),
        ("actor", "a\nb"),
        ("actor", "a" * 256),
        ("key_id", "AB" * 32),
        ("key_id", "ab" * 31),
        ("at", START.replace(tzinfo=None)),
        ("at", START.astimezone(timezone(timedelta(hours=1)))),
        ("payload", None),
        ("payload_commitment", "sha256:xyz"),
    ],
)
def test_a_field_of_a_wrong_form_is_refused(field, value):
    assert refusal(replace, ENTRY, **{field: value}) is Finding.ENTRY_MALFORMED


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (b'"schemaVersion":1', b'"schemaVersion":2', Finding.ENTRY_VERSION_UNKNOWN),
        (b'"schemaVersion":1', b'"schemaVersion":true', Finding.ENTRY_VERSION_UNKNOWN),
        (b'"schemaVersion":1,', b"", Finding.ENTRY_VERSION_UNKNOWN),
        (b'"schemaVersion":1', b'"schemaVersion":1.0', Finding.NUMBER_REFUSED),
        (b'"actor":"c2:5d0f",', b"", Finding.ENTRY_MALFORMED),
        (b'"actor":"c2:5d0f"', b'"actor":7', Finding.ENTRY_MALFORMED),
        (b'"type"', b'"title":1,"type"', Finding.ENTRY_MALFORMED),
        (b'{"region":"eu-central-1"}', b"null", Finding.ENTRY_MALFORMED),
        (b'{"region":"eu-central-1"}', b"[]", Finding.ENTRY_MALFORMED),
        (b"0b8e6a52", b"0B8E6A52", Finding.ENTRY_MALFORMED),
        (b"0b8e6a52", b"{0b8e6a52", Finding.ENTRY_MALFORMED),
        (b".123456Z", b".123Z", Finding.ENTRY_MALFORMED),
        (b".123456Z", b".123456+00:00", Finding.ENTRY_MALFORMED),
        (b"2026-11-23", b"2026-02-30", Finding.ENTRY_MALFORMED),
        (b'"at":"2026', b'"at": "2026', Finding.JSON_NOT_CANONICAL),
        (b'"tenant":"acme"', b'"tenant":"acme","tenant":"acme"', Finding.JSON_DUPLICATE_KEY),
        (b"acme", b"acm\xff", Finding.JSON_MALFORMED),
    ],
)
def test_other_bytes_are_refused(old, new, finding):
    changed = TEXT.replace(old, new)
    assert changed != TEXT
    assert refusal(decode, changed) is finding


@pytest.mark.parametrize("content", [b"[]", b"1", b'"x"', b"null"])
def test_what_is_not_an_object_is_refused(content):
    assert refusal(decode, content) is Finding.ENTRY_MALFORMED


def test_the_largest_entry_is_kept_and_one_byte_more_is_refused():
    room = MAX_ENTRY_BYTES - len(replace(ENTRY, payload={"text": ""}).encode())
    largest = replace(ENTRY, payload={"text": "x" * room}).encode()
    assert len(largest) == MAX_ENTRY_BYTES
    assert decode(largest).encode() == largest
    too_large = replace(ENTRY, payload={"text": "x" * (room + 1)})
    assert refusal(too_large.encode) is Finding.ENTRY_TOO_LARGE
    assert refusal(decode, largest + b" ") is Finding.ENTRY_TOO_LARGE


def test_the_limit_counts_bytes_and_not_characters():
    payload = {"text": "\U0001f30d" * (MAX_ENTRY_BYTES // 4)}
    assert refusal(replace(ENTRY, payload=payload).encode) is Finding.ENTRY_TOO_LARGE


def test_a_refused_value_is_an_error_of_the_caller():
    with pytest.raises(EntryInvalid) as raised:
        replace(ENTRY, payload={"epsilon": 0.1}).encode()
    assert raised.value.code is ErrorCode.INVALID_INPUT
    assert raised.value.extensions["finding"] == "NUMBER_REFUSED"


def test_a_commitment_hides_behind_its_salt():
    first = commitment(b"1" * 32, b'{"name":"Zo"}')
    assert first != commitment(b"2" * 32, b'{"name":"Zo"}')
    assert replace(ENTRY, payload=None, payload_commitment=first).encode()


def test_a_salt_of_another_length_is_refused():
    # Where salt ends and payload begins must never be open.
    with pytest.raises(ValueError, match="32"):
        commitment(b"short", b"{}")


def test_a_time_before_the_common_era_of_four_digits_keeps_its_form():
    entry = replace(ENTRY, at=datetime(1, 1, 1, tzinfo=START.tzinfo))
    assert b'"at":"0001-01-01T00:00:00.000000Z"' in entry.encode()
