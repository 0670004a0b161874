"""Policies: lower at once, more only later; windows tile time; alarms ring once."""

from decimal import Decimal

import pytest

from subgraph.budgets.model import BudgetWindow
from subgraph.budgets.reading import budget_page, current_budget, newest_policy
from subgraph.errors import ErrorCode, SubgraphError
from tests.unit.budgets.accounts import Accounts
from tests.unit.budgets.test_accountant import code_of


async def test_a_first_policy_is_in_force_at_once(books: Accounts) -> None:
    tenant = await books.open("3", lifetime_limit="9")
    budget = await current_budget(books.database, tenant)
    assert budget is not None
    assert (budget.limit, budget.lifetime_remaining) == (Decimal(3), Decimal(9))


async def test_a_window_that_was_not_used_is_the_one_that_its_use_makes(books: Accounts) -> None:
    tenant = await books.open("3", window=BudgetWindow.WEEK)
    before = await current_budget(books.database, tenant)
    made = await books.spend(tenant)
    after = await current_budget(books.database, tenant)
    assert (before.window_start, before.window_end) == (made.window_start, made.window_end)
    assert (before.sequence, after.sequence) == (0, 1)


async def test_a_limit_below_what_is_spent_closes_the_window(books: Accounts) -> None:
    tenant = await books.open("10")
    await books.spend(tenant, "5")
    await books.set_policy(tenant, "2")
    assert await code_of(books.spend(tenant, "0.1")) is ErrorCode.DP_BUDGET_EXHAUSTED
    row = await books.row(tenant)
    assert (row["epsilon_limit"], row["epsilon_spent"]) == (2, 5)


async def test_a_higher_limit_waits_for_the_next_window(books: Accounts) -> None:
    tenant = await books.open("1")
    made = await books.spend(tenant, "1")
    policy = await books.set_policy(tenant, "5")
    assert policy.effective_from == made.window_end
    assert await code_of(books.spend(tenant, "0.1")) is ErrorCode.DP_BUDGET_EXHAUSTED
    assert await newest_policy(books.database, tenant) == policy


async def test_a_higher_or_no_lifetime_cap_waits_too(books: Accounts) -> None:
    tenant = await books.open("1", lifetime_limit="1")
    await books.spend(tenant, "1")
    for changed in ({"lifetime_limit": "50"}, {}):
        policy = await books.set_policy(tenant, "1", **changed)
        assert policy.effective_from == (await books.row(tenant))["window_end"]
        assert (await books.row(tenant, lifetime=True))["epsilon_limit"] == 1


async def test_a_cap_that_was_raised_and_lowered_again_is_low(books: Accounts) -> None:
    tenant = await books.open("10", lifetime_limit="10")
    await books.spend(tenant, "1")
    await books.set_policy(tenant, "10", lifetime_limit="20")
    await books.set_policy(tenant, "4", lifetime_limit="4")
    await books.spend(tenant, "1")
    assert (await books.row(tenant, lifetime=True))["epsilon_limit"] == 4


async def test_a_lower_limit_of_one_operation_holds_even_if_the_rest_has_to_wait(
    books: Accounts,
) -> None:
    tenant = await books.open("10")
    await books.spend(tenant, "1")
    await books.set_policy(tenant, "20", max_epsilon_per_operation="0.5")
    assert await code_of(books.spend(tenant, "1")) is ErrorCode.EPSILON_OVER_OPERATION_LIMIT


async def test_another_kind_of_window_opens_no_second_one(books: Accounts) -> None:
    tenant = await books.open("1", window=BudgetWindow.QUARTER)
    made = await books.spend(tenant, "1")
    policy = await books.set_policy(tenant, "1", window=BudgetWindow.DAY)
    assert policy.effective_from == made.window_end
    assert await code_of(books.spend(tenant, "0.1")) is ErrorCode.DP_BUDGET_EXHAUSTED


async def test_the_next_window_begins_where_the_last_one_ended(books: Accounts) -> None:
    tenant = await books.open("1")
    await books.spend(tenant, "1")
    await books.end_window(tenant)
    await books.spend(tenant, "0.5")
    newer, older = await budget_page(books.database, tenant, first=5)
    assert (newer.window_start, newer.spent, older.spent) == (
        older.window_end,
        Decimal("0.5"),
        Decimal(1),
    )
    assert (await books.row(tenant, lifetime=True))["epsilon_spent"] == Decimal("1.5")


async def test_the_lifetime_outlasts_a_window(books: Accounts) -> None:
    tenant = await books.open("1", lifetime_limit="1.5")
    await books.spend(tenant, "1")
    await books.end_window(tenant)
    assert await code_of(books.spend(tenant, "0.6")) is ErrorCode.DP_BUDGET_EXHAUSTED


async def test_a_policy_is_an_event(books: Accounts) -> None:
    tenant = await books.open("3", lifetime_limit="9")
    ((event),) = await books.events(tenant, "budget.policy.set")
    assert (event["version"], event["epsilonLimit"]) == (1, "3.000000000")


@pytest.mark.parametrize("terms", [{"lifetime_limit": "0.5"}, {"max_epsilon_per_operation": "1.1"}])
async def test_a_limit_that_cannot_be_reached_is_refused(books: Accounts, terms: dict) -> None:
    with pytest.raises(SubgraphError) as caught:
        await books.open("1", **terms)
    assert caught.value.code is ErrorCode.INVALID_INPUT


# --- alarms


async def test_the_alarm_rings_when_less_than_a_tenth_is_left(books: Accounts) -> None:
    tenant = await books.open("1")
    await books.spend(tenant, "0.9")
    assert await books.events(tenant, "budget.low") == []
    await books.spend(tenant, "0.01")
    (event,) = await books.events(tenant, "budget.low")
    assert (event["epsilonRemaining"], event["sequence"]) == ("0.090000000", 2)


async def test_the_alarm_rings_once_a_window_and_again_in_the_next(books: Accounts) -> None:
    tenant = await books.open("1")
    await books.spend(tenant, "0.95")
    await books.spend(tenant, "0.01")
    assert len(await books.events(tenant, "budget.low")) == 1
    await books.end_window(tenant)
    await books.spend(tenant, "0.95")
    assert len(await books.events(tenant, "budget.low")) == 2


async def test_the_alarm_of_the_lifetime_names_no_window(books: Accounts) -> None:
    tenant = await books.open("1", lifetime_limit="1")
    await books.spend(tenant, "0.95")
    events = await books.events(tenant, "budget.low")
    assert sorted("windowStart" in event for event in events) == [False, True]


async def test_a_lowered_limit_rings_the_alarm(books: Accounts) -> None:
    tenant = await books.open("10")
    await books.spend(tenant, "5")
    await books.set_policy(tenant, "2")
    (event,) = await books.events(tenant, "budget.low")
    assert event["epsilonRemaining"] == "0.000000000"
