import hashlib
import json

import pytest
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Key as OtherKey
from securesystemslib.signer import SSlibKey

from subgraph.ledger.dsse import (
    STATEMENT_PAYLOAD_TYPE,
    Envelope,
    Statement,
    pae,
    read_envelope,
    verify_statement,
)
from subgraph.ledger.errors import EntryInvalid, Finding, VerificationFailed
from tests.unit.ledger.logs import ROOT, STRANGER

ARTIFACT = b"the bytes of a manifest\n"


def about(artifact):
    digest = hashlib.sha256(artifact).digest()
    return Statement(
        "export:1", digest, "https://ledger.example/attestation/test/v1", {"verdict": "PASS"}
    )


def envelope(payload, kind=STATEMENT_PAYLOAD_TYPE, key=ROOT):
    return Envelope(kind, payload, key.public.key_id, key.sign(pae(kind, payload)))


def text(signed):
    return json.dumps(signed.document()).encode()


def other_key(key=ROOT):
    value = {"public": key.public.pem}
    return SSlibKey(key.public.key_id, "ecdsa", "ecdsa-sha2-nistp256", value)


def refusal(call, *arguments):
    with pytest.raises(VerificationFailed) as raised:
        call(*arguments)
    return raised.value.finding


def test_the_encoding_is_that_of_the_specification():
    encoded = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("http://example.com/HelloWorld", b"hello world") == encoded


def test_an_envelope_comes_back_from_its_text():
    signed = envelope(b"\x00 any bytes \xff", "application/octet-stream")
    assert read_envelope(text(signed)) == signed


def test_an_envelope_holds_for_its_type_and_its_payload_alone():
    signed = envelope(b"payload", "application/a")
    signed.verify(ROOT.public)
    for other in (
        Envelope("application/b", signed.payload, signed.key_id, signed.signature),
        Envelope(signed.payload_type, b"payloaD", signed.key_id, signed.signature),
    ):
        assert refusal(other.verify, ROOT.public) is Finding.SIGNATURE_INVALID
    assert refusal(signed.verify, STRANGER.public) is Finding.SIGNATURE_INVALID


def test_a_statement_is_verified_for_the_artifact_that_it_is_about():
    statement = about(ARTIFACT)
    content = text(envelope(statement.encode()))
    assert verify_statement(content, ROOT.public, ARTIFACT) == statement
    assert (
        refusal(verify_statement, content, ROOT.public, ARTIFACT + b"x") is Finding.SUBJECT_MISMATCH
    )
    assert (
        refusal(verify_statement, content, STRANGER.public, ARTIFACT) is Finding.SIGNATURE_INVALID
    )


def test_a_signed_payload_of_another_type_is_no_statement():
    content = text(envelope(about(ARTIFACT).encode(), "application/json"))
    assert refusal(verify_statement, content, ROOT.public, ARTIFACT) is Finding.ENVELOPE_MALFORMED


@pytest.mark.parametrize(
    "payload", [b"{}", b"[]", b'{"_type":"https://in-toto.io/Statement/v0.1"}']
)
def test_a_signed_payload_that_is_no_statement_is_refused(payload):
    content = text(envelope(payload))
    assert refusal(verify_statement, content, ROOT.public, ARTIFACT) is Finding.ENVELOPE_MALFORMED


def test_a_statement_with_a_float_is_refused():
    statement = Statement("x", bytes(32), "https://ledger.example/x/v1", {"epsilon": 0.1})
    with pytest.raises(EntryInvalid):
        statement.encode()


@pytest.mark.parametrize(
    "change",
    [
        {"signatures": []},
        {"signatures": [{"sig": "YQ=="}, {"sig": "YQ=="}]},
        {"signatures": [{"sig": 1}]},
        {"signatures": [{"sig": "YQ==", "keyid": 1}]},
        {"payload": None},
        {"payloadType": 1},
    ],
)
def test_an_envelope_of_another_form_is_refused(change):
    document = {**envelope(b"x").document(), **change}
    assert refusal(read_envelope, json.dumps(document).encode()) is Finding.ENVELOPE_MALFORMED


def test_an_envelope_without_a_key_id_is_read():
    document = envelope(b"x").document()
    del document["signatures"][0]["keyid"]
    assert read_envelope(json.dumps(document).encode()).key_id == ""


def test_securesystemslib_verifies_ours():
    signed = OtherEnvelope.from_dict(envelope(about(ARTIFACT).encode()).document())
    key: OtherKey = other_key()
    assert list(signed.verify([key], 1)) == [ROOT.public.key_id]


@pytest.mark.parametrize("field", ["payload", "sig"])
def test_securesystemslib_refuses_ours_with_a_byte_changed(field):
    signed = envelope(about(ARTIFACT).encode())
    payload, signature = bytearray(signed.payload), bytearray(signed.signature)
    (payload if field == "payload" else signature)[-1] ^= 1
    changed = Envelope(signed.payload_type, bytes(payload), signed.key_id, bytes(signature))
    with pytest.raises(VerificationError):
        OtherEnvelope.from_dict(changed.document()).verify([other_key()], 1)
