"""Decisions that come at once, on connections of their own, and connections that drop."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from subgraph.approvals.model import APPROVAL_WINDOW, RequestState
from subgraph.errors import SubgraphError
from subgraph.ledger.faultpoints import FaultPoint
from subgraph.settings import Settings
from tests.unit.approvals.control import Control, Faults, control
from tests.unit.db.scratch import Scratch


async def outcomes(*actions: Awaitable[Any]) -> list[str]:
    """The code of each refusal, `ok` for what succeeded; anything else fails the test."""
    done = await asyncio.gather(*actions, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException) and not isinstance(one, SubgraphError):
            raise one
    return sorted(one.code.name if isinstance(one, SubgraphError) else "ok" for one in done)


async def test_two_approvers_at_once_both_count(dual: Control, tenant: str) -> None:
    made = await dual.request(tenant)
    assert await outcomes(dual.approve(made, "ben"), dual.approve(made, "cleo")) == ["ok", "ok"]
    shown = await dual.shown(made.key)
    assert (shown.state, len(shown.approvals)) == (RequestState.APPROVED, 2)


async def test_of_many_approvers_at_once_two_count(dual: Control, tenant: str) -> None:
    made = await dual.request(tenant)
    done = await outcomes(*(dual.approve(made, f"approver-{n}") for n in range(6)))
    assert done == ["REQUEST_NOT_OPEN"] * 4 + ["ok"] * 2
    assert len((await dual.shown(made.key)).approvals) == 2


async def test_one_approver_on_many_connections_counts_once(dual: Control, tenant: str) -> None:
    made = await dual.request(tenant)
    assert await outcomes(*(dual.approve(made, "ben") for _ in range(6))) == ["ok"] * 6
    shown = await dual.shown(made.key)
    assert (shown.state, len(shown.approvals)) == (RequestState.REQUESTED, 1)
    assert await dual.told(tenant) == ["approval.requested", "approval.approved"]


async def test_what_was_approved_is_used_once_however_many_try(dual: Control, tenant: str) -> None:
    made = await dual.approved(tenant)
    done = await outcomes(*(dual.consume(made.key) for _ in range(6)))
    assert done == ["GRANT_CONSUMED"] * 5 + ["ok"]
    assert (await dual.told(tenant)).count("approval.applied") == 1


async def test_a_use_and_a_rejection_at_once_do_not_both_happen(dual: Control) -> None:
    for _ in range(5):
        tenant = await dual.make_tenant()
        made = await dual.approved(tenant)
        done = await outcomes(
            dual.consume(made.key), dual.approvals.reject(made.key, by="dora", reason="no")
        )
        state = (await dual.shown(made.key)).state
        other = {RequestState.APPLIED: "GRANT_CONSUMED", RequestState.REJECTED: "REQUEST_NOT_OPEN"}
        assert done == [other[state], "ok"]
        assert len(await dual.told(tenant)) == 4


async def test_decisions_of_every_kind_at_once_leave_one_story(dual: Control) -> None:
    for _ in range(5):
        tenant = await dual.make_tenant()
        made = await dual.approve(await dual.request(tenant), "ben")
        await outcomes(
            dual.approve(made, "cleo"),
            dual.approvals.reject(made.key, by="dora", reason="no"),
            dual.cancel(made.key),
            dual.consume(made.key),
        )
        shown = await dual.shown(made.key)
        ends = [told for told in await dual.told(tenant) if told not in (
            "approval.requested", "approval.approved"
        )]  # fmt: skip
        assert ends == [f"approval.{shown.state.value.lower()}"]
        assert (shown.rejection is not None) == (shown.state is RequestState.REJECTED)


async def test_a_sweep_and_a_late_approval_at_once_end_in_expiry(
    dual: Control, tenant: str
) -> None:
    made = await dual.approve(await dual.request(tenant), "ben")
    dual.time.offset = APPROVAL_WINDOW
    done = await outcomes(dual.approve(made, "cleo"), dual.approvals.expire(made.key))
    assert done == ["REQUEST_EXPIRED", "ok"]
    assert (await dual.told(tenant))[2:] == ["approval.expired"]


async def test_equal_requests_at_once_are_one(dual: Control, tenant: str) -> None:
    made = await asyncio.gather(*(dual.requested(tenant, idempotency_key="k") for _ in range(6)))
    assert len({one.key for one, _ in made}) == 1
    assert sorted(new for _, new in made) == [False] * 5 + [True]


async def test_another_input_at_once_with_the_same_key_is_refused(
    dual: Control, tenant: str
) -> None:
    done = await outcomes(
        *(dual.requested(tenant, idempotency_key="k", payload={"n": n}) for n in range(4))
    )
    assert done == ["IDEMPOTENCY_CONFLICT"] * 3 + ["ok"]


@pytest.mark.parametrize(
    "point", [FaultPoint.EVENTS_SIGNED, FaultPoint.HEAD_LOCKED, FaultPoint.EVENTS_RECORDED]
)
async def test_a_connection_that_drops_leaves_a_step_whole_or_undone(
    scratch: Scratch, settings: Settings, point: FaultPoint
) -> None:
    faults = Faults(scratch)
    async with control(scratch, settings, faults=faults) as dual:
        tenant = await dual.make_tenant()
        made = await dual.approve(await dual.request(tenant), "ben")
        faults.at = point
        with pytest.raises(SubgraphError):
            await dual.approve(made, "cleo")
        assert (await dual.shown(made.key)).approvals == made.approvals
        made = await dual.approve(made, "cleo")
        faults.at = point
        with pytest.raises(SubgraphError):
            await dual.consume(made.key)
        assert (await dual.shown(made.key)).state is RequestState.APPROVED
        await dual.consume(made.key)
        assert await dual.told(tenant) == [
            "approval.requested", "approval.approved", "approval.approved", "approval.applied",
        ]  # fmt: skip
