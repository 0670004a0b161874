"""The page at which a developer tries queries in a browser."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Final

from subgraph.http.responses import Answer

_PAGE: Final = Path(__file__).with_name("graphiql.html")
_INLINE = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)


def load_page() -> Answer:
    """Read the page; its policy allows its own script and style by their hashes, and nothing else.

    The page works without any other address: a browser without a network can use it.
    """
    body = _PAGE.read_bytes()
    hashes = {kind.decode(): _hash(source) for kind, source in _INLINE.findall(body)}
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{hashes['script']}'",
            f"style-src '{hashes['style']}'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    )
    headers = (
        (b"content-security-policy", policy.encode()),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
    )
    return Answer(200, body, b"text/html; charset=utf-8", headers)


def _hash(source: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source).digest()).decode()
