"""Which releases an operation asks for: the same ones that execution will come to."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import re
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from subgraph import schema
from subgraph.budgets.model import DpQueryKind
from subgraph.budgets.planning import AskedRelease
from subgraph.budgets.predicates import Operator, Predicate
from subgraph.budgets.queries import ReleaseRequest
from subgraph.db import ids
from subgraph.db.ids import IdKind
from subgraph.deprecations import policy_file
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.queries.documents import read
from subgraph.queries.limits import Limits
from subgraph.queries.releases import asked_releases

SCHEMA = schema.build(policy_file.load(policy_file.default_path())).core
LIMITS = Limits(2_000, 15, 50, 50, 20_000, 50_000, 1_000)
DATASET, OTHER = UUID(int=1), UUID(int=2)
ID = ids.encode(IdKind.DATASET, "acme", DATASET)
ELSEWHERE = ids.encode(IdKind.DATASET, "acme", OTHER)
FOREIGN = ids.encode(IdKind.DATASET, "umbrella", DATASET)
ROAD = '{ tenant(id: "acme") { dataset(id: "%s") { dp { %%s } } } }' % ID
DP = ("tenant", "dataset", "dp")


def asked(document: str, operation: str | None = None, **variables: Any) -> list[AskedRelease]:
    found = read(SCHEMA, document, LIMITS, hide_suggestions=True).operation(operation)
    return asked_releases(SCHEMA, found, variables)


def paths(document: str, **variables: Any) -> list[str]:
    return [".".join(map(str, item.path)) for item in asked(document, **variables)]


def request_of(selection: str) -> ReleaseRequest | SubgraphError:
    (item,) = asked(ROAD % selection)
    return item.request


def spends(document: str) -> bool:
    operations = read(SCHEMA, document, LIMITS, hide_suggestions=True).operations
    return any(operation.survey.spends for operation in operations.values())


def test_release_is_found_at_its_place() -> None:
    (item,) = asked(ROAD % "count { value }")
    assert item.path == (*DP, "count")
    assert item.dataset == ("acme", DATASET)
    assert item.request == ReleaseRequest(DpQueryKind.COUNT, Decimal("0.1"))


def test_aliases_are_places_of_their_own() -> None:
    assert paths(ROAD % "a: count { value } b: count { value }") == [
        "tenant.dataset.dp.a", "tenant.dataset.dp.b",
    ]  # fmt: skip


def test_aliases_on_the_way_are_part_of_the_place() -> None:
    road = '{ t: tenant(id: "acme") { d: dataset(id: "%s") { q: dp { count { value } } } } }' % ID
    assert paths(road) == ["t.d.q.count"]


def test_field_that_stands_twice_is_asked_once() -> None:
    document = (ROAD % "count { value } ...F ... on DpQueries { count { cached } }") + (
        " fragment F on DpQueries { count { epsilon } }"
    )
    assert paths(document) == ["tenant.dataset.dp.count"]


def test_fragments_anywhere_on_the_way_are_followed() -> None:
    document = (
        '{ ...Q } fragment Q on Query { tenant(id: "acme") { ...T } }'
        ' fragment T on Tenant { dataset(id: "%s") { ... on Dataset { dp { ...D } } } }'
        " fragment D on DpQueries { ... { count { value } } }"
    ) % ID
    assert paths(document) == ["tenant.dataset.dp.count"]


@pytest.mark.parametrize(
    ("directive", "found"),
    [
        ("@skip(if: $yes)", False),
        ("@skip(if: $no)", True),
        ("@include(if: $yes)", True),
        ("@include(if: $no)", False),
        ("@include(if: $yes) @skip(if: $yes)", False),
        ("@include(if: $defaulted)", True),
    ],
)
@pytest.mark.parametrize(
    "selection", ["count %s { value }", "... %s { count { value } }", "...F %s"]
)
def test_skip_and_include_count_where_they_stand(
    selection: str, directive: str, found: bool
) -> None:
    declared = {"yes": "Boolean!", "no": "Boolean!", "defaulted": "Boolean! = true"}
    used = sorted({name: declared[name] for name in re.findall(r"\$(\w+)", directive)}.items())
    document = "query(%s) " % ", ".join(f"${name}: {type_}" for name, type_ in used)
    document += ROAD % (selection % directive)
    if "...F" in selection:
        document += " fragment F on DpQueries { count { value } }"
    assert bool(asked(document, yes=True, no=False)) is found


def test_variables_and_their_defaults_make_the_arguments() -> None:
    document = (
        'query($tenant: ID!, $dataset: ID!, $e: Epsilon = "0.25", $where: [DpPredicate!],'
        " $column: String!) { tenant(id: $tenant) { dataset(id: $dataset) { dp {"
        " sum(column: $column, epsilon: $e, where: $where) { value } } } } }"
    )
    where = [{"column": "ward", "op": "IN", "values": ["a", "b"]}]
    (item,) = asked(document, tenant="acme", dataset=ID, where=where, column="age")
    assert item.request == ReleaseRequest(
        DpQueryKind.SUM, Decimal("0.25"), "age", (Predicate("ward", Operator.IN, ("a", "b")),)
    )


def test_literals_make_the_same_request_as_variables() -> None:
    found = request_of(
        'histogram(column: "age", bins: [0, 17.5, 120], epsilon: "0.5",'
        ' where: { column: "age", op: GE, value: "1" }) { cells { key } }'
    )
    assert found == ReleaseRequest(
        DpQueryKind.HISTOGRAM,
        Decimal("0.5"),
        "age",
        (Predicate("age", Operator.GE, ("1",)),),
        bins=(Decimal(0), Decimal("17.5"), Decimal(120)),
    )


def test_rank_of_a_quantile_is_the_decimal_that_was_written() -> None:
    found = request_of('quantile(column: "age", q: 0.95) { value }')
    assert isinstance(found, ReleaseRequest)
    assert found.q == Decimal("0.95")


@pytest.mark.parametrize("epsilon", ["0.0009", "1.000000001", "5"])
def test_epsilon_outside_of_the_directive_is_a_refusal(epsilon: str) -> None:
    found = request_of('count(epsilon: "%s") { value }' % epsilon)
    assert isinstance(found, SubgraphError)
    assert found.code is ErrorCode.INVALID_INPUT


@pytest.mark.parametrize(
    "predicate",
    [
        '{ column: "age", op: EQ }',
        '{ column: "age", op: EQ, value: "1", values: ["1"] }',
        '{ column: "age", op: IN, value: "1" }',
        '{ column: "age", op: LT, values: ["1"] }',
    ],
)
def test_predicate_with_the_wrong_member_is_a_refusal(predicate: str) -> None:
    found = request_of("count(where: [%s]) { value }" % predicate)
    assert isinstance(found, SubgraphError)


def test_only_the_named_operation_is_planned() -> None:
    document = f"query A {ROAD % 'count { value }'} query B {{ caller {{ subject }} }}"
    assert len(asked(document, "A")) == 1
    assert asked(document, "B") == []


def test_data_set_of_another_tenant_than_the_path_says_will_not_run() -> None:
    assert paths((ROAD % "count { value }").replace(ID, FOREIGN)) == []


@pytest.mark.parametrize("key", ["", "nothing", "acme", ID[:-1]])
def test_what_is_no_data_set_id_will_not_run(key: str) -> None:
    assert paths((ROAD % "count { value }").replace(ID, key)) == []


def test_variables_that_do_not_fit_are_left_to_execution() -> None:
    document = "query($e: Epsilon!) " + ROAD % "count(epsilon: $e) { value }"
    assert asked(document, e="-1") == []
    assert asked(document) == []


# --- entities

ENTITIES = (
    "query($r: [_Any!]!) { _entities(representations: $r) {"
    " ... on Dataset { dp { count { value } } }"
    ' ... on Tenant { dataset(id: "%s") { dp { count { value } } } } } }'
) % ID


def test_each_entity_is_a_place_of_its_own() -> None:
    keys = [{"__typename": "Dataset", "id": key} for key in (ID, ELSEWHERE, ID)]
    found = asked(ENTITIES, r=keys)
    assert [item.path[:2] for item in found] == [("_entities", number) for number in range(3)]
    assert [item.dataset[1] for item in found] == [DATASET, OTHER, DATASET]


def test_tenant_among_entities_names_the_tenant() -> None:
    tenants = [{"__typename": "Tenant", "id": name} for name in ("acme", "umbrella")]
    assert paths(ENTITIES, r=tenants) == ["_entities.0.dataset.dp.count"]


@pytest.mark.parametrize(
    "representation",
    [
        7, "x", {}, {"__typename": None}, {"__typename": "Nothing", "id": ID},
        {"__typename": "DpPredicate", "id": ID}, {"__typename": "Dataset"},
        {"__typename": "Dataset", "id": 7}, {"__typename": "Dataset", "id": "x"},
    ],
)  # fmt: skip
def test_representation_that_names_nothing_will_not_run(representation: object) -> None:
    good = {"__typename": "Dataset", "id": ID}
    assert paths(ENTITIES, r=[representation, good]) == ["_entities.1.dp.count"]


def test_literal_representations_are_read() -> None:
    document = (
        '{ _entities(representations: [{ __typename: "Dataset", id: "%s" }])'
        " { ... on Dataset { dp { count { value } } } } }" % ID
    )
    assert paths(document) == ["_entities.0.dp.count"]


# --- where a data set is not known in time

SPENT = (
    '{ tenant(id: "acme") { privacyBudget { spends { nodes { dataset { dp { count { value } } } }'
    " } } } }"
)


@pytest.mark.parametrize(
    "document",
    [
        '{ tenant(id: "acme") { datasets(first: 1) { nodes { dp { count { value } } } } } }',
        '{ tenant(id: "acme") { datasets { edges { node { dp { count { value } } } } } } }',
        '{ caller { tenant { dataset(id: "%s") { dp { count { value } } } } } }' % ID,
        '{ tenant(id: "acme") { dataset(id: "%s") { tenant { dataset(id: "%s") { dp'
        " { count { value } } } } } } }" % (ID, ID),
        '{ tenant(id: "acme") { privacyBudget { tenant { dataset(id: "%s") { dp'
        " { count { value } } } } } } }" % ID,
        SPENT,
        'mutation { publishDatasetVersion(id: "%s", version: "2") { dataset { dp'
        " { count { value } } } } }" % ID,
    ],
)
def test_release_of_a_data_set_that_is_not_named_is_refused(document: str) -> None:
    with pytest.raises(SubgraphError) as refused:
        asked(document)
    assert refused.value.code is ErrorCode.DP_PATH_NOT_PLANNABLE


def test_skipped_release_is_refused_nowhere() -> None:
    document = (
        '{ tenant(id: "acme") { datasets { nodes { dp { count @skip(if: true) { value } } } } } }'
    )
    assert asked(document) == []


# --- what is decided once a document


def test_document_with_a_release_spends() -> None:
    assert spends(ROAD % "count @skip(if: true) { value }")


@pytest.mark.parametrize(
    "document",
    [
        "{ caller { subject } }",
        '{ tenant(id: "acme") { dataset(id: "x") { dp { __typename } } } }',
        '{ dpEstimate(document: "{ x }") { epsilon } }',
    ],
)
def test_document_without_a_release_does_not_spend(document: str) -> None:
    assert not spends(document)


def test_every_field_of_the_queries_has_its_price() -> None:
    fields: Any = SCHEMA.type_map["DpQueries"]
    for name in fields.fields:
        below = "cells { key }" if name == "histogram" else "value"
        needed = [item for item in fields.fields[name].args if item in ("column", "q")]
        given = {"column": 'column: "age"', "q": "q: 0.5"}
        arguments = f"({', '.join(given[item] for item in needed)})" if needed else ""
        assert spends(ROAD % f"{name}{arguments} {{ {below} }}"), name
