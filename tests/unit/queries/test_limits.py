"""The size of documents, counted before they are validated."""

import pytest
from graphql import parse

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.queries.limits import Limits, check_shape

LIMITS = Limits(tokens=20, depth=3, aliases=2, directives=2, nodes=0, cost=0, representations=0)


def code(query: str) -> str | None:
    try:
        check_shape(parse(query), LIMITS)
    except SubgraphError as error:
        return error.code.name
    return None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ a { b { c } } }", None),
        ("{ a { b { c { d } } } }", "DEPTH_LIMIT_EXCEEDED"),
        ("{ a { ... { b { ... on T { c } } } } }", None),
        ("{ a { ...F } } fragment F on T { b { c { d } } }", "DEPTH_LIMIT_EXCEEDED"),
        ("{ a { b { c { __typename } } } }", None),
        ("{ __schema { a { b { c { d { e } } } } } }", None),
        ("query A { a } query B { a { b { c { d } } } }", "DEPTH_LIMIT_EXCEEDED"),
        ("mutation { a { b { c { d } } } }", "DEPTH_LIMIT_EXCEEDED"),
    ],
)
def test_levels_are_those_of_fields(query: str, expected: str | None) -> None:
    assert code(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ x: a y: b }", None),
        ("{ x: a y: b z: c }", "ALIAS_LIMIT_EXCEEDED"),
        ("{ x: a { y: b { z: c } } }", "ALIAS_LIMIT_EXCEEDED"),
        ("{ ...F ...F } fragment F on T { x: a y: b }", "ALIAS_LIMIT_EXCEEDED"),
        ("{ a a a }", None),
        ("{ a a a a }", "ALIAS_LIMIT_EXCEEDED"),
        ("{ a { b } c { b } d { b } e { b } }", None),
        ("{ ... on A { a b } ... on B { a b } ... on C { a b } }", None),
        ("query A { x: a y: b } query B { x: a y: b }", None),
    ],
)
def test_aliases_and_repeated_fields_are_counted_together(query: str, expected: str | None) -> None:
    assert code(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ a @x b @y }", None),
        ("{ a @x b @y c @z }", "DIRECTIVE_LIMIT_EXCEEDED"),
        ("{ a @x @x @x }", "DIRECTIVE_LIMIT_EXCEEDED"),
        ("{ ... @x { a @y } ...F @z } fragment F on T { a }", "DIRECTIVE_LIMIT_EXCEEDED"),
        ("query @x @y @z { a }", "DIRECTIVE_LIMIT_EXCEEDED"),
        ("{ ...F ...F } fragment F on T { a @x b @y }", "DIRECTIVE_LIMIT_EXCEEDED"),
    ],
)
def test_directives_are_counted_wherever_they_stand(query: str, expected: str | None) -> None:
    assert code(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (("{ ...A ...A } fragment A on T { ...B ...B } fragment B on T { ...C ...C }"
         " fragment C on T { a b }"), None),
        (("{ ...A ...A } fragment A on T { ...B ...B } fragment B on T { ...C ...C }"
         " fragment C on T { a b c }"), "TOO_MANY_TOKENS"),
    ],
)  # fmt: skip
def test_fields_are_counted_wherever_they_are_spread(query: str, expected: str | None) -> None:
    assert code(query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "{ ...A }",
        "{ ...A } fragment A on T { ...A }",
        "{ ...A } fragment A on T { ...B } fragment B on T { ...A a { ...B } }",
    ],
)
def test_what_validation_refuses_is_left_to_it(query: str) -> None:
    assert code(query) is None


def test_refusal_says_how_many_are_allowed() -> None:
    with pytest.raises(SubgraphError) as caught:
        check_shape(parse("{ a { b { c { d } } } }"), LIMITS)
    assert (caught.value.code, caught.value.message) == (
        ErrorCode.DEPTH_LIMIT_EXCEEDED,
        "The operation has 4 levels; 3 are allowed.",
    )
