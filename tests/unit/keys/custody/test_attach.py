"""A key is taken once it has proved itself, and once only."""

import asyncio
from uuid import uuid4

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.custody.model import CustomerKey, KeyState
from subgraph.kms.contract import KeyProvider
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.ledger.entry import decode
from tests.unit.keys.jobs.rig import Process
from tests.unit.keys.owner import Owner

KEY = "local:records"
OTHER = "local:other"


async def attach(
    process: Process, tenant: str, key_uri: str = KEY, *, repeat: str = "a"
) -> CustomerKey:
    return await process.keys.custody.attach(
        tenant, KeyProvider.LOCAL, key_uri, idempotency_key=repeat, by="ann"
    )


async def standing(process: Process, tenant: str) -> list[tuple[str, str]]:
    rows = await process.ask("SELECT key_uri, state FROM tenant_cmk WHERE tenant_id = $1", tenant)
    return [tuple(row.values()) for row in rows]


async def test_the_key_is_attached_with_its_first_version(here: Process) -> None:
    tenant = await here.make_tenant(key=False)
    key = await attach(here, tenant)
    assert (key.key_uri, key.state) == (KEY, KeyState.ACTIVE)
    assert await here.versions(tenant) == [(1, "ACTIVE")]


async def test_the_ledger_says_where_the_key_comes_from(here: Process) -> None:
    tenant = await here.make_tenant(key=False)
    key = await attach(here, tenant)
    recorded = await here.recording.reader.events(tenant, first=10)
    attached, activated = [decode(event.entry) for event in recorded]
    assert attached.payload == {"keyId": str(key.key_id), "provider": "LOCAL", "keyUri": KEY}
    assert activated.payload is not None
    assert {name: activated.payload[name] for name in ("origin", "protectionLevel", "number")} == {
        "origin": "GENERATED", "protectionLevel": "SOFTWARE_FILE", "number": 1,
    }  # fmt: skip


async def test_the_events_are_found_by_the_key(here: Process) -> None:
    tenant = await here.make_tenant(key=False)
    key = await attach(here, tenant)
    rows = await here.ask("SELECT index FROM ledger_subject WHERE subject_id = $1", key.key_id)
    assert sorted(row["index"] for row in rows) == [0, 1]


async def test_a_wrap_that_only_its_maker_undoes_is_refused(here: Process, owner: Owner) -> None:
    tenant = await here.make_tenant(key=False)
    owner.only_maker = True
    with pytest.raises(KeyProviderError) as caught:
        await attach(here, tenant)
    assert caught.value.fault is KeyFault.INTEGRITY
    assert await standing(here, tenant) == []


async def test_a_provider_that_unwraps_something_else_is_refused(
    here: Process, owner: Owner
) -> None:
    tenant = await here.make_tenant(key=False)
    owner.answers = bytes(32)
    with pytest.raises(KeyProviderError) as caught:
        await attach(here, tenant)
    assert caught.value.fault is KeyFault.INTEGRITY
    assert await standing(here, tenant) == []


@pytest.mark.parametrize("operation", ["open", "describe", "wrap", "unwrap"])
@pytest.mark.parametrize("fault", list(KeyFault))
async def test_what_the_provider_says_is_answered_and_nothing_stored(
    here: Process, owner: Owner, fault: KeyFault, operation: str
) -> None:
    tenant = await here.make_tenant(key=False)
    owner.faults = {operation: fault}
    with pytest.raises(KeyProviderError) as caught:
        await attach(here, tenant)
    assert (caught.value.fault, caught.value.code) == (fault, fault.value)
    assert await standing(here, tenant) == []
    assert await here.ask("SELECT FROM idempotency WHERE tenant_id = $1", tenant) == []


async def test_a_failure_may_be_tried_again_with_the_same_idempotency_key(
    here: Process, owner: Owner
) -> None:
    tenant = await here.make_tenant(key=False)
    owner.faults = {"wrap": KeyFault.UNAVAILABLE}
    with pytest.raises(KeyProviderError):
        await attach(here, tenant)
    owner.faults = {}
    assert (await attach(here, tenant)).key_uri == KEY


async def test_a_repeat_asks_no_provider(here: Process, owner: Owner) -> None:
    tenant = await here.make_tenant(key=False)
    first = await attach(here, tenant)
    owner.faults = {"open": KeyFault.UNAVAILABLE}
    assert await attach(here, tenant) == first
    assert await here.told(tenant) == ["key.attached", "key.version.activated"]


