"""The first data key of an object type: made once, proven, and never lost half-way."""

import asyncio

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.contract import KeyProvider
from subgraph.kms.faults import KeyFault, KeyProviderError
from tests.unit.keys.jobs.rig import TYPE, Process
from tests.unit.keys.owner import Owner


async def active(process: Process, tenant: str, object_type: str = TYPE) -> object:
    found = await process.keys.custody.active_data_key(tenant, object_type, by="ann")
    return found.data_key_id


async def made(process: Process, tenant: str) -> list[str]:
    return [kind for kind in await process.told(tenant) if kind == "key.data.created"]


async def test_a_tenant_without_a_key_is_told_so(here: Process) -> None:
    with pytest.raises(SubgraphError) as caught:
        await active(here, await here.make_tenant(key=False))
    assert caught.value.code is ErrorCode.KEY_NOT_FOUND


async def test_many_at_once_ask_the_provider_once(here: Process, owner: Owner) -> None:
    tenant = await here.make_tenant()
    owner.calls.clear()
    found = await asyncio.gather(*(active(here, tenant) for _ in range(50)))
    assert (len(set(found)), owner.calls["wrap"], owner.calls["unwrap"]) == (1, 1, 1)


async def test_two_processes_agree_on_the_first_one(here: Process, there: Process) -> None:
    tenant = await here.make_tenant()
    both = await asyncio.gather(
        *(active(process, tenant) for process in (here, there) for _ in range(5))
    )
    assert len(set(both)) == 1
    assert await here.data_keys(tenant) == [(1, "ACTIVE", 1)]
    assert len(await made(here, tenant)) == 1


async def test_object_types_have_data_keys_of_their_own(here: Process) -> None:
    tenant = await here.make_tenant()
    assert await active(here, tenant, "a") != await active(here, tenant, "b")


async def test_a_failure_is_shared_and_not_remembered(here: Process, owner: Owner) -> None:
    tenant = await here.make_tenant()
    owner.calls.clear()
    owner.faults = {"wrap": KeyFault.UNAVAILABLE}
    failed = await asyncio.gather(
        *(active(here, tenant) for _ in range(20)), return_exceptions=True
    )
    assert {type(error) for error in failed} == {KeyProviderError}
    assert owner.calls["wrap"] < len(failed)
    assert here.keys.custody._making == {}
    owner.faults = {}
    await active(here, tenant)


async def test_one_who_gives_up_takes_nothing_from_the_others(here: Process, owner: Owner) -> None:
    tenant = await here.make_tenant()
    owner.gate = asyncio.Event()
    first = asyncio.create_task(active(here, tenant))
    second = asyncio.create_task(active(here, tenant))
    while owner.calls["wrap"] < 2:
        await asyncio.sleep(0)
    first.cancel()
    owner.gate.set()
    await second
    assert first.cancelled()


async def test_a_wrap_without_its_commit_leaves_nothing(here: Process, owner: Owner) -> None:
    tenant = await here.make_tenant()
    await here.scratch.run("ALTER TABLE data_key_count RENAME TO data_key_count_away")
    try:
        with pytest.raises(Exception, match="data_key_count"):
            await active(here, tenant)
    finally:
        await here.scratch.run("ALTER TABLE data_key_count_away RENAME TO data_key_count")
    assert await here.data_keys(tenant) == []
    await active(here, tenant)
    assert await here.data_keys(tenant) == [(1, "ACTIVE", 1)]


async def test_a_wrap_that_only_its_maker_undoes_encrypts_nothing(
    here: Process, owner: Owner
) -> None:
    tenant = await here.make_tenant()
    owner.only_maker = True
    with pytest.raises(KeyProviderError) as caught:
        await here.put(tenant, "a value")
    assert caught.value.fault is KeyFault.INTEGRITY
    assert await here.data_keys(tenant) == []


async def test_a_rotation_at_the_provider_is_noticed_by_the_next_data_key(
    here: Process, owner: Owner
) -> None:
    tenant = await here.make_tenant()
    await active(here, tenant, "a")
    async with here.keys.wrappers.using(KeyProvider.LOCAL, "local:records", tenant) as wrapper:
        await wrapper.rotate()
    await active(here, tenant, "b")
    assert await here.data_keys(tenant) == [(1, "ACTIVE", 1), (1, "ACTIVE", 2)]
    assert await here.versions(tenant) == [(1, "DECRYPT_ONLY"), (2, "ACTIVE")]


async def test_a_data_key_of_another_tenant_is_not_unwrapped(here: Process) -> None:
    tenant, other = await here.make_tenant(), await here.make_tenant()
    data_key = await here.keys.custody.active_data_key(tenant, TYPE, by="ann")
    with pytest.raises(KeyProviderError) as caught:
        await here.keys.custody.unwrap(other, data_key.data_key_id)
    assert caught.value.fault is KeyFault.CONFIG


async def test_a_destroyed_data_key_says_nothing_against_the_others(here: Process) -> None:
    tenant = await here.make_tenant()
    kept = await here.put(tenant, "kept")
    lost = await here.put(tenant, "lost", object_type="lost")
    await here.ask(
        "UPDATE data_key SET wrapped = NULL, state = 'DESTROYED'"
        " WHERE tenant_id = $1 AND object_type = 'lost'",
        tenant,
    )
    here.keys.keyring.purge(tenant, KeyFault.UNAVAILABLE)
    with pytest.raises(KeyProviderError) as caught:
        await here.read(tenant, [lost])
    assert caught.value.code is ErrorCode.KEY_UNUSABLE
    assert await here.read(tenant, [kept]) == {kept: "kept"}
