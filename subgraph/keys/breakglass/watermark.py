"""The visible marker at the end of every value that break-glass shows.

A marker reads ` ⟦bg-XXXXXXXXXXXX-YYYYYYYYYYYYYYYY⟧`: 60 bits that name the request, and 80 bits of
HMAC-SHA256 (RFC 2104) over the place of the value, with a key that is the session's own. Both parts
are Crockford's base 32, which has no I, L, O and U.

Reading ignores case, everything but ASCII letters and digits, and the confusions of Crockford's
alphabet. So a marker survives reflowing, quoting, line breaks, white space and invisible characters
inside of it, the loss of its brackets and dashes in an ASCII-only copy, full-width letters, and
most readings by eye or by machine. Escapes (JSON, HTML, URLs) leave its letters and dashes as they
are. It does not survive being cut off or removed, which a visible marker never does, an encoding of
the letters themselves (base64), and mark-up that puts letters between its letters. When a character
of the first part is wrong nothing is found; when one of the second is, the request is named and not
proven.
"""

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from uuid import UUID

from subgraph.keys.breakglass.model import Place

KEY_BYTES = 32
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SHORT = 12
_TAG = 16
_BITS = 5
_REQUEST = b"break-glass request\0"
_COMMITMENT = b"break-glass watermark key\0"
# Overlapping: the letters that begin a marker can also stand inside of one.
_MARKER = re.compile(rf"bg(?=([0-9a-z]{{{_SHORT}}})([0-9a-z]{{{_TAG}}})?)")
_CONFUSED = str.maketrans("ILO", "110")
_NOISE = re.compile(r"[^0-9a-z]+")


@dataclass(frozen=True, slots=True)
class Found:
    """The two parts of a marker in a text; no tag when the text ends within it."""

    short_id: str
    tag: str | None


def short_id(tenant: str, request_id: UUID) -> str:
    """The 12 characters that name a request; anybody who knows its id can compute them."""
    named = _REQUEST + _framed(tenant, str(request_id))
    return _base32(hashlib.sha256(named).digest(), _SHORT)


def prefix(short: str) -> str:
    """The part that all markers of a session have in common."""
    return f"⟦bg-{short}"


def commitment(key: bytes) -> str:
    """What the ledger says of a session's key: `sha256:` and 64 hex digits.

    The key is 32 random bytes, so its digest tells nothing of it; whoever is shown the key later
    can recompute every tag.
    """
    return "sha256:" + hashlib.sha256(_COMMITMENT + key).hexdigest()


def tag(key: bytes, tenant: str, place: Place) -> str:
    """The 16 characters that only the session's key gives for a place."""
    told = _framed(tenant, place.object_type, str(place.record_id), place.field)
    return _base32(hmac.digest(key, told, "sha256"), _TAG)


def marker(short: str, tagged: str) -> str:
    """What is appended to a value, beginning with a space."""
    return f" {prefix(short)}-{tagged}⟧"


def find(text: str) -> list[Found]:
    """What could be markers in a text, each once, in the order of the text.

    Ordinary words can look like a marker; none of them names a request that exists.
    """
    plain = _NOISE.sub("", unicodedata.normalize("NFKC", text).lower())
    found = (
        Found(_read(match[1]), None if match[2] is None else _read(match[2]))
        for match in _MARKER.finditer(plain)
    )
    return list(dict.fromkeys(found))


def _read(text: str) -> str:
    return text.upper().translate(_CONFUSED)


def _framed(*parts: str) -> bytes:
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _base32(digest: bytes, length: int) -> str:
    number = int.from_bytes(digest, "big") >> (len(digest) * 8 - length * _BITS)
    return "".join(
        _ALPHABET[number >> shift & 31] for shift in range((length - 1) * _BITS, -1, -_BITS)
    )
