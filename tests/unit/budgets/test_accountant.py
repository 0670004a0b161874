"""The accountant on a real database: exact under concurrency, all or nothing, and repeatable."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from subgraph.budgets import audit, sweeper
from subgraph.budgets.chain import genesis_of, link
from subgraph.budgets.errors import BudgetRefused, ReleasePending
from subgraph.budgets.model import BudgetWindow
from subgraph.budgets.reading import current_budget, spend_page, spends
from subgraph.budgets.releases import release_key, stored_releases
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.settings import Settings
from tests.unit.budgets.accounts import Accounts, accounts, answers, charge, request
from tests.unit.db.scratch import Scratch


async def code_of(awaitable) -> ErrorCode:
    with pytest.raises(SubgraphError) as caught:
        await awaitable
    return caught.value.code


async def test_a_reservation_is_spent_at_once(books: Accounts) -> None:
    tenant = await books.open("10")
    await books.spend(tenant, "0.1", "0.25")
    budget = await current_budget(books.database, tenant)
    assert (budget.spent, budget.remaining, budget.sequence) == (
        Decimal("0.35"),
        Decimal("9.65"),
        2,
    )


async def test_without_a_policy_nothing_is_spent(books: Accounts) -> None:
    assert await code_of(books.spend("t-nobody")) is ErrorCode.BUDGET_NOT_SET


async def test_an_entry_is_chained_to_the_genesis_of_its_window(books: Accounts) -> None:
    tenant = await books.open()
    made = await books.spend(tenant, "0.1", "0.2")
    first, second = await spend_page(books.database, tenant, made.window_start, first=10)
    head = link(genesis_of(tenant, made.window_start), first.entry)
    assert (head, link(head, second.entry)) == (first.chain_hash, second.chain_hash)
    assert made.head == second.chain_hash


async def test_a_spend_is_found_by_the_id_that_the_reservation_names(books: Accounts) -> None:
    tenant = await books.open()
    made = await books.spend(tenant, "0.1", "0.2")
    found = await spends(books.database, [(tenant, identity) for identity in made.spend_ids])
    assert [found[tenant, i].epsilon for i in made.spend_ids] == [Decimal("0.1"), Decimal("0.2")]


async def test_all_releases_of_an_operation_are_paid_for_or_none(books: Accounts) -> None:
    tenant = await books.open("1")
    with pytest.raises(BudgetRefused) as caught:
        await books.spend(tenant, "0.6", "0.6")
    assert (caught.value.required, caught.value.remaining) == (Decimal("1.2"), Decimal(1))
    assert (await books.row(tenant))["epsilon_spent"] == 0


async def test_a_refusal_says_when_the_window_ends(books: Accounts) -> None:
    tenant = await books.open("1", window=BudgetWindow.DAY)
    await books.spend(tenant, "1")
    with pytest.raises(BudgetRefused) as caught:
        await books.spend(tenant, "0.000000001")
    assert caught.value.resets_at == (await books.row(tenant))["window_end"]
    assert caught.value.extensions["remaining"] == "0.000000000"


async def test_a_spent_lifetime_never_resets(books: Accounts) -> None:
    tenant = await books.open("1", lifetime_limit="1")
    await books.spend(tenant, "0.9")
    with pytest.raises(BudgetRefused) as caught:
        await books.spend(tenant, "0.2")
    assert (caught.value.remaining, caught.value.resets_at) == (Decimal("0.1"), None)


async def test_the_limit_of_one_operation_is_on_its_sum(books: Accounts) -> None:
    tenant = await books.open("10", max_epsilon_per_operation="0.3")
    wanted = books.spend(tenant, "0.2", "0.2")
    assert await code_of(wanted) is ErrorCode.EPSILON_OVER_OPERATION_LIMIT


async def test_the_last_quantum_can_be_spent(books: Accounts) -> None:
    tenant = await books.open("0.3")
    for _ in range(3):
        await books.spend(tenant, "0.1")
    assert await code_of(books.spend(tenant, "0.000000001")) is ErrorCode.DP_BUDGET_EXHAUSTED


# --- concurrency


async def outcomes(*calls) -> list[object]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_of_400_at_once_over_two_pools_exactly_the_100_that_fit_are_granted(
    scratch: Scratch, settings: Settings, books: Accounts
) -> None:
    tenant = await books.open("10")
    async with accounts(scratch, settings) as other:
        given = await outcomes(*(side.spend(tenant) for _ in range(200) for side in (books, other)))
    granted = [result for result in given if not isinstance(result, BaseException)]
    refused = [result for result in given if isinstance(result, BudgetRefused)]
    assert (len(granted), len(refused)) == (100, 300)
    (report,) = await audit.verify_tenant(books.database, tenant)
    assert (report.spends, report.spent) == (100, Decimal(10))


async def test_costs_in_any_order_add_up_to_the_same(books: Accounts) -> None:
    costs = [f"0.{random.randrange(1, 10**9):09}" for _ in range(60)]
    sums = set()
    for _ in range(3):
        random.shuffle(costs)
        tenant = await books.open("1000")
        await asyncio.gather(*(books.spend(tenant, cost) for cost in costs))
        sums.add((await books.row(tenant))["epsilon_spent"])
    assert sums == {sum(map(Decimal, costs))}


async def test_policies_overrides_and_spends_at_once_do_not_deadlock(books: Accounts) -> None:
    tenant = await books.open("100", lifetime_limit="1000")
    calls = [books.spend(tenant, "0.1", "0.1") for _ in range(60)]
    calls += [books.set_policy(tenant, str(90 - n), lifetime_limit="900") for n in range(6)]
    assert [result for result in await outcomes(*calls) if isinstance(result, BaseException)] == []
    assert (await books.row(tenant))["epsilon_spent"] == Decimal(12)


# --- repeats


async def test_50_repeats_at_once_are_one_reservation_and_one_holder(books: Accounts) -> None:
    tenant = await books.open("10")
    asked = request(charge("0.1"), charge("0.2"))
    made = await asyncio.gather(
        *(books.accountant.reserve(tenant, replace(asked, holder=uuid4())) for _ in range(50))
    )
    assert len({(one.reservation_id, one.head, one.first_sequence) for one in made}) == 1
    assert len([one for one in made if one.lease is not None]) == 1
    assert (await books.row(tenant))["epsilon_spent"] == Decimal("0.3")


async def test_the_holder_who_repeats_keeps_the_lease(books: Accounts) -> None:
    tenant, asked = await books.open(), request()
    first = await books.accountant.reserve(tenant, asked)
    assert await books.accountant.reserve(tenant, asked) == first


async def test_a_key_with_another_request_is_refused(books: Accounts) -> None:
    tenant = await books.open()
    await books.spend(tenant, "0.1", key="mine")
    assert await code_of(books.spend(tenant, "0.2", key="mine")) is ErrorCode.IDEMPOTENCY_CONFLICT


async def test_a_key_belongs_to_its_tenant(books: Accounts) -> None:
    asked = request(key="same")
    one = await books.accountant.reserve(await books.open(), asked)
    other = await books.accountant.reserve(await books.open(), asked)
    assert one.reservation_id != other.reservation_id


async def test_a_refused_request_can_be_repeated_once_it_fits(books: Accounts) -> None:
    tenant, asked = await books.open("0.1"), request(charge("0.2"))
    assert await code_of(books.accountant.reserve(tenant, asked)) is ErrorCode.DP_BUDGET_EXHAUSTED
    await books.ask("UPDATE dp_budget SET epsilon_granted = 1 WHERE tenant_id = $1", tenant)
    assert (await books.accountant.reserve(tenant, asked)).lease is not None


async def test_another_holder_takes_over_from_one_whose_lease_ran_out(
    scratch: Scratch, settings: Settings, books: Accounts
) -> None:
    tenant, item = await books.open(), charge()
    async with accounts(scratch, settings, lease=timedelta(0)) as dead:
        zombie = await dead.accountant.reserve(tenant, request(item, key="k"))
    heir = await books.accountant.reserve(tenant, request(item, key="k"))
    assert (heir.reservation_id, heir.lease.epoch) == (zombie.reservation_id, 2)
    lost = books.accountant.commit(zombie, answers(item, text="1"))
    assert await code_of(lost) is ErrorCode.RESERVATION_LOST
    stored = await books.accountant.commit(heir, answers(item, text="2"))
    assert stored[item.release_key].answer == "2"


# --- releases


async def test_a_committed_answer_is_found_by_every_process(
    scratch: Scratch, settings: Settings, books: Accounts
) -> None:
    tenant, items = await books.open(), [charge(), charge()]
    made = await books.accountant.reserve(tenant, request(*items))
    await books.accountant.commit(made, answers(*items))
    keys = [item.release_key for item in items]
    async with accounts(scratch, settings) as other:
        found = await stored_releases(other.database, tenant, [*keys, charge().release_key])
    assert found.keys() == set(keys)
    assert {release.spend_id for release in found.values()} == set(made.spend_ids)


async def test_a_repeated_commit_answers_what_was_stored_first(books: Accounts) -> None:
    tenant, item = await books.open(), charge()
    made = await books.accountant.reserve(tenant, request(item))
    first = await books.accountant.commit(made, answers(item, text="1"))
    assert await books.accountant.commit(made, answers(item, text="2")) == first


async def test_an_answer_that_is_stored_is_not_paid_for_again(books: Accounts) -> None:
    tenant, item = await books.open(), charge()
    made = await books.accountant.reserve(tenant, request(item))
    await books.accountant.commit(made, answers(item))
    with pytest.raises(ReleasePending) as caught:
        await books.accountant.reserve(tenant, request(charge(), item))
    assert caught.value.until is None
    assert (await books.row(tenant))["epsilon_spent"] == Decimal("0.1")


async def test_an_answer_that_is_being_drawn_is_waited_for(books: Accounts) -> None:
    tenant, item = await books.open(), charge()
    made = await books.accountant.reserve(tenant, request(item))
    with pytest.raises(ReleasePending) as caught:
        await books.accountant.reserve(tenant, request(item))
    assert caught.value.until == made.lease.until


async def test_the_same_answer_asked_for_by_30_at_once_is_paid_for_once(books: Accounts) -> None:
    tenant, item = await books.open(), charge()
    given = await outcomes(*(books.accountant.reserve(tenant, request(item)) for _ in range(30)))
    assert len([result for result in given if isinstance(result, ReleasePending)]) == 29
    assert (await books.row(tenant))["epsilon_spent"] == Decimal("0.1")


async def test_the_same_answer_of_another_tenant_is_another_one(books: Accounts) -> None:
    item = charge()
    one, other = await books.open(), await books.open()
    made = await books.accountant.reserve(one, request(item))
    await books.accountant.commit(made, answers(item))
    assert await stored_releases(books.database, other, [item.release_key]) == {}
    await books.accountant.reserve(other, request(item))


def test_the_key_of_a_release_depends_on_every_member_and_no_order() -> None:
    assert release_key({"a": "1", "b": "2"}) == release_key({"b": "2", "a": "1"})
    assert release_key({"a": "1"}) != release_key({"a": "2"})


# --- forfeiture


async def test_what_is_abandoned_is_forfeited_and_stays_spent(
    scratch: Scratch, settings: Settings, postgres: EmbeddedServer, books: Accounts
) -> None:
    tenant, item = await books.open(), charge()
    async with accounts(scratch, settings, lease=timedelta(0)) as dead:
        zombie = await dead.accountant.reserve(tenant, request(item))
    assert await sweeper.forfeit_abandoned(scratch.url(Role.SYSTEM), most=100) >= 1
    lost = books.accountant.commit(zombie, answers(item))
    assert await code_of(lost) is ErrorCode.RESERVATION_LOST
    assert (await books.row(tenant))["epsilon_spent"] == Decimal("0.1")


async def test_a_live_lease_is_not_swept(scratch: Scratch, books: Accounts) -> None:
    tenant, item = await books.open(), charge()
    made = await books.accountant.reserve(tenant, request(item))
    await sweeper.forfeit_abandoned(scratch.url(Role.SYSTEM), most=100)
    assert await books.accountant.commit(made, answers(item))


async def test_an_answer_whose_payer_died_can_be_paid_for_again(
    scratch: Scratch, settings: Settings, books: Accounts
) -> None:
    tenant, item = await books.open(), charge()
    async with accounts(scratch, settings, lease=timedelta(0)) as dead:
        await dead.accountant.reserve(tenant, request(item))
    again = await books.accountant.reserve(tenant, request(item))
    assert await books.accountant.commit(again, answers(item))
    assert (await books.row(tenant))["epsilon_spent"] == Decimal("0.2")


async def test_forfeiting_changes_no_hashed_entry(books: Accounts) -> None:
    tenant = await books.open()
    made = await books.spend(tenant, "0.1", "0.2")
    assert await books.accountant.forfeit(made) == 2
    (report,) = await audit.verify_tenant(books.database, tenant)
    assert (report.spends, report.spent) == (2, Decimal("0.3"))


async def test_what_is_committed_is_not_forfeited(books: Accounts) -> None:
    tenant, items = await books.open(), [charge(), charge()]
    made = await books.accountant.reserve(tenant, request(*items))
    await books.accountant.commit(made, answers(items[0]))
    assert await books.accountant.forfeit(made) == 1
    assert await stored_releases(books.database, tenant, [items[0].release_key])


# --- what a caller may not ask


@pytest.mark.parametrize("epsilon", ["0", "-1", "NaN", "Infinity", "1e-400", "0.0000000001", "1e9"])
async def test_an_epsilon_that_is_none_does_not_reach_the_database(
    books: Accounts, epsilon: str
) -> None:
    with pytest.raises(ValueError):
        await books.accountant.reserve("t-any", request(charge(epsilon)))


async def test_a_release_is_charged_once_an_operation(books: Accounts) -> None:
    item = charge()
    with pytest.raises(ValueError):
        await books.accountant.reserve("t-any", request(item, item))
