"""The last line of defence for log lines: secrets and personal values that should not be there.

Code must not log them in the first place; this is for the day it does. Every pattern takes time
linear in the text.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from uuid import UUID

from subgraph.errors import JSONValue, SubgraphError

REDACTED = "[redacted]"
MAX_TEXT = 8_192

_MAX_READ = 262_144
_MAX_DEPTH = 5
_MAX_ITEMS = 50
_INTEGER_BITS = 64
_PLAIN = (str, date, UUID, Decimal, PurePath, SubgraphError)
_SENSITIVE = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-ig-gateway-secret",
        "gateway-secret",
        "cursor-key",
        "password",
        "token",
        "variables",
        "document",
        "query",
    }
)
_PEM = re.compile(
    r"-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY.*?(?:-----END[ A-Z0-9]{0,40}-----|\Z)", re.DOTALL
)
_JWT = re.compile(r"ey[JA][A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){0,4}")
_CREDENTIALS = re.compile(r"\b(bearer|basic|dpop)((?:\s|%20|\+){1,4})[^\s\"',;]+", re.IGNORECASE)
_PAIR = re.compile(
    r"(authorization|cookie|gateway[-_]secret|cursor[-_]key|password|variables)"
    r"(?:['\"]?\s{0,4}[:=]|['\"]\s{0,4},).*",
    re.IGNORECASE | re.DOTALL,
)
_ADDRESS = re.compile(r"://\S+")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")


def redact_text(text: str) -> str:
    """`text` without anything that looks like a token, a key, a password or an e-mail address.

    The result is valid Unicode of at most 8192 characters.
    """
    if len(text) > _MAX_READ:
        text = text[:_MAX_READ].rpartition(" ")[0]
    text = _PEM.sub(REDACTED, text)
    text = _JWT.sub(REDACTED, text)
    text = _CREDENTIALS.sub(rf"\1\2{REDACTED}", text)
    text = _ADDRESS.sub(_without_user, text)
    text = _EMAIL.sub(REDACTED, text)
    text = _PAIR.sub(rf"\1={REDACTED}", text)
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "[cut]"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def redact(value: object, depth: int = _MAX_DEPTH) -> JSONValue:
    """`value` as JSON: strings redacted, sensitive names emptied, unknown objects by type only.

    An object's own `repr` is never asked: that of a row or a request holds people's data.
    """
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, int):
        return int(value) if value.bit_length() < _INTEGER_BITS else str(value)
    if isinstance(value, Mapping | AbstractSet | list | tuple) and depth:
        return _redact_many(value, depth - 1)
    if isinstance(value, _PLAIN):
        return redact_text(str(value))
    return f"<{type_name(value)}>"


def type_name(value: object) -> str:
    """The qualified name of the type of `value`; built-in types without their module."""
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _redact_many(
    value: Mapping[object, object] | AbstractSet[object] | list[object] | tuple[object, ...],
    depth: int,
) -> JSONValue:
    if isinstance(value, Mapping):
        return {
            _name(key): REDACTED if _is_sensitive(key) else redact(item, depth)
            for key, item in list(value.items())[:_MAX_ITEMS]
        }
    items = list(value)[:_MAX_ITEMS]
    if len(items) == len(("name", "value")) and _is_sensitive(items[0]):
        return [_name(items[0]), REDACTED]
    return [redact(item, depth) for item in items]


def _name(key: object) -> str:
    if isinstance(key, bytes):
        return redact_text(key.decode("latin-1"))
    return redact_text(key) if isinstance(key, str) else str(redact(key))


def _is_sensitive(key: object) -> bool:
    if isinstance(key, bytes):
        key = key.decode("latin-1")
    return isinstance(key, str) and key.lower().replace("_", "-") in _SENSITIVE


def _without_user(match: re.Match[str]) -> str:
    return f"://{REDACTED}" if "@" in match[0] else match[0]
