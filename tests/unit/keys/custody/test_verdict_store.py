"""Verdicts by the database's clock: leases, suspensions, and who may say what."""

import asyncio
import math
from uuid import UUID, uuid4

import pytest

from subgraph.keys.custody.verdict_store import SharedVerdicts
from subgraph.kms.faults import KeyFault
from tests.unit.keys.jobs.rig import Process

ME, YOU = uuid4(), uuid4()


@pytest.fixture
def verdicts(here: Process) -> SharedVerdicts:
    return SharedVerdicts(here.database, here.recording.ledger)


async def claimed(verdicts: SharedVerdicts, tenant: str, holder: UUID = ME) -> bool:
    return await verdicts.claim(tenant, holder, 40.0)


async def test_before_the_first_probe_nothing_is_known(
    here: Process, verdicts: SharedVerdicts
) -> None:
    tenant = await here.make_tenant()
    verdict = (await verdicts.read([tenant]))[tenant]
    assert (verdict.fault, verdict.age_seconds, verdict.holder) == (None, math.inf, None)


async def test_a_tenant_without_a_key_has_no_verdict(
    here: Process, verdicts: SharedVerdicts
) -> None:
    tenant = await here.make_tenant(key=False)
    assert await verdicts.read([tenant]) == {}
    assert not await claimed(verdicts, tenant)


async def test_one_holder_has_the_lease(here: Process, verdicts: SharedVerdicts) -> None:
    tenant = await here.make_tenant()
    won = await asyncio.gather(*(claimed(verdicts, tenant, holder) for holder in (ME, YOU)))
    assert sorted(won) == [False, True]


async def test_the_holder_may_prolong(here: Process, verdicts: SharedVerdicts) -> None:
    tenant = await here.make_tenant()
    assert await claimed(verdicts, tenant)
    assert await claimed(verdicts, tenant)
    assert not await claimed(verdicts, tenant, YOU)


async def test_a_lease_that_is_over_is_free(here: Process, verdicts: SharedVerdicts) -> None:
    tenant = await here.make_tenant()
    assert await verdicts.claim(tenant, ME, -1.0)
    assert await claimed(verdicts, tenant, YOU)
    assert not await verdicts.record(tenant, ME, None, 0.0)


async def test_changes_are_told_once(here: Process, verdicts: SharedVerdicts) -> None:
    tenant = await here.make_tenant()
    await claimed(verdicts, tenant)
    for fault in (None, KeyFault.ACCESS_DENIED, KeyFault.ACCESS_DENIED, None, None):
        assert await verdicts.record(tenant, ME, fault, 0.0)
    assert (await here.told(tenant))[2:] == ["key.refused", "key.restored"]


async def test_a_later_verdict_stands(here: Process, verdicts: SharedVerdicts) -> None:
    tenant = await here.make_tenant()
    await claimed(verdicts, tenant)
    assert await verdicts.record(tenant, ME, KeyFault.KEY_DISABLED, 0.0)
    assert not await verdicts.record(tenant, ME, None, 20.0)
    assert (await verdicts.read([tenant]))[tenant].fault is KeyFault.KEY_DISABLED


async def test_the_age_counts_from_the_beginning_of_the_probe(
    here: Process, verdicts: SharedVerdicts
) -> None:
    tenant = await here.make_tenant()
    await claimed(verdicts, tenant)
    await verdicts.record(tenant, ME, None, 5.0)
    assert (await verdicts.read([tenant]))[tenant].age_seconds >= 5.0


async def test_a_suspension_is_read_though_nobody_ever_probed(
    here: Process, verdicts: SharedVerdicts
) -> None:
    tenant = await here.make_tenant()
    await here.keys.custody.suspend(tenant, "an incident", by="ann")
    verdict = (await verdicts.read([tenant]))[tenant]
    assert (verdict.fault, verdict.age_seconds) == (KeyFault.KEY_DISABLED, 0.0)


async def test_of_a_suspended_key_nothing_is_recorded(
    here: Process, verdicts: SharedVerdicts
) -> None:
    tenant = await here.make_tenant()
    await here.keys.custody.suspend(tenant, "an incident", by="ann")
    await claimed(verdicts, tenant)
    assert not await verdicts.record(tenant, ME, KeyFault.KEY_DISABLED, 0.0)
    assert "key.refused" not in await here.told(tenant)


async def test_a_probe_from_before_the_resumption_is_not_recorded(
    here: Process, verdicts: SharedVerdicts
) -> None:
    tenant = await here.make_tenant()
    await here.keys.custody.suspend(tenant, "an incident", by="ann")
    await claimed(verdicts, tenant)
    await here.keys.custody.resume(tenant, "it is over", by="ann")
    assert not await verdicts.record(tenant, ME, KeyFault.KEY_DISABLED, 0.5)
    verdict = (await verdicts.read([tenant]))[tenant]
    assert (verdict.age_seconds, verdict.holder) == (math.inf, None)


async def test_suspending_and_recording_at_once_do_not_wait_for_each_other_for_ever(
    here: Process, verdicts: SharedVerdicts
) -> None:
    tenant = await here.make_tenant()
    await claimed(verdicts, tenant)
    custody = here.keys.custody
    for turn in range(10):
        fault = None if turn % 2 else KeyFault.ACCESS_DENIED
        await asyncio.gather(
            custody.suspend(tenant, "an incident", by="ann"),
            verdicts.record(tenant, ME, fault, 0.0),
        )
        await custody.resume(tenant, "it is over", by="ann")
        await claimed(verdicts, tenant)


async def test_another_tenant_reads_nothing(here: Process, verdicts: SharedVerdicts) -> None:
    tenant, other = await here.make_tenant(), await here.make_tenant()
    assert set(await verdicts.read([other])) == {other}
    async with here.database.transaction(other) as transaction:
        for table in ("tenant_cmk", "key_version", "data_key", "key_verdict", "idempotency"):
            rows = await transaction.rows(f"SELECT FROM {table} WHERE tenant_id = '{tenant}'")
            assert rows == []
