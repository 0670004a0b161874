"""What an operation may cost, and what hostile documents meet, over HTTP."""

# ruff: noqa: UP031 - GraphQL has braces of its own

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from subgraph.settings import Settings
from tests.conftest import Api, running
from tests.integration.datasets import tenant_input


def codes(answer: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


def refusal(answer: dict[str, Any]) -> str | None:
    """The code of a request that was not executed; None for one that was."""
    if "data" in answer:
        return None
    (code,) = codes(answer)
    return code


def limited(settings: Settings, **limits: int) -> AbstractAsyncContextManager[Api]:
    return running(msgspec.structs.replace(settings, **limits))


@pytest.fixture(scope="module")
async def small(settings: Settings) -> AsyncIterator[Api]:
    """An application whose limits are easily reached."""
    limits = {
        "max_tokens": 100, "max_depth": 4, "max_aliases": 3, "max_directives": 3,
        "max_nodes": 200, "max_cost": 120,
    }  # fmt: skip
    async with limited(settings, **limits) as served:
        yield served


LIMITS = {
    "tokens at the limit": (
        "{ _entities(representations: [" + "1 " * 88 + "]) { __typename } }",
        None,
    ),
    "tokens over it": (
        "{ _entities(representations: [" + "1 " * 89 + "]) { __typename } }",
        "TOO_MANY_TOKENS",
    ),
    "levels at the limit": ("{ deprecations { edges { node { id } } } }", None),
    "levels over it": (
        '{ tenant(id: "x") { datasets { edges { node { id } } } } }',
        "DEPTH_LIMIT_EXCEEDED",
    ),
    "levels over it in fragments": (
        (
            '{ tenant(id: "x") { ...D } } fragment D on Tenant { datasets { ...E } }'
            " fragment E on DatasetConnection { edges { ... { node { ... on Dataset { id } } } } }"
        ),
        "DEPTH_LIMIT_EXCEEDED",
    ),
    "aliases at the limit": ("{ a: __typename b: __typename c: __typename }", None),
    "aliases over it": (
        "{ a: __typename b: __typename c: __typename d: __typename }",
        "ALIAS_LIMIT_EXCEEDED",
    ),
    "aliases over it in a fragment that is spread twice": (
        "{ ...F ... { ...F } } fragment F on Query { a: __typename b: __typename }",
        "ALIAS_LIMIT_EXCEEDED",
    ),
    "repeated fields over it": ("{ " + "__typename " * 5 + "}", "ALIAS_LIMIT_EXCEEDED"),
    "directives at the limit": (
        "{ __typename @skip(if: false) @include(if: true) ... @skip(if: true) { __typename } }",
        None,
    ),
    "directives over it": (
        (
            "{ __typename @skip(if: false) @include(if: true)"
            " ... @skip(if: true) { __typename @skip(if: false) } }"
        ),
        "DIRECTIVE_LIMIT_EXCEEDED",
    ),
    "one directive over and over": (
        "{ __typename " + "@skip(if: false) " * 4 + "}",
        "DIRECTIVE_LIMIT_EXCEEDED",
    ),
    "nodes over the limit": (
        "{ deprecations(first: 67) { nodes { id } edges { node { id } } } }",
        "NODE_LIMIT_EXCEEDED",
    ),
    # The connection, and in it `first` records.
    "cost at the limit": ("{ deprecations(first: 100) { nodes { id } } }", None),
    # The connection, `first` edges and the record in each.
    "cost over it": (
        "{ deprecations(first: 60) { edges { node { id } } } }",
        "COST_LIMIT_EXCEEDED",
    ),
}


@pytest.mark.parametrize(("query", "code"), LIMITS.values(), ids=LIMITS)
async def test_each_limit_has_a_code_of_its_own(small: Api, query: str, code: str | None) -> None:
    assert refusal(await small.ask(query)) == code


@pytest.mark.parametrize(
    ("first", "code"), [(59, None), (60, "COST_LIMIT_EXCEEDED"), (100, "NODE_LIMIT_EXCEEDED")]
)
async def test_refusal_tells_the_limit_and_what_was_asked(
    small: Api, first: int, code: str | None
) -> None:
    answer = await small.ask("{ deprecations(first: %d) { edges { node { id } } } }" % first)
    if code is None:
        assert "errors" not in answer
        return
    limit = {"COST_LIMIT_EXCEEDED": 120, "NODE_LIMIT_EXCEEDED": 200}[code]
    extensions = answer["errors"][0]["extensions"]
    assert (extensions["limit"], extensions["asked"]) == (limit, 1 + 2 * first)


async def test_same_document_is_priced_anew_for_other_variables(small: Api) -> None:
    query = "query($n: Int!) { deprecations(first: $n) { edges { node { id } } } }"
    found = [refusal(await small.ask(query, variables={"n": n})) for n in (1, 60, 2, 100)]
    assert found == [None, "COST_LIMIT_EXCEEDED", None, "NODE_LIMIT_EXCEEDED"]


@pytest.mark.parametrize(
    ("declared", "sent"),
    [("$n: Int = 60", {}), ("$n: Int! = 60", {}), ("$n: Int = 1", {"n": 60}),
     ("$n: Int = 1", {"n": 60.0})],
)  # fmt: skip
async def test_variable_cannot_hide_a_price(
    small: Api, declared: str, sent: dict[str, object]
) -> None:
    query = "query(%s) { deprecations(first: $n) { edges { node { id } } } }" % declared
    assert refusal(await small.ask(query, variables=sent)) == "COST_LIMIT_EXCEEDED"


@pytest.mark.parametrize("condition", ["@skip(if: true)", "@include(if: false)"])
async def test_field_that_is_skipped_is_priced(small: Api, condition: str) -> None:
    query = "{ deprecations(first: 60) %s { edges { node { id } } } }" % condition
    assert refusal(await small.ask(query)) == "COST_LIMIT_EXCEEDED"


@pytest.mark.parametrize("first", [2**31 - 1, 1e300])
async def test_price_beyond_all_numbers_is_refused_as_any_other(api: Api, first: float) -> None:
    inner = "id"
    for _ in range(3):
        inner = "tenant { datasets(first: $n) { nodes { %s } } }" % inner
    answer = await api.ask("query($n: Int!) { caller { %s } }" % inner, variables={"n": first})
    asked = answer["errors"][0]["extensions"]["asked"]
    assert (refusal(answer), asked) == ("NODE_LIMIT_EXCEEDED", 2**53 - 1)


async def test_mutation_costs_ten(settings: Settings) -> None:
    query = "mutation { %s }" % " ".join(
        f'm{number}: registerTenant(input: {{ id: "x", name: "x", homeRegion: "x",'
        " allowedRegions: [] }) { userErrors { code } }"
        for number in range(2)
    )
    async with limited(settings, max_cost=1) as served:
        answer = await served.ask(query)
    # Each mutation, and up to 100 errors of each.
    assert answer["errors"][0]["extensions"]["asked"] == 2 * (10 + 100)


# --- documents that are made to hurt


def spreads(count: int, times: int) -> str:
    """Fragments of which each spreads the next one several times."""
    inner = "".join(
        f"fragment F{number} on Query {{ {f'...F{number + 1} ' * times} }} "
        for number in range(count)
    )
    return f"{{ ...F0 }} {inner} fragment F{count} on Query {{ __typename }}"


def chain(count: int) -> str:
    return spreads(count, 1)


def nested(count: int, opening: str, closing: str, inner: str) -> str:
    return opening * count + inner + closing * count


BOMBS = {
    "exponential spreads": (spreads(30, 2), "TOO_MANY_TOKENS"),
    "wide exponential spreads": (spreads(6, 30), "TOO_MANY_TOKENS"),
    "a fragment that spreads itself": (
        "{ ...A } fragment A on Query { ...A }",
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "a cycle of fragments": (
        (
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...C }"
            " fragment C on Query { ...A }"
        ),
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "a cycle through fields": (
        (
            '{ tenant(id: "x") { ...A } }'
            " fragment A on Tenant { datasets { nodes { tenant { ...A } } } }"
        ),
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "a complete graph of fragments": (
        "{ ...F0 } "
        + " ".join(
            f"fragment F{number} on Query {{ {' '.join(f'...F{other}' for other in range(20))} }}"
            for number in range(20)
        ),
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "deep fields": (
        '{ tenant(id: "x") { %s } }' % nested(100, "datasets { nodes { tenant { ", "} } } ", "id "),
        "DEPTH_LIMIT_EXCEEDED",
    ),
    "deep fields that are not closed": ("{ caller " * 500, "DEPTH_LIMIT_EXCEEDED"),
    "deep inline fragments": (nested(600, "{ ... ", "}", "{ __typename }"), "DEPTH_LIMIT_EXCEEDED"),
    "deep lists": ("{ tenant(id: %s) { id } }" % nested(900, "[", "]", ""), "DEPTH_LIMIT_EXCEEDED"),
    "deep types": (
        "query($x: %s) { __typename }" % nested(900, "[", "]", "Int"),
        "DEPTH_LIMIT_EXCEEDED",
    ),
    "10,000 aliases": (
        "{ %s }" % " ".join(f"a{number}: __typename" for number in range(10_000)),
        "TOO_MANY_TOKENS",
    ),
    "600 aliases": (
        "{ %s }" % " ".join(f"a{number}: __typename" for number in range(600)),
        "ALIAS_LIMIT_EXCEEDED",
    ),
    "one field over and over": ("{ " + "caller { subject } " * 400 + "}", "ALIAS_LIMIT_EXCEEDED"),
    "10,000 directives": ("{ __typename " + "@skip(if: false) " * 10_000, "TOO_MANY_TOKENS"),
    "directives that are unknown": (
        "{ __typename " + "@a " * 900 + "}",
        "DIRECTIVE_LIMIT_EXCEEDED",
    ),
    "a long comment": ("#" * 900_000, "GRAPHQL_PARSE_FAILED"),
    "a long name": ("{ " + "a" * 500_000 + " }", "GRAPHQL_VALIDATION_FAILED"),
    "a long text": ('{ tenant(id: "%s") { name } }' % ("x" * 500_000), None),
    "a long number": ("{ tenant(id: %s) { name } }" % ("9" * 5_000), None),
    "a long number by default": (
        "query($id: ID! = %s) { tenant(id: $id) { name } }" % ("9" * 5_000),
        None,
    ),
    "a page of a long number": (
        "{ deprecations(first: %s) { nodes { id } } }" % ("9" * 5_000),
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "introspection in circles": (
        "{ __schema { types { %s } } }" % nested(6, "fields { type { ", "} } ", "name "),
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "introspection in circles through a fragment": (
        (
            "{ __schema { types { ...A } } } fragment A on __Type { fields { type { ...B } } }"
            " fragment B on __Type { fields { type { ...C } } }"
            " fragment C on __Type { fields { type { name } } }"
        ),
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "introspection over and over": (
        "{ %s }" % " ".join(f"a{number}: __schema {{ types {{ name }} }}" for number in range(60)),
        "ALIAS_LIMIT_EXCEEDED",
    ),
    "many operations": (
        " ".join(f"query Q{number} {{ __typename }}" for number in range(300)),
        "OPERATION_RESOLUTION_FAILED",
    ),
    "one operation over and over": ("query Q { __typename } " * 300, "GRAPHQL_VALIDATION_FAILED"),
    "a subscription": ("subscription { tenant { id } }", "GRAPHQL_VALIDATION_FAILED"),
    "a type definition": ("type Query { hacked: Int } { hacked }", "GRAPHQL_VALIDATION_FAILED"),
    "deferred fragments": ("{ ... @defer { __typename } }", "GRAPHQL_VALIDATION_FAILED"),
    "nothing": ("", "GRAPHQL_PARSE_FAILED"),
    "a lone fragment": ("fragment F on Query { __typename }", "GRAPHQL_VALIDATION_FAILED"),
}


@pytest.mark.parametrize(("query", "code"), BOMBS.values(), ids=BOMBS)
async def test_hostile_document_is_refused_by_a_rule(
    api: Api, query: str, code: str | None
) -> None:
    answer = await api.ask(query, token=api.mint("a-tenant"))
    if code == "GRAPHQL_VALIDATION_FAILED":
        assert ("data" in answer, set(codes(answer))) == (False, {code})
    else:
        assert refusal(answer) == code


@pytest.mark.parametrize("count", range(20, 260, 10))
@pytest.mark.parametrize("shape", ["chain", "inline", "types", "values", "objects", "variables"])
async def test_depth_never_becomes_a_fault(api: Api, shape: str, count: int) -> None:
    query = {
        "chain": chain(count),
        "inline": nested(count, "{ ... ", "}", "{ __typename }"),
        "types": "{ __schema { queryType { %s } } }" % nested(count, "ofType { ", "} ", "name "),
        "values": "{ _entities(representations: [%s]) { __typename } }"
        % nested(count, "[", "]", ""),
        "objects": "{ _entities(representations: [%s]) { __typename } }"
        % nested(count, "{ a: ", "}", "1"),
        "variables": "query($x: %s) { _entities(representations: [{ a: $x }]) { __typename } }"
        % nested(count, "[", "]", "ID"),
    }[shape]
    answer = await api.ask(query)
    assert not {"INTERNAL_ERROR"} & set(codes(answer))


async def test_hostile_document_changes_nothing(api: Api, tenant_id: str) -> None:
    platform = api.mint(None, "platform:tenants")
    query = "mutation($i: RegisterTenantInput!) { registerTenant(input: $i) { userErrors { code } } %s }"
    bomb = " ".join(f"a{number}: __typename" for number in range(60))
    await api.ask(query % bomb, token=platform, variables={"i": tenant_input(tenant_id)})
    looked = await api.ask('{ tenant(id: "%s") { id } }' % tenant_id, token=platform)
    assert looked == {"data": {"tenant": None}}


WRONG_VARIABLES = {
    "missing": {},
    "null": {"i": None},
    "a text": {"i": "x"},
    "a list": {"i": []},
    "an unknown field": {"i": {**tenant_input("x"), "owner": "x"}},
    "a missing field": {"i": {"id": "x"}},
    "a null field": {"i": {**tenant_input("x"), "name": None}},
    "a number for a text": {"i": {**tenant_input("x"), "name": 5}},
    "a fraction for an id": {"i": {**tenant_input("x"), "id": 0.5}},
    "an object for an id": {"i": {**tenant_input("x"), "id": {}}},
    "a null in a list": {"i": {**tenant_input("x"), "allowedRegions": [None]}},
    "a list in a list": {"i": {**tenant_input("x"), "allowedRegions": [["x"]]}},
}


@pytest.mark.parametrize("variables", WRONG_VARIABLES.values(), ids=WRONG_VARIABLES)
async def test_wrong_variable_is_refused_before_anything_runs(
    api: Api, variables: dict[str, Any]
) -> None:
    answer = await api.ask(
        "mutation($i: RegisterTenantInput!) { registerTenant(input: $i) { userErrors { code } } }",
        token=api.mint(None, "platform:tenants"),
        variables=variables,
    )
    assert ("data" in answer, set(codes(answer))) == (False, {"BAD_USER_INPUT"})


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("query($b: Boolean = true) { caller { subject @skip(if: $b) } }", ["caller"]),
        ("query($b: Int = 1) { caller { tenant { datasets(first: $b) { nodes { id } } } } }",
         ["caller", "tenant", "datasets"]),
    ],
)  # fmt: skip
async def test_null_that_arrives_late_harms_its_field_only(
    api: Api, make_tenant: Any, query: str, path: list[str]
) -> None:
    token = api.mint(await make_tenant(), "datasets:read")
    (error,) = (await api.ask(query, token=token, variables={"b": None}))["errors"]
    assert (error["path"], error["extensions"]["code"]) == (path, "BAD_USER_INPUT")
