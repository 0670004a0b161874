"""No privacy unit moves an aggregate by more than is claimed, through the real SQL."""

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subgraph.budgets.model import DpQueryKind
from subgraph.budgets.queries import ReleaseRequest, normalised
from subgraph.budgets.sensitivity import LARGEST, fixed_point, quantities
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.service import Database
from subgraph.tenants.model import Column, ColumnKind
from tests.unit.budgets.relations import EPSILON, REQUESTS, Fact, Relation, dataset, relation

UNITS = (1, 2, 3)
CONTRIBUTIONS = 2

awkward = st.sampled_from([-math.inf, math.inf, math.nan, -5.5, 20.25, 0.0, -0.0, 1.0, 3.0, 1e300])
some_facts = st.builds(
    Fact,
    person=st.sampled_from([*UNITS, None]),
    age=st.sampled_from([None, -(2**31), 0, 1, 50, 89, 90, 91, 100, 2**31 - 1]),
    spend=st.none() | awkward | st.floats(-6, 21),
    income=st.none() | st.sampled_from([Decimal("NaN"), Decimal("1e300"), Decimal("12.34")]),
    ward=st.sampled_from([None, "a", "b", "c", "A", "elsewhere"]),
)
tables = st.lists(some_facts, max_size=12)
through_sql = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
async def facts(postgres: EmbeddedServer, database: Database) -> AsyncIterator[Relation]:
    async with relation(postgres, database) as made:
        yield made


def moved(request: ReleaseRequest, one: tuple[int, ...], other: tuple[int, ...]) -> list[int]:
    """By how much two aggregates differ, in the norm of each quantity's sensitivity."""
    changes = [abs(a - b) for a, b in zip(one, other, strict=True)]
    if request.kind is DpQueryKind.QUANTILE:
        return [max(changes)]
    if request.kind is DpQueryKind.HISTOGRAM:
        return [sum(changes)]
    return changes


@through_sql
@given(held=tables)
async def test_a_unit_moves_no_aggregate_further_than_claimed(
    facts: Relation, held: list[Fact]
) -> None:
    described = dataset(CONTRIBUTIONS)
    without = {f"without-{u}": [fact for fact in held if fact.person != u] for u in UNITS}
    await facts.hold({"all": held, **without})
    for request in REQUESTS:
        claimed = [
            quantity.sensitivity
            for quantity in quantities(normalised(request, described), described)
        ]
        everybody = await facts.aggregate("all", described, request)
        for tenant in without:
            others = await facts.aggregate(tenant, described, request)
            found = moved(request, everybody, others)
            assert all(change <= most for change, most in zip(found, claimed, strict=True)), request


FAR = Fact(9, 100, 20.25, Decimal(50), "b")


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: f"{one.kind.name} {one.column}")
async def test_the_claim_is_reached_by_a_unit_that_contributes_all_it_may(
    facts: Relation, request_: ReleaseRequest
) -> None:
    # Where the claim is reached from below, everything else lies above, and the other way round.
    rest = [Fact(person, 0, -5.5, Decimal(10), "c") for person in range(20, 40)]
    unit = FAR
    if request_.predicates and request_.kind is DpQueryKind.COUNT:
        unit = replace(FAR, spend=-5.5)
    if request_.kind is DpQueryKind.QUANTILE:
        rest = [Fact(person, 50, 10.0) for person in range(20, 40)]
    described = dataset(CONTRIBUTIONS)
    reached = []
    for mine in (unit, replace(unit, age=0, spend=-5.5)):
        both = [mine, replace(mine, smoker=True)]
        await facts.hold({"without": rest, "with": [*rest, *both]})
        one = await facts.aggregate("with", described, request_)
        other = await facts.aggregate("without", described, request_)
        reached.append(moved(request_, one, other))
    claimed = quantities(normalised(request_, described), described)
    best = [max(both) for both in zip(*reached, strict=True)]
    assert best == [quantity.sensitivity for quantity in claimed]


number_columns = st.tuples(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
).filter(lambda bounds: bounds[0] < bounds[1])
kinds = st.sampled_from([DpQueryKind.SUM, DpQueryKind.MEAN, DpQueryKind.VARIANCE])


@given(bounds=number_columns, kind=kinds, most=st.integers(1, 1_000_000))
def test_every_column_is_counted_in_steps_that_fit(
    bounds: tuple[float, float], kind: DpQueryKind, most: int
) -> None:
    described = dataset(most, [Column("x", ColumnKind.NUMBER, *bounds)])
    request = ReleaseRequest(kind, EPSILON, "x")
    point = fixed_point(request, described)
    claimed = [quantity.sensitivity for quantity in quantities(request, described)]
    assert 0 < max(claimed) <= LARGEST
    assert point.lower <= 0 <= point.upper or kind is DpQueryKind.SUM
    finer = Fraction(10) ** (point.exponent + 1)
    reach = max(abs(Fraction(repr(bound)) - Fraction(point.origin)) for bound in bounds)
    power = 2 if kind is DpQueryKind.VARIANCE else 1
    assert most * (reach * finer + Fraction(1, 2)) ** power > LARGEST, "a finer step would fit too"
