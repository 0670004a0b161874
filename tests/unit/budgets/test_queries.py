"""Requests have one normal form and one key, and what cannot be asked is refused."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.budgets.model import DpQueryKind
from subgraph.budgets.predicates import Operator, Predicate
from subgraph.budgets.queries import ReleaseRequest, normalised, release_key
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.tenants.model import Column, ColumnKind, Dataset
from tests.unit.budgets.relations import EPSILON, QUERYABLE, REQUESTS, dataset

COUNT = ReleaseRequest(DpQueryKind.COUNT, EPSILON)
MEDIAN = ReleaseRequest(DpQueryKind.QUANTILE, EPSILON, "age", q=Decimal("0.5"))
BINS = ReleaseRequest(
    DpQueryKind.HISTOGRAM, EPSILON, "age", bins=(Decimal(0), Decimal(10), Decimal(20))
)


def key(request: ReleaseRequest, of: Dataset | None = None) -> bytes:
    described = of or dataset()
    return release_key(normalised(request, described), described)


def where(column: str, operator: Operator, *values: str) -> ReleaseRequest:
    return replace(COUNT, predicates=(Predicate(column, operator, values),))


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_normal_form_of_a_normal_form_is_itself(request_: ReleaseRequest) -> None:
    normal = normalised(request_, dataset())
    assert normalised(normal, dataset()) == normal


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (where("age", Operator.LT, "65"), where("age", Operator.LT, "65.00")),
        (where("age", Operator.LT, "65"), where("age", Operator.LT, "+6.5E1")),
        (where("spend", Operator.LT, "0"), where("spend", Operator.LT, "-0.0")),
        (where("ward", Operator.IN, "a", "b"), where("ward", Operator.IN, "b", "a", "b")),
        (where("ward", Operator.IN, "a"), where("ward", Operator.EQ, "a")),
        (
            where("seen", Operator.EQ, "2020-01-01"),
            where("seen", Operator.EQ, "2020-01-01T01:00:00+01:00"),
        ),
        (COUNT, replace(COUNT, epsilon=Decimal("1.000"))),
        (MEDIAN, replace(MEDIAN, q=Decimal("0.500"))),
        (BINS, replace(BINS, bins=(Decimal("-0.0"), Decimal("1e1"), Decimal("20.0")))),
    ],
)
def test_what_asks_the_same_has_one_key(one: ReleaseRequest, other: ReleaseRequest) -> None:
    assert key(one) == key(other)


@given(st.permutations([
    Predicate("age", Operator.GE, ("18",)), Predicate("age", Operator.LT, ("65",)),
    Predicate("ward", Operator.NE, ("c",)), Predicate("age", Operator.GE, ("18.0",)),
]))  # fmt: skip
def test_the_order_of_predicates_does_not_matter(predicates: list[Predicate]) -> None:
    whole = replace(COUNT, predicates=tuple(predicates))
    assert key(whole) == key(replace(COUNT, predicates=tuple(sorted(predicates, key=str)[:4])))
    assert len(normalised(whole, dataset()).predicates) == 3


def test_everything_that_an_answer_depends_on_is_in_its_key() -> None:
    narrow = [replace(column, upper=99) if column.name == "age" else column for column in QUERYABLE]
    fewer = [
        replace(column, values=("a", "b")) if column.name == "ward" else column
        for column in QUERYABLE
    ]
    total = ReleaseRequest(DpQueryKind.SUM, EPSILON, "age")
    wards = ReleaseRequest(DpQueryKind.HISTOGRAM, EPSILON, "ward")
    keys = [
        key(COUNT),
        key(replace(COUNT, kind=DpQueryKind.DISTINCT_COUNT)),
        key(replace(COUNT, epsilon=Decimal("0.999999999"))),
        key(COUNT, dataset(2)),
        key(COUNT, dataset(version="2")),
        key(COUNT, dataset(tenant_id="t-other")),
        key(COUNT, dataset(dataset_id=UUID(int=12))),
        key(COUNT, dataset(privacy_unit="ward")),
        key(total),
        key(total, dataset(columns=narrow)),
        key(replace(total, column="spend")),
        key(replace(total, kind=DpQueryKind.MEAN)),
        key(wards),
        key(wards, dataset(columns=fewer)),
        key(MEDIAN),
        key(replace(MEDIAN, q=Decimal("0.501"))),
        key(BINS),
        key(replace(BINS, bins=(Decimal(0), Decimal(10), Decimal("20.5")))),
        key(where("age", Operator.LT, "65")),
        key(where("age", Operator.LE, "65")),
        key(where("age", Operator.LT, "66")),
    ]
    assert len(set(keys)) == len(keys)
    assert {len(one) for one in keys} == {32}


def test_the_key_is_stable() -> None:
    assert key(where("age", Operator.LT, "65")).hex() == (
        "9bb92c251eaf55474bdcf2009deff9bea89774395634de30fdc8522dd2648556"
    )


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        *((replace(COUNT, epsilon=Decimal(text)), "epsilon") for text in
          ("0", "-1", "NaN", "sNaN", "Infinity", "-Infinity", "1E-400", "0.0009", "10.1", "0.1000000001")),
        (replace(COUNT, column="age"), "column"),
        (replace(COUNT, q=Decimal("0.5")), "q"),
        (replace(COUNT, bins=(Decimal(0), Decimal(1))), "bins"),
        (replace(MEDIAN, column=None), "column"),
        (replace(MEDIAN, column="person"), "column"),
        (replace(MEDIAN, column="ward"), "column"),
        (replace(MEDIAN, column="seen"), "column"),
        *((replace(MEDIAN, q=q and Decimal(q)), "q") for q in
          (None, "0", "1", "-0.5", "NaN", "sNaN", "Infinity", "0.0005", "0.50001")),
        (ReleaseRequest(DpQueryKind.HISTOGRAM, EPSILON, "age"), "bins"),
        (ReleaseRequest(DpQueryKind.HISTOGRAM, EPSILON, "seen"), "column"),
        (replace(BINS, column="ward"), "bins"),
        *((replace(BINS, bins=tuple(map(Decimal, edges))), "bins") for edges in
          ((), ("0",), ("0", "0"), ("1", "0"), ("0", "NaN"), ("sNaN", "1"), ("-1", "5"), ("0", "101"),
           ("0", "Infinity"), ("0", "1e999999"), range(102))),
        (where("person", Operator.EQ, "1"), "where"),
        (where("age", Operator.EQ), "where"),
        (where("age", Operator.EQ, "1", "2"), "where"),
        (where("age", Operator.IN), "where"),
        *((where("age", Operator.LT, text), "where") for text in
          ("", "x", "NaN", "Infinity", "1_0", " 1", "1\n", "٣", "101", "-1", "1e999", "0x1", "1" * 29)),
        (where("ward", Operator.LT, "a"), "where"),
        (where("ward", Operator.EQ, "A"), "where"),
        (where("ward", Operator.EQ, "elsewhere"), "where"),
        *((where("seen", Operator.LT, text), "where") for text in
          ("", "yesterday", "infinity", "2020-13-01", "2020-01-01T00:00:00", "0001-01-01T00:00:00+01:00")),
        (replace(COUNT, predicates=tuple(
            Predicate("age", Operator.NE, (str(age),)) for age in range(21))), "where"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(wrong: ReleaseRequest, field: str) -> None:
    with pytest.raises(SubgraphError) as refused:
        normalised(wrong, dataset())
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert refused.value.details["field"] == field


def test_a_category_may_hold_values_beyond_ascii() -> None:
    of = dataset(columns=[Column("ward", ColumnKind.CATEGORY, values=("Übersee", "日本"))])
    assert len(key(where("ward", Operator.EQ, "日本"), of)) == 32
