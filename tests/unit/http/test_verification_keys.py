"""Which keys of a set may verify which tokens."""

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from subgraph.http.verification_keys import (
    RSA_ALGORITHMS,
    UnreadableKeySet,
    read_key_file,
    read_key_set,
)

P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65_537, 2_048)


def jwk(private_key, **members: object) -> dict[str, object]:
    algorithms = jwt.algorithms
    form = {
        ec.EllipticCurvePrivateKey: algorithms.ECAlgorithm,
        rsa.RSAPrivateKey: algorithms.RSAAlgorithm,
        ed25519.Ed25519PrivateKey: algorithms.OKPAlgorithm,
    }
    public = private_key.public_key()
    to_jwk = next(form[kind].to_jwk for kind in form if isinstance(private_key, kind))
    entry = json.loads(to_jwk(public))
    entry.pop("key_ops", None)
    return entry | members


def key_set(*entries: object):
    return read_key_set(json.dumps({"keys": entries}).encode())


def pem(public_key) -> bytes:
    return public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("private_key", "algorithms"),
    [
        (P256, {"ES256"}),
        (ec.generate_private_key(ec.SECP384R1()), {"ES384"}),
        (ec.generate_private_key(ec.SECP521R1()), {"ES512"}),
        (ed25519.Ed25519PrivateKey.generate(), {"EdDSA"}),
        (RSA, RSA_ALGORITHMS),
    ],
    ids=["P-256", "P-384", "P-521", "Ed25519", "RSA"],
)
def test_key_verifies_the_algorithms_of_its_type_only(private_key, algorithms) -> None:
    assert key_set(jwk(private_key)).keys[0].algorithms == algorithms


UNSUITABLE = {
    "symmetric": {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "a"},
    "symmetric under another name": {"kty": "oct", "k": "c2VjcmV0", "alg": "ES256"},
    "for encryption": jwk(P256, use="enc"),
    "for signing only": jwk(P256, key_ops=["sign"]),
    "operations in a string": jwk(P256, key_ops="verify"),
    "id that is a number": jwk(P256, kid=7),
    "algorithm of another curve": jwk(P256, alg="ES384"),
    "algorithm of another type": jwk(RSA, alg="ES256"),
    "HMAC": jwk(P256, alg="HS256"),
    "none": jwk(P256, alg="none"),
    "null": jwk(P256, alg=None),
    "algorithms in a list": jwk(P256, alg=["ES256"]),
    "private": jwk(P256, d="AAAA"),
    "other curve": jwk(ec.generate_private_key(ec.SECP256K1())),
    "weak": jwk(rsa.generate_private_key(65_537, 1_024)),
    "off the curve": {**jwk(P256), "x": jwk(P256)["y"]},
    "short coordinate": {**jwk(P256), "x": "AAAA"},
    "curves in a list": {**jwk(P256), "crv": ["P-256"]},
    "no curve": {"kty": "EC"},
    "type in an object": {"kty": {}},
    "empty": {},
    "null entry": None,
    "string": "key",
    "list": [],
}


@pytest.mark.parametrize("entry", UNSUITABLE.values(), ids=UNSUITABLE.keys())
def test_unsuitable_entry_is_left_out(entry: object) -> None:
    good = jwk(P256, kid="good")
    assert [key.key_id for key in key_set(entry, good).keys] == ["good"]


def test_algorithm_named_by_a_key_narrows_it() -> None:
    assert key_set(jwk(RSA, alg="PS256")).keys[0].algorithms == {"PS256"}


def test_key_id_selects_the_key() -> None:
    keys = key_set(jwk(P256, kid="a"), jwk(ec.generate_private_key(ec.SECP256R1()), kid="b"))
    assert (keys.find("b", "ES256"), keys.find("c", "ES256")) == (keys.keys[1], None)


def test_named_key_does_not_verify_another_algorithm() -> None:
    keys = key_set(jwk(P256, kid="a"), jwk(RSA, kid="b"))
    assert keys.find("a", "RS256") is None


def test_token_without_key_id_is_not_tried_against_several_keys() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert key_set(jwk(P256, kid="a")).find(None, "ES256") is not None
    assert key_set(jwk(P256, kid="a"), jwk(other, kid="b")).find(None, "ES256") is None


def test_key_id_borne_twice_selects_none() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert key_set(jwk(P256, kid="a"), jwk(other, kid="a")).find("a", "ES256") is None


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"{}", b'{"keys": {}}', b'{"keys": null}', b"\xff", b"[" * 9_999]
)
def test_text_that_is_no_key_set_is_refused(text: bytes) -> None:
    with pytest.raises(UnreadableKeySet):
        read_key_set(text)


def test_pem_key_stands_for_every_key_id() -> None:
    assert read_key_file(pem(P256.public_key())).find("any", "ES256") is not None


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        pem(rsa.generate_private_key(65_537, 1_024).public_key()),
        pem(ec.generate_private_key(ec.SECP256K1()).public_key()),
        b'{"keys": []}',
        b"",
    ],
    ids=["broken", "private", "weak", "other curve", "empty set", "empty file"],
)
def test_file_without_a_usable_public_key_is_refused(text: bytes) -> None:
    with pytest.raises(UnreadableKeySet):
        read_key_file(text)
