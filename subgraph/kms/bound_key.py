"""Keys for providers that wrap without associated data: the context goes into what is wrapped.

What is wrapped is key (32 bytes) || HMAC-SHA256(key, context.aad) (32 bytes). The provider's own
wrapping keeps the two from being changed; the tag refuses a wrap that was moved to another
context. A tag under the key itself tells nobody anything about the key (RFC 2104), and whoever
does not know the key cannot make one for another context.
"""

import hashlib
import hmac
from typing import Final

from subgraph.kms.contract import WrapContext
from subgraph.kms.faults import KeyFault, KeyProviderError

KEY_BYTES: Final = 32
BOUND_BYTES: Final = 64


def bind(key: bytes, context: WrapContext) -> bytes:
    """Return the 64 bytes that stand for a 32-byte key in this context."""
    assert len(key) == KEY_BYTES
    return key + _tag(key, context)


def unbind(bound: bytes, context: WrapContext) -> bytes:
    """Return the key; raises `KeyProviderError` with INTEGRITY unless it was bound to `context`."""
    key, tag = bound[:KEY_BYTES], bound[KEY_BYTES:]
    if len(bound) != BOUND_BYTES or not hmac.compare_digest(tag, _tag(key, context)):
        raise KeyProviderError(
            KeyFault.INTEGRITY, "what was unwrapped does not belong to this data key"
        )
    return key


def _tag(key: bytes, context: WrapContext) -> bytes:
    return hmac.digest(key, context.aad, hashlib.sha256)
