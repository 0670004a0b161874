"""The exact integers: which rows count, what is left out, and that nothing in a row can fail."""

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.budgets.aggregates import aggregation
from subgraph.budgets.cells import candidates, cell_keys
from subgraph.budgets.model import DpQueryKind
from subgraph.budgets.predicates import Operator, Predicate, column_of
from subgraph.budgets.queries import ReleaseRequest, normalised
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.service import Database
from subgraph.tenants.model import Column, ColumnKind
from tests.unit.budgets.relations import (
    COLUMNS,
    EPSILON,
    QUERYABLE,
    REQUESTS,
    Fact,
    Relation,
    dataset,
    relation,
)

COUNT = ReleaseRequest(DpQueryKind.COUNT, EPSILON)
SUM = ReleaseRequest(DpQueryKind.SUM, EPSILON, "spend")
ALL = 1_000


@pytest.fixture(scope="module")
async def facts(postgres: EmbeddedServer, database: Database) -> AsyncIterator[Relation]:
    async with relation(postgres, database) as made:
        yield made


def where(column: str, operator: Operator, *values: str) -> ReleaseRequest:
    return replace(COUNT, predicates=(Predicate(column, operator, values),))


some_facts = st.builds(
    Fact,
    person=st.sampled_from([1, 2]),
    age=st.integers(0, 100),
    spend=st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf]),
    income=st.sampled_from([Decimal("1.0"), Decimal("1.00"), Decimal("2.50")]),
    ward=st.sampled_from(["a", "A", "b"]),
)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), held=st.lists(some_facts, min_size=4, max_size=12))
async def test_which_rows_of_a_unit_count_does_not_depend_on_their_order(
    facts: Relation, data: st.DataObject, held: list[Fact]
) -> None:
    shuffled = data.draw(st.permutations(held))
    await facts.hold({"one": held, "other": shuffled})
    described = dataset(2)
    for request in REQUESTS:
        assert await facts.aggregate("one", described, request) == await facts.aggregate(
            "other", described, request
        )


async def test_of_each_unit_no_more_rows_count_than_it_may_contribute(facts: Relation) -> None:
    await facts.hold({"t": [Fact(person, age) for person in range(4) for age in range(person + 1)]})
    counts = [await facts.aggregate("t", dataset(most), COUNT) for most in (1, 2, 3, 4, 5)]
    assert counts == [(4,), (7,), (9,), (10,), (10,)]


async def test_the_key_of_the_data_set_decides_which_rows_count(facts: Relation) -> None:
    await facts.hold({"t": [Fact(person, age) for person in range(50) for age in range(4)]})
    request = ReleaseRequest(DpQueryKind.SUM, EPSILON, "age")
    one = await facts.aggregate("t", dataset(), request)
    other = await facts.aggregate("t", dataset(dataset_id=UUID(int=12)), request)
    assert one != other


async def test_all_queries_count_the_same_rows(facts: Relation) -> None:
    held = [
        Fact(person, ward=ward) for person in range(40) for ward in ("a", "b", "c", "elsewhere")
    ]
    await facts.hold({"t": held})
    described = dataset(2)
    (total,) = await facts.aggregate("t", described, COUNT)
    wards = ReleaseRequest(DpQueryKind.HISTOGRAM, EPSILON, "ward")
    cells = await facts.aggregate("t", described, wards)
    inside = await facts.aggregate("t", described, where("ward", Operator.IN, "a", "b", "c"))
    assert total == 80
    assert inside == (sum(cells),)


async def test_rows_without_a_unit_and_rows_of_others_do_not_count(facts: Relation) -> None:
    await facts.hold({"t": [Fact(None, 5), Fact(1, 5)], "other": [Fact(2, 5), Fact(3, 5)]})
    assert await facts.aggregate("t", dataset(), COUNT) == (1,)
    assert await facts.aggregate("nobody", dataset(), COUNT) == (0,)


async def test_what_is_no_number_is_left_out_and_the_rest_is_clamped(facts: Relation) -> None:
    spends = [None, math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, 2.5]
    await facts.hold({"t": [Fact(person, spend=spend) for person, spend in enumerate(spends)]})
    mean = ReleaseRequest(DpQueryKind.MEAN, EPSILON, "spend")
    counted, _ = await facts.aggregate("t", dataset(), mean)
    (total,) = await facts.aggregate("t", dataset(), SUM)
    # 20.25 and -5.5 twice each, nothing, and 2.5; a step is 10**-10.
    assert counted == 6
    assert total == (2 * 2025 - 2 * 550 + 250) * 10**8


