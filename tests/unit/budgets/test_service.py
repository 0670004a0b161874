"""Operations through the service on a real database: paid once, drawn once, failing in one way."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.dp import DpQueries
from subgraph.budgets.accountant import Accountant
from subgraph.budgets.audit import verify_tenant
from subgraph.budgets.drawing import draw
from subgraph.budgets.faultpoints import FaultPoint
from subgraph.budgets.handle import Covered, OperationReleases
from subgraph.budgets.model import DpQueryKind, ReleaseKey
from subgraph.budgets.outlook import DpDecision
from subgraph.budgets.planning import MOST_RELEASES, AskedRelease
from subgraph.budgets.predicates import Operator, Predicate
from subgraph.budgets.queries import ReleaseRequest
from subgraph.budgets.service import DpService, Payer, wait_for_tick
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.settings import Settings
from subgraph.tenants.model import Column, ColumnKind, Dataset, encode_columns
from tests.unit.budgets.accounts import LEASE, Accounts, accounts
from tests.unit.budgets.relations import QUERYABLE, Fact, Relation, dataset, relation
from tests.unit.db.scratch import Scratch

GHOST = Column("ghost", ColumnKind.NUMBER, 0, 1)
COUNT = ReleaseRequest(DpQueryKind.COUNT, Decimal("0.1"))
HAUNTED = ReleaseRequest(DpQueryKind.SUM, Decimal("0.1"), "ghost")
PAYER = Payer("analyst")


async def sound(_: str) -> None:
    """The spend log continues what the ledger says."""


@dataclass(frozen=True)
class Desk:
    """A data set of a tenant, and the service that answers for it."""

    books: Accounts
    service: DpService
    dataset: Dataset

    @property
    def tenant(self) -> str:
        return self.dataset.tenant_id

    async def begin(
        self, *requests: ReleaseRequest, payer: Payer = PAYER, service: DpService | None = None
    ) -> OperationReleases:
        return await (service or self.service).begin(*self.asked(requests), payer)

    def asked(self, requests: Sequence[ReleaseRequest]) -> tuple[list[AskedRelease], Any]:
        asked = [
            AskedRelease((number,), (self.tenant, self.of(one).dataset_id), one)
            for number, one in enumerate(requests)
        ]
        return asked, {
            (self.tenant, item.dataset_id): item for item in (self.dataset, self.haunted)
        }

    @property
    def haunted(self) -> Dataset:
        """A data set with a column that its relation has not, so that every query of it fails."""
        columns = encode_columns((*QUERYABLE, GHOST))
        return replace(self.dataset, dataset_id=UUID(int=13), encoded_columns=columns)

    def of(self, request: ReleaseRequest) -> Dataset:
        return self.haunted if request is HAUNTED else self.dataset

    async def answer(self, handle: OperationReleases, place: int = 0) -> Any:
        """What the field at a place is told, or the code of its error."""
        try:
            planned = {item.path: item.dataset for item in handle.plan.planned}
            of = planned.get((place,), self.dataset)
            return await handle.answer((place,), of.dataset_id)
        except SubgraphError as error:
            return error.code

    async def states(self) -> list[str]:
        rows = await self.books.ask(
            "SELECT state FROM dp_spend WHERE tenant_id = $1 ORDER BY seq", self.tenant
        )
        return [row["state"] for row in rows]


def service_of(books: Accounts, **options: Any) -> DpService:
    accountant = Accountant(books.database, books.process.ledger, lease=LEASE, **options)
    return DpService(books.database, accountant, sound, grid=0)


@pytest.fixture(scope="module")
async def facts(scratch: Scratch, books: Accounts) -> AsyncIterator[Relation]:
    async with relation(scratch, books.database) as made:  # type: ignore[arg-type]
        yield made


@pytest.fixture
async def open_desk(facts: Relation, books: Accounts) -> Callable[..., Awaitable[Desk]]:
    """A tenant of its own with 50 people, and a monthly budget."""

    async def make(limit: str = "1") -> Desk:
        described = await facts.provide(dataset())
        await facts.hold({described.tenant_id: [Fact(n, n % 100) for n in range(50)]})
        await books.set_policy(described.tenant_id, limit)
        return Desk(books, service_of(books), described)

    return make


def younger_than(age: int, epsilon: str = "0.01") -> ReleaseRequest:
    predicate = Predicate("age", Operator.LT, (str(age),))
    return ReleaseRequest(DpQueryKind.COUNT, Decimal(epsilon), None, (predicate,))


async def test_answer_is_near_the_truth_and_stored(open_desk: Callable[..., Any]) -> None:
    desk = await open_desk()
    told = await desk.answer(await desk.begin(COUNT))
    # P(|noise| > 210) is below 1e-9 at scale 10.
    assert abs(told.answer.value - 50) <= 210
    again = await desk.answer(await desk.begin(COUNT))
    assert (again.answer, again.charged) == (told.answer, 0)
    assert await desk.states() == ["COMMITTED"]


# --- no way to an answer but the plan


async def test_field_that_was_not_planned_gets_nothing(open_desk: Callable[..., Any]) -> None:
    desk = await open_desk()
    handle = await desk.begin(COUNT)
    assert await desk.answer(handle, 1) is ErrorCode.INTERNAL_ERROR


async def test_planned_place_answers_for_its_data_set_only(open_desk: Callable[..., Any]) -> None:
    desk, other = await open_desk(), dataset().source_id
    handle = await desk.begin(COUNT)
    with pytest.raises(SubgraphError) as refused:
        await handle.answer((0,), other)
    assert refused.value.code is ErrorCode.INTERNAL_ERROR


async def test_resolver_without_a_plan_draws_nothing(open_desk: Callable[..., Any]) -> None:
    desk = await open_desk()
    info: Any = SimpleNamespace(context=SimpleNamespace(releases=None))
    resolver: Any = DpQueries.__strawberry_definition__.get_field("count")  # type: ignore[attr-defined]
    with pytest.raises(SubgraphError) as refused:
        await resolver.base_resolver.wrapped_func(DpQueries(dataset=desk.dataset), info)
    assert refused.value.code is ErrorCode.INTERNAL_ERROR
    assert await desk.states() == []


async def test_draw_without_a_reservation_reads_nothing(open_desk: Callable[..., Any]) -> None:
    desk = await open_desk()
    with pytest.raises(SubgraphError) as refused:
        await draw(desk.books.database, desk.tenant, desk.dataset, COUNT, Covered({}))
    assert refused.value.code is ErrorCode.INTERNAL_ERROR


def test_reservation_covers_its_release_at_its_epsilon_only() -> None:
    key, other = ReleaseKey(b"a" * 32), ReleaseKey(b"b" * 32)
    covered = Covered({key: Decimal("0.1")})
    assert covered.covers(key, Decimal("0.1"))
    assert not covered.covers(key, Decimal("0.2"))
    assert not covered.covers(other, Decimal("0.1"))


# --- failures


async def test_failure_after_data_was_touched_forfeits_and_harms_no_other(
    open_desk: Callable[..., Any],
) -> None:
    desk = await open_desk()
    handle = await desk.begin(HAUNTED, COUNT)
    assert await desk.answer(handle) is ErrorCode.DP_RELEASE_FAILED
    assert (await desk.answer(handle, 1)).charged == Decimal("0.1")
    assert sorted(await desk.states()) == ["COMMITTED", "FORFEITED"]
    assert (await desk.books.row(desk.tenant))["epsilon_spent"] == Decimal("0.2")


async def test_client_key_never_pays_again_for_what_was_lost(
    open_desk: Callable[..., Any],
) -> None:
    desk, payer = await open_desk(), Payer("analyst", "import-1")
    for _ in range(2):
        handle = await desk.begin(HAUNTED, payer=payer)
        assert await desk.answer(handle) is ErrorCode.DP_RELEASE_FAILED
    assert await desk.states() == ["FORFEITED"]


async def test_client_key_of_another_subject_is_another_key(open_desk: Callable[..., Any]) -> None:
    desk = await open_desk()
    for subject in ("one", "two"):
        await desk.answer(await desk.begin(HAUNTED, payer=Payer(subject, "import-1")))
    assert await desk.states() == ["FORFEITED", "FORFEITED"]


async def test_commit_whose_answer_was_lost_is_found(open_desk: Callable[..., Any]) -> None:
    lost: list[FaultPoint] = []

    async def faults(point: FaultPoint) -> None:
        if point is FaultPoint.COMMITTED and not lost:
            lost.append(point)
            raise SubgraphError(ErrorCode.DATABASE_UNAVAILABLE)

    desk = await open_desk()
    handle = await desk.begin(COUNT, service=service_of(desk.books, faults=faults))
    assert (await desk.answer(handle)).charged == Decimal("0.1")
    assert lost
    assert await desk.states() == ["COMMITTED"]


async def test_what_cannot_be_stored_is_not_shown(open_desk: Callable[..., Any]) -> None:
    async def faults(point: FaultPoint) -> None:
        if point is FaultPoint.SPENDS_COMMITTED:
            raise SubgraphError(ErrorCode.DATABASE_UNAVAILABLE)

    desk = await open_desk()
    handle = await desk.begin(COUNT, service=service_of(desk.books, faults=faults))
    assert await desk.answer(handle) is ErrorCode.DP_RELEASE_FAILED
    assert await desk.states() == ["RESERVED"]


async def test_unexpected_fault_leaves_nobody_waiting(open_desk: Callable[..., Any]) -> None:
    async def faults(_: FaultPoint) -> None:
        raise RuntimeError("a bug")

    desk = await open_desk()
    handle = await desk.begin(COUNT, service=service_of(desk.books, faults=faults))
    assert await desk.answer(handle) is ErrorCode.DP_RELEASE_FAILED


async def test_spend_log_behind_the_ledger_spends_nothing(open_desk: Callable[..., Any]) -> None:
    async def behind(_: str) -> None:
        raise SubgraphError(ErrorCode.BUDGET_BEHIND_LEDGER)

    desk = await open_desk()
    accountant = desk.books.accountant
    service = DpService(desk.books.database, accountant, behind, grid=0)
    handle = await desk.begin(COUNT, service=service)
    assert await desk.answer(handle) is ErrorCode.BUDGET_BEHIND_LEDGER
    assert await desk.states() == []


async def test_what_was_paid_for_is_stored_though_nobody_waits(
    open_desk: Callable[..., Any],
) -> None:
    desk = await open_desk()
    begun = asyncio.create_task(desk.begin(COUNT))
    await asyncio.sleep(0)
    begun.cancel()
    with pytest.raises(asyncio.CancelledError):
        await begun
    await desk.service.close()
    told = await desk.answer(await desk.begin(COUNT))
    assert told.answer.value is not None
    assert await desk.states() == ["COMMITTED"]


# --- limits and denials


async def test_denial_is_the_outcome_of_what_is_not_stored(open_desk: Callable[..., Any]) -> None:
    desk = await open_desk()
    stored = ReleaseRequest(DpQueryKind.COUNT, Decimal("0.9"))
    await desk.answer(await desk.begin(stored))
    handle = await desk.begin(stored, ReleaseRequest(DpQueryKind.DISTINCT_COUNT, Decimal("0.2")))
    assert (await desk.answer(handle)).cached
    with pytest.raises(SubgraphError) as denied:
        await handle.answer((1,), desk.dataset.dataset_id)
    assert denied.value.code is ErrorCode.DP_BUDGET_EXHAUSTED
    assert denied.value.details["queueable"] is True


async def test_what_the_next_window_cannot_pay_cannot_be_queued(
    open_desk: Callable[..., Any],
) -> None:
    desk = await open_desk("0.5")
    handle = await desk.begin(ReleaseRequest(DpQueryKind.COUNT, Decimal("0.6")))
    with pytest.raises(SubgraphError) as denied:
        await handle.answer((0,), desk.dataset.dataset_id)
    assert denied.value.details["queueable"] is False


async def test_operation_asks_for_so_many_releases_at_the_most(
    open_desk: Callable[..., Any],
) -> None:
    desk = await open_desk()
    with pytest.raises(SubgraphError) as refused:
        await desk.begin(*[COUNT] * (MOST_RELEASES + 1))
    assert refused.value.code is ErrorCode.DP_TOO_MANY_RELEASES


async def test_estimate_agrees_with_what_happens(open_desk: Callable[..., Any]) -> None:
    desk = await open_desk()
    asked, datasets = desk.asked([COUNT, COUNT, younger_than(9)])
    before = await desk.service.estimate(asked, datasets)
    assert (before.plan.epsilon, before.decision) == (Decimal("0.11"), DpDecision.ALLOW)
    handle = await desk.service.begin(asked, datasets, PAYER)
    await desk.answer(handle)
    row = await desk.books.row(desk.tenant)
    assert row["epsilon_spent"] == before.plan.epsilon
    assert before.remaining_after == Decimal(1) - row["epsilon_spent"]
    after = await desk.service.estimate(asked, datasets)
    assert after.plan.epsilon == 0


# --- the grid


@given(
    elapsed=st.floats(min_value=0, max_value=60),
    grid=st.floats(min_value=0.001, max_value=1),
)
def test_answers_come_on_multiples_of_the_grid(elapsed: float, grid: float) -> None:
    wait = wait_for_tick(elapsed, grid)
    ticks = (elapsed + wait) / grid
    assert 0 <= wait <= grid * (1 + 1e-9)
    assert ticks == pytest.approx(round(ticks), abs=1e-6)


def test_what_takes_less_than_a_tick_takes_a_tick() -> None:
    assert [elapsed + wait_for_tick(elapsed, 0.025) for elapsed in (0.0, 0.001, 0.024)] == [
        pytest.approx(0.025)
    ] * 3


# --- many at once


@asynccontextmanager
async def second_process(scratch: Scratch, settings: Settings) -> AsyncIterator[Accounts]:
    async with accounts(scratch, settings, pool_size=8) as opened:
        yield opened


async def test_of_400_operations_on_two_pools_exactly_100_are_granted(
    open_desk: Callable[..., Any], scratch: Scratch, settings: Settings
) -> None:
    desk = await open_desk("1")
    async with second_process(scratch, settings) as elsewhere:
        services = desk.service, service_of(elsewhere)
        tag = secrets.randbelow(50)
        requests = [
            ReleaseRequest(
                DpQueryKind.QUANTILE,
                Decimal("0.01"),
                "age",
                (Predicate("age", Operator.LE, (str(tag),)),),
                q=Decimal(number).scaleb(-3),
            )
            for number in range(1, 401)
        ]
        # More at once than there are connections, and fewer than wait too long for one.
        places = asyncio.Semaphore(50)

        async def asked(number: int, one: ReleaseRequest) -> Any:
            async with places:
                return await desk.answer(await desk.begin(one, service=services[number % 2]))

        answers = await asyncio.gather(*(asked(*item) for item in enumerate(requests)))
    denied = [answer for answer in answers if answer is ErrorCode.DP_BUDGET_EXHAUSTED]
    told = [answer for answer in answers if not isinstance(answer, ErrorCode)]
    assert (len(told), len(denied)) == (100, 300)
    assert await desk.states() == ["COMMITTED"] * 100
    (report,) = await verify_tenant(desk.books.database, desk.tenant)
    assert (report.spends, report.spent) == (100, Decimal(1))


async def test_overlapping_operations_pay_for_each_release_once(
    open_desk: Callable[..., Any],
) -> None:
    desk = await open_desk()
    groups = [(1, 2), (2, 3), (3, 1), (1, 2, 3)]
    handles = await asyncio.gather(*(desk.begin(*map(younger_than, group)) for group in groups))
    found: dict[int, set[float]] = {}
    for group, handle in zip(groups, handles, strict=True):
        for place, age in enumerate(group):
            told = await desk.answer(handle, place)
            found.setdefault(age, set()).add(told.answer.value)
    assert all(len(values) == 1 for values in found.values())
    assert await desk.states() == ["COMMITTED"] * 3
