"""P-256 public keys: the plain PEM form, the key id, and strict verification."""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from subgraph.ledger.errors import Finding, VerificationFailed

ECDSA_P256 = "ECDSA-P256-SHA256"
ED25519 = "Ed25519"

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A P-256 key that verifies ECDSA signatures over SHA-256."""

    spki: bytes
    _key: ec.EllipticCurvePublicKey = field(repr=False, compare=False)

    @classmethod
    def from_pem(cls, pem: str | bytes) -> "PublicKey":
        """Read a SubjectPublicKeyInfo, as in `cosign.pub`.

        VerificationFailed(KEY_INVALID) for another curve or algorithm, a point that is off the
        curve or compressed, and anything before, between or after the one PEM block: every key
        has one text, so that its id is the same whatever computes it.
        """
        key = _load(pem)
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise VerificationFailed(Finding.KEY_INVALID)
        return cls(_spki(key), key)

    @property
    def pem(self) -> str:
        """The plain PEM text, with a newline at its end."""
        return _armour(self.spki)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the SubjectPublicKeyInfo in DER, 32 bytes."""
        return hashlib.sha256(self.spki).digest()

    @property
    def key_id(self) -> str:
        """The fingerprint in lower-case hex, by which the key is known everywhere."""
        return self.fingerprint.hex()

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check an ECDSA signature in strict DER; VerificationFailed when it does not hold.

        Both of the signatures that a signer's one choice gives, (r, s) and (r, n - s), hold, as
        they do for openssl and cosign; so the bytes of a signature are never an identity.
        """
        _check_encoding(signature)
        try:
            self._key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise VerificationFailed(Finding.SIGNATURE_INVALID) from None


def key_id_of_pem(pem: str) -> str:
    """The key id of a public key of any algorithm, as `PublicKey.from_pem` reads it."""
    return hashlib.sha256(_spki(_load(pem))).hexdigest()


def algorithm_of_pem(pem: str) -> str:
    """What signatures of this key are: `ECDSA-P256-SHA256` or `Ed25519`.

    VerificationFailed(KEY_INVALID) for a key of another kind, which nothing here verifies with.
    """
    key = _load(pem)
    if isinstance(key, Ed25519PublicKey):
        return ED25519
    PublicKey.from_pem(pem)
    return ECDSA_P256


def write_base64(content: bytes) -> str:
    """Standard Base64 with padding, in one line."""
    return base64.b64encode(content).decode()


def read_base64(text: str) -> bytes:
    """The bytes of a standard Base64 text with padding; VerificationFailed for any other text."""
    try:
        content = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise VerificationFailed(Finding.SIGNATURE_ENCODING, "not strict base64") from None
    if write_base64(content) != text:
        raise VerificationFailed(Finding.SIGNATURE_ENCODING, "not strict base64")
    return content


def _load(pem: str | bytes) -> PublicKeyTypes:
    content = pem.encode() if isinstance(pem, str) else pem
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise VerificationFailed(Finding.KEY_INVALID) from None
    if content.replace(b"\r\n", b"\n").strip() != _armour(_spki(key)).encode().strip():
        raise VerificationFailed(Finding.KEY_INVALID)
    return key


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _armour(spki: bytes) -> str:
    body = write_base64(spki)
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def _check_encoding(signature: bytes) -> None:
    try:
        r, s = utils.decode_dss_signature(signature)
    except ValueError:
        raise VerificationFailed(Finding.SIGNATURE_ENCODING) from None
    within = 0 < r < _P256_ORDER and 0 < s < _P256_ORDER
    if not within or utils.encode_dss_signature(r, s) != signature:
        raise VerificationFailed(Finding.SIGNATURE_ENCODING)
