"""What a process does for budgets beside requests: it anchors, sweeps, and refuses old logs."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from subgraph.budgets.accountant import Accountant
from subgraph.budgets.model import ReservationRequest
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.ledger.service import Ledger
from subgraph.settings import Settings
from tests.conftest import Api, running
from tests.integration.ledgers import Reader
from tests.integration.releases import Spender, codes, spender
from tests.unit.budgets.accounts import charge


@pytest.fixture
async def busy(with_settings: Callable[..., Settings]) -> AsyncIterator[Api]:
    """A process that anchors and sweeps all the time."""
    async with running(with_settings(checkpoint_seconds=0.1, dp_sweep_seconds=0.1)) as served:
        yield served


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():
            await asyncio.sleep(0.05)


async def anchored(api: Api, analyst: Spender) -> None:
    async def holds() -> bool:
        reader = Reader(api, analyst.tenant)
        return "budget.head" in [event["type"] for event in await reader.events()]

    await until(holds)


async def test_spend_chain_is_anchored_in_the_ledger(busy: Api, postgres: EmbeddedServer) -> None:
    analyst = await spender(busy, postgres)
    await analyst.released("count { value }")
    await anchored(busy, analyst)
    events = await Reader(busy, analyst.tenant).events("type entry")
    (head,) = [event["entry"] for event in events if event["type"] == "budget.head"]
    assert (await analyst.budget("accountantHash"))["accountantHash"] in head


async def test_abandoned_release_is_forfeited_and_stays_spent(
    busy: Api, postgres: EmbeddedServer, database: Database
) -> None:
    analyst = await spender(busy, postgres)
    # A process that reserved, and was gone at once.
    no_keys: Any = None
    gone = Accountant(database, Ledger("never-used", no_keys), lease=timedelta(milliseconds=1))
    await gone.reserve(
        analyst.tenant, ReservationRequest(secrets.token_hex(8), uuid4(), "gone", (charge(),))
    )

    async def forfeited() -> bool:
        log = await analyst.budget("epsilonSpent spends { nodes { state } }")
        assert log["epsilonSpent"] == "0.100000000"
        return bool(log["spends"]["nodes"] == [{"state": "FORFEITED"}])

    await until(forfeited)


async def test_log_that_is_behind_its_ledger_spends_nothing(
    busy: Api, postgres: EmbeddedServer, settings: Settings
) -> None:
    analyst = await spender(busy, postgres)
    stored = await analyst.released("count { value }")
    await anchored(busy, analyst)
    await _lose_spends(postgres, analyst.tenant)
    async with running(settings) as restarted:
        after = Spender(restarted, analyst.tenant, analyst.dataset)
        answer = await after.ask("count { value } distinctCount { value }")
    assert answer["data"]["tenant"]["dataset"]["dp"]["count"] == stored["count"]
    assert codes(answer) == {"tenant.dataset.dp.distinctCount": "BUDGET_BEHIND_LEDGER"}


async def _lose_spends(postgres: EmbeddedServer, tenant: str) -> None:
    async with operator_transaction(postgres.url(Role.ADMIN)) as transaction:
        await transaction.run("ALTER TABLE dp_budget DISABLE TRIGGER never_less")
        await transaction.run(
            "UPDATE dp_budget SET epsilon_spent = 0, seq = 0, anchored_seq = 0"
            " WHERE tenant_id = $1",
            tenant,
        )
        await transaction.run("ALTER TABLE dp_budget ENABLE TRIGGER never_less")
