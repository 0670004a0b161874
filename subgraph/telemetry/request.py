"""The identity of the request that runs now: its id, and the trace it belongs to."""

import os
import re
from collections.abc import Iterable
from contextvars import ContextVar, Token
from typing import NamedTuple

Headers = Iterable[tuple[bytes, bytes]]
"""Raw ASGI headers: lower-case names and values, as bytes."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the running request; None outside of one."""

trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
"""The W3C trace id of the running request, sampled or not: 32 hex digits."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)


def new_request_id() -> str:
    """A fresh id: 16 hex digits, 64 random bits."""
    return os.urandom(8).hex()


def accept_request_id(header: bytes | None) -> str:
    """The caller's `x-request-id` when it is 1 to 64 of `A-Z a-z 0-9 . _ -`, else a fresh id."""
    if header is not None and _REQUEST_ID.fullmatch(header):
        return header.decode("ascii")
    return new_request_id()


def bind_request(identity: str) -> Token[str | None]:
    """Make `identity` the id of the running request; the token undoes it."""
    return request_id.set(identity)


class CallerTrace(NamedTuple):
    """The trace that a caller's request belongs to, and whether the caller keeps it."""

    trace_id: str
    sampled: bool


def caller_trace(headers: Headers) -> CallerTrace | None:
    """The trace that the caller's W3C `traceparent` names.

    None without a valid one; two of them are as good as none.
    """
    found = [value for name, value in headers if name == b"traceparent"]
    if len(found) != 1:
        return None
    match = _TRACEPARENT.fullmatch(found[0])
    if match is None or (match[1] == b"00" and match[4] is not None):
        return None
    return CallerTrace(match[2].decode("ascii"), bool(int(match[3], 16) & 1))
