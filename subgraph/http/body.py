"""Request bodies: read within limits, and parsed as JSON that everything behind can hold.

JSON is stricter here than in Python's parser: RFC 8259 to the letter, no name twice in an object
(RFC 7493), integers of 64 bits, finite numbers, bounded nesting, no lone surrogates (orjson and
PostgreSQL cannot take them) and no U+0000 (PostgreSQL cannot). A fault of this kind refuses the
whole body, a batch included.
"""

import asyncio
import json
import math
from collections.abc import Iterator
from typing import Final, NoReturn

from starlette.types import Receive

from subgraph.errors import ErrorCode, SubgraphError

MAX_NESTING: Final = 64
"""Levels of arrays and objects in one JSON text; orjson would serialise 254."""

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
_INT64_DIGITS: Final = 20


class ClientDisconnected(Exception):
    """The client has gone away; nobody waits for an answer."""


async def read_body(
    receive: Receive, content_length: bytes | None, limit: int, seconds: float
) -> bytes:
    """Read a body of at most `limit` bytes that arrives within `seconds`.

    Raises `SubgraphError` with BODY_TOO_LARGE as soon as the limit is passed, whatever the
    declared length, or with BODY_TIMEOUT; `ClientDisconnected` if the client goes away.
    """
    if content_length is not None and _exceeds(content_length, limit):
        raise SubgraphError(ErrorCode.BODY_TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientDisconnected
                body += message.get("body", b"")
                if len(body) > limit:
                    raise SubgraphError(ErrorCode.BODY_TOO_LARGE)
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise SubgraphError(ErrorCode.BODY_TIMEOUT) from None


def parse_json(encoded: bytes) -> object:
    """Parse one JSON text.

    Raises `SubgraphError` with INVALID_UTF8, MALFORMED_JSON, DUPLICATE_KEY, NUMBER_OUT_OF_RANGE,
    NESTING_TOO_DEEP, or BAD_USER_INPUT for U+0000.
    """
    try:
        value: object = _DECODER.decode(encoded.decode())
    except UnicodeDecodeError:
        raise SubgraphError(ErrorCode.INVALID_UTF8) from None
    except json.JSONDecodeError as error:
        raise SubgraphError(
            ErrorCode.MALFORMED_JSON, f"Not JSON at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise SubgraphError(ErrorCode.NESTING_TOO_DEEP) from None
    if encoded.count(b"[") + encoded.count(b"{") > MAX_NESTING:
        _check_nesting(value)
    # The decoder refuses raw control characters and UTF-8 has no surrogates: both need an escape.
    if b"\\u" in encoded:
        for text in _texts(value):
            check_text(text)
    return value


def check_text(text: str) -> None:
    """Raise `SubgraphError` for a text with U+0000 or a lone surrogate."""
    if "\0" in text:
        raise SubgraphError(ErrorCode.BAD_USER_INPUT, "A text contains U+0000.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SubgraphError(ErrorCode.MALFORMED_JSON, "A text has a lone surrogate.") from None


def _exceeds(content_length: bytes, limit: int) -> bool:
    digits = content_length.lstrip(b"0")
    # The length of the digits comes first: int() refuses some thousands of them.
    return digits.isdigit() and (len(digits) > len(str(limit)) or int(digits) > limit)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise SubgraphError(ErrorCode.DUPLICATE_KEY)
    return members


def _integer(digits: str) -> int:
    if len(digits) <= _INT64_DIGITS and _INT64_MIN <= (number := int(digits)) <= _INT64_MAX:
        return number
    raise SubgraphError(ErrorCode.NUMBER_OUT_OF_RANGE)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise SubgraphError(ErrorCode.NUMBER_OUT_OF_RANGE)
    return number


def _not_a_number(name: str) -> NoReturn:
    raise SubgraphError(ErrorCode.MALFORMED_JSON, f"{name} is not JSON.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_not_a_number,
)


def _check_nesting(value: object) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_NESTING):
        if not level:
            return
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, dict | list)
        ]
    if level:
        raise SubgraphError(ErrorCode.NESTING_TOO_DEEP)


def _texts(value: object) -> Iterator[str]:
    """Every text in `value`, names of members included, without recursion."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
