"""The one text of a JSON value (RFC 8785), and strict reading.

Entries hold strings in normalization form C, integers below 2^53 in magnitude, booleans, null,
lists and objects. Floats are refused: epsilons and byte counts go as decimal strings.
"""

import json
import unicodedata
from collections.abc import Mapping
from typing import Any, Never

from subgraph.errors import JSONValue
from subgraph.ledger.errors import EntryInvalid, Finding

_LARGEST_INTEGER = 2**53 - 1
_MOST_DIGITS = 16
_DEEPEST = 32

_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_quoted = json.encoder.encode_basestring


def encode(value: JSONValue, *, within: int = 0) -> bytes:
    """The canonical UTF-8 text; EntryInvalid when an entry could not hold the value.

    `within` is how many levels there are around the value.
    """
    # In ASCII every order of names is the same one, and every text is in normalization form C.
    text = _plain(value, within)
    if text is not None and text.isascii():
        return text.encode()
    return _write(_ordered(value, within)).encode()


def parse(content: bytes) -> JSONValue:
    """The value of a canonical text; EntryInvalid for any other text, even of the same value."""
    value: JSONValue = load(content)
    if encode(value) != content:
        raise EntryInvalid(Finding.JSON_NOT_CANONICAL)
    return value


def load(content: bytes) -> Any:
    """The value of a JSON text in any layout, without floats, NaN or repeated keys."""
    try:
        return json.loads(
            content.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except RecursionError:
        raise EntryInvalid(Finding.JSON_TOO_DEEP) from None
    except ValueError as error:  # of the decoder, and of UTF-8
        raise EntryInvalid(Finding.JSON_MALFORMED, f"not JSON: {error}") from None


def _plain(value: object, depth: int) -> str | None:
    """The text of an object of texts, small integers, booleans, nulls and such objects, else None.

    It is the canonical one if it is ASCII, as that of most entries and payloads is.
    """
    if type(value) is not dict or depth >= _DEEPEST:
        return None
    members = []
    try:
        names = sorted(value)
    except TypeError:  # not all of them are texts
        return None
    for name in names:
        if type(name) is not str:
            return None
        member = value[name]
        kind = type(member)
        text: str | None
        if kind is str:
            text = _quoted(member)
        elif kind is int and -_LARGEST_INTEGER <= member <= _LARGEST_INTEGER:
            text = str(member)
        elif member is None or kind is bool:
            text = "null" if member is None else "true" if member else "false"
        else:
            text = _plain(member, depth + 1)
            if text is None:
                return None
        members.append(f"{_quoted(name)}:{text}")
    return "{" + ",".join(members) + "}"


def _ordered(value: object, depth: int) -> object:
    if depth > _DEEPEST:
        raise EntryInvalid(Finding.JSON_TOO_DEEP, f"nested deeper than {_DEEPEST} levels")
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) > _LARGEST_INTEGER:
            _no_number("an integer of 2^53 or more")
        return int(value)
    if isinstance(value, Mapping):
        names = sorted((_text(name) for name in value), key=_utf16)
        return {name: _ordered(value[name], depth + 1) for name in names}
    if isinstance(value, list | tuple):
        return [_ordered(item, depth + 1) for item in value]
    return _no_number(type(value).__name__)


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise EntryInvalid(Finding.ENTRY_MALFORMED, "the name of a member is not a text")
    if text.isascii():
        return str(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EntryInvalid(Finding.TEXT_NOT_UNICODE) from None
    if not unicodedata.is_normalized("NFC", text):
        raise EntryInvalid(Finding.TEXT_NOT_NFC)
    return str(text)


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise EntryInvalid(Finding.JSON_DUPLICATE_KEY)
    return members


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > _MOST_DIGITS:
        _no_number("an integer of 2^53 or more")
    return int(digits)


def _no_number(what: str) -> Never:
    raise EntryInvalid(Finding.NUMBER_REFUSED, f"{what[:40]} cannot stand in an entry")
