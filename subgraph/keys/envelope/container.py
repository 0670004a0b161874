"""All messages of one record in one value: field names in clear, each with its message.

magic and version "CMF" 0x01 (4) | number of fields (2) | for each field: length of the name (2) |
name in UTF-8 | length of the message (4) | message. Integers are big endian; names are unique and
ascend by code point, so a record has one encoding.

The messages vouch for their own places, nothing vouches for the list: whoever can write the
database can drop a field, or bring back an older message of the same field.
"""

import struct
import unicodedata
from collections.abc import Mapping
from typing import Final

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.envelope.header import NotAuthentic
from subgraph.keys.envelope.message import MOST_PLAINTEXT, OVERHEAD_BYTES

MOST_FIELDS: Final = 200
MOST_NAME_CHARACTERS: Final = 100
MOST_MESSAGE_BYTES: Final = MOST_PLAINTEXT + OVERHEAD_BYTES
MOST_BYTES: Final = 1024 * 1024
_MAGIC_AND_VERSION: Final = b"CMF\x01"
_COUNT: Final = struct.Struct(">H")
_LENGTH: Final = struct.Struct(">I")


def pack(messages: Mapping[str, bytes]) -> bytes:
    """Return the container of a record's messages, by field name.

    INVALID_INPUT beyond 200 fields or 1 MiB in all, for a message of more than 64 KiB of
    plaintext, and for a name that is empty, longer than 100 characters or not in Unicode's
    normalization form C.
    """
    if len(messages) > MOST_FIELDS:
        raise _refused(f"a record has at most {MOST_FIELDS} fields")
    parts = [_MAGIC_AND_VERSION, _COUNT.pack(len(messages))]
    for name in sorted(messages):
        if (wrong := _wrong_with(name)) is not None:
            raise _refused(wrong)
        message = messages[name]
        if not OVERHEAD_BYTES <= len(message) <= MOST_MESSAGE_BYTES:
            raise _refused("a value is longer than 64 KiB, or is not encrypted")
        encoded = name.encode()
        parts += [_COUNT.pack(len(encoded)), encoded, _LENGTH.pack(len(message)), message]
    packed = b"".join(parts)
    if len(packed) > MOST_BYTES:
        raise _refused("the fields of the record are longer than 1 MiB together")
    return packed


def unpack(container: bytes) -> dict[str, bytes]:
    """Return the messages by field name, in order; NotAuthentic for what `pack` does not make."""
    try:
        return _parse(container)
    except (struct.error, UnicodeDecodeError):
        raise NotAuthentic from None


def _parse(container: bytes) -> dict[str, bytes]:
    start = len(_MAGIC_AND_VERSION) + _COUNT.size
    if len(container) > MOST_BYTES or not container.startswith(_MAGIC_AND_VERSION):
        raise NotAuthentic
    (count,) = _COUNT.unpack_from(container, len(_MAGIC_AND_VERSION))
    if count > MOST_FIELDS:
        raise NotAuthentic
    messages: dict[str, bytes] = {}
    at, last = start, ""
    for _ in range(count):
        (length,) = _COUNT.unpack_from(container, at)
        at += _COUNT.size
        name = container[at : at + length].decode()
        at += length
        (length,) = _LENGTH.unpack_from(container, at)
        at += _LENGTH.size
        message = container[at : at + length]
        at += length
        bounded = OVERHEAD_BYTES <= length <= MOST_MESSAGE_BYTES
        if at > len(container) or not bounded or name <= last or _wrong_with(name):
            raise NotAuthentic
        messages[name] = message
        last = name
    if at != len(container):
        raise NotAuthentic
    return messages


def _wrong_with(name: str) -> str | None:
    if not 1 <= len(name) <= MOST_NAME_CHARACTERS:
        return f"the name of a field has 1 to {MOST_NAME_CHARACTERS} characters"
    if not unicodedata.is_normalized("NFC", name):
        return "the name of a field is not in Unicode normalization form C"
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "the name of a field holds a lone surrogate; it is not Unicode text"
    return None


def _refused(message: str) -> SubgraphError:
    return SubgraphError(ErrorCode.INVALID_INPUT, message)
