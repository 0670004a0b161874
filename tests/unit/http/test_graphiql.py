"""The explorer page: for developers only, and without any other address."""

import base64
import hashlib
import re

import pytest

from subgraph.http.graphiql import load_page

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


async def test_browser_gets_the_page_in_development(site) -> None:
    response = await site.get(headers={"accept": BROWSER})
    assert (response.status_code, response.headers["content-type"]) == (
        200,
        "text/html; charset=utf-8",
    )


async def test_navigation_never_runs_an_operation(site) -> None:
    await site.get(query="{ echo }", headers={"accept": BROWSER})
    assert site.contexts == []


@pytest.mark.parametrize("accept", [BROWSER, "text/html"])
async def test_browser_is_refused_in_production(serve, accept: str) -> None:
    response = await serve(mode="production").get(query="{ echo }", headers={"accept": accept})
    assert response.status_code == 406


async def test_program_gets_no_page(site) -> None:
    response = await site.get(query="{ echo }", headers={"accept": "*/*"})
    assert response.json() == {"data": {"echo": None}}


async def test_head_has_no_page_body(site) -> None:
    response = await site.client.head("/graphql", headers={"accept": BROWSER})
    assert (response.status_code, response.content) == (200, b"")


def test_policy_allows_exactly_the_inline_parts() -> None:
    page = load_page()
    policy = dict(page.headers)[b"content-security-policy"].decode()
    for tag in ("script", "style"):
        (source,) = re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), page.body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(source).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("word", [b"unsafe-inline", b"unsafe-eval", b"https:", b"http:"])
def test_policy_is_strict(word: bytes) -> None:
    assert word not in dict(load_page().headers)[b"content-security-policy"]


@pytest.mark.parametrize(
    "pattern",
    [rb"https?:", rb"\bsrc=", rb"\bhref=", rb"\bon[a-z]+=", rb"style=", rb"innerHTML", rb"@import"],
)
def test_page_refers_to_nothing_outside(pattern: bytes) -> None:
    assert re.search(pattern, load_page().body) is None
