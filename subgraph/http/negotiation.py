"""Media types of GraphQL over HTTP: which one answers, and which one a body may have.

After https://graphql.github.io/graphql-over-http/draft/ and RFC 9110, section 12.5.1. A client
that names `application/graphql-response+json` gets it unless it prefers something else; one that
names neither type (`*/*`, or no Accept at all) is a legacy client and gets `application/json`.
"""

import re
from enum import Enum
from typing import Final

from subgraph.errors import ErrorCode, SubgraphError


class MediaType(Enum):
    """A media type that answers; the value is the `Content-Type`."""

    GRAPHQL_RESPONSE = b"application/graphql-response+json; charset=utf-8"
    JSON = b"application/json; charset=utf-8"


_GRAPHQL_RESPONSE: Final = b"application/graphql-response+json"
_JSON: Final = b"application/json"
_HTML: Final = b"text/html"
_COMMON: Final = {
    None: MediaType.JSON,
    b"": MediaType.JSON,
    b"*/*": MediaType.JSON,
    _JSON: MediaType.JSON,
    _GRAPHQL_RESPONSE: MediaType.GRAPHQL_RESPONSE,
    b"application/json, application/graphql-response+json": MediaType.GRAPHQL_RESPONSE,
    b"application/graphql-response+json, application/json": MediaType.GRAPHQL_RESPONSE,
}
# A header of 64 kB could name 30 000 ranges; no client needs more than a few.
_MAX_RANGES: Final = 64
_QUALITY = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_UTF8: Final = (b"utf-8", b'"utf-8"')


def choose(accept: bytes | None) -> MediaType:
    """Return the media type that answers a request with this `Accept`.

    Raises `SubgraphError` with NOT_ACCEPTABLE when the client accepts neither.
    """
    known = _COMMON.get(accept)
    if known is not None:
        return known
    ranges = _ranges(accept or b"")
    graphql_response = _quality(ranges, _GRAPHQL_RESPONSE)
    json = _quality(ranges, _JSON)
    if not graphql_response and not json:
        raise SubgraphError(ErrorCode.NOT_ACCEPTABLE)
    if graphql_response > json or (graphql_response == json and _GRAPHQL_RESPONSE in ranges):
        return MediaType.GRAPHQL_RESPONSE
    return MediaType.JSON


def prefers_html(accept: bytes | None) -> bool:
    """Whether a browser asks for a page: HTML is named, and liked better than GraphQL's types."""
    if accept is None or _HTML not in accept:
        return False
    ranges = _ranges(accept)
    others = max(_quality(ranges, _GRAPHQL_RESPONSE), _quality(ranges, _JSON))
    return ranges.get(_HTML, 0.0) > others


def check_body_type(content_type: bytes | None, content_encoding: bytes | None) -> None:
    """Raise `SubgraphError` with UNSUPPORTED_MEDIA_TYPE unless a body is plain JSON in UTF-8."""
    if content_encoding is not None and content_encoding.strip().lower() not in (b"", b"identity"):
        raise SubgraphError(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE, "Compressed bodies are not supported."
        )
    if content_type == _JSON:
        return
    if content_type is None:
        raise SubgraphError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "The body has no media type.")
    essence, *parameters = content_type.lower().split(b";")
    if essence.strip() != _JSON:
        raise SubgraphError(ErrorCode.UNSUPPORTED_MEDIA_TYPE)
    if not all(_is_utf8(parameter) for parameter in parameters):
        raise SubgraphError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "The body must be UTF-8.")


def _is_utf8(parameter: bytes) -> bool:
    name, _, value = parameter.partition(b"=")
    return name.strip() != b"charset" or value.strip() in _UTF8


def _ranges(accept: bytes) -> dict[bytes, float]:
    """Each media range with its quality; what is not well-formed is left out."""
    ranges: dict[bytes, float] = {}
    for item in accept.lower().split(b",", _MAX_RANGES)[:_MAX_RANGES]:
        essence, *parameters = item.split(b";")
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition(b"=")
            if name.strip() == b"q":
                quality = float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
        if all(_is_utf8(parameter) for parameter in parameters):
            name = essence.strip()
            ranges[name] = max(quality, ranges.get(name, 0.0))
    return ranges


def _quality(ranges: dict[bytes, float], name: bytes) -> float:
    for candidate in (name, b"application/*", b"*/*"):
        if candidate in ranges:
            return ranges[candidate]
    return 0.0
