"""The price of operations against the real schema, each worked out by hand."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import pytest
from graphql import GraphQLSchema
from hypothesis import given
from hypothesis import strategies as st

from subgraph import schema
from subgraph.deprecations import policy_file
from subgraph.federation.access import AUTHENTICATED, deployment_scope, scope
from subgraph.queries.cost import Load, Survey
from subgraph.queries.documents import read
from subgraph.queries.limits import Limits

SCHEMA: GraphQLSchema = schema.build(policy_file.load(policy_file.default_path())).core
WIDE = Limits(10_000, 50, 500, 500, 10**9, 10**9, 10**6)


def survey(query: str) -> Survey:
    return read(SCHEMA, query, WIDE, hide_suggestions=False).operation(None).survey


def load(query: str, **variables: object) -> Load:
    return survey(query).estimate(variables)


def flat(number: int) -> Load:
    """As many objects as cost, and no representation."""
    return Load(number, number, 0)


OPERATIONS = {
    # Scalars are free.
    "only scalars": ("{ __typename }", 0),
    "an object": ("{ caller { subject scopes } }", 1),
    "an object in an object": ("{ caller { tenant { id name } } }", 2),
    # The connection; the page information.
    "a connection without items": ("{ deprecations { pageInfo { endCursor } } }", 2),
    # The connection and its 50 items by default.
    "a connection with its default": ("{ deprecations { nodes { id } } }", 1 + 50),
    "a connection with a literal": ("{ deprecations(first: 7) { nodes { id } } }", 1 + 7),
    # The connection, 7 edges, and the item of each.
    "edges": ("{ deprecations(first: 7) { edges { cursor node { id } } } }", 1 + 7 + 7),
    "edges without their items": ("{ deprecations(first: 7) { edges { cursor } } }", 1 + 7),
    "edges and nodes": (
        "{ deprecations(first: 7) { nodes { id } edges { cursor node { id } } } }",
        1 + 7 + 14,
    ),
    "a page of nothing": ("{ deprecations(first: 0) { nodes { id } } }", 1),
    "a page of less than nothing": ("{ deprecations(first: -5) { nodes { id } } }", 1),
    # The tenant and up to 100 regions.
    "a list of objects": ('{ tenant(id: "x") { allowedRegions { code } } }', 1 + 100),
    # A list of scalars.
    "a list of scalars": ("{ caller { scopes } }", 1),
    # The tenant, its connection, 3 data sets with up to 200 columns and a region each.
    "a tree": (
        '{ tenant(id: "x") { datasets(first: 3) { nodes { columns { name } region { code } } } } }',
        1 + 1 + 3 * (1 + 200 + 1),
    ),
    # The nested page is read for each item.
    "pages within pages": (
        ('{ tenant(id: "x") { datasets(first: 3)'
        " { nodes { tenant { datasets(first: 4) { nodes { id } } } } } } }"),
        1 + 1 + 3 * (1 + 1 + (1 + 4)),
    ),
    "aliases": ("{ a: caller { subject } b: caller { subject } }", 2),
    "a skipped field": ("{ caller @skip(if: true) { subject } }", 1),
    "a fragment": ("{ ...F ...F } fragment F on Query { caller { subject } }", 2),
    "an inline fragment": ("{ ... { caller { subject } } ... on Query { caller { subject } } }", 2),
    "a page through a fragment": (
        "{ deprecations(first: 7) { ...F } } fragment F on DeprecationConnection { nodes { id } }",
        1 + 7,
    ),
    "introspection": ("{ __schema { types { name fields { name } } } }", 0),
}  # fmt: skip


@pytest.mark.parametrize(("query", "price"), OPERATIONS.values(), ids=OPERATIONS)
def test_objects_are_counted_as_often_as_they_can_occur(query: str, price: int) -> None:
    assert load(query) == flat(price)


PAGED = "{ deprecations(first: $n) { nodes { id } } }"


@pytest.mark.parametrize(
    ("declared", "variables", "first"),
    [
        ("$n: Int!", {"n": 7}, 7),
        ("$n: Int!", {"n": 0}, 0),
        ("$n: Int!", {"n": -7}, 0),
        ("$n: Int!", {"n": 7.0}, 7),
        ("$n: Int! = 9", {}, 9),
        ("$n: Int! = 9", {"n": 7}, 7),
        ("$n: Int = 9", {}, 9),
        ("$n: Int = 9", {"n": 100.0}, 100),
        # What does not fit falls back to the default, and execution refuses it.
        ("$n: Int = 9", {"n": None}, 9),
        ("$n: Int! = 9", {"n": "100"}, 9),
        ("$n: Int! = 9", {"n": True}, 9),
        ("$n: Int! = 9", {"n": 0.5}, 9),
        # Left out, the argument has the default of the schema.
        ("$n: Int", {}, 50),
    ],
)
def test_page_is_as_large_as_its_variable_says(
    declared: str, variables: dict[str, object], first: int
) -> None:
    assert load(f"query({declared}) {PAGED}", **variables) == flat(1 + first)


ENTITIES = "{ _entities(representations: $of) { %s } }"


@pytest.mark.parametrize(
    ("of", "count"),
    [([], 0), ([{}], 1), ([{}] * 7, 7), ({}, 1), ("x", 1), (None, 1)],
    ids=["none", "one", "seven", "one that is not in a list", "a text", "null"],
)
def test_entities_cost_as_much_as_there_are_representations(of: object, count: int) -> None:
    query = "query($of: [_Any!]!) " + ENTITIES % "__typename"
    assert load(query, of=of) == Load(count, count, count)


@pytest.mark.parametrize(
    ("written", "count"), [("[]", 0), ("[{}, {}, {}]", 3), ("{}", 1), ("[[{}, {}]]", 1), ("5", 1)]
)
def test_representations_are_counted_in_the_document_too(written: str, count: int) -> None:
    query = "{ _entities(representations: %s) { __typename } }" % written
    default = f"query($of: [_Any!]! = {written}) " + ENTITIES % "__typename"
    assert (load(query).representations, load(default).representations) == (count, count)


def test_default_counts_only_where_nothing_is_sent() -> None:
    query = "query($of: [_Any!]! = [{}, {}, {}]) " + ENTITIES % "__typename"
    assert load(query, of=[{}]).representations == 1


def test_representations_of_all_aliases_are_added_up() -> None:
    query = (
        "query($of: [_Any!]!) { a: _entities(representations: $of) { __typename }"
        " b: _entities(representations: $of) { __typename } }"
    )
    assert load(query, of=[{}] * 7).representations == 14


@pytest.mark.parametrize(
    ("selection", "price"),
    [
        # An entity, and what the dearest type adds to it.
        ("... on Tenant { homeRegion { code } }", 2),
        ("... on Tenant { homeRegion { code } } ... on Dataset { tenant { id } }", 2),
        (
            (
                "... on Tenant { homeRegion { code } }"
                " ... on Dataset { tenant { homeRegion { code } } region { code } }"
            ),
            4,
        ),
        # The parts of one type are added up.
        ("... on Dataset { tenant { id } } ... on Dataset { region { code } }", 3),
        ("... on Dataset { ...D } ...D", 5),
        ("...D", 3),
        # What stands under no type belongs to all.
        ("... { ... on Tenant { homeRegion { code } } } ... on Region { code }", 2),
    ],
)
def test_entity_is_priced_as_the_dearest_of_its_types(selection: str, price: int) -> None:
    fragment = " fragment D on Dataset { tenant { id } region { code } }"
    query = "query($of: [_Any!]!) " + ENTITIES % selection
    query += fragment if "...D" in selection else ""
    assert load(query, of=[{}] * 10).cost == 10 * price


REGISTER = (
    'registerTenant(input: { id: "x", name: "x", homeRegion: "x", allowedRegions: [] }) { %s }'
)


@pytest.mark.parametrize(
    ("query", "nodes", "price"),
    [
        # The payload weighs ten, the tenant one.
        ("mutation { %s }" % REGISTER % "tenant { id }", 2, 10 + 1),
        ("mutation { %s }" % REGISTER % "tenant { homeRegion { code } }", 3, 10 + 2),
        # Up to a hundred errors.
        ("mutation { %s }" % REGISTER % "userErrors { code }", 101, 10 + 100),
        (
            "mutation { a: %s b: %s }" % (REGISTER % "__typename", REGISTER % "__typename"),
            2,
            10 + 10,
        ),
        ("mutation { ...M } fragment M on Mutation { %s }" % REGISTER % "__typename", 1, 10),
    ],
)
def test_mutation_weighs_ten(query: str, nodes: int, price: int) -> None:
    assert load(query) == Load(nodes, price, 0)


@pytest.mark.parametrize(
    "value", ["9" * 5_000, "-" + "9" * 5_000, "1e4000", '"x"', "null", "[1]", "true"]
)
def test_any_default_is_surveyed(value: str) -> None:
    kind = {'"x"': "String", "[1]": "[Int]", "true": "Boolean", "1e4000": "Float"}.get(value, "ID")
    query = f"query($x: {kind} = {value}) {{ _entities(representations: [$x]) {{ __typename }} }}"
    try:
        found = load(query).representations
    except Exception as error:  # noqa: BLE001 only a refusal by validation is allowed
        found = 1 if type(error).__name__ == "InvalidDocument" else 0
    assert found == 1


@given(
    st.dictionaries(
        st.just("n"), st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    )
)
def test_price_is_a_number_whatever_the_variables_are(variables: dict[str, object]) -> None:
    found = load(f"query($n: Int! = 9) {PAGED}", **variables)
    assert found.cost >= 1


# --- what an operation asks for

ENTITY_SCOPES = (
    "breakglass:read", "budgets:read", "datasets:read", "keys:read", "records:read",
)  # fmt: skip


@pytest.mark.parametrize(
    ("query", "access"),
    [
        ("{ deprecations { nodes { id } } }", set()),
        ("{ caller { subject } }", {AUTHENTICATED}),
        ("{ deprecations { nodes { owner } } }", {scope("deprecations:read")}),
        ('{ tenant(id: "x") { datasets { pageInfo { endCursor } } } }',
         {AUTHENTICATED, scope("datasets:read")}),
        ("{ ...F } fragment F on Query { caller { subject } }", {AUTHENTICATED}),
        ('{ ... @skip(if: true) { tenant(id: "x") { id } } }', {AUTHENTICATED}),
        ("{ _entities(representations: []) { __typename } }",
         {AUTHENTICATED, *map(scope, ENTITY_SCOPES)}),
        ("mutation { %s }" % REGISTER % "__typename", {deployment_scope("platform:tenants")}),
        ("mutation { %s }" % REGISTER % "tenant { id }",
         {deployment_scope("platform:tenants"), AUTHENTICATED}),
    ],
)  # fmt: skip
def test_operation_asks_for_what_its_fields_ask_for(query: str, access: set[object]) -> None:
    assert survey(query).access == access


@pytest.mark.parametrize(
    ("query", "introspects"),
    [
        ("{ __typename }", False),
        ("{ caller { __typename } }", False),
        ("{ __schema { queryType { name } } }", True),
        ('{ __type(name: "x") { name } }', True),
        ("{ a: __schema { queryType { name } } }", True),
        ("{ ...F } fragment F on Query { ... { __schema { queryType { name } } } }", True),
    ],
)
def test_operation_that_looks_at_the_schema_is_known(query: str, introspects: bool) -> None:
    assert survey(query).introspects is introspects


def test_representation_without_a_list_does_not_make_its_tree_free() -> None:
    query = "{ _entities(representations: {}) { ... on Tenant { homeRegion { code } } } }"
    assert load(query) == Load(2, 2, 1)
