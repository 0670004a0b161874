"""A suspended key is used by nobody, however hot it is; a resumed one by everybody, at once."""

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.ledger.entry import decode
from tests.unit.keys.jobs.rig import Process


async def suspend(process: Process, tenant: str) -> None:
    await process.keys.custody.suspend(tenant, "an incident", by="ann")


async def resume(process: Process, tenant: str) -> None:
    await process.keys.custody.resume(tenant, "it is over", by="ann")


async def test_reads_stop_everywhere_though_keys_are_hot(here: Process, there: Process) -> None:
    tenant = await here.make_tenant()
    record = await here.put(tenant, "a value")
    assert await there.read(tenant, [record]) == {record: "a value"}
    await suspend(here, tenant)
    for process in (here, there):
        with pytest.raises(KeyProviderError) as caught:
            await process.read(tenant, [record])
        assert caught.value.fault is KeyFault.KEY_DISABLED


async def test_writes_stop_everywhere_though_keys_are_hot(here: Process, there: Process) -> None:
    tenant = await here.make_tenant()
    for process in (here, there):
        await process.put(tenant, "a value")
    await suspend(here, tenant)
    for process in (here, there):
        for kind in ("person", "never seen"):
            with pytest.raises(SubgraphError) as caught:
                await process.put(tenant, "too late", object_type=kind.replace(" ", "-"))
            assert caught.value.code is ErrorCode.KEY_DISABLED
    assert len(await here.ask("SELECT FROM protected_record WHERE tenant_id = $1", tenant)) == 2


async def test_other_tenants_go_on(here: Process) -> None:
    tenant, other = await here.make_tenant(), await here.make_tenant()
    record = await here.put(other, "a value")
    await suspend(here, tenant)
    assert await here.read(other, [record]) == {record: "a value"}


async def test_resuming_admits_at_once(here: Process) -> None:
    tenant = await here.make_tenant()
    record = await here.put(tenant, "a value")
    await suspend(here, tenant)
    await resume(here, tenant)
    assert await here.read(tenant, [record]) == {record: "a value"}


async def test_each_turn_is_told_once_and_its_reason_can_be_erased(here: Process) -> None:
    tenant = await here.make_tenant()
    for _ in range(2):
        await suspend(here, tenant)
    for _ in range(2):
        await resume(here, tenant)
    recorded = await here.recording.reader.events(tenant, first=10)
    told = [decode(event.entry) for event in recorded][2:]
    assert [entry.type for entry in told] == ["key.suspended", "key.resumed"]
    assert all("incident" not in str(entry.payload) for entry in told)
    assert all(entry.payload_commitment for entry in told)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
async def test_a_reason_is_given(here: Process, reason: str) -> None:
    tenant = await here.make_tenant()
    with pytest.raises(SubgraphError) as caught:
        await here.keys.custody.suspend(tenant, reason, by="ann")
    assert caught.value.code is ErrorCode.INVALID_INPUT


async def test_without_a_key_there_is_nothing_to_suspend(here: Process) -> None:
    with pytest.raises(SubgraphError) as caught:
        await suspend(here, await here.make_tenant(key=False))
    assert caught.value.code is ErrorCode.KEY_NOT_FOUND


async def test_a_suspended_key_stays_suspended_when_another_is_attached(here: Process) -> None:
    tenant = await here.make_tenant()
    await suspend(here, tenant)
    from subgraph.kms.contract import KeyProvider

    moved = await here.keys.custody.attach(
        tenant, KeyProvider.LOCAL, "local:other", idempotency_key="b", by="ann"
    )
    assert moved.state.value == "SUSPENDED"


async def test_a_schedule_is_kept_and_told(here: Process) -> None:
    tenant = await here.make_tenant()
    assert (await here.keys.custody.schedule_rotation(tenant, 90, by="ann")).rotate_every_days == 90
    assert (await here.told(tenant))[-1] == "key.rotation.scheduled"
