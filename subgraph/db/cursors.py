"""Keyset cursors that nobody but this service can make.

A cursor holds the ordering values of the row it stands behind. It is signed together with the
list, the tenant and the ordering that it belongs to, so it fits no other list.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

import msgspec

from subgraph.errors import ErrorCode, SubgraphError

_TAG_BYTES = 16
_LONGEST = 2048
KeysetValue = str | int


@dataclass(frozen=True, slots=True)
class ListIdentity:
    """The list a cursor belongs to: its name, its tenant (empty when it has none), its ordering."""

    name: str
    tenant: str
    ordering: str

    @property
    def associated(self) -> bytes:
        """The bytes that are signed along; length-prefixed, so no two lists share them."""
        parts = (self.name.encode(), self.tenant.encode(), self.ordering.encode())
        return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


class CursorCodec:
    """Writes and reads cursors with one key, the same on all replicas."""

    def __init__(self, key: str) -> None:
        self._key = hashlib.sha256(b"governance-subgraph/cursor/v1\0" + key.encode()).digest()

    def encode(self, of: ListIdentity, values: tuple[KeysetValue, ...]) -> str:
        """The cursor behind the row with these ordering values."""
        body = msgspec.json.encode(values)
        return _text(self._tag(of, body) + body)

    def decode(self, of: ListIdentity, cursor: str) -> tuple[KeysetValue, ...]:
        """The ordering values in `cursor`. Raises `INVALID_CURSOR` for any other text."""
        raw = _raw(cursor)
        tag, body = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        # The text is compared too: base64 has spare bits, and one row has one cursor.
        if not hmac.compare_digest(tag, self._tag(of, body)) or _text(raw) != cursor:
            raise SubgraphError(ErrorCode.INVALID_CURSOR)
        return msgspec.json.decode(body, type=tuple[KeysetValue, ...])

    def _tag(self, of: ListIdentity, body: bytes) -> bytes:
        digest = hmac.digest(self._key, of.associated + body, "sha256")
        return digest[:_TAG_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    if len(text) > _LONGEST:
        raise SubgraphError(ErrorCode.INVALID_CURSOR)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise SubgraphError(ErrorCode.INVALID_CURSOR) from None
