"""What was asked for takes effect once, and only after two other people approved exactly it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from subgraph.approvals.digest import statement
from subgraph.approvals.model import APPROVAL_WINDOW, ApprovalRequest, RequestKey, RequestState
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from subgraph.db.service import StatementCount, statement_count
from subgraph.errors import SubgraphError
from subgraph.ledger.dsse import STATEMENT_PAYLOAD_TYPE
from subgraph.ledger.entry import read_time
from subgraph.ledger.publickey import PublicKey, read_base64
from tests.unit.approvals.control import Control

Decision = Callable[[Control, ApprovalRequest], Awaitable[object]]

DECISIONS: dict[str, Decision] = {
    "approve": lambda dual, made: dual.approve(made, "dora"),
    "reject": lambda dual, made: dual.approvals.reject(made.key, by="dora", reason="no"),
    "cancel": lambda dual, made: dual.cancel(made.key),
    "consume": lambda dual, made: dual.consume(made.key),
}


async def code(action: Awaitable[object]) -> str:
    with pytest.raises(SubgraphError) as caught:
        await action
    return caught.value.code.name


async def test_two_other_people_approve_and_it_takes_effect_once(
    dual: Control, tenant: str
) -> None:
    made = await dual.request(tenant)
    states = [made.state]
    for approver in ("ben", "cleo"):
        made = await dual.approve(made, approver)
        states.append(made.state)
    states.append((await dual.consume(made.key)).state)
    assert [state.value for state in states] == ["REQUESTED", "REQUESTED", "APPROVED", "APPLIED"]
    assert await code(dual.consume(made.key)) == "GRANT_CONSUMED"
    assert await dual.told(tenant) == [
        "approval.requested", "approval.approved", "approval.approved", "approval.applied",
    ]  # fmt: skip


async def test_one_approval_is_not_enough(dual: Control, tenant: str) -> None:
    made = await dual.approve(await dual.request(tenant), "ben")
    assert await code(dual.consume(made.key)) == "DUAL_CONTROL_REQUIRED"
    assert (await dual.shown(made.key)).state is RequestState.REQUESTED


async def test_the_requester_cannot_approve(dual: Control, tenant: str) -> None:
    made = await dual.request(tenant)
    assert await code(dual.approve(made, "ann")) == "APPROVER_NOT_DISTINCT"


async def test_a_second_approval_by_one_person_changes_nothing(dual: Control, tenant: str) -> None:
    made = await dual.request(tenant)
    once = await dual.approve(made, "ben")
    again = await dual.approvals.approve(
        made.key, digest=made.digest, approver="ben", token_id="another"
    )
    assert again == once
    assert await dual.told(tenant) == ["approval.requested", "approval.approved"]


async def test_one_token_does_not_approve_for_two_people(dual: Control, tenant: str) -> None:
    made = await dual.approve(await dual.request(tenant), "ben")
    approving = dual.approvals.approve(
        made.key, digest=made.digest, approver="cleo", token_id="t-ben"
    )
    assert await code(approving) == "APPROVER_NOT_DISTINCT"


async def test_another_digest_is_refused(dual: Control, tenant: str) -> None:
    made, other = await dual.request(tenant), await dual.request(tenant)
    approving = dual.approvals.approve(made.key, digest=other.digest, approver="ben", token_id="t")
    assert await code(approving) == "APPROVAL_DIGEST_MISMATCH"


async def test_a_third_approval_comes_too_late(dual: Control, tenant: str) -> None:
    made = await dual.approved(tenant)
    assert await code(dual.approve(made, "dora")) == "REQUEST_NOT_OPEN"


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("elsewhere", ["kind", "tenant", "id"])
async def test_a_request_is_reached_only_by_its_tenant_kind_and_id(
    dual: Control, tenant: str, decision: str, elsewhere: str
) -> None:
    made = await dual.request(tenant)
    key = {
        "kind": RequestKey(tenant, "easier", made.key.request_id),
        "tenant": RequestKey(await dual.make_tenant(), "testing", made.key.request_id),
        "id": RequestKey(tenant, "testing", uuid4()),
    }[elsewhere]
    imagined = ApprovalRequest(
        key, "ann", made.payload, made.digest, made.state, 2, made.created_at, made.expires_at,
        (), None,
    )  # fmt: skip
    assert await code(DECISIONS[decision](dual, imagined)) == "INVALID_ID"
    assert await dual.approvals.load_many([key]) == {}


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("approved", [False, True])
async def test_nothing_is_decided_when_the_time_is_over(
    dual: Control, tenant: str, decision: str, approved: bool
) -> None:
    made = await (dual.approved(tenant) if approved else dual.request(tenant))
    dual.time.offset = APPROVAL_WINDOW
    assert await code(DECISIONS[decision](dual, made)) == "REQUEST_EXPIRED"


@pytest.mark.parametrize("approved", [False, True])
async def test_a_request_shows_that_its_time_is_over_before_a_sweep(
    dual: Control, tenant: str, approved: bool
) -> None:
    dual.time.offset = -APPROVAL_WINDOW - timedelta(minutes=1)
    made = await (dual.approved(tenant) if approved else dual.request(tenant))
    assert made.state is not RequestState.EXPIRED
    assert (await dual.shown(made.key)).state is RequestState.EXPIRED


async def test_a_sweep_records_the_end_of_a_request_once(dual: Control, tenant: str) -> None:
    made, young = await dual.request(tenant), await dual.request(tenant)
    assert not await dual.approvals.expire(made.key)
    dual.time.offset = APPROVAL_WINDOW
    async with operator_transaction(dual.process.scratch.url(Role.SYSTEM)) as transaction:
        due = await dual.approvals.due(transaction, limit=1000)
    assert {made.key, young.key} <= set(due)
    swept = await asyncio.gather(*(dual.approvals.expire(made.key) for _ in range(4)))
    assert sorted(swept) == [False, False, False, True]
    assert (await dual.told(tenant)).count("approval.expired") == 1


async def test_a_sweep_sees_no_more_than_it_needs(dual: Control, tenant: str) -> None:
    await dual.request(tenant)
    with pytest.raises(Exception, match="permission denied"):
        await dual.process.ask("SELECT payload FROM approval_request", role=Role.SYSTEM)


@pytest.mark.parametrize("approved", [False, True])
async def test_a_rejected_request_stays_rejected(
    dual: Control, tenant: str, approved: bool
) -> None:
    made = await (dual.approved(tenant) if approved else dual.request(tenant))
    rejected = await dual.approvals.reject(made.key, by="dora", reason=" no\nneed ")
    assert rejected.rejection is not None
    assert (rejected.state, rejected.rejection.by, rejected.rejection.reason) == (
        RequestState.REJECTED, "dora", "no\nneed",
    )  # fmt: skip
    assert await dual.approvals.reject(made.key, by="dora", reason="no\nneed") == rejected
    for decision in DECISIONS.values():
        assert await code(decision(dual, made)) == "REQUEST_NOT_OPEN"


async def test_the_reason_of_a_rejection_is_only_committed_to(dual: Control, tenant: str) -> None:
    made = await dual.request(tenant)
    await dual.approvals.reject(made.key, by="dora", reason="because of Mr. Smith")
    (event,) = await dual.process.reader.events(tenant, first=1, type="approval.rejected")
    assert b"Smith" not in event.entry
    assert b"payloadCommitment" in event.entry


async def test_the_requester_cancels_instead_of_rejecting(dual: Control, tenant: str) -> None:
    made = await dual.request(tenant)
    rejecting = dual.approvals.reject(made.key, by="ann", reason="no")
    assert await code(rejecting) == "APPROVER_NOT_DISTINCT"
    assert await code(dual.cancel(made.key, by="ben")) == "FORBIDDEN"
    cancelled = await dual.cancel(made.key)
    assert cancelled.state is RequestState.CANCELLED
    assert await dual.cancel(made.key) == cancelled
    assert await code(dual.approve(made, "ben")) == "REQUEST_NOT_OPEN"


@pytest.mark.parametrize("decision", DECISIONS)
async def test_nothing_is_decided_about_what_took_effect(
    dual: Control, tenant: str, decision: str
) -> None:
    made = await dual.approved(tenant)
    await dual.consume(made.key)
    assert await code(DECISIONS[decision](dual, made)) == "GRANT_CONSUMED"


async def test_an_idempotency_key_stands_for_one_request_of_one_requester(
    dual: Control, tenant: str
) -> None:
    once = await dual.requested(tenant, idempotency_key="k")
    assert once[1]
    assert await dual.requested(tenant, idempotency_key="k") == (once[0], False)
    other = dual.requested(tenant, idempotency_key="k", payload={"what": "else"})
    assert await code(other) == "IDEMPOTENCY_CONFLICT"
    theirs = await dual.requested(tenant, idempotency_key="k", requester="ben")
    assert theirs[1] and theirs[0].key != once[0].key
    assert await dual.told(tenant) == ["approval.requested"] * 2


@pytest.mark.parametrize(
    "changes",
    [
        {"idempotency_key": ""},
        {"idempotency_key": "k" * 256},
        {"idempotency_key": "a\x00b"},
        {"requester": "a\nb"},
        {"payload": {"number": 0.5}},
        {"payload": {"text": "e\u0301"}},
        {"payload": {"text": "x" * 70_000}},
    ],
)
async def test_what_no_ledger_could_hold_is_refused(
    dual: Control, tenant: str, changes: dict[str, object]
) -> None:
    assert await code(dual.requested(tenant, **changes)) == "INVALID_INPUT"
    assert await dual.told(tenant) == []


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 2001, "a\x00b", "a\u202eb", "\ud800"])
async def test_a_reason_that_cannot_be_shown_is_refused(
    dual: Control, tenant: str, reason: str
) -> None:
    made = await dual.request(tenant)
    rejecting = dual.approvals.reject(made.key, by="dora", reason=reason)
    assert await code(rejecting) == "INVALID_INPUT"


async def test_a_signature_is_verified_with_what_the_ledger_tells(
    dual: Control, tenant: str
) -> None:
    await dual.approved(tenant)
    keys = await dual.approvals.published_keys()
    for entry in (await dual.events(tenant))[1:]:
        told = dict(entry.payload or {})
        key = RequestKey(tenant, str(told["kind"]), UUID(str(told["requestId"])))
        signed = statement(
            key,
            str(told["digest"]),
            approver=entry.actor,
            token_id=str(told["tokenId"]),
            at=read_time(str(told["approvedAt"])),
        )
        assert STATEMENT_PAYLOAD_TYPE.encode() in signed and b"signedBy" in signed
        public = PublicKey.from_pem(keys[str(told["keyId"])].public_key_pem)
        public.verify(signed, read_base64(str(told["signature"])))


async def test_requests_of_many_tenants_are_read_in_one_statement(dual: Control) -> None:
    tenants = [await dual.make_tenant() for _ in range(3)]
    made = [await dual.approved(tenant) for tenant in tenants for _ in range(2)]
    token = statement_count.set(StatementCount())
    found = await dual.approvals.load_many([*(one.key for one in made), made[0].key])
    count = statement_count.get()
    statement_count.reset(token)
    assert count is not None and count.sent == 1
    assert found == {one.key: one for one in made}


async def test_a_refusal_of_the_ledger_leaves_everything_as_it_was(
    dual: Control, tenant: str
) -> None:
    made = await dual.approved(tenant)
    open_request = await dual.request(tenant)
    before = await dual.told(tenant)
    dual.permitted[0] = False
    assert await code(dual.requested(tenant)) == "WITNESS_UNAVAILABLE"
    assert await code(dual.approve(open_request, "ben")) == "WITNESS_UNAVAILABLE"
    assert await code(dual.consume(made.key)) == "WITNESS_UNAVAILABLE"
    assert (await dual.shown(made.key)).state is RequestState.APPROVED
    assert (await dual.shown(open_request.key)).approvals == ()
    assert await dual.told(tenant) == before
