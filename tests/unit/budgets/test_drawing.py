"""Answers through the whole draw: their noise, what they cost, and how a draw may fail."""

import math
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

import pytest

from subgraph.budgets import mechanisms
from subgraph.budgets.calibration import calibrated
from subgraph.budgets.drawing import draw, estimate
from subgraph.budgets.model import DpQueryKind, ReleaseKey
from subgraph.budgets.predicates import Operator, Predicate
from subgraph.budgets.queries import ReleaseRequest, normalised
from subgraph.budgets.sensitivity import fixed_point
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.tenants.model import Column, ColumnKind, Dataset
from tests.unit.budgets.relations import (
    EPSILON,
    REQUESTS,
    Fact,
    Paid,
    Relation,
    dataset,
    paid,
    relation,
)

KEYS = tuple(f"k{number:04}" for number in range(1_000))
WIDE = [
    Column("ward", ColumnKind.CATEGORY, values=KEYS),
    Column("age", ColumnKind.NUMBER, 0, 100),
]
COUNT = ReleaseRequest(DpQueryKind.COUNT, EPSILON)
FALSE_ALARM = 1e-9


@pytest.fixture(scope="module")
async def facts(postgres: EmbeddedServer, database: Database) -> AsyncIterator[Relation]:
    async with relation(postgres, database) as made:
        yield made


def cumulative(value: int, scale: float) -> float:
    """P(noise <= value) of the discrete Laplace distribution."""
    p = math.exp(-1 / scale)
    return 1 - p ** (value + 1) / (1 + p) if value >= 0 else p**-value / (1 + p)


def distance(noise: Iterable[int], scale: float) -> float:
    """The Kolmogorov-Smirnov distance of a sample to the law with this scale."""
    counts = Counter(noise)
    total, seen, largest = sum(counts.values()), 0, 0.0
    for value in sorted(counts):
        largest = max(largest, abs(seen / total - cumulative(value - 1, scale)))
        seen += counts[value]
        largest = max(largest, abs(seen / total - cumulative(value, scale)))
    return largest


async def histogram(facts: Relation, of: Dataset, request: ReleaseRequest) -> list[int]:
    answer = await draw(facts.database, of.tenant_id, of, request, paid(request, of))
    return [int(cell.value) for cell in answer.cells]


async def test_noise_has_the_law_and_the_scale_that_are_claimed(facts: Relation) -> None:
    described = await facts.provide(dataset(2, WIDE))
    held = [Fact(n, n % 100, ward=key) for n, key in enumerate(KEYS) for _ in range(2)]
    await facts.hold({described.tenant_id: held})
    request = ReleaseRequest(DpQueryKind.HISTOGRAM, Decimal("0.2"), "ward")
    noise: list[int] = []
    for number in range(200):
        age = number % 100
        asked = replace(request, predicates=(Predicate("age", Operator.LE, (str(age),)),))
        noisy = await histogram(facts, described, asked)
        noise += [value - 2 * (n % 100 <= age) for n, value in enumerate(noisy)]
    # Dvoretzky, Kiefer and Wolfowitz, with Massart's constant.
    threshold = math.sqrt(math.log(2 / FALSE_ALARM) / (2 * len(noise)))
    assert distance(noise, 10) <= threshold
    assert distance(noise, 9) > threshold
    assert distance(noise, 11) > threshold


