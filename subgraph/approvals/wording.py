"""The texts that people and clients send with a request, checked before anything is stored."""

import unicodedata

from subgraph.approvals.errors import InvalidRequest

_LONGEST_NAME = 255
_LONGEST_REASON = 2000
_LINES = "\n\r\t"
_JOINERS = "\u200c\u200d"
"""Of the invisible characters these two belong to words; the others reorder or hide text."""
_UNPRINTABLE = {"Cc", "Cf", "Cn", "Co", "Cs"}


def prose(field: str, text: str, *, least: int = 1, most: int = _LONGEST_REASON) -> str:
    """The text in normalization form C, without space around it.

    Raises `InvalidRequest` when it is too short or too long, in characters, or holds characters
    that hide or reorder text.
    """
    normal = unicodedata.normalize("NFC", text).strip()
    if not least <= len(normal) <= most:
        raise InvalidRequest(field, f"{least} to {most} characters")
    for character in normal:
        if character in _LINES or character in _JOINERS:
            continue
        if unicodedata.category(character) in _UNPRINTABLE:
            raise InvalidRequest(field, "a character in it cannot be shown")
    return normal


def name(field: str, text: str, *, most: int = _LONGEST_NAME) -> str:
    """The text, if it can be a name, a key or an id: `InvalidRequest` if not."""
    if not (1 <= len(text) <= most and text.isprintable()):
        raise InvalidRequest(field, f"1 to {most} printable characters")
    if not unicodedata.is_normalized("NFC", text):
        raise InvalidRequest(field, "not in Unicode normalization form C")
    return text
