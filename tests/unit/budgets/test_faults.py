"""A connection that drops, or a process among others: nothing is spent twice or for nothing."""

import asyncio
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from subgraph.budgets import audit
from subgraph.budgets.faultpoints import FaultPoint
from subgraph.budgets.model import ReservationRequest
from subgraph.budgets.releases import stored_releases
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.settings import Settings
from tests.unit.budgets.accounts import Accounts, accounts, answers, charge, request
from tests.unit.db.scratch import Scratch, ask, scratch_database
from tests.unit.ledger.test_faults import DROP

PROJECT = Path(__file__).parents[3]


class Faults:
    """Drops every connection of the service when the chosen step is reached."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.at: FaultPoint | None = None
        self.reached: set[FaultPoint] = set()

    async def __call__(self, point: FaultPoint) -> None:
        self.reached.add(point)
        if point is self.at:
            self.at = None
            await ask(self.scratch.url(Role.ADMIN), DROP, self.scratch.name)


@pytest.fixture(scope="module")
async def breakable(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as scratch:
        yield scratch


async def operate(books: Accounts, tenant: str, asked: ReservationRequest) -> str:
    """One operation, as its worker runs it."""
    made = await books.accountant.reserve(tenant, asked)
    stored = await books.accountant.commit(made, answers(*asked.charges))
    return stored[asked.charges[0].release_key].answer


async def test_every_step_is_reached(breakable: Scratch, settings: Settings) -> None:
    faults = Faults(breakable)
    async with accounts(breakable, settings, faults=faults) as books:
        await operate(books, await books.open("1"), request(charge("0.95")))
    assert faults.reached == set(FaultPoint)


@pytest.mark.parametrize("point", FaultPoint)
async def test_after_a_dropped_connection_the_same_run_goes_on(
    breakable: Scratch, settings: Settings, point: FaultPoint
) -> None:
    faults = Faults(breakable)
    async with accounts(breakable, settings, faults=faults) as books:
        tenant, asked = await books.open("1"), request(charge("0.95"))
        faults.at = point
        try:
            await operate(books, tenant, asked)
        except (SubgraphError, asyncpg.PostgresError, asyncpg.InternalClientError):
            assert await operate(books, tenant, asked) == '{"value":"41"}'
        assert faults.at is None
        row = await books.row(tenant)
        assert (row["epsilon_spent"], row["seq"]) == (Decimal("0.95"), 1)
        assert len(await books.events(tenant, "budget.low")) == 1
        key = asked.charges[0].release_key
        assert key in await stored_releases(books.database, tenant, [key])
        await audit.verify_tenant(books.database, tenant)


async def test_while_nothing_is_permitted_nothing_is_spent(books: Accounts) -> None:
    def refuse() -> None:
        raise SubgraphError(ErrorCode.LEDGER_BEHIND_WITNESS)

    tenant = await books.open("1")
    closed = type(books.accountant)(
        books.database, books.process.ledger, lease=books.accountant._lease, permit=refuse
    )
    with pytest.raises(SubgraphError):
        await closed.reserve(tenant, request())
    assert (await books.row(tenant, lifetime=True))["epsilon_spent"] == 0


async def test_an_alarm_that_cannot_be_recorded_spends_nothing(
    scratch: Scratch, settings: Settings, books: Accounts
) -> None:
    tenant = await books.open("1")
    books.process.keys._key, kept = None, getattr(books.process.keys, "_key", None)
    try:
        with pytest.raises(SubgraphError) as caught:
            await books.spend(tenant, "0.95")
    finally:
        books.process.keys._key = kept
    assert caught.value.code is ErrorCode.LEDGER_KEY_UNAVAILABLE
    assert (await books.row(tenant, lifetime=True))["epsilon_spent"] == 0


async def test_of_400_from_two_processes_exactly_the_100_that_fit_are_granted(
    books: Accounts,
) -> None:
    tenant = await books.open("10")
    arguments = ["-m", "tests.unit.budgets.spender", books.scratch.url(Role.SERVICE), tenant, "200"]
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=PROJECT, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    granted = [int((await process.communicate())[0]) for process in processes]
    assert sum(granted) == 100
    (report,) = await audit.verify_tenant(books.database, tenant)
    assert (report.spends, report.spent) == (100, Decimal(10))
