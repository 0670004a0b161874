"""P-256 public keys, and how they are named."""

import hashlib
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


@dataclass(frozen=True, slots=True)
class P256PublicKey:
    """A public key, its id (SHA-256 of the SPKI DER, hexadecimal) and its PEM form."""

    key: ec.EllipticCurvePublicKey
    key_id: str
    pem: str

    @classmethod
    def of(cls, key: ec.EllipticCurvePublicKey) -> Self:
        """Name `key`, which must be of P-256: `ValueError` if not."""
        if not isinstance(key.curve, ec.SECP256R1):
            raise ValueError(f"a key of the curve {key.curve.name}")  # noqa: TRY004
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return cls(key, hashlib.sha256(der).hexdigest(), pem.decode("ascii"))

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` (DER) holds over the SHA-256 digest of `message`."""
        try:
            self.key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True
