"""The witness's keys: two signature lines under one name, and the file that tells of both."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from subgraph.kms.contract import Sign
from subgraph.kms.private_file import create_private, read_private, unusable
from subgraph.ledger.cosignature import CosignatureVerifier, cosignature, cosigned_message
from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.note import (
    Checkpoint,
    EcdsaNoteVerifier,
    signature_line,
)
from subgraph.ledger.publickey import PublicKey, read_base64, write_base64

_ECDSA: Final = b"\x02"


class EcdsaCosigner:
    """Signature type 0x02, ECDSA over the checkpoint: openssl, browsers and HSMs know it.

    It says that the witness has seen the tree and nothing that contradicts it, but not when.
    """

    def __init__(self, name: str, signer: Sign) -> None:
        self.verifier = EcdsaNoteVerifier(name, PublicKey.from_pem(signer.public_key_pem))
        self._signer = signer

    async def line(self, checkpoint: Checkpoint) -> str:
        """The signature line; raises what `Sign.sign` does."""
        signature = await self._signer.sign(checkpoint.body())
        return signature_line(self.verifier.name, self.verifier.hint, signature)


class Ed25519Cosigner:
    """Signature type 0x04, `cosignature/v1`: what verifiers of c2sp.org/tlog-cosignature expect.

    It says that at its time this was the largest tree of the log that the witness had seen.
    """

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self.verifier = CosignatureVerifier.of(name, key.public_key().public_bytes_raw())
        self._key = key

    @classmethod
    def open(cls, name: str, path: Path, *, create: bool = False) -> Self:
        """Read the key (PKCS#8 PEM), and with `create` make one first if there is none.

        Raises `SubgraphError` with KEY_NOT_FOUND or KEY_UNUSABLE, as for every key file.
        """
        if create and not path.exists():
            fresh = Ed25519PrivateKey.generate()
            create_private(
                path, fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            )
        try:
            key = load_pem_private_key(read_private(path), password=None)
        except (ValueError, TypeError):
            raise unusable(path, "it is not a private key in PEM without a passphrase") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise unusable(path, "it is not an Ed25519 key")
        return cls(name, key)

    async def line(self, checkpoint: Checkpoint) -> str:
        """The signature line, which states the time of now."""
        seconds = int(time.time())
        signature = self._key.sign(cosigned_message(seconds, checkpoint.body()))
        content = cosignature(seconds, signature)
        return signature_line(self.verifier.name, self.verifier.hint, content)


Cosigner = EcdsaCosigner | Ed25519Cosigner
Verifier = EcdsaNoteVerifier | CosignatureVerifier


def write_verifiers(verifiers: Sequence[Verifier]) -> str:
    """One verifier key (c2sp.org/signed-note) a line, for those who check this witness."""
    return "".join(f"{verifier_key(verifier)}\n" for verifier in verifiers)


def read_verifiers(text: str) -> tuple[Verifier, ...]:
    """What `write_verifiers` wrote; VerificationFailed(KEY_INVALID) for any other text."""
    verifiers = tuple(_verifier(line) for line in text.splitlines() if line)
    if not verifiers:
        raise VerificationFailed(Finding.KEY_INVALID, "there is no verifier key")
    return verifiers


def verifier_key(verifier: Verifier) -> str:
    """The verifier key (c2sp.org/signed-note): name, hint and key in one line."""
    if isinstance(verifier, CosignatureVerifier):
        return verifier.vkey
    content = write_base64(_ECDSA + verifier.key.spki)
    return f"{verifier.name}+{verifier.hint.hex()}+{content}"


def _verifier(line: str) -> Verifier:
    name, _, rest = line.partition("+")
    hint, _, encoded = rest.partition("+")
    content = read_base64(encoded)
    if content[:1] != _ECDSA:
        return CosignatureVerifier.from_vkey(line)
    verifier = EcdsaNoteVerifier(name, _public_key(content[1:]))
    if not name or verifier.hint.hex() != hint:
        raise VerificationFailed(Finding.KEY_ID_MISMATCH)
    return verifier


def _public_key(spki: bytes) -> PublicKey:
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        raise VerificationFailed(Finding.KEY_INVALID) from None
    return PublicKey.from_pem(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
