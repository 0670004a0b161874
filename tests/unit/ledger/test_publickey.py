import base64
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils

from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.publickey import PublicKey, read_base64
from tests.unit.ledger.logs import ROOT, STRANGER

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
MESSAGE = b"exactly these bytes"
SIGNATURE = ROOT.sign(MESSAGE)
PEM = ROOT.public.pem


def refusal(call, *arguments):
    with pytest.raises(VerificationFailed) as raised:
        call(*arguments)
    return raised.value.finding


def pem_of(key, point=serialization.PublicFormat.SubjectPublicKeyInfo):
    return key.public_key().public_bytes(serialization.Encoding.PEM, point)


def armoured(der):
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----\n"


def twin(signature):
    r, s = utils.decode_dss_signature(signature)
    return utils.encode_dss_signature(r, ORDER - s)


def test_the_key_id_is_what_openssl_says_of_the_file():
    openssl = shutil.which("openssl")
    der = subprocess.run(
        [openssl, "pkey", "-pubin", "-outform", "DER"],
        input=PEM.encode(),
        capture_output=True,
        check=True,
    ).stdout
    digest = subprocess.run(
        [openssl, "dgst", "-sha256", "-r"], input=der, capture_output=True, check=True, text=False
    ).stdout
    assert digest.decode().split()[0] == ROOT.public.key_id


@pytest.mark.parametrize("pem", [PEM, PEM.replace("\n", "\r\n"), PEM.rstrip(), "\n" + PEM])
def test_line_ends_do_not_make_another_key(pem):
    assert PublicKey.from_pem(pem) == ROOT.public


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "not a key",
        "comment\n" + PEM,
        PEM + "comment",
        PEM + STRANGER.public.pem,
        PEM.replace("MFk", "MFk\n"),
        PEM.replace("PUBLIC KEY", "PRIVATE KEY"),
        PEM[:-40],
        pem_of(ec.derive_private_key(5, ec.SECP384R1())),
        pem_of(ec.derive_private_key(5, ec.SECP256K1())),
        pem_of(rsa.generate_private_key(65537, 2048)),
        armoured(ROOT.public.spki + b"\x00"),
        armoured(ROOT.public.spki[:-1] + bytes([ROOT.public.spki[-1] ^ 1])),  # off the curve
        armoured(ROOT.public.spki[:-65] + b"\x04" + bytes(64)),
        armoured(ROOT.public.spki[:-65] + b"\x00" * 65),
    ],
)
def test_what_is_not_one_plain_p256_key_is_refused(pem):
    assert refusal(PublicKey.from_pem, pem) is Finding.KEY_INVALID


def test_a_compressed_point_is_refused_because_it_would_have_another_id():
    point = ROOT.private.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    head = ROOT.public.spki[:-66]
    der = (
        bytes([0x30, len(head) - 2 + 2 + 1 + len(point)])
        + head[2:-1]
        + bytes([len(point) + 1, 0])
        + point
    )
    assert refusal(PublicKey.from_pem, armoured(der)) is Finding.KEY_INVALID


def test_a_signature_holds_for_its_bytes_and_its_key_alone():
    ROOT.public.verify(MESSAGE, SIGNATURE)
    assert refusal(ROOT.public.verify, MESSAGE + b"\n", SIGNATURE) is Finding.SIGNATURE_INVALID
    assert refusal(STRANGER.public.verify, MESSAGE, SIGNATURE) is Finding.SIGNATURE_INVALID


def test_both_signatures_of_a_malleable_pair_hold():
    assert twin(SIGNATURE) != SIGNATURE
    ROOT.public.verify(MESSAGE, twin(SIGNATURE))


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        SIGNATURE[:-1],
        SIGNATURE + b"\x00",
        b"\x30\x81" + SIGNATURE[1:],  # the length in a longer form
        b"\x30\x80" + SIGNATURE[2:] + b"\x00\x00",  # of BER's open length
        utils.encode_dss_signature(0, 1),
        utils.encode_dss_signature(1, 0),
        utils.encode_dss_signature(ORDER, 1),
        utils.encode_dss_signature(*(n + ORDER for n in utils.decode_dss_signature(SIGNATURE))),
        b"".join(n.to_bytes(32, "big") for n in utils.decode_dss_signature(SIGNATURE)),
    ],
)
def test_a_signature_in_another_encoding_is_refused(signature):
    assert refusal(ROOT.public.verify, MESSAGE, signature) is Finding.SIGNATURE_ENCODING


def test_an_integer_with_a_needless_zero_is_refused():
    r, s = utils.decode_dss_signature(SIGNATURE)

    def integer(number):
        content = b"\x00" + number.to_bytes(33, "big")
        return bytes([2, len(content)]) + content

    body = integer(r) + integer(s)
    signature = bytes([0x30, len(body)]) + body
    assert refusal(ROOT.public.verify, MESSAGE, signature) is Finding.SIGNATURE_ENCODING


def test_every_flipped_bit_of_a_signature_is_refused():
    for place in range(len(SIGNATURE)):
        changed = bytearray(SIGNATURE)
        changed[place] ^= 1
        assert refusal(ROOT.public.verify, MESSAGE, bytes(changed)) in {
            Finding.SIGNATURE_INVALID,
            Finding.SIGNATURE_ENCODING,
        }


@pytest.mark.parametrize("text", ["YQ", "YQ=", "YR==", "YQ==\n", " YQ==", "Y-==", "YQ==YQ==", "é"])
def test_base64_has_one_text(text):
    assert refusal(read_base64, text) is Finding.SIGNATURE_ENCODING
