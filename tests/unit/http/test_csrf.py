"""What a page of another site can make a browser send is refused."""

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.csrf import PREFLIGHT_HEADERS, refuse_cross_site


@pytest.mark.parametrize("site", [b"cross-site", b"same-site", b"", b"none,cross-site", b"NONE"])
def test_request_for_another_site_is_refused(site: bytes) -> None:
    with pytest.raises(SubgraphError) as refused:
        refuse_cross_site({b"sec-fetch-site": site})
    assert refused.value.code is ErrorCode.CSRF_REJECTED


@pytest.mark.parametrize("header", PREFLIGHT_HEADERS)
def test_preflighted_request_passes(header: bytes) -> None:
    refuse_cross_site({b"sec-fetch-site": b"cross-site", header: b"1"})


def test_empty_header_proves_nothing() -> None:
    with pytest.raises(SubgraphError):
        refuse_cross_site({b"sec-fetch-site": b"cross-site", b"apollo-require-preflight": b""})


def test_unusual_content_type_proves_nothing() -> None:
    with pytest.raises(SubgraphError):
        refuse_cross_site({b"sec-fetch-site": b"cross-site", b"content-type": b"application/json"})


@pytest.mark.parametrize(
    "headers", [{}, {b"sec-fetch-site": b"same-origin"}, {b"sec-fetch-site": b"none"}]
)
def test_own_pages_and_programs_pass(headers: dict[bytes, bytes]) -> None:
    refuse_cross_site(headers)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
async def test_form_of_another_site_does_nothing(site, content_type: str) -> None:
    response = await site.post(b'{"query":"mutation { change }"}', content_type=content_type)
    assert response.status_code == 415


async def test_preflight_is_granted_nothing(site) -> None:
    response = await site.client.options("/graphql", headers={"origin": "https://evil.example"})
    assert not [name for name in response.headers if name.startswith("access-control-")]
