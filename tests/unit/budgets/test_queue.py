"""Queued operations: a definite promise of the next window, and nothing kept that was not used."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from subgraph.budgets import queue, sweeper
from subgraph.budgets.errors import BudgetRefused
from subgraph.budgets.model import DpTicketState, Ticket, TicketClaim, TicketRequest
from subgraph.budgets.queue import Outcome
from subgraph.db.roles import Role
from subgraph.errors import ErrorCode
from tests.unit.budgets.accounts import LEASE, Accounts, charge, request
from tests.unit.budgets.test_accountant import code_of, outcomes
from tests.unit.budgets.test_anchors import tamper

FAR = datetime(2300, 1, 1, tzinfo=UTC)


async def enqueue(books: Accounts, tenant: str, epsilon: str = "0.5", **changes) -> Ticket:
    given = {"key": str(uuid4()), "deadline": FAR, **changes}
    asked = TicketRequest(
        operation="sha256:q", variables="{}", actor="analyst", epsilon=Decimal(epsilon), **given
    )
    return await queue.enqueue(books.database, books.process.ledger, tenant, asked)


async def begin_next(books: Accounts, tenant: str) -> None:
    """Let the window end and the one that was promised in begin."""
    await tamper(
        books,
        "WITH moved AS (UPDATE dp_budget SET window_end = clock_timestamp()"
        f" WHERE tenant_id = '{tenant}' AND window_start <= clock_timestamp()"
        " AND isfinite(window_end) RETURNING window_end),"
        " next AS (UPDATE dp_budget b SET window_start = moved.window_end FROM moved"
        f" WHERE b.tenant_id = '{tenant}' AND b.window_start > clock_timestamp())"
        " UPDATE dp_ticket SET not_before = moved.window_end FROM moved"
        f" WHERE tenant_id = '{tenant}'",
    )


async def claim(books: Accounts, lease: timedelta = LEASE) -> tuple[Ticket, TicketClaim]:
    found = await sweeper.claim_ticket(books.scratch.url(Role.SYSTEM), uuid4(), lease)
    assert found is not None
    return found


async def reserved(books: Accounts, tenant: str) -> tuple[Decimal, Decimal]:
    """What is promised in the newest window, and in the lifetime."""
    window, lifetime = await books.row(tenant), await books.row(tenant, lifetime=True)
    return window["epsilon_reserved"], lifetime["epsilon_reserved"]


async def test_a_promise_is_of_the_next_window_and_no_spend(books: Accounts) -> None:
    tenant = await books.open("1")
    made = await books.spend(tenant, "1")
    ticket = await enqueue(books, tenant, "0.5")
    assert (ticket.state, ticket.not_before) == (DpTicketState.QUEUED, made.window_end)
    assert await reserved(books, tenant) == (Decimal("0.5"), Decimal("0.5"))
    assert (await books.row(tenant))["epsilon_spent"] == 0


async def test_no_more_is_promised_than_the_next_window_has(books: Accounts) -> None:
    tenant = await books.open("1")
    given = await outcomes(*(enqueue(books, tenant, "0.3") for _ in range(8)))
    assert len([ticket for ticket in given if isinstance(ticket, Ticket)]) == 3
    assert len([error for error in given if isinstance(error, BudgetRefused)]) == 5


async def test_a_promise_is_kept_from_the_lifetime(books: Accounts) -> None:
    tenant = await books.open("1", lifetime_limit="1")
    await enqueue(books, tenant, "0.8")
    with pytest.raises(BudgetRefused) as caught:
        await books.spend(tenant, "0.3")
    assert caught.value.remaining == Decimal("0.2")


async def test_a_repeated_ticket_is_the_same(books: Accounts) -> None:
    tenant = await books.open("1")
    made = await asyncio.gather(*(enqueue(books, tenant, key="k") for _ in range(10)))
    assert len({ticket.ticket_id for ticket in made}) == 1
    again = enqueue(books, tenant, "0.1", key="k")
    assert await code_of(again) is ErrorCode.IDEMPOTENCY_CONFLICT


async def test_a_deadline_before_the_next_window_is_refused(books: Accounts) -> None:
    tenant = await books.open("1")
    soon = datetime.now(UTC)
    assert await code_of(enqueue(books, tenant, deadline=soon)) is ErrorCode.INVALID_INPUT


async def test_a_cancelled_ticket_gives_its_promise_back_once(books: Accounts) -> None:
    tenant = await books.open("1")
    ticket = await enqueue(books, tenant)
    await queue.cancel(books.database, tenant, ticket.ticket_id)
    again = queue.cancel(books.database, tenant, ticket.ticket_id)
    assert await code_of(again) is ErrorCode.TICKET_LOST
    assert await reserved(books, tenant) == (0, 0)


async def test_a_claimed_ticket_spends_what_it_was_promised(books: Accounts) -> None:
    tenant = await books.open("1")
    await enqueue(books, tenant, "0.6")
    await begin_next(books, tenant)
    _, held = await claim(books)
    await books.spend(tenant, "0.4")
    assert await code_of(books.spend(tenant, "0.1")) is ErrorCode.DP_BUDGET_EXHAUSTED
    made = await books.accountant.reserve(tenant, request(charge("0.6"), ticket=held))
    assert made.lease is not None
    assert await reserved(books, tenant) == (0, 0)
    assert (await books.row(tenant))["epsilon_spent"] == 1
    await queue.finish(books.database, tenant, held, Outcome(DpTicketState.DONE, result="{}"))
    found = await queue.tickets(books.database, [(tenant, held.ticket_id)])
    assert found[tenant, held.ticket_id].state is DpTicketState.DONE


async def test_a_ticket_is_claimed_by_one_and_again_after_its_lease(books: Accounts) -> None:
    tenant = await books.open("1")
    await enqueue(books, tenant)
    await begin_next(books, tenant)
    _, dead = await claim(books, timedelta(0))
    ticket, held = await claim(books)
    assert (ticket.tenant, held) == (tenant, TicketClaim(dead.ticket_id, dead.epoch + 1))
    assert await sweeper.claim_ticket(books.scratch.url(Role.SYSTEM), uuid4(), LEASE) is None
    late = books.accountant.reserve(tenant, request(charge(), ticket=dead))
    assert await code_of(late) is ErrorCode.TICKET_LOST
    finished = queue.finish(books.database, tenant, dead, Outcome(DpTicketState.DONE))
    assert await code_of(finished) is ErrorCode.TICKET_LOST
    await queue.finish(books.database, tenant, held, Outcome(DpTicketState.DENIED, failure="X"))
    assert await reserved(books, tenant) == (0, 0)


async def test_an_expired_ticket_gives_back_what_nothing_was_read_for(books: Accounts) -> None:
    tenant = await books.open("1")
    ticket = await enqueue(books, tenant)
    await books.ask(
        "UPDATE dp_ticket SET not_before = not_before,"
        " expires_at = (SELECT max(window_start) FROM dp_budget) + interval '1 microsecond'"
        " WHERE ticket_id = $1", ticket.ticket_id,
    )  # fmt: skip
    await sweeper.expire_tickets(books.scratch.url(Role.SYSTEM), most=100)
    assert await reserved(books, tenant) == (Decimal("0.5"), Decimal("0.5"))
    await begin_next(books, tenant)
    await books.ask(
        "UPDATE dp_ticket SET expires_at = not_before + interval '1 microsecond'"
        " WHERE ticket_id = $1", ticket.ticket_id,
    )  # fmt: skip
    assert await sweeper.expire_tickets(books.scratch.url(Role.SYSTEM), most=100) == 1
    assert await reserved(books, tenant) == (0, 0)
    found = await queue.tickets(books.database, [(tenant, ticket.ticket_id)])
    assert found[tenant, ticket.ticket_id].state is DpTicketState.EXPIRED


async def test_another_tenant_does_not_see_a_ticket(books: Accounts) -> None:
    tenant, other = await books.open("1"), await books.open("1")
    ticket = await enqueue(books, tenant)
    assert await queue.tickets(books.database, [(other, ticket.ticket_id)]) == {}
    cancelled = queue.cancel(books.database, other, ticket.ticket_id)
    assert await code_of(cancelled) is ErrorCode.TICKET_LOST