async def test_sums_are_saturated_where_64_bits_would_end(facts: Relation) -> None:
    await facts.owner.execute(f"TRUNCATE {facts.name}")
    await facts.owner.execute(
        f"INSERT INTO {facts.name} (tenant_id, person, spend)"
        " SELECT 't', 1, 1e9 FROM generate_series(1, 30)"
    )
    # One contribution makes the finest steps; that 2**40 steps of 2**22 rows do not pass
    # 2**62 is arithmetic. Here the summands are as large as 64 bits allow.
    wide = dataset(ALL, [Column("spend", ColumnKind.NUMBER, 0, 1e9)])
    assert await facts.aggregate("t", wide, SUM) == (30 * 10**9,)
    request = normalised(SUM, wide)
    asked = aggregation(wide, facts.source, request)
    huge = asked.statement.sql.replace("sum(value)", "sum(value * 1000000000)")
    (row,) = await facts.database.read(type(asked.statement)(huge), "t", *asked.parameters)
    assert row["total"] == 2**62


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (where("age", Operator.EQ, "30"), 1),
        (where("age", Operator.NE, "30"), 3),
        (where("age", Operator.LT, "30.5"), 2),
        (where("age", Operator.LE, "20"), 1),
        (where("age", Operator.GT, "30"), 2),
        (where("age", Operator.GE, "3e1"), 3),
        (where("age", Operator.IN, "20", "50", "99"), 2),
        (where("ward", Operator.EQ, "a"), 1),
        (where("ward", Operator.NE, "a"), 3),
        (where("ward", Operator.IN, "a", "b"), 2),
        (where("smoker", Operator.EQ, "true"), 2),
        (where("seen", Operator.GE, "2020-02-29"), 2),
        (where("seen", Operator.LT, "2020-02-28T23:00:00-01:00"), 1),
        (where("seen", Operator.EQ, "2020-02-29T00:00:00Z"), 1),
        (where("admitted", Operator.GT, "2020-02-29"), 2),
        (where("admitted", Operator.IN, "2020-02-29T02:00:00+01:00", "2021-01-01"), 1),
        (replace(COUNT, kind=DpQueryKind.DISTINCT_COUNT), 4),
    ],
)
async def test_predicates_select_rows_and_a_null_meets_none(
    facts: Relation, request_: ReleaseRequest, expected: int
) -> None:
    leap = datetime(2020, 2, 29, tzinfo=UTC)
    await facts.hold(
        {
            "t": [
                Fact(1, 20, ward="a", smoker=True, seen=leap.date(), admitted=leap),
                Fact(2, 30, ward="b", smoker=False, seen=date(2020, 2, 28),
                     admitted=leap + timedelta(hours=1)),
                Fact(3, 40, ward="c", smoker=True, seen=date.max,
                     admitted=leap + timedelta(days=900)),
                Fact(4, 50, ward="elsewhere"),
                Fact(4),
            ]
        }
    )  # fmt: skip
    assert await facts.aggregate("t", dataset(ALL), request_) == (expected,)


async def test_a_date_beyond_the_range_of_timestamps_fails_nothing(facts: Relation) -> None:
    await facts.owner.execute(f"TRUNCATE {facts.name}")
    await facts.owner.execute(
        f"INSERT INTO {facts.name} (tenant_id, person, seen, admitted) VALUES"
        " ('t', 1, '5874897-12-31', 'infinity'), ('t', 2, '-infinity', '-infinity')"
    )
    assert await facts.aggregate("t", dataset(), where("seen", Operator.GT, "2020-01-01")) == (1,)
    assert await facts.aggregate("t", dataset(), where("admitted", Operator.LT, "2020-01-01")) == (
        1,
    )


async def test_cells_are_the_public_ones_in_their_order(facts: Relation) -> None:
    await facts.hold(
        {"t": [Fact(n, ward=w) for n, w in enumerate(["c", "a", "A", None, "c", "x"])]}
    )
    wards = ReleaseRequest(DpQueryKind.HISTOGRAM, EPSILON, "ward")
    assert cell_keys(wards, dataset()) == ("a", "b", "c")
    assert await facts.aggregate("t", dataset(), wards) == (1, 0, 2)


async def test_intervals_hold_their_lower_edge_and_the_last_one_both(facts: Relation) -> None:
    spends = [-5.5, -1.0, 0.0, 0.5, 1.0, 9.99, 10.0, 10.01, math.inf, math.nan, None]
    await facts.hold({"t": [Fact(n, spend=spend) for n, spend in enumerate(spends)]})
    bins = tuple(map(Decimal, ("-1", "0", "1", "10.0")))
    request = normalised(
        ReleaseRequest(DpQueryKind.HISTOGRAM, EPSILON, "spend", bins=bins), dataset()
    )
    assert cell_keys(request, dataset()) == ("[-1, 0)", "[0, 1)", "[1, 10]")
    assert await facts.aggregate("t", dataset(), request) == (1, 2, 3)


@settings(max_examples=20, deadline=None)
@given(
    spends=st.lists(st.floats(-7, 22).map(lambda x: round(x, 4)), max_size=25),
    rank=st.integers(1, 999),
)
async def test_scores_of_candidates_are_those_of_the_definition(
    facts: Relation, spends: list[float], rank: int
) -> None:
    await facts.hold({"t": [Fact(n, spend=spend) for n, spend in enumerate(spends)]})
    request = ReleaseRequest(DpQueryKind.QUANTILE, EPSILON, "spend", q=Decimal(rank) / 1000)
    grid = candidates(column_of(dataset(), "spend", "column"))
    values = [min(max(Decimal(str(x)), Decimal("-5.5")), Decimal("20.25")) for x in spends]
    above_weight = (Decimal(rank) / 1000).as_integer_ratio()
    expected = [
        abs(
            sum(value < grid[i] for value in values) * (above_weight[1] - above_weight[0])
            - sum(value > grid[i] for value in values) * above_weight[0]
        )
        for i in range(grid.last + 1)
    ]
    assert list(await facts.aggregate("t", dataset(), request)) == expected


async def test_names_and_values_that_look_like_sql_are_only_names_and_values(
    facts: Relation,
) -> None:
    strange = 'a" OR true; --'
    described = dataset(
        1,
        [*QUERYABLE, Column(strange, ColumnKind.CATEGORY, values=("'); DROP TABLE x; --", "b"))],
    )
    source = replace(facts.source, columns={**COLUMNS, strange: "text"})
    request = normalised(where(strange, Operator.EQ, "'); DROP TABLE x; --"), described)
    asked = aggregation(described, source, request)
    assert "DROP" not in asked.statement.sql
    assert '"a"" OR true; --"' in asked.statement.sql
    assert "'); DROP TABLE x; --" in asked.parameters
