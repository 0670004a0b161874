"""The rules that a record must keep, checked before the database is asked."""

import re
import unicodedata
from collections import Counter

from subgraph.keys.envelope.container import MOST_FIELDS, MOST_NAME_CHARACTERS
from subgraph.keys.envelope.message import MOST_PLAINTEXT
from subgraph.keys.records.errors import InvalidRecord
from subgraph.keys.records.model import NewRecord

_OBJECT_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_LONGEST_EXTERNAL_ID = 200


def check(wanted: NewRecord) -> None:
    """Raise `InvalidRecord` for the first rule that `wanted` breaks."""
    if not is_object_type(wanted.object_type):
        message = "1 to 63 characters: a letter, then letters, digits, dots, hyphens, underscores"
        raise InvalidRecord(message, ("input", "objectType"))
    external = wanted.external_id
    if external is not None and not (
        1 <= len(external) <= _LONGEST_EXTERNAL_ID and external.isprintable()
    ):
        message = f"1 to {_LONGEST_EXTERNAL_ID} printable characters"
        raise InvalidRecord(message, ("input", "externalId"))
    if not 1 <= len(wanted.fields) <= MOST_FIELDS:
        raise InvalidRecord(f"1 to {MOST_FIELDS} fields", ("input", "fields"))
    counts = Counter(name for name, _ in wanted.fields)
    for place, (name, value) in enumerate(wanted.fields):
        at = ("input", "fields", str(place))
        if not 1 <= len(name) <= MOST_NAME_CHARACTERS or not name.isprintable():
            message = f"1 to {MOST_NAME_CHARACTERS} printable characters"
            raise InvalidRecord(message, (*at, "name"))
        if not unicodedata.is_normalized("NFC", name):
            raise InvalidRecord("Unicode in normalisation form C", (*at, "name"))
        if counts[name] > 1:
            raise InvalidRecord("a field is named twice", (*at, "name"))
        _check_value(value, (*at, "value"))


def is_object_type(text: str) -> bool:
    """Whether records can be of this type."""
    return _OBJECT_TYPE.fullmatch(text) is not None


def _check_value(value: str, at: tuple[str, ...]) -> None:
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidRecord("it holds a lone surrogate; it is not Unicode text", at) from None
    if length > MOST_PLAINTEXT:
        raise InvalidRecord(f"at most {MOST_PLAINTEXT:,} bytes of UTF-8", at)
