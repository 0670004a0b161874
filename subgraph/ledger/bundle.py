"""Sigstore bundles, version 0.3, with a hint of the key: derived when read, never stored.

`tlogEntries` is always present; some readers refuse a bundle without it.
"""

import hashlib

from subgraph.errors import JSONValue
from subgraph.ledger.dsse import Envelope
from subgraph.ledger.publickey import PublicKey, write_base64

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def message_bundle(content: bytes, signature: bytes, key: PublicKey) -> dict[str, JSONValue]:
    """The bundle of a signature over the bytes of a file, in DER."""
    digest: dict[str, JSONValue] = {
        "algorithm": "SHA2_256",
        "digest": write_base64(hashlib.sha256(content).digest()),
    }
    return {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": _material(key),
        "messageSignature": {"messageDigest": digest, "signature": write_base64(signature)},
    }


def envelope_bundle(envelope: Envelope, key: PublicKey) -> dict[str, JSONValue]:
    """The bundle of a DSSE envelope."""
    return {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": _material(key),
        "dsseEnvelope": envelope.document(),
    }


def _material(key: PublicKey) -> dict[str, JSONValue]:
    return {"publicKey": {"hint": write_base64(key.fingerprint)}, "tlogEntries": []}
