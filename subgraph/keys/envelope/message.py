"""One encrypted message: a header, then AES-256-GCM under a key that is used once.

The key is new with every message, so the nonce is zero, and no number of messages under one data
key wears it out. Ciphertexts are 101 bytes longer than plaintexts: the lengths of values show.
docs/envelope-format.md is the specification, tests/vectors/envelope-v1.json has examples.
"""

from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.envelope import aad
from subgraph.keys.envelope.aad import BoundRecord, Domain, Place, RecordPlace
from subgraph.keys.envelope.datakey import DataKey
from subgraph.keys.envelope.header import (
    HEADER_BYTES,
    TAG_BYTES,
    NotAuthentic,
    Suite,
    data_key_id_of,
    open_header,
    seal_header,
)

MOST_PLAINTEXT: Final = 64 * 1024
OVERHEAD_BYTES: Final = HEADER_BYTES + TAG_BYTES
_NONCE: Final = bytes(12)

__all__ = [
    "MOST_PLAINTEXT", "OVERHEAD_BYTES", "data_key_id_of", "open_", "open_fields", "seal",
    "seal_fields",
]  # fmt: skip


def seal(data_key: DataKey, place: Place, plaintext: bytes) -> bytes:
    """Encrypt up to 64 KiB for one place; INVALID_INPUT when there is more."""
    return _seal(data_key, aad.of_place(Domain.FIELD, place, data_key), plaintext)


def open_(data_key: DataKey, place: Place, message: bytes) -> bytes:
    """Return the plaintext; NotAuthentic unless it was sealed for this place under this key."""
    return _open(data_key, aad.of_place(Domain.FIELD, place, data_key), message)


def seal_fields(
    data_key: DataKey, record: RecordPlace, plaintexts: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Encrypt fields of one record, by name; as `seal` for each, but faster."""
    bound = BoundRecord.of(Domain.FIELD, record, data_key)
    return {name: _seal(data_key, bound.field(name), text) for name, text in plaintexts.items()}


def open_fields(
    data_key: DataKey, record: RecordPlace, messages: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Return the plaintexts of fields of one record; NotAuthentic when one of them is not."""
    bound = BoundRecord.of(Domain.FIELD, record, data_key)
    return {name: _open(data_key, bound.field(name), text) for name, text in messages.items()}


def _seal(data_key: DataKey, bound: bytes, plaintext: bytes) -> bytes:
    if len(plaintext) > MOST_PLAINTEXT:
        raise SubgraphError(ErrorCode.INVALID_INPUT, "the value is longer than 64 KiB")
    header, cipher = seal_header(data_key, Suite.MESSAGE, bound)
    return header + cipher.encrypt(_NONCE, plaintext, header + bound)


def _open(data_key: DataKey, bound: bytes, message: bytes) -> bytes:
    if not OVERHEAD_BYTES <= len(message) <= OVERHEAD_BYTES + MOST_PLAINTEXT:
        raise NotAuthentic
    header = message[:HEADER_BYTES]
    cipher = open_header(data_key, Suite.MESSAGE, bound, header)
    try:
        return cipher.decrypt(_NONCE, message[HEADER_BYTES:], header + bound)
    except InvalidTag:
        raise NotAuthentic from None
