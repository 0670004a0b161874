"""The heads in the ledger: what moved is anchored once, and an older database is noticed."""

import asyncio
from typing import Any

import pytest

from subgraph.budgets.anchors import anchor, check_anchor
from subgraph.errors import ErrorCode
from tests.unit.budgets.accounts import Accounts
from tests.unit.budgets.test_accountant import code_of


async def anchored(books: Accounts, tenant: str) -> Any:
    async with books.database.transaction(tenant) as transaction:
        return await anchor(transaction, books.process.ledger, tenant)


async def check(books: Accounts, tenant: str) -> None:
    await check_anchor(books.database, books.process.reader.newest, tenant)


async def test_what_moved_is_anchored_once(books: Accounts) -> None:
    tenant = await books.open("10")
    made = await books.spend(tenant, "0.1", "0.2")
    assert await anchored(books, tenant) is not None
    assert await anchored(books, tenant) is None
    (event,) = await books.events(tenant, "budget.head")
    assert (event["sequence"], event["epsilonSpent"]) == (2, "0.300000000")
    assert event["windows"][0]["head"] == f"sha256:{made.head.hex()}"


async def test_an_anchor_lists_every_window_that_moved(books: Accounts) -> None:
    tenant = await books.open("10")
    await books.spend(tenant)
    await books.end_window(tenant)
    await books.spend(tenant)
    await anchored(books, tenant)
    await books.spend(tenant)
    await anchored(books, tenant)
    events = await books.events(tenant, "budget.head")
    assert [len(event["windows"]) for event in events] == [2, 1]


async def test_a_new_policy_anchors_what_was_spent_before(books: Accounts) -> None:
    tenant = await books.open("10")
    await books.spend(tenant)
    await books.set_policy(tenant, "9")
    assert len(await books.events(tenant, "budget.head")) == 1


async def test_anchors_and_spends_at_once_do_not_deadlock(books: Accounts) -> None:
    tenant = await books.open("10")
    calls = [books.spend(tenant) for _ in range(30)] + [anchored(books, tenant) for _ in range(10)]
    await asyncio.gather(*calls)
    await check(books, tenant)


async def test_a_log_that_goes_on_is_behind_nothing(books: Accounts) -> None:
    tenant = await books.open("10")
    await check(books, tenant)
    await books.spend(tenant)
    await anchored(books, tenant)
    await books.spend(tenant)
    await check(books, tenant)


@pytest.mark.parametrize(
    "restored",
    [
        (
            "DELETE FROM dp_spend WHERE tenant_id = '{0}' AND seq > 1;"
            " UPDATE dp_budget SET seq = 1, epsilon_spent = 0.1, anchored_seq = 0"
            " WHERE tenant_id = '{0}'"
        ),
        (
            "DELETE FROM dp_spend WHERE tenant_id = '{0}';"
            " DELETE FROM dp_reservation WHERE tenant_id = '{0}';"
            " DELETE FROM dp_budget WHERE tenant_id = '{0}'"
        ),
        "UPDATE dp_budget SET epsilon_spent = 0 WHERE tenant_id = '{0}'",
        "UPDATE dp_spend SET chain_hash = sha256('a') WHERE tenant_id = '{0}' AND seq = 3",
    ],
)
async def test_a_restored_database_is_behind_its_ledger(books: Accounts, restored: str) -> None:
    tenant = await books.open("10")
    for _ in range(3):
        await books.spend(tenant)
    await anchored(books, tenant)
    await tamper(books, restored.format(tenant))
    assert await code_of(check(books, tenant)) is ErrorCode.BUDGET_BEHIND_LEDGER


async def tamper(books: Accounts, sql: str) -> None:
    """Change what nobody may change, as the superuser can."""
    from subgraph.db.roles import Role

    await books.scratch.run(
        "SET session_replication_role = replica", *sql.split(";"), role=Role.ADMIN
    )
