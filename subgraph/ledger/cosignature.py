"""Witness cosignatures of checkpoints (c2sp.org/tlog-cosignature, Ed25519, version 1)."""

import hashlib
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.note import KEY_HINT_BYTES
from subgraph.ledger.publickey import read_base64, write_base64

_TYPE = b"\x04"
_TIME_BYTES = 8
_KEY_BYTES = 32
_LATEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class CosignatureVerifier:
    """A witness: its name and its Ed25519 key, as 32 bytes."""

    name: str
    key: bytes
    _loaded: Ed25519PublicKey = field(repr=False, compare=False)

    @classmethod
    def of(cls, name: str, key: bytes) -> Self:
        """The witness; VerificationFailed(KEY_INVALID) when the key cannot be one."""
        try:
            return cls(name, key, Ed25519PublicKey.from_public_bytes(key))
        except ValueError:
            raise VerificationFailed(Finding.KEY_INVALID, "not an Ed25519 key") from None

    @classmethod
    def from_vkey(cls, text: str) -> Self:
        """Read `<name>+<hint in hex>+<base64 of 0x04 and the key>`, as signed-note has it."""
        name, _, rest = text.strip().partition("+")
        hint, _, encoded = rest.partition("+")
        content = read_base64(encoded)
        if content[:1] != _TYPE or len(content) != 1 + _KEY_BYTES or not name:
            message = "not the verifier key of an Ed25519 cosigner"
            raise VerificationFailed(Finding.KEY_INVALID, message)
        verifier = cls.of(name, content[1:])
        if verifier.hint.hex() != hint:
            raise VerificationFailed(Finding.KEY_ID_MISMATCH)
        return verifier

    @property
    def vkey(self) -> str:
        """The verifier key as text."""
        return f"{self.name}+{self.hint.hex()}+{write_base64(_TYPE + self.key)}"

    @property
    def pem(self) -> str:
        """The key as a SubjectPublicKeyInfo, in the plain PEM form."""
        form = PublicFormat.SubjectPublicKeyInfo
        return self._loaded.public_bytes(Encoding.PEM, form).decode("ascii")

    @property
    def hint(self) -> bytes:
        """The four bytes that its signatures begin with."""
        content = self.name.encode() + b"\n" + _TYPE + self.key
        return hashlib.sha256(content).digest()[:KEY_HINT_BYTES]

    def verify(self, text: bytes, signature: bytes) -> None:
        """Check a timestamped signature; VerificationFailed when it does not hold."""
        seconds = cosigned_at(signature)
        try:
            self._loaded.verify(signature[_TIME_BYTES:], cosigned_message(seconds, text))
        except InvalidSignature:
            raise VerificationFailed(Finding.SIGNATURE_INVALID) from None


def cosigned_message(seconds: int, text: bytes) -> bytes:
    """What a witness signs: the POSIX time and the body of the checkpoint."""
    return f"cosignature/v1\ntime {seconds}\n".encode() + text


def cosignature(seconds: int, signature: bytes) -> bytes:
    """What follows the key id in the signature line: the time and the Ed25519 signature."""
    return seconds.to_bytes(_TIME_BYTES, "big") + signature


def cosigned_at(signature: bytes) -> int:
    """The POSIX time, in seconds, that a cosignature states."""
    seconds = int.from_bytes(signature[:_TIME_BYTES], "big")
    if len(signature) <= _TIME_BYTES or seconds > _LATEST:
        raise VerificationFailed(Finding.SIGNATURE_ENCODING, "not a timestamped signature")
    return seconds
