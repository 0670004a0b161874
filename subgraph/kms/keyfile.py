"""A signing key in a file: PKCS#8 in PEM, without a passphrase.

A software key: whoever reads the file, or the memory of this process, has the key for good.
"""

import logging
import re
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.private_file import create_private, read_private, unusable
from subgraph.kms.public_key import P256PublicKey

logger = logging.getLogger(__name__)

_LABEL: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_CONVERT: Final = "openssl pkcs8 -topk8 -nocrypt converts it"


class KeyFileSigner:
    """Signs with a key that was read from a file when it was opened; see `Sign`."""

    local: Final = True

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key: ec.EllipticCurvePrivateKey | None = key
        self._public = P256PublicKey.of(key.public_key())

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Read the key, and with `create` make one first if there is none (development).

        Processes that race get the same key. Raises `SubgraphError`: KEY_NOT_FOUND without a
        file, KEY_UNUSABLE when others could read it, or for a passphrase, another form than
        PKCS#8 or another curve than P-256.
        """
        if create and not path.exists():
            fresh = ec.generate_private_key(ec.SECP256R1())
            create_private(
                path, fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            )
        signer = cls(_parse(path, read_private(path)))
        logger.warning(
            "SOFTWARE KEY: %s signs with a file; whoever reads it can sign as this service. "
            "Keep the key in an HSM or a KMS in production.",
            path,
            extra={"key_id": signer.key_id},
        )
        return signer

    @property
    def key_id(self) -> str:
        """See `Sign.key_id`."""
        return self._public.key_id

    @property
    def public_key_pem(self) -> str:
        """See `Sign.public_key_pem`."""
        return self._public.pem

    async def sign(self, message: bytes) -> bytes:
        """See `Sign.sign`; takes some 40 microseconds and raises KEY_CLOSED only."""
        if self._key is None:
            raise SubgraphError(ErrorCode.KEY_CLOSED)
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))

    async def close(self) -> None:
        """See `Sign.close`."""
        self._key = None


def _parse(path: Path, content: bytes) -> ec.EllipticCurvePrivateKey:
    labels = _LABEL.findall(content)
    if labels != [b"PRIVATE KEY"]:
        raise unusable(path, _explain(labels))
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise unusable(path, "it is damaged, or of an unknown algorithm") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise unusable(path, "it is not an elliptic-curve key; P-256 is needed")
    if not isinstance(key.curve, ec.SECP256R1):
        raise unusable(path, f"its curve is {key.curve.name}; P-256 is needed")
    return key


def _explain(labels: list[bytes]) -> str:
    if len(labels) != 1:
        return f"it holds {len(labels)} PEM blocks; exactly one private key is needed"
    label = labels[0].decode("ascii")
    if "ENCRYPTED" in label:
        return f"it is protected by a passphrase, which nobody could enter at a start; {_CONVERT}"
    if label.endswith("PRIVATE KEY"):
        return f"it is a {label}, not PKCS#8; {_CONVERT}"
    return f"it is a {label}, not a private key"
