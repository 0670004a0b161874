"""Documents: read once, kept within bounds."""

import pytest

from subgraph import schema
from subgraph.deprecations import policy_file
from subgraph.errors import SubgraphError
from subgraph.queries.documents import DocumentCache, InvalidDocument
from subgraph.queries.limits import Limits

SCHEMA = schema.build(policy_file.load(policy_file.default_path())).core
LIMITS = Limits(2_000, 15, 50, 50, 20_000, 50_000, 1_000)


@pytest.fixture
def cache() -> DocumentCache:
    return DocumentCache(SCHEMA, LIMITS, 3, hide_suggestions=False)


def query(number: int) -> str:
    return f"query Q{number} {{ caller {{ subject }} }}"


def known(cache: DocumentCache, text: str) -> bool:
    return cache.get(text)[1]


def test_document_is_read_once(cache: DocumentCache) -> None:
    first, second = cache.get(query(1)), cache.get(query(1))
    assert (first[0] is second[0], first[1], second[1]) == (True, False, True)


def test_documents_that_differ_by_a_space_are_two(cache: DocumentCache) -> None:
    cache.get(query(1))
    assert not known(cache, query(1) + " ")


def test_document_used_longest_ago_makes_room(cache: DocumentCache) -> None:
    for number in (1, 2, 3, 1, 4):
        cache.get(query(number))
    assert [known(cache, query(number)) for number in (4, 3, 1)] == [True, True, True]


def test_document_that_made_room_is_read_again(cache: DocumentCache) -> None:
    for number in (1, 2, 3, 1, 4):
        cache.get(query(number))
    assert not known(cache, query(2))


def test_long_document_is_served_and_not_kept(cache: DocumentCache) -> None:
    text = query(1) + "#" * 40_000
    assert (known(cache, text), known(cache, text)) == (False, False)


@pytest.mark.parametrize(
    "text",
    ["{", "{ nothing }", "{ " + "a " * 3_000 + "}", "{ a: caller { subject } " * 60 + "}" * 60],
)
def test_refused_document_is_not_kept(cache: DocumentCache, text: str) -> None:
    for _ in range(2):
        with pytest.raises((SubgraphError, InvalidDocument)):
            cache.get(text)


def test_refused_documents_do_not_drive_others_out(cache: DocumentCache) -> None:
    cache.get(query(1))
    for number in range(10):
        with pytest.raises(InvalidDocument):
            cache.get(f"{{ nothing{number} }}")
    assert known(cache, query(1))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{", "GRAPHQL_PARSE_FAILED"),
        ('{ a(b: "\\uD800") }', "GRAPHQL_PARSE_FAILED"),
        ("{ " + "a " * 2_000 + "}", "TOO_MANY_TOKENS"),
        ("{ ... " * 300 + "{ a }" + "}" * 300, "DEPTH_LIMIT_EXCEEDED"),
        ("{ a " * 16 + "}" * 16, "DEPTH_LIMIT_EXCEEDED"),
    ],
)
def test_refusal_before_validation_has_a_code(cache: DocumentCache, text: str, code: str) -> None:
    with pytest.raises(SubgraphError) as caught:
        cache.get(text)
    assert caught.value.code.name == code


def test_validation_tells_no_more_than_it_needs_to(cache: DocumentCache) -> None:
    with pytest.raises(InvalidDocument) as caught:
        cache.get("{ " + " ".join(f"a{number}" for number in range(500)) + " }")
    assert len(caught.value.errors) <= 21


def test_suggestions_can_be_hidden() -> None:
    told = []
    for hide in (False, True):
        cache = DocumentCache(SCHEMA, LIMITS, 3, hide_suggestions=hide)
        with pytest.raises(InvalidDocument) as caught:
            cache.get("{ calle { subject } }")
        told.append("Did you mean" in caught.value.errors[0].message)
    assert told == [True, False]


# --- which operation


def resolve(text: str, name: str | None) -> str | None:
    document, _ = DocumentCache(SCHEMA, LIMITS, 3, hide_suggestions=False).get(text)
    return document.operation(name).name


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("{ caller { subject } }", None, None),
        ("query A { caller { subject } }", None, "A"),
        ("query A { caller { subject } }", "A", "A"),
        ("query A { caller { subject } } query B { caller { subject } }", "B", "B"),
    ],
)
def test_operation_is_the_one_that_is_named_or_the_only_one(
    text: str, name: str | None, found: str | None
) -> None:
    assert resolve(text, name) == found


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{ caller { subject } }", "A"),
        ("{ caller { subject } }", ""),
        ("query A { caller { subject } }", "B"),
        ("query A { caller { subject } } query B { caller { subject } }", None),
        ("query A { caller { subject } } query B { caller { subject } }", ""),
    ],
)
def test_operation_that_cannot_be_told_is_refused(text: str, name: str | None) -> None:
    with pytest.raises(SubgraphError) as caught:
        resolve(text, name)
    assert caught.value.code.name == "OPERATION_RESOLUTION_FAILED"
