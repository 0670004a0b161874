"""Overrides: on top, for the current window, once, with a warrant that holds."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from subgraph.budgets.model import AppliedOverride, Override, Warrant
from subgraph.budgets.overrides import apply_override
from subgraph.errors import ErrorCode, SubgraphError
from tests.unit.budgets.accounts import Accounts
from tests.unit.budgets.test_accountant import code_of, outcomes


def warrant(**changes: datetime) -> Warrant:
    now = datetime.now(UTC)
    given = {
        "issued_at": now - timedelta(days=1), "expires_at": now + timedelta(days=1), **changes,
    }  # fmt: skip
    return Warrant("W-1", "court", document_digest="sha256:" + "0" * 64, **given)


async def override(
    books: Accounts, tenant: str, epsilon: str = "1", *, approval: UUID | None = None, **terms
) -> AppliedOverride:
    asked = Override(
        uuid4(), approval or uuid4(), Decimal(epsilon), warrant(**terms), "second-approver"
    )
    async with books.database.transaction(tenant) as transaction:
        return await apply_override(transaction, books.process.ledger, tenant, asked)


async def test_an_override_adds_and_resets_nothing(books: Accounts) -> None:
    tenant = await books.open("1", lifetime_limit="1")
    await books.spend(tenant, "1")
    await override(books, tenant, "0.5")
    await books.spend(tenant, "0.5")
    row = await books.row(tenant)
    assert (row["epsilon_limit"], row["epsilon_granted"], row["epsilon_spent"]) == (
        1, Decimal("0.5"), Decimal("1.5"),
    )  # fmt: skip
    assert await code_of(books.spend(tenant, "0.1")) is ErrorCode.DP_BUDGET_EXHAUSTED


async def test_an_approval_is_used_once(books: Accounts) -> None:
    tenant, approval = await books.open("1"), uuid4()
    given = await outcomes(*(override(books, tenant, approval=approval) for _ in range(6)))
    errors = [one for one in given if isinstance(one, SubgraphError)]
    assert [error.code for error in errors] == [ErrorCode.ALREADY_EXISTS] * 5
    assert (await books.row(tenant))["epsilon_granted"] == 1


async def test_an_override_ends_with_its_window(books: Accounts) -> None:
    tenant = await books.open("1")
    await override(books, tenant, "5")
    await books.end_window(tenant)
    assert await code_of(books.spend(tenant, "2")) is ErrorCode.DP_BUDGET_EXHAUSTED


@pytest.mark.parametrize(
    "terms",
    [
        {
            "expires_at": datetime(2026, 1, 2, tzinfo=UTC),
            "issued_at": datetime(2026, 1, 1, tzinfo=UTC),
        },
        {
            "issued_at": datetime(2299, 1, 1, tzinfo=UTC),
            "expires_at": datetime(2300, 1, 1, tzinfo=UTC),
        },
    ],
)
async def test_a_warrant_has_to_hold_now(books: Accounts, terms: dict) -> None:
    tenant = await books.open("1")
    assert await code_of(override(books, tenant, **terms)) is ErrorCode.INVALID_INPUT


async def test_without_a_policy_there_is_nothing_to_override(books: Accounts) -> None:
    assert await code_of(override(books, "t-nobody")) is ErrorCode.BUDGET_NOT_SET


async def test_an_override_is_an_event_with_its_warrant(books: Accounts) -> None:
    tenant = await books.open("1")
    applied = await override(books, tenant)
    (event,) = await books.events(tenant, "budget.overridden")
    assert event["overrideId"] == str(applied.override.override_id)
    assert event["warrant"]["reference"] == "W-1"


async def test_overrides_and_spends_at_once_do_not_deadlock(books: Accounts) -> None:
    tenant = await books.open("100")
    calls = [books.spend(tenant) for _ in range(40)] + [override(books, tenant) for _ in range(10)]
    await asyncio.gather(*calls)
    assert (await books.row(tenant))["epsilon_granted"] == 10