async def test_neighbours_are_told_apart_no_better_than_epsilon_allows(facts: Relation) -> None:
    described = await facts.provide(dataset(1, WIDE))
    request = ReleaseRequest(DpQueryKind.HISTOGRAM, EPSILON, "ward")
    below = []
    # Each cell is a count; the second time each has one unit more.
    for held in ([], [Fact(n, ward=key) for n, key in enumerate(KEYS)]):
        await facts.hold({described.tenant_id: held})
        drawn = [await histogram(facts, described, request) for _ in range(100)]
        below.append(sum(value <= 0 for cells in drawn for value in cells) / 100_000)
    without, with_one = below
    radius = math.sqrt(math.log(2 / FALSE_ALARM) / 200_000)
    assert math.log((without - radius) / (with_one + radius)) <= 1, "less private than charged"
    assert math.log((without + radius) / (with_one - radius)) >= 1, "more noise than charged"


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: f"{one.kind.name} {one.column}")
async def test_the_scales_of_the_calibration_reach_the_samplers(
    facts: Relation, request_: ReleaseRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = await facts.provide(dataset(3))
    await facts.hold({described.tenant_id: [Fact(1, 20, 2.0, ward="a")]})
    reached: list[float] = []
    for name in ("add_noise", "select_least"):
        sampler = getattr(mechanisms, name)

        def watched(values: object, scale: float, sampler: object = sampler) -> object:
            reached.append(scale)
            return sampler(values, scale)

        monkeypatch.setattr(mechanisms, name, watched)
    answer = await draw(
        facts.database, described.tenant_id, described, request_, paid(request_, described)
    )
    parts = calibrated(normalised(request_, described), described)
    assert reached == [part.scale for part in parts]
    foreseen = estimate(request_, described)
    assert answer.scales == foreseen.scales == tuple(part.scale_in_units for part in parts)
    assert foreseen.bound95 in (None, answer.bound95)


@pytest.mark.parametrize("column", ["age", "spend", "income"])
async def test_sums_are_whole_steps(facts: Relation, column: str) -> None:
    described = await facts.provide(dataset(2))
    await facts.hold({described.tenant_id: [Fact(n, n, n / 7, Decimal(n)) for n in range(50)]})
    request = ReleaseRequest(DpQueryKind.SUM, EPSILON, column)
    step = fixed_point(normalised(request, described), described).step
    for _ in range(20):
        answer = await draw(
            facts.database, described.tenant_id, described, request, paid(request, described)
        )
        assert answer.value is not None
        steps = round(Fraction(answer.value) / step)
        assert answer.value == float(steps * step)


async def test_moments_are_near_the_exact_ones_and_within_their_bounds(facts: Relation) -> None:
    described = await facts.provide(dataset())
    await facts.hold({described.tenant_id: [Fact(n, age=20 + n % 41) for n in range(4_100)]})
    for kind, exact in ((DpQueryKind.MEAN, 40), (DpQueryKind.VARIANCE, 140)):
        request = ReleaseRequest(kind, Decimal(10), "age")
        for _ in range(10):
            answer = await draw(
                facts.database, described.tenant_id, described, request, paid(request, described)
            )
            assert answer.value is not None and answer.bound95 is not None
            # Five bounds: the chance to miss is far below one in 10**9.
            assert abs(answer.value - exact) <= 5 * answer.bound95
            assert 0 < answer.bound95 < exact / 20


async def test_moments_of_no_rows_stay_within_the_bounds_of_the_column(facts: Relation) -> None:
    described = await facts.provide(dataset())
    await facts.hold({})
    for kind, most in ((DpQueryKind.MEAN, 100), (DpQueryKind.VARIANCE, 2_500)):
        request = ReleaseRequest(kind, EPSILON, "age")
        for _ in range(20):
            answer = await draw(
                facts.database, described.tenant_id, described, request, paid(request, described)
            )
            assert answer.value is not None and 0 <= answer.value <= most


async def test_the_quantile_is_a_public_candidate_near_the_exact_one(facts: Relation) -> None:
    described = await facts.provide(dataset())
    await facts.hold({described.tenant_id: [Fact(n, age=n % 101) for n in range(10_100)]})
    request = ReleaseRequest(DpQueryKind.QUANTILE, Decimal(10), "age", q=Decimal("0.25"))
    answer = await draw(
        facts.database, described.tenant_id, described, request, paid(request, described)
    )
    assert answer.value == pytest.approx(25, abs=2)
    assert answer.bound95 is None


async def test_cells_keep_their_public_order_and_may_be_negative(facts: Relation) -> None:
    described = await facts.provide(dataset(1, WIDE))
    await facts.hold({})
    request = ReleaseRequest(DpQueryKind.HISTOGRAM, EPSILON, "ward")
    answer = await draw(
        facts.database, described.tenant_id, described, request, paid(request, described)
    )
    assert tuple(cell.key for cell in answer.cells) == KEYS
    assert min(cell.value for cell in answer.cells) < 0


class Nothing:
    """A database that must not be asked."""

    def __getattr__(self, name: str) -> object:
        pytest.fail(f"the database was asked to {name}")


@pytest.mark.parametrize(
    "reservation",
    [
        Paid(ReleaseKey(b"\0" * 32), EPSILON),
        paid(replace(COUNT, epsilon=Decimal("0.5")), dataset()),
        paid(replace(COUNT, kind=DpQueryKind.DISTINCT_COUNT), dataset()),
        paid(COUNT, dataset(version="2")),
        replace(paid(COUNT, dataset()), epsilon=Decimal("0.999999999")),
    ],
)
async def test_nothing_is_drawn_that_was_not_reserved(reservation: Paid) -> None:
    described = dataset()
    with pytest.raises(SubgraphError) as refused:
        await draw(Nothing(), described.tenant_id, described, COUNT, reservation)  # type: ignore[arg-type]
    assert refused.value.code is ErrorCode.INTERNAL_ERROR


async def test_nothing_is_drawn_for_another_tenant() -> None:
    described = dataset()
    with pytest.raises(SubgraphError) as refused:
        await draw(Nothing(), "t-other", described, COUNT, paid(COUNT, described))  # type: ignore[arg-type]
    assert refused.value.code is ErrorCode.INTERNAL_ERROR


@pytest.mark.parametrize("what", ["relation", "column", "timeout", "sampler"])
async def test_every_failure_behind_the_data_is_the_same(
    facts: Relation, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = await facts.provide(dataset())
    request = ReleaseRequest(DpQueryKind.SUM, EPSILON, "age")
    if what == "relation":
        await facts.owner.execute(
            "UPDATE dataset_source SET relation = 'tenant_data.gone' WHERE tenant_id = $1",
            described.tenant_id,
        )
    if what == "column":
        await facts.owner.execute(
            "UPDATE dataset_source SET columns = '{}' WHERE tenant_id = $1", described.tenant_id
        )
    if what == "timeout":
        deadline = SubgraphError(ErrorCode.DEADLINE_EXCEEDED, "row 17 took too long")
        monkeypatch.setattr("subgraph.budgets.drawing.aggregate", _raising(deadline))
    if what == "sampler":
        monkeypatch.setattr(mechanisms, "add_noise", _raising(ValueError("value 42")))
    with pytest.raises(SubgraphError) as failed:
        await draw(
            facts.database, described.tenant_id, described, request, paid(request, described)
        )
    assert failed.value.code is ErrorCode.DP_RELEASE_FAILED
    assert failed.value.message == ErrorCode.DP_RELEASE_FAILED.meaning
    assert failed.value.details == {}
    assert failed.value.__cause__ is None and failed.value.__context__ is None


def _raising(error: Exception) -> object:
    def raises(*_arguments: object) -> object:
        raise error

    return raises


async def test_a_source_that_is_gone_fails_before_data_is_touched(facts: Relation) -> None:
    described = replace(await facts.provide(dataset()), source_id=uuid4())
    with pytest.raises(SubgraphError) as failed:
        await draw(facts.database, described.tenant_id, described, COUNT, paid(COUNT, described))
    assert failed.value.code is ErrorCode.INTERNAL_ERROR
