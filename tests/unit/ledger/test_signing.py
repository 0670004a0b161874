"""The process's key counts because the root delegated to it, and for as long as it says."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.delegation import read_delegation, read_revocation, verify_entry_signature
from subgraph.ledger.entry import decode
from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.export import export_slice
from subgraph.ledger.model import EventType, KeyPurpose
from subgraph.ledger.publickey import PublicKey
from subgraph.ledger.verification import verify_slice
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch, scratch_database
from tests.unit.ledger.deployment import BASE, Deployment, deployment, event, new_tenant


def root_of(process: Deployment) -> PublicKey:
    return PublicKey.from_pem(process.root.public_key_pem)


async def exported(process: Deployment, tenant: str | None, start: int = 0) -> bytes:
    await process.checkpoints.require(tenant)
    await process.checkpoints.require(None)
    return await export_slice(process.reader, tenant, start)


async def test_a_delegation_is_an_event_that_the_root_signed(process: Deployment) -> None:
    receipt = await process.keys.renew()
    stored = await process.reader.event(None, receipt.event_id)
    assert stored is not None
    entry = decode(stored.entry)
    verify_entry_signature(stored.entry, stored.signature, root_of(process))
    assert entry.key_id == process.root.key_id
    right = read_delegation(entry)
    (tenant_event,) = [await signed_event(process)]
    assert decode(tenant_event[0]).key_id == right.key.key_id
    verify_entry_signature(*tenant_event, right.key)


async def signed_event(process: Deployment) -> tuple[bytes, bytes]:
    tenant = new_tenant()
    (receipt,) = await process.record(event(tenant))
    stored = await process.reader.event(tenant, receipt.event_id)
    assert stored is not None
    return stored.entry, stored.signature


async def test_before_the_first_delegation_nothing_is_recorded(
    scratch: Scratch, settings: Settings
) -> None:
    async with deployment(scratch, settings, renewed=False) as process:
        with pytest.raises(SubgraphError) as refused:
            await process.record(event(new_tenant()))
        assert refused.value.code is ErrorCode.LEDGER_KEY_UNAVAILABLE


async def test_a_root_that_is_away_leaves_no_half_delegation(
    scratch: Scratch, settings: Settings
) -> None:
    async with deployment(scratch, settings) as process:
        before = await process.reader.head(None)
        process.root.away = True
        with pytest.raises(SubgraphError):
            await process.keys.renew()
        assert await process.reader.head(None) == before
        await process.record(event(new_tenant()))


async def test_a_rotated_key_does_not_break_what_the_old_one_signed(process: Deployment) -> None:
    tenant = new_tenant()
    for number in range(3):
        await process.record(event(tenant, number))
        await process.keys.renew()
    report = verify_slice(await exported(process, tenant), [root_of(process)])
    assert (report.entries, report.complete, len(report.signers)) == (3, True, 3)


async def test_a_slice_may_begin_anywhere(process: Deployment) -> None:
    tenant = new_tenant()
    await process.record(*(event(tenant, number) for number in range(5)))
    await process.checkpoints.require(tenant)
    await process.record(*(event(tenant, number) for number in range(6)))
    for start in range(11):
        report = verify_slice(await exported(process, tenant, start), [root_of(process)])
        assert (report.first, report.last, report.newer.size) == (start, 10, 11)
    for start in (-1, 11):
        with pytest.raises(SubgraphError) as refused:
            await export_slice(process.reader, tenant, start)
        assert refused.value.code is ErrorCode.INVALID_INPUT


async def test_the_deployment_log_is_exported_too(
    postgres: EmbeddedServer, settings: Settings
) -> None:
    async with scratch_database(postgres) as scratch, deployment(scratch, settings) as process:
        await process.keys.renew()
        report = verify_slice(await exported(process, None), [root_of(process)])
    assert (report.origin, report.entries) == (f"{BASE}/deployment", 3)


async def test_what_a_revoked_key_signed_counts_up_to_the_index(
    scratch: Scratch, settings: Settings
) -> None:
    async with deployment(scratch, settings) as process:
        tenant = new_tenant()
        await process.record(event(tenant, 0))
        old = process.keys.current(datetime.now(UTC)).key_id
        await process.keys.revoke(old, tenant=tenant, from_index=1, reason="leaked", by="operator")
        with pytest.raises(SubgraphError) as refused:
            await process.record(event(tenant, 1))
        assert refused.value.code is ErrorCode.LEDGER_KEY_UNAVAILABLE
        await process.keys.renew()
        await process.record(event(tenant, 1))
        assert verify_slice(await exported(process, tenant), [root_of(process)]).entries == 2
        await process.keys.revoke(old, tenant=tenant, from_index=0, reason="older", by="operator")
        with pytest.raises(VerificationFailed) as failed:
            verify_slice(await exported(process, tenant), [root_of(process)])
        assert failed.value.finding is Finding.KEY_REVOKED


async def test_a_revocation_is_signed_by_the_root(process: Deployment) -> None:
    await process.keys.renew()
    key_id = process.keys.current(datetime.now(UTC)).key_id
    receipt = await process.keys.revoke(
        key_id, tenant=None, from_index=10**6, reason="rotated", by="operator"
    )
    stored = await process.reader.event(None, receipt.event_id)
    assert stored is not None
    verify_entry_signature(stored.entry, stored.signature, root_of(process))
    assert read_revocation(decode(stored.entry)).from_index == 10**6
    (known,) = [key for key in await process.reader.keys() if key.key_id == key_id]
    assert (known.revoked_at is not None, known.revoked_at_index) == (True, 10**6)
    await process.keys.renew()


async def test_an_unknown_key_is_not_revoked(process: Deployment) -> None:
    with pytest.raises(SubgraphError) as refused:
        await process.keys.revoke("0" * 64, tenant=None, from_index=0, reason="", by="operator")
    assert refused.value.code is ErrorCode.INVALID_INPUT


async def test_another_process_revokes_the_key_of_this_one(
    scratch: Scratch, settings: Settings
) -> None:
    async with (
        deployment(scratch, settings) as here,
        deployment(scratch, settings, root=here.root) as there,
    ):
        old = here.keys.current(datetime.now(UTC)).key_id
        await there.keys.revoke(old, tenant=None, from_index=0, reason="stolen", by="operator")
        keeping = asyncio.create_task(here.keys.keep(0.02))
        while not here.keys.ready or here.keys.current(datetime.now(UTC)).key_id == old:
            await asyncio.sleep(0.01)
        keeping.cancel()


async def test_a_key_is_replaced_before_it_expires(scratch: Scratch, settings: Settings) -> None:
    now = [datetime.now(UTC)]
    async with deployment(scratch, settings, clock=lambda: now[0]) as process:
        old = process.keys.current(now[0])
        now[0] += timedelta(hours=19)
        keeping = asyncio.create_task(process.keys.keep(0.02))
        while process.keys.current(now[0]).key_id == old.key_id:
            await asyncio.sleep(0.01)
        keeping.cancel()


async def test_the_root_is_asked_again_until_it_is_back(
    scratch: Scratch, settings: Settings
) -> None:
    async with deployment(scratch, settings, renewed=False) as process:
        process.root.away = True
        keeping = asyncio.create_task(process.keys.keep(0.02))
        await asyncio.sleep(0.05)
        assert not process.keys.ready
        process.root.away = False
        while not process.keys.ready:
            await asyncio.sleep(0.01)
        keeping.cancel()


async def test_published_keys_name_the_root_once(process: Deployment) -> None:
    await process.keys.renew()
    roots = await process.reader.keys(KeyPurpose.ROOT)
    assert [key.key_id for key in roots].count(process.root.key_id) == 1
    announced = await process.reader.events(None, first=99, type=EventType.KEY_ANNOUNCED.value)
    said = [decode(e.entry) for e in announced]
    assert len({entry.key_id for entry in said}) == len(said)


async def test_a_log_goes_on_under_another_root_for_those_who_trust_both(
    postgres: EmbeddedServer, settings: Settings
) -> None:
    tenant = new_tenant()
    async with scratch_database(postgres) as scratch:
        async with deployment(scratch, settings) as process:
            await process.record(event(tenant, 0))
            await exported(process, tenant)
            old = root_of(process)
        async with deployment(scratch, settings) as process:
            await process.record(event(tenant, 1))
            whole, rest = [await exported(process, tenant, start) for start in (0, 1)]
            new = root_of(process)

    def finding(content: bytes, *roots: PublicKey) -> tuple[Finding, str | None]:
        with pytest.raises(VerificationFailed) as failed:
            verify_slice(content, roots)
        return failed.value.finding, failed.value.where

    assert [verify_slice(content, [old, new]).newer.size for content in (whole, rest)] == [2, 2]
    assert finding(whole, old) == (Finding.NOTE_SIGNATURE_MISSING, "older")
    assert finding(rest, old) == (Finding.NOTE_SIGNATURE_MISSING, "newer")
    assert finding(rest, new) == (Finding.NOTE_SIGNATURE_MISSING, "older")
    assert finding(whole, new) == (Finding.KEY_UNTRUSTED, "delegations[0]")
