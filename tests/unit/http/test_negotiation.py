"""Media types: what a client may ask for and send."""

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.negotiation import MediaType, check_body_type, choose, prefers_html

GRAPHQL = MediaType.GRAPHQL_RESPONSE
JSON = MediaType.JSON
BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        (b"", JSON),
        (b"*/*", JSON),
        (b"application/*", JSON),
        (b"application/json", JSON),
        (b"application/graphql-response+json", GRAPHQL),
        (b"application/json, application/graphql-response+json", GRAPHQL),
        (b"application/json,application/graphql-response+json;q=1.0", GRAPHQL),
        (
            b"application/graphql-response+json; charset=utf-8, application/json; charset=utf-8",
            GRAPHQL,
        ),
        (b"application/json, application/graphql-response+json;q=0.9", JSON),
        (b"application/json;q=0.5, application/graphql-response+json;q=0.9", GRAPHQL),
        (b"application/graphql-response+json;q=0, */*", JSON),
        (b"application/json;q=0, */*;q=0.1", GRAPHQL),
        (b"APPLICATION/GraphQL-Response+JSON", GRAPHQL),
        (b"text/html, */*;q=0.1", JSON),
        (b"application/json;q=2, application/graphql-response+json;q=0.1", GRAPHQL),
        (b'multipart/mixed;boundary="-", application/json', JSON),
        (b";;;,,,=,application/json", JSON),
    ],
)
def test_media_type_that_answers(accept: bytes | None, chosen: MediaType) -> None:
    assert choose(accept) is chosen


@pytest.mark.parametrize(
    "accept",
    [
        b"text/html",
        b"image/*",
        b"application/xml",
        b"*/*;q=0",
        b"application/json;q=0",
        b"application/json; charset=utf-16",
        b"application/json;q=nan",
        b"text/plain," * 64 + b"application/json",
    ],
)
def test_other_types_are_not_acceptable(accept: bytes) -> None:
    with pytest.raises(SubgraphError) as refused:
        choose(accept)
    assert refused.value.code is ErrorCode.NOT_ACCEPTABLE


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        (b"text/html", True),
        (None, False),
        (b"*/*", False),
        (b"application/json, text/html", False),
        (b"text/html;q=0.9, application/json;q=0.1", True),
        (b"text/html;q=0, */*", False),
    ],
)
def test_only_a_browser_prefers_html(accept: bytes | None, *, html: bool) -> None:
    assert prefers_html(accept) is html


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/json",
        b"Application/JSON",
        b"application/json; charset=utf-8",
        b'application/json;charset="UTF-8"',
        b"application/json; odata=minimal",
    ],
)
def test_json_in_utf8_is_taken(content_type: bytes) -> None:
    check_body_type(content_type, None)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        b"",
        b"text/plain",
        b"text/plain; application/json",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=x",
        b"application/graphql",
        b"application/jsonp",
        b"application/json,text/plain",
        b"application/json,application/json",
        b"application/json; charset=iso-8859-1",
        b"application/json; charset=utf-8; charset=utf-16",
    ],
)
def test_any_other_body_type_is_refused(content_type: bytes | None) -> None:
    with pytest.raises(SubgraphError) as refused:
        check_body_type(content_type, None)
    assert refused.value.code is ErrorCode.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"deflate", b"identity, gzip"])
def test_compressed_body_is_refused(encoding: bytes) -> None:
    with pytest.raises(SubgraphError) as refused:
        check_body_type(b"application/json", encoding)
    assert refused.value.code is ErrorCode.UNSUPPORTED_MEDIA_TYPE


def test_identity_is_no_compression() -> None:
    check_body_type(b"application/json", b"Identity")
