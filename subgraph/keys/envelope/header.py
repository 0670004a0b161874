"""The header that every message begins with: it names the data key and commits to it.

magic (3) | format version (1) | suite (1) | data key id (16) | message id (32) | commitment (32)

Key and commitment are derived from the data key as in suite 0x0478 of the AWS Encryption SDK: by
HKDF-SHA512 under one label each. Their `info` also holds the header before the commitment and a
digest of the associated data. So a message opens under one data key and in one place only, which
AES-GCM alone does not ensure (it is not key-committing).
"""

import hashlib
import hmac
import os
from enum import Enum
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.envelope.datakey import DataKey

HEADER_BYTES: Final = 85
TAG_BYTES: Final = 16
_MESSAGE_ID_BYTES: Final = 32
_KEY_ID: Final = slice(5, 21)
_COMMITMENT_AT: Final = 53
_MAGIC_AND_VERSION: Final = b"CMK\x01"
_KEY_LABEL: Final = b"CMK-V1-DERIVEKEY"
_COMMITMENT_LABEL: Final = b"CMK-V1-COMMITKEY"


class Suite(Enum):
    """How the bytes behind the header are encrypted."""

    MESSAGE = b"\x01"
    STREAM = b"\x02"


class NotAuthentic(SubgraphError):
    """A message is malformed, of another place or key, or was changed: which one is not said."""

    def __init__(self) -> None:
        super().__init__(
            ErrorCode.INTEGRITY, "the ciphertext does not fit its place, or was changed"
        )


def seal_header(data_key: DataKey, suite: Suite, aad: bytes) -> tuple[bytes, AESGCM]:
    """Return a new header (85 bytes), and the cipher under the key of this one message."""
    start = _MAGIC_AND_VERSION + suite.value + data_key.id_bytes + os.urandom(_MESSAGE_ID_BYTES)
    context = start + hashlib.sha512(aad).digest()
    commitment = data_key.derive(_COMMITMENT_LABEL + context)
    return start + commitment, AESGCM(data_key.derive(_KEY_LABEL + context))


def open_header(data_key: DataKey, suite: Suite, aad: bytes, header: bytes) -> AESGCM:
    """Return the cipher under the message's key, once the commitment holds; else NotAuthentic."""
    start = header[:_COMMITMENT_AT]
    expected = _MAGIC_AND_VERSION + suite.value + data_key.id_bytes
    if len(header) != HEADER_BYTES or not start.startswith(expected):
        raise NotAuthentic
    context = start + hashlib.sha512(aad).digest()
    commitment = data_key.derive(_COMMITMENT_LABEL + context)
    if not hmac.compare_digest(commitment, header[_COMMITMENT_AT:]):
        raise NotAuthentic
    return AESGCM(data_key.derive(_KEY_LABEL + context))


def data_key_id_of(message: bytes) -> UUID:
    """The data key that a message names, which nothing vouches for until the message is opened.

    It is to be looked up among the keys of the caller's own tenant. Raises NotAuthentic for what
    is no message.
    """
    suites = [suite.value for suite in Suite]
    if (
        len(message) < HEADER_BYTES + TAG_BYTES
        or not message.startswith(_MAGIC_AND_VERSION)
        or message[4:5] not in suites
    ):
        raise NotAuthentic
    return UUID(bytes=bytes(message[_KEY_ID]))
