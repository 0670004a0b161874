"""One session for whoever asked, for the time and the values that two others approved."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from subgraph.approvals.model import APPROVAL_WINDOW
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from subgraph.db.service import StatementCount, statement_count
from subgraph.errors import SubgraphError
from subgraph.keys.breakglass import watermark
from subgraph.keys.breakglass.errors import InvalidBreakGlass
from subgraph.keys.breakglass.model import BreakGlassPage, BreakGlassState, Scope
from tests.unit.keys.breakglass.glass import FIELDS, RECORDS, Glass

HALF_HOUR = timedelta(minutes=30)


async def code(action: Awaitable[object]) -> str:
    with pytest.raises(SubgraphError) as caught:
        await action
    return caught.value.code.name


async def test_a_request_goes_from_asked_to_closed(glass: Glass) -> None:
    made = await glass.request()
    states = [made.state]
    for approver in ("ben", "cleo"):
        made = await glass.service.approve(
            glass.tenant, made.request_id,
            digest=made.approval.digest, approver=approver, token_id=approver,
        )  # fmt: skip
        states.append(made.state)
    states.append((await glass.open(made)).state)
    states.append((await glass.service.close(glass.tenant, made.request_id, by="ann")).state)
    assert [state.value for state in states] == [
        "REQUESTED", "REQUESTED", "APPROVED", "ACTIVE", "CLOSED",
    ]  # fmt: skip
    assert await glass.about(made.request_id) == [
        "approval.requested", "approval.approved", "approval.approved", "approval.applied",
        "breakglass.opened", "breakglass.closed",
    ]  # fmt: skip


async def test_nothing_is_opened_before_two_have_approved(glass: Glass) -> None:
    made = await glass.request()
    assert await code(glass.open(made)) == "DUAL_CONTROL_REQUIRED"
    assert await code(glass.read(made)) == "BREAK_GLASS_CLOSED"


@pytest.mark.parametrize("by", ["ben", "dora"])
async def test_a_grant_is_the_requesters_alone(glass: Glass, by: str) -> None:
    made = await glass.approved()
    assert await code(glass.open(made, by=by)) == "FORBIDDEN"
    assert (await glass.shown(made)).state is BreakGlassState.APPROVED


async def test_a_grant_is_used_once(glass: Glass) -> None:
    made = await glass.opened()
    assert await code(glass.open(made, idempotency_key="other")) == "GRANT_CONSUMED"


async def test_an_equal_key_repeats_the_answer_while_the_session_is_open(glass: Glass) -> None:
    made = await glass.opened()
    assert await glass.open(made) == made
    glass.dual.time.offset = HALF_HOUR
    assert await code(glass.open(made)) == "GRANT_CONSUMED"


async def test_a_closed_session_is_not_opened_again(glass: Glass) -> None:
    made = await glass.opened()
    await glass.service.close(glass.tenant, made.request_id, by="ann")
    assert await code(glass.open(made)) == "GRANT_CONSUMED"


async def test_equal_openings_at_once_are_one_session(glass: Glass) -> None:
    made = await glass.approved()
    opened = await asyncio.gather(*(glass.open(made) for _ in range(5)))
    assert len({one.session for one in opened}) == 1
    assert len(await glass.told("breakglass.opened")) == 1


async def test_of_different_openings_at_once_one_wins(glass: Glass) -> None:
    made = await glass.approved()
    done = await asyncio.gather(
        *(glass.open(made, idempotency_key=f"k{n}") for n in range(5)), return_exceptions=True
    )
    refusals = [one.code.name for one in done if isinstance(one, SubgraphError)]
    assert refusals == ["GRANT_CONSUMED"] * 4


async def test_a_grant_that_was_not_used_in_time_is_gone(glass: Glass) -> None:
    made = await glass.approved()
    glass.dual.time.offset = APPROVAL_WINDOW
    assert await code(glass.open(made)) == "REQUEST_EXPIRED"


async def test_a_session_lasts_as_long_as_was_approved(glass: Glass) -> None:
    made = await glass.opened(duration_minutes=7)
    assert made.session is not None
    assert made.session.expires_at - made.session.opened_at == timedelta(minutes=7)
    assert made.expires_at == made.session.expires_at


async def test_a_session_shows_its_end_before_a_sweep(glass: Glass) -> None:
    glass.dual.time.offset = -timedelta(hours=1)
    made = await glass.opened()
    assert made.state is BreakGlassState.ACTIVE
    assert (await glass.shown(made)).state is BreakGlassState.EXPIRED
    assert await glass.told("breakglass.closed") == []


async def test_a_sweep_ends_a_session_once_and_its_state_stays(glass: Glass) -> None:
    made = await glass.opened()
    assert not await glass.service.close_expired(glass.tenant, made.request_id)
    glass.dual.time.offset = HALF_HOUR
    async with operator_transaction(glass.dual.process.scratch.url(Role.SYSTEM)) as transaction:
        due = await glass.service.due(transaction, limit=1000)
    assert (glass.tenant, made.request_id) in due
    swept = await asyncio.gather(*(glass.service.close_expired(*due[-1]) for _ in range(3)))
    assert sorted(swept) == [False, False, True]
    (entry,) = await glass.told("breakglass.closed")
    assert (entry.actor, (entry.payload or {})["outcome"]) == ("deployment", "EXPIRED")
    closed = await glass.service.close(glass.tenant, made.request_id, by="ann")
    assert closed.state is BreakGlassState.EXPIRED


async def test_a_sweep_does_not_end_what_was_never_opened(glass: Glass) -> None:
    made = await glass.approved()
    glass.dual.time.offset = APPROVAL_WINDOW
    assert not await glass.service.close_expired(glass.tenant, made.request_id)


async def test_the_sweeping_role_reads_no_watermark_key(glass: Glass) -> None:
    await glass.opened()
    with pytest.raises(Exception, match="permission denied"):
        await glass.dual.process.ask(
            "SELECT watermark_key FROM break_glass_session", role=Role.SYSTEM
        )


async def test_a_watermark_key_is_in_no_log(glass: Glass) -> None:
    made = await glass.opened()
    assert made.session is not None
    assert repr(made.session.watermark_key) not in repr(made)


async def test_closing_before_opening_withdraws(glass: Glass) -> None:
    made = await glass.approved()
    assert await code(glass.service.close(glass.tenant, made.request_id, by="ben")) == "FORBIDDEN"
    closed = await glass.service.close(glass.tenant, made.request_id, by="ann")
    assert closed.state is BreakGlassState.CANCELLED
    assert await code(glass.open(made)) == "REQUEST_NOT_OPEN"


async def test_a_session_can_be_ended_by_another_who_is_named(glass: Glass) -> None:
    made = await glass.opened()
    first = await glass.service.close(glass.tenant, made.request_id, by="ben")
    assert await glass.service.close(glass.tenant, made.request_id, by="ann") == first
    assert [entry.actor for entry in await glass.told("breakglass.closed")] == ["ben"]


async def test_a_rejection_is_shown(glass: Glass) -> None:
    made = await glass.approved()
    rejected = await glass.service.reject(glass.tenant, made.request_id, by="dora", reason="no")
    assert rejected.state is BreakGlassState.REJECTED
    assert rejected.approval.rejection is not None


async def test_the_opening_fixes_the_watermark_key_in_the_ledger(glass: Glass) -> None:
    made = await glass.opened()
    assert made.session is not None
    (entry,) = await glass.told("breakglass.opened")
    payload = dict(entry.payload or {})
    assert payload["watermarkKeyCommitment"] == watermark.commitment(made.session.watermark_key)
    assert payload["watermark"] == watermark.prefix(made.session.short_id)
    assert payload["tokenId"] == "t-ann"


async def test_an_opening_that_the_ledger_refuses_uses_nothing(glass: Glass) -> None:
    made = await glass.approved()
    glass.dual.permitted[0] = False
    assert await code(glass.open(made)) == "WITNESS_UNAVAILABLE"
    glass.dual.permitted[0] = True
    assert (await glass.open(made)).state is BreakGlassState.ACTIVE


async def test_an_equal_request_with_the_same_key_is_one(glass: Glass) -> None:
    once = await glass.request(idempotency_key="k")
    turned = Scope("customer", RECORDS[::-1] * 2, FIELDS[::-1])
    assert await glass.request(idempotency_key="k", scope=turned) == once
    other = glass.request(idempotency_key="k", justification="Something else is meant.")
    assert await code(other) == "IDEMPOTENCY_CONFLICT"


async def test_the_justification_is_in_no_event_and_can_be_erased(glass: Glass) -> None:
    made = await glass.request()
    (event,) = await glass.dual.process.reader.events(glass.tenant, first=9)
    assert (
        b"Smith" not in event.entry and made.terms.justification_commitment.encode() in event.entry
    )
    assert await code(
        glass.service.erase_justification(glass.tenant, made.request_id)
    ) == "REQUEST_NOT_OPEN"  # fmt: skip
    await glass.service.close(glass.tenant, made.request_id, by="ann")
    assert await glass.service.erase_justification(glass.tenant, made.request_id)
    assert not await glass.service.erase_justification(glass.tenant, made.request_id)
    assert (await glass.shown(made)).justification is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"justification": "too short"}, "justification"),
        ({"justification": "x" * 2001}, "justification"),
        ({"justification": "reorders \u202e the text"}, "justification"),
        ({"duration_minutes": 0}, "durationMinutes"),
        ({"duration_minutes": 61}, "durationMinutes"),
        ({"scope": Scope("", RECORDS, FIELDS)}, "objectType"),
        ({"scope": Scope("c", (), FIELDS)}, "recordIds"),
        ({"scope": Scope("c", tuple(uuid4() for _ in range(101)), FIELDS)}, "recordIds"),
        ({"scope": Scope("c", RECORDS, ())}, "fields"),
        ({"scope": Scope("c", RECORDS, tuple(f"f{n}" for n in range(51)))}, "fields"),
        ({"scope": Scope("c", RECORDS, ("a\x00b",))}, "fields"),
    ],
)
async def test_a_request_that_breaks_a_rule_is_refused(
    glass: Glass, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidBreakGlass) as caught:
        await glass.request(**changes)
    assert caught.value.field[-1] == field


async def test_the_largest_request_fits_into_the_ledger(glass: Glass) -> None:
    records = tuple(uuid4() for _ in range(100))
    scope = Scope("é" * 128, records, tuple(f"{n:02}" + "é" * 126 for n in range(50)))
    made = await glass.request(scope=scope, justification="é" * 2000, duration_minutes=60)
    assert made.terms.scope.record_ids == tuple(sorted(records))


async def test_another_tenants_request_is_unknown(glass: Glass) -> None:
    made = await glass.opened()
    other = Glass(glass.dual, await glass.dual.make_tenant())
    for action in (
        other.open(made), other.read(made), other.service.close(other.tenant, made.request_id, by="a"),
    ):  # fmt: skip
        assert await code(action) == "INVALID_ID"
    assert await other.service.load_many([(other.tenant, made.request_id)]) == {}


async def test_requests_are_read_in_one_statement(glass: Glass) -> None:
    other = Glass(glass.dual, await glass.dual.make_tenant())
    made = [await glass.opened(), await other.request(), await glass.approved()]
    token = statement_count.set(StatementCount())
    found = await glass.service.load_many([(one.tenant, one.request_id) for one in made])
    count = statement_count.get()
    statement_count.reset(token)
    assert count is not None and count.sent == 1
    assert found == {(one.tenant, one.request_id): one for one in made}


async def test_a_list_is_paged_and_filtered_by_the_state_that_is_shown(glass: Glass) -> None:
    glass.dual.time.offset = -timedelta(hours=1)
    over = await glass.opened()
    glass.dual.time.offset = timedelta()
    active, asked = await glass.opened(), await glass.request()
    ids = [one.request_id for one in (asked, active, over)]
    first = await glass.service.page(glass.tenant, BreakGlassPage(2))
    after = (first[-1].approval.created_at, first[-1].request_id)
    rest = await glass.service.page(glass.tenant, BreakGlassPage(2, after))
    assert [one.request_id for one in first + rest] == ids
    for state, one in (("REQUESTED", asked), ("ACTIVE", active), ("EXPIRED", over)):
        page = await glass.service.page(
            glass.tenant, BreakGlassPage(9, None, BreakGlassState(state))
        )
        assert [found.request_id for found in page] == [one.request_id]