async def test_the_attached_key_may_be_attached_again(here: Process) -> None:
    tenant = await here.make_tenant(key=False)
    assert await attach(here, tenant) == await attach(here, tenant, repeat="b")
    assert await here.versions(tenant) == [(1, "ACTIVE")]


async def test_one_idempotency_key_stands_for_one_request(here: Process) -> None:
    tenant = await here.make_tenant(key=False)
    await attach(here, tenant)
    with pytest.raises(SubgraphError) as caught:
        await attach(here, tenant, OTHER)
    assert caught.value.code is ErrorCode.IDEMPOTENCY_CONFLICT


async def test_another_key_takes_over_with_a_version_of_its_own(here: Process) -> None:
    tenant = await here.make_tenant(key=False)
    first = await attach(here, tenant)
    moved = await attach(here, tenant, OTHER, repeat="b")
    assert (moved.key_id, moved.key_uri) == (first.key_id, OTHER)
    assert await here.versions(tenant) == [(1, "DECRYPT_ONLY"), (2, "ACTIVE")]


async def test_records_of_both_keys_are_read_after_a_move(here: Process, there: Process) -> None:
    tenant = await here.make_tenant(key=False)
    await attach(here, tenant)
    before = await here.put(tenant, "before")
    await attach(here, tenant, OTHER, repeat="b")
    after = await here.put(tenant, "after", object_type="another")
    assert await there.read(tenant, [before, after]) == {before: "before", after: "after"}


async def test_a_late_repeat_does_not_bring_back_a_replaced_key(here: Process) -> None:
    tenant = await here.make_tenant(key=False)
    await attach(here, tenant)
    await attach(here, tenant, OTHER, repeat="b")
    assert (await attach(here, tenant)).key_uri == OTHER
    assert await standing(here, tenant) == [(OTHER, "ACTIVE")]


async def test_a_key_may_be_taken_back(here: Process) -> None:
    tenant = await here.make_tenant(key=False)
    await attach(here, tenant)
    await attach(here, tenant, OTHER, repeat="b")
    assert (await attach(here, tenant, repeat="c")).key_uri == KEY
    assert [number for number, state in await here.versions(tenant) if state == "ACTIVE"] == [3]


async def test_two_attach_the_same_key_at_once(here: Process, there: Process) -> None:
    tenant = await here.make_tenant(key=False)
    both = await asyncio.gather(attach(here, tenant), attach(there, tenant, repeat="b"))
    assert both[0] == both[1]
    assert await here.told(tenant) == ["key.attached", "key.version.activated"]


async def test_two_send_the_same_request_at_once(here: Process, there: Process) -> None:
    tenant = await here.make_tenant(key=False)
    both = await asyncio.gather(attach(here, tenant), attach(there, tenant))
    assert both[0] == both[1]
    assert await here.versions(tenant) == [(1, "ACTIVE")]


async def test_of_two_keys_at_once_the_later_one_stands(here: Process, there: Process) -> None:
    tenant = await here.make_tenant(key=False)
    await asyncio.gather(attach(here, tenant), attach(there, tenant, OTHER, repeat="b"))
    ((uri, _),) = await standing(here, tenant)
    active = await here.ask(
        "SELECT key_uri FROM key_version WHERE tenant_id = $1 AND state = 'ACTIVE'", tenant
    )
    assert [row["key_uri"] for row in active] == [uri]
    assert await here.versions(tenant) == [(1, "DECRYPT_ONLY"), (2, "ACTIVE")]


async def test_no_key_is_made_for_a_tenant_that_is_not_registered(
    here: Process, owner: Owner
) -> None:
    tenant = f"t-{uuid4().hex}"
    with pytest.raises(SubgraphError) as caught:
        await attach(here, tenant)
    assert caught.value.code is ErrorCode.UNKNOWN_OBJECT
    assert not owner.file(tenant).exists()


@pytest.mark.parametrize("key", ["", "x" * 201, "a\n"])
async def test_an_idempotency_key_is_printable_and_short(here: Process, key: str) -> None:
    tenant = await here.make_tenant(key=False)
    with pytest.raises(SubgraphError) as caught:
        await attach(here, tenant, repeat=key)
    assert caught.value.code is ErrorCode.BAD_USER_INPUT


async def test_another_tenants_name_is_refused_before_anybody_is_asked(
    here: Process, owner: Owner
) -> None:
    tenant = await here.make_tenant(key=False)
    with pytest.raises(SubgraphError) as caught:
        await here.keys.custody.attach(
            tenant, KeyProvider.OPENBAO, "openbao:transit/globex", idempotency_key="a", by="ann"
        )
    assert caught.value.code is ErrorCode.INVALID_INPUT
    assert owner.calls == {}
