"""An entry that a template writes is the entry that the canonical encoder writes."""

import unicodedata
from dataclasses import replace
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from subgraph.errors import SubgraphError
from subgraph.ledger import canonical
from subgraph.ledger.entry import MAX_ENTRY_BYTES, Entry, commitment, decode, write_time
from subgraph.ledger.errors import EntryInvalid, Finding
from subgraph.ledger.template import EntryTemplate
from tests.unit.ledger.logs import START, TENANT

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(
    lambda text: unicodedata.normalize("NFC", text)
)
MEMBERS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
PAYLOADS = st.dictionaries(TEXTS, MEMBERS, max_size=6)
ACTORS = TEXTS.filter(lambda text: text != "" and text.isprintable())
SALT = bytes(32)


def entry(**changes: object) -> Entry:
    made = Entry(
        origin=TENANT,
        event_id=UUID(int=7),
        tenant="acme",
        type="tenant.registered",
        at=START,
        actor="c2:5d0f",
        key_id="ab" * 32,
        payload={},
    )
    return replace(made, **changes)


def written(wanted: Entry) -> bytes:
    template = EntryTemplate.of(replace(wanted, event_id=UUID(int=0), payload={}))
    payload = None if wanted.payload is None else canonical.encode(dict(wanted.payload), within=1)
    return template.encode(wanted.event_id, payload, wanted.payload_commitment)


@given(payload=PAYLOADS, actor=ACTORS, event_id=st.uuids())
def test_a_template_writes_the_bytes_of_the_encoder(payload, actor, event_id):
    wanted = entry(payload=payload, actor=actor, event_id=event_id)
    assert written(wanted) == wanted.encode()


@given(payload=PAYLOADS, actor=ACTORS, event_id=st.uuids())
def test_a_template_writes_what_the_rfc8785_package_writes(payload, actor, event_id):
    wanted = entry(payload=payload, actor=actor, event_id=event_id)
    members = {
        "schemaVersion": 1,
        "origin": wanted.origin,
        "eventId": str(event_id),
        "tenant": wanted.tenant,
        "type": wanted.type,
        "at": write_time(wanted.at),
        "actor": actor,
        "keyId": wanted.key_id,
        "payload": payload,
    }
    assert written(wanted) == rfc8785.dumps(members)


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": None, "payload_commitment": commitment(SALT, b"{}")},
        {"payload_commitment": commitment(SALT, b"{}")},
        {"origin": "ledger.example/deployment", "tenant": None},
    ],
)
def test_every_form_of_an_entry_comes_back(changes):
    wanted = entry(**changes)
    assert decode(written(wanted)) == wanted


def test_an_entry_without_a_payload_or_a_commitment_is_refused():
    with pytest.raises(EntryInvalid) as refused:
        EntryTemplate.of(entry()).encode(UUID(int=1), None, None)
    assert refused.value.finding is Finding.ENTRY_MALFORMED


def nested(levels: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize("levels", range(29, 36))
def test_a_payload_is_as_deep_as_the_encoder_lets_it_be(levels):
    wanted = entry(payload=nested(levels))

    def outcome(write):
        try:
            return write(wanted)
        except SubgraphError as error:
            return str(error)

    assert outcome(written) == outcome(Entry.encode)


@pytest.mark.parametrize("size", range(MAX_ENTRY_BYTES - 500, MAX_ENTRY_BYTES + 500, 37))
def test_an_entry_is_as_long_as_the_encoder_lets_it_be(size):
    wanted = entry(payload={"text": "x" * size})

    def length(write):
        try:
            return len(write(wanted))
        except EntryInvalid as refused:
            return refused.finding

    assert length(written) == length(Entry.encode)
