"""Records are stored, replaced, deleted and opened, whatever else happens at the same time."""

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.records.errors import InvalidRecord
from subgraph.keys.records.model import NewRecord, StoredRecord
from subgraph.keys.records.store import records
from tests.unit.keys.jobs.rig import TYPE, Process

VALUES = (("email", "ann@example.org"), ("name", "Ann"))


def wanted(**changes: Any) -> NewRecord:
    return NewRecord(**{"object_type": TYPE, "fields": VALUES, **changes})


async def put(process: Process, tenant: str, repeat: str = "a", **changes: Any) -> StoredRecord:
    return await process.keys.records.put(
        tenant, wanted(**changes), idempotency_key=repeat, by="ann"
    )


async def shown(process: Process, tenant: str, record_id: UUID) -> StoredRecord | None:
    return (await records(process.database, [(tenant, record_id)])).get((tenant, record_id))


async def refused(call: Any) -> ErrorCode:
    with pytest.raises(SubgraphError) as caught:
        await call
    return caught.value.code


async def test_a_record_is_read_as_it_was_put(here: Process) -> None:
    tenant = await here.make_tenant()
    stored = await put(here, tenant, external_id="crm-7")
    assert (stored.external_id, stored.row_version) == ("crm-7", 1)
    assert await here.keys.records.open(stored) == dict(VALUES)


async def test_no_value_is_stored_in_clear(here: Process) -> None:
    tenant = await here.make_tenant()
    assert b"ann@example.org" not in (await put(here, tenant)).fields


async def test_a_record_is_replaced_whole(here: Process) -> None:
    tenant = await here.make_tenant()
    first = await put(here, tenant, external_id="crm-7")
    second = await put(here, tenant, "b", record_id=first.record_id, fields=(("phone", "1"),))
    assert (second.record_id, second.row_version, second.external_id) == (first.record_id, 2, None)
    assert await here.keys.records.open(second) == {"phone": "1"}
    await here.exact(tenant)


async def test_only_a_record_that_exists_is_replaced(here: Process) -> None:
    tenant = await here.make_tenant()
    with pytest.raises(InvalidRecord) as caught:
        await put(here, tenant, record_id=uuid4())
    assert (caught.value.code, caught.value.field) == (ErrorCode.UNKNOWN_OBJECT, ("input", "id"))
    rows = "SELECT FROM idempotency WHERE operation = 'putRecord' AND tenant_id = $1"
    assert await here.ask(rows, tenant) == []


async def test_another_tenants_record_is_not_replaced(here: Process) -> None:
    tenant, other = await here.make_tenant(), await here.make_tenant()
    first = await put(here, tenant)
    assert await refused(put(here, other, record_id=first.record_id)) is ErrorCode.UNKNOWN_OBJECT
    assert not await here.keys.records.delete(other, first.record_id, by="eve")
    assert await here.keys.records.open(first) == dict(VALUES)


async def test_the_type_never_changes(here: Process) -> None:
    tenant = await here.make_tenant()
    first = await put(here, tenant)
    with pytest.raises(InvalidRecord) as caught:
        await put(here, tenant, "b", record_id=first.record_id, object_type="other")
    assert caught.value.field == ("input", "objectType")


async def test_without_a_key_nothing_is_stored(here: Process) -> None:
    assert await refused(put(here, await here.make_tenant(key=False))) is ErrorCode.KEY_NOT_FOUND


async def test_fields_of_more_than_a_mebibyte_are_refused(here: Process) -> None:
    fields = tuple((f"f{number}", "x" * 65_000) for number in range(20))
    tenant = await here.make_tenant()
    assert await refused(put(here, tenant, fields=fields)) is ErrorCode.INVALID_INPUT


async def test_a_deletion_is_told_and_final(here: Process) -> None:
    tenant = await here.make_tenant()
    stored = await put(here, tenant)
    assert await here.keys.records.delete(tenant, stored.record_id, by="ann")
    assert not await here.keys.records.delete(tenant, stored.record_id, by="ann")
    assert await shown(here, tenant, stored.record_id) is None
    assert (await here.told(tenant)).count("record.deleted") == 1
    await here.exact(tenant)


async def test_a_repeat_answers_the_first_record(here: Process) -> None:
    tenant = await here.make_tenant()
    assert await put(here, tenant) == await put(here, tenant)
    await here.exact(tenant)


async def test_two_processes_get_the_same_request_at_once(here: Process, there: Process) -> None:
    tenant = await here.make_tenant()
    both = await asyncio.gather(*(put(process, tenant) for process in (here, there)))
    assert both[0] == both[1]
    assert len(await here.ask("SELECT FROM protected_record WHERE tenant_id = $1", tenant)) == 1
    await here.exact(tenant)


