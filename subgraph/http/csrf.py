"""Refusal of requests that a browser sends for another site without asking.

What makes a forged request worthless here, in this order:

1. Credentials travel in `Authorization: Bearer` only. No cookie is ever read, so a page of another
   site has nothing that the browser would attach for it.
2. GET never changes or spends anything: mutations and operations that spend are POST only.
3. POST takes `application/json` only. A form or `text/plain`, which need no preflight, is answered
   with 415, and a preflight is answered without CORS headers, so browsers stop there.
4. A browser says where a request comes from in `Sec-Fetch-Site`. If that is another site or
   origin, the request must carry a header that no browser sends without a preflight.

Programs that are not browsers send no `Sec-Fetch-Site` and pass: plain GETs are part of GraphQL
over HTTP. Apollo Server asks every GET for such a header; its names are understood here. It also
takes an unusual `Content-Type` on a GET as proof of a preflight; this module does not, because
browsers have let such types through.
"""

from collections.abc import Mapping
from typing import Final

from subgraph.errors import ErrorCode, SubgraphError

PREFLIGHT_HEADERS: Final = (
    b"x-apollo-operation-name",
    b"apollo-require-preflight",
    b"apollographql-client-name",
)
"""Any of these, not empty, proves that a preflight was granted or that there is no browser."""

_OWN_SITE: Final = (None, b"same-origin", b"none")


def refuse_cross_site(headers: Mapping[bytes, bytes]) -> None:
    """Raise `SubgraphError` with CSRF_REJECTED if another site could have made a browser send this.

    `same-site` counts as another site: a neighbouring subdomain is not this service.
    """
    if headers.get(b"sec-fetch-site") in _OWN_SITE:
        return
    if not any(headers.get(name) for name in PREFLIGHT_HEADERS):
        raise SubgraphError(ErrorCode.CSRF_REJECTED)
