import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from subgraph.ledger.cosignature import (
    CosignatureVerifier,
    cosignature,
    cosigned_at,
    cosigned_message,
)
from subgraph.ledger.errors import Finding, VerificationFailed

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\x07")
KEY = PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
WITNESS = CosignatureVerifier.of("witness.example/w1", KEY)
BODY = b"ledger.example/deployment\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
SIGNED = cosignature(1_679_315_147, PRIVATE.sign(cosigned_message(1_679_315_147, BODY)))


def refusal(call, *arguments):
    with pytest.raises(VerificationFailed) as raised:
        call(*arguments)
    return raised.value.finding


def test_the_message_is_that_of_the_specification():
    assert cosigned_message(1_679_315_147, BODY) == b"cosignature/v1\ntime 1679315147\n" + BODY


def test_a_cosignature_holds_for_its_time_and_body_alone():
    WITNESS.verify(BODY, SIGNED)
    assert cosigned_at(SIGNED) == 1_679_315_147
    assert refusal(WITNESS.verify, BODY + b"x\n", SIGNED) is Finding.SIGNATURE_INVALID
    later = cosignature(1_679_315_148, SIGNED[8:])
    assert refusal(WITNESS.verify, BODY, later) is Finding.SIGNATURE_INVALID


@pytest.mark.parametrize("signed", [b"", SIGNED[:8], b"\xff" + SIGNED[1:]])
def test_what_is_no_timestamped_signature_is_refused(signed):
    assert refusal(WITNESS.verify, BODY, signed) is Finding.SIGNATURE_ENCODING


def test_a_witness_comes_back_from_its_verifier_key():
    assert CosignatureVerifier.from_vkey(WITNESS.vkey) == WITNESS


def test_the_key_id_is_of_the_name_too():
    assert CosignatureVerifier.of("other.example", KEY).hint != WITNESS.hint


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", Finding.KEY_INVALID),
        (WITNESS.vkey.replace("w1", "w2"), Finding.KEY_ID_MISMATCH),
        # The log key of the specification's example, of type 0x01.
        (
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            Finding.KEY_INVALID,
        ),
        (WITNESS.vkey[:-4], Finding.KEY_INVALID),
        (WITNESS.vkey + "!", Finding.SIGNATURE_ENCODING),
    ],
)
def test_another_verifier_key_is_refused(text, finding):
    assert refusal(CosignatureVerifier.from_vkey, text) is finding
