"""What the tables refuse, and what is counted anew when rows were changed behind their back."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from subgraph.approvals import store
from subgraph.approvals.model import Approval, RequestState
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.model import KeyPurpose
from tests.unit.approvals.control import Control

KEY_ID = "0" * 64


async def insert_approval(dual: Control, tenant: str, request_id: UUID, **changes: str) -> None:
    given = {"requester": "ann", "approver": "ben", "token": "t", **changes}
    async with dual.process.database.transaction(tenant) as transaction:
        approval = Approval(
            given["approver"], given["token"], given["digest"],
            await store.now(transaction), KEY_ID, b"",
        )  # fmt: skip
        await store.insert_approval(transaction, tenant, request_id, given["requester"], approval)


async def test_the_table_holds_no_approval_by_the_requester(dual: Control, tenant: str) -> None:
    made = await dual.request(tenant)
    with pytest.raises(asyncpg.CheckViolationError):
        await insert_approval(dual, tenant, made.key.request_id, approver="ann", digest=made.digest)


@pytest.mark.parametrize(
    "changes", [{"requester": "zoe", "approver": "ann"}, {"digest": "sha256:" + "0" * 64}]
)
async def test_the_table_holds_approvals_of_the_request_as_it_is(
    dual: Control, tenant: str, changes: dict[str, str]
) -> None:
    made = await dual.request(tenant)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await insert_approval(
            dual, tenant, made.key.request_id, **{"digest": made.digest, **changes}
        )


@pytest.mark.parametrize("again", [{"approver": "ben"}, {"token": "t-ben"}])
async def test_the_table_holds_a_person_and_a_token_once(
    dual: Control, tenant: str, again: dict[str, str]
) -> None:
    made = await dual.approve(await dual.request(tenant), "ben")
    given = {"approver": "cleo", "token": "t-cleo", "digest": made.digest, **again}
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert_approval(dual, tenant, made.key.request_id, **given)


@pytest.mark.parametrize("state", [RequestState.APPROVED, RequestState.APPLIED])
async def test_the_table_refuses_a_state_without_its_approvals(
    dual: Control, tenant: str, state: RequestState
) -> None:
    made = await dual.approve(await dual.request(tenant), "ben")
    with pytest.raises(asyncpg.RestrictViolationError):
        async with dual.process.database.transaction(tenant) as transaction:
            await store.move(transaction, tenant, made.key.request_id, state)


@pytest.mark.parametrize("state", RequestState)
async def test_the_table_refuses_to_undo_what_took_effect(
    dual: Control, tenant: str, state: RequestState
) -> None:
    made = await dual.approved(tenant)
    await dual.consume(made.key)
    with pytest.raises((asyncpg.RestrictViolationError, asyncpg.CheckViolationError)):
        async with dual.process.database.transaction(tenant) as transaction:
            await store.move(transaction, tenant, made.key.request_id, state)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE approval_request SET needed = 1",
        "UPDATE approval_request SET requester = 'ben'",
        "UPDATE approval_request SET expires_at = now() + interval '1 day'",
        "DELETE FROM approval_request",
        "UPDATE approval SET approver = 'zoe'",
        "DELETE FROM approval",
    ],
)
async def test_the_service_may_not_change_what_was_asked_or_approved(
    dual: Control, tenant: str, statement: str
) -> None:
    await dual.approved(tenant)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with dual.process.database.transaction(tenant) as transaction:
            await transaction.run(statement)


async def test_not_even_the_owner_changes_an_approval(dual: Control, tenant: str) -> None:
    await dual.approved(tenant)
    with pytest.raises(asyncpg.RestrictViolationError):
        await dual.process.scratch.run("DELETE FROM approval")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("approval_request", 'payload = \'{"what":"everything"}\''),
        ("approval_request", 'payload = \'{ "what": "something" }\''),
        ("approval_request", "expires_at = expires_at + interval '1 day'"),
        ("approval_request", "kind = 'other'"),
        ("approval", "approver = 'zoe' WHERE approver = 'ben'"),
        ("approval", "token_id = 'other' WHERE approver = 'ben'"),
        ("approval", "at = at + interval '1 second' WHERE approver = 'ben'"),
        ("approval", "signature = '\\x00' WHERE approver = 'ben'"),
        ("approval", "key_id = repeat('0', 64) WHERE approver = 'ben'"),
    ],
)
async def test_rows_that_were_changed_take_no_effect(
    dual: Control, table: str, change: str
) -> None:
    tenant = await dual.make_tenant()
    made = await dual.approved(tenant)
    where = " AND" if "WHERE" in change else " WHERE"
    await dual.tamper(table, f"UPDATE {table} SET {change}{where} tenant_id = '{tenant}'")
    with pytest.raises(SubgraphError) as caught:
        await dual.consume(made.key)
    wanted = ErrorCode.INVALID_ID if "kind" in change else ErrorCode.DUAL_CONTROL_REQUIRED
    assert caught.value.code is wanted


async def test_a_signature_of_one_request_counts_for_no_other(dual: Control, tenant: str) -> None:
    one, other = await dual.approved(tenant), await dual.approved(tenant)
    await dual.tamper(
        "approval",
        "UPDATE approval AS a SET signature = b.signature, at = b.at, key_id = b.key_id"
        f" FROM approval AS b WHERE a.request_id = '{one.key.request_id}'"
        f" AND b.request_id = '{other.key.request_id}' AND a.approver = b.approver",
    )
    with pytest.raises(SubgraphError) as caught:
        await dual.consume(one.key)
    assert caught.value.code is ErrorCode.DUAL_CONTROL_REQUIRED


@pytest.mark.parametrize("keys", ["none", "of a root", "revoked", "of another time"])
async def test_a_key_that_may_not_vouch_vouches_for_nothing(
    dual: Control, tenant: str, keys: str
) -> None:
    made = await dual.approved(tenant)
    published = await dual.approvals.published_keys()
    given = {
        key_id: {
            "none": replace(key, key_id=KEY_ID, public_key_pem="none"),
            "of a root": replace(key, purpose=KeyPurpose.ROOT),
            "revoked": replace(key, revoked_at=key.valid_from),
            "of another time": replace(key, valid_until=made.created_at - timedelta(seconds=1)),
        }[keys]
        for key_id, key in published.items()
    }
    with pytest.raises(SubgraphError) as caught:
        await dual.consume(made.key, keys=given)
    assert caught.value.code is ErrorCode.DUAL_CONTROL_REQUIRED


async def test_a_key_that_was_revoked_after_the_approval_vouches_no_more(
    dual: Control, tenant: str
) -> None:
    made = await dual.approved(tenant)
    key_id = made.approvals[0].key_id
    await dual.process.keys.revoke(
        key_id, tenant=tenant, from_index=10**6, reason="leaked", by="op"
    )
    await dual.process.keys.renew()
    with pytest.raises(SubgraphError) as caught:
        await dual.consume(made.key)
    assert caught.value.code is ErrorCode.DUAL_CONTROL_REQUIRED