async def test_one_idempotency_key_stands_for_one_request(here: Process) -> None:
    tenant = await here.make_tenant()
    await put(here, tenant)
    other = put(here, tenant, fields=(("email", "eve@example.org"),))
    assert await refused(other) is ErrorCode.IDEMPOTENCY_CONFLICT


async def test_a_late_repeat_of_a_replacement_undoes_nothing(here: Process) -> None:
    tenant = await here.make_tenant()
    first = await put(here, tenant)
    old, new = (("email", "old"),), (("email", "new"),)
    await put(here, tenant, "b", record_id=first.record_id, fields=old)
    await put(here, tenant, "c", record_id=first.record_id, fields=new)
    repeated = await put(here, tenant, "b", record_id=first.record_id, fields=old)
    assert (repeated.row_version, await here.keys.records.open(repeated)) == (3, dict(new))


async def test_a_repeat_after_the_deletion_stores_nothing(here: Process) -> None:
    tenant = await here.make_tenant()
    stored = await put(here, tenant)
    await here.keys.records.delete(tenant, stored.record_id, by="ann")
    assert await refused(put(here, tenant)) is ErrorCode.UNKNOWN_OBJECT
    assert await shown(here, tenant, stored.record_id) is None


async def test_a_repeat_is_known_across_generations(here: Process) -> None:
    tenant = await here.make_tenant()
    stored = await put(here, tenant)
    await here.keys.custody.new_generation(tenant, TYPE, after=1, by="ann")
    assert await put(here, tenant) == stored
    other = put(here, tenant, fields=(("email", "eve@example.org"),))
    assert await refused(other) is ErrorCode.IDEMPOTENCY_CONFLICT


async def test_what_is_kept_of_a_request_confirms_no_guess(here: Process) -> None:
    first, second = await here.make_tenant(), await here.make_tenant()
    for tenant in (first, second):
        await put(here, tenant)
    rows = await here.ask(
        "SELECT request_digest FROM idempotency WHERE operation = 'putRecord'"
        " AND tenant_id = ANY ($1)",
        [first, second],
    )
    assert len({row["request_digest"][16:] for row in rows}) == 2


async def test_a_write_that_meets_a_new_generation_moves_to_it(
    here: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await here.make_tenant()
    await put(here, tenant)
    sealing, go = asyncio.Event(), asyncio.Event()
    digest = here.keys.cipher.digest

    async def held(*args: Any) -> bytes:
        sealing.set()
        await go.wait()
        return await digest(*args)

    monkeypatch.setattr(here.keys.cipher, "digest", held)
    late = asyncio.create_task(put(here, tenant, "b"))
    await sealing.wait()
    made = await here.keys.custody.new_generation(tenant, TYPE, after=1, by="ann")
    go.set()
    assert made is not None
    assert (await late).data_key_id == made.data_key_id
    await here.exact(tenant)


@pytest.mark.parametrize("seed", range(3))
async def test_counters_are_exact_whatever_happens_at_once(
    here: Process, there: Process, seed: int
) -> None:
    chance = random.Random(seed)
    tenant = await here.make_tenant()
    known = list(await here.fill(tenant, 8))
    generation = 1

    async def step(number: int) -> None:
        nonlocal generation
        process = chance.choice((here, there))
        record_id = chance.choice(known)
        act = chance.random()
        try:
            if act < 0.35:
                known.append(await process.put(tenant, f"new {number}"))
            elif act < 0.7:
                await process.put(tenant, f"replaced {number}", record_id)
            elif act < 0.9:
                await process.keys.records.delete(tenant, record_id, by="ann")
            else:
                generation += 1
                await process.keys.custody.new_generation(
                    tenant, TYPE, after=generation - 1, by="ann"
                )
        except SubgraphError as error:
            # The record was deleted meanwhile, or the write was overtaken by generations.
            if error.code not in (ErrorCode.UNKNOWN_OBJECT, ErrorCode.KEY_UNAVAILABLE):
                raise

    for round_ in range(6):
        await asyncio.gather(*(step(round_ * 20 + number) for number in range(20)))
    await here.exact(tenant)
    for record_id in known:
        await there.read(tenant, [record_id])


async def test_nothing_is_stored_while_the_database_is_behind_its_witness(here: Process) -> None:
    tenant = await here.make_tenant()
    here.recording._gate.close(ErrorCode.LEDGER_BEHIND_WITNESS)
    assert await refused(put(here, tenant)) is ErrorCode.LEDGER_BEHIND_WITNESS
    here.recording._gate.open()
    assert await here.ask("SELECT FROM protected_record WHERE tenant_id = $1", tenant) == []
