"""Events are recorded in the caller's transaction, each once."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.delegation import verify_entry_signature
from subgraph.ledger.entry import decode
from subgraph.ledger.errors import EntryInvalid, Finding
from subgraph.ledger.merkle import leaf_hash, verify_consistency, verify_inclusion
from subgraph.ledger.model import DEPLOYMENT, EventType
from subgraph.ledger.note import read_note
from subgraph.ledger.publickey import PublicKey
from subgraph.ledger.recording import CHUNK
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch
from tests.unit.ledger.deployment import BASE, Deployment, deployment, event, new_tenant


async def test_an_event_is_stored_as_the_bytes_that_were_hashed(process: Deployment) -> None:
    tenant = new_tenant()
    (receipt,) = await process.record(event(tenant, payload={"name": "é", "size": 3}))
    stored = await process.reader.event(tenant, receipt.event_id)
    assert stored is not None
    assert leaf_hash(stored.entry) == stored.leaf == receipt.leaf_hash
    entry = decode(stored.entry)
    assert (entry.origin, entry.tenant, entry.type, entry.actor, entry.payload) == (
        f"{BASE}/tenant/{tenant}", tenant, "dataset.registered", "someone", {"name": "é", "size": 3},
    )  # fmt: skip


async def test_events_stand_in_the_order_of_the_call(process: Deployment) -> None:
    tenant = new_tenant()
    first = await process.record(*(event(tenant, number) for number in range(5)))
    second = await process.record(*(event(tenant, number) for number in range(5, 8)))
    assert [receipt.index for receipt in first + second] == list(range(8))
    events = await process.reader.events(tenant, first=100)
    assert [decode(e.entry).payload for e in events] == [{"number": n} for n in range(8)]


@pytest.mark.parametrize("count", [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
async def test_a_batch_of_any_size_makes_one_whole_tree(process: Deployment, count: int) -> None:
    tenant = new_tenant()
    for size in (3, count):
        receipts = await process.record(*(event(tenant, number) for number in range(size)))
        assert [receipt.index for receipt in receipts[:1]] == [0 if size == 3 else 3]
    signed = await process.checkpoints.require(tenant)
    proofs = await process.reader.inclusions(tenant, [receipt.index for receipt in receipts])
    key = {key.key_id: key for key in await process.reader.keys()}
    for receipt, stored in zip(
        receipts, await process.reader.events(tenant, first=count, after=2), strict=True
    ):
        assert (stored.event_id, stored.leaf) == (receipt.event_id, receipt.leaf_hash)
        public = PublicKey.from_pem(key[decode(stored.entry).key_id].public_key_pem)
        verify_entry_signature(stored.entry, stored.signature, public)
        verify_inclusion(
            receipt.leaf_hash, receipt.index, signed.size, proofs[receipt.index].hashes, signed.root
        )


async def test_a_repetition_behind_many_events_is_recorded_once(process: Deployment) -> None:
    tenant, event_id = new_tenant(), uuid4()
    wanted = event(tenant, -1, event_id=event_id)
    events = [wanted, *(event(tenant, number) for number in range(2 * CHUNK)), wanted]
    receipts = await process.record(*events)
    assert receipts[0] == receipts[-1]
    again = await process.record(*events)
    assert (again[0], again[1].index) == (receipts[0], 2 * CHUNK + 1)


async def test_equivocation_behind_many_events_appends_nothing(process: Deployment) -> None:
    tenant, event_id = new_tenant(), uuid4()
    many = [event(tenant, number) for number in range(2 * CHUNK)]
    with pytest.raises(SubgraphError) as refused:
        await process.record(
            event(tenant, -1, event_id=event_id), *many, event(tenant, -2, event_id=event_id)
        )
    assert refused.value.code is ErrorCode.LEDGER_EQUIVOCATION
    assert (await process.reader.head(tenant)).size == 0


async def test_a_rolled_back_event_leaves_no_trace(process: Deployment) -> None:
    tenant = new_tenant()
    await process.record(event(tenant))

    async def abandon() -> None:
        async with process.database.transaction(tenant) as transaction:
            await process.ledger.append(transaction, event(tenant, 1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await abandon()
    (receipt,) = await process.record(event(tenant, 2))
    assert receipt.index == 1
    assert (await process.reader.head(tenant)).size == 2


async def test_a_transaction_of_one_tenant_cannot_append_for_another(process: Deployment) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with process.database.transaction(new_tenant()) as transaction:
            await process.ledger.append(transaction, event(new_tenant()))


async def test_a_transaction_of_a_tenant_cannot_append_to_the_deployment_log(
    process: Deployment,
) -> None:
    before = (await process.reader.head(None)).size
    with pytest.raises((asyncpg.InsufficientPrivilegeError, AssertionError)):
        async with process.database.transaction(new_tenant()) as transaction:
            await process.ledger.append(transaction, event(None))
    assert (await process.reader.head(None)).size == before


async def test_events_of_two_logs_do_not_go_together(process: Deployment) -> None:
    with pytest.raises(ValueError, match="one log"):
        await process.record(event(new_tenant()), event(new_tenant()))


async def test_the_same_event_again_answers_the_same_receipt(process: Deployment) -> None:
    tenant, event_id = new_tenant(), uuid4()
    once = await process.record(event(tenant, event_id=event_id))
    assert await process.record(event(tenant, event_id=event_id)) == once
    assert await process.record(
        event(tenant, 1), event(tenant, event_id=event_id), event(tenant, event_id=event_id)
    ) != once  # fmt: skip
    assert (await process.reader.head(tenant)).size == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": {"number": 1}},
        {"payload": {"number": False}},
        {"payload": None, "personal": {"number": 0}},
        {"actor": "somebody else"},
        {"type": EventType.TENANT_REGISTERED},
    ],
)
async def test_a_known_id_with_another_statement_is_equivocation(
    process: Deployment, changes: dict[str, object]
) -> None:
    tenant, event_id = new_tenant(), uuid4()
    await process.record(event(tenant, event_id=event_id))
    with pytest.raises(SubgraphError) as refused:
        await process.record(event(tenant, 5), event(tenant, event_id=event_id, **changes))
    assert refused.value.code is ErrorCode.LEDGER_EQUIVOCATION
    assert (await process.reader.head(tenant)).size == 1


async def test_one_call_cannot_equivocate_either(process: Deployment) -> None:
    tenant, event_id = new_tenant(), uuid4()
    with pytest.raises(SubgraphError) as refused:
        await process.record(
            event(tenant, 0, event_id=event_id), event(tenant, 1, event_id=event_id)
        )
    assert refused.value.code is ErrorCode.LEDGER_EQUIVOCATION


async def test_an_id_of_another_tenant_is_free(process: Deployment) -> None:
    event_id = uuid4()
    for number in range(2):
        tenant = new_tenant()
        (receipt,) = await process.record(event(tenant, number, event_id=event_id))
        assert receipt.index == 0


async def test_personal_data_is_only_committed_to(process: Deployment) -> None:
    tenant, event_id = new_tenant(), uuid4()
    personal = {"email": "Zuse@example.org"}
    wanted = event(tenant, payload=None, personal=personal, event_id=event_id)
    once = await process.record(wanted)
    assert await process.record(wanted) == once
    stored = await process.reader.event(tenant, event_id)
    assert stored is not None
    assert b"Zuse" not in stored.entry
    with pytest.raises(SubgraphError) as refused:
        await process.record(event(tenant, payload=None, personal={}, event_id=event_id))
    assert refused.value.code is ErrorCode.LEDGER_EQUIVOCATION


async def test_erased_personal_data_leaves_the_tree_whole(process: Deployment) -> None:
    tenant, event_id = new_tenant(), uuid4()
    wanted = event(tenant, payload=None, personal={"email": "Zuse"}, event_id=event_id)
    await process.record(wanted, event(tenant, 1))
    async with process.database.transaction(tenant) as transaction:
        assert await process.ledger.erase_personal(transaction, tenant, event_id)
    assert await process.ask("SELECT FROM ledger_personal WHERE event_id = $1", event_id) == []
    signed = await process.checkpoints.require(tenant)
    proof = await process.reader.inclusion(tenant, 0)
    assert proof is not None
    verify_inclusion(proof.leaf, 0, 2, proof.hashes, signed.root)
    with pytest.raises(SubgraphError):
        await process.record(wanted)


@pytest.mark.parametrize(
    ("payload", "finding"),
    [
        ({"text": "x" * 65_535}, Finding.ENTRY_TOO_LARGE),
        ({"number": 2**53}, Finding.NUMBER_REFUSED),
        ({"epsilon": 0.1}, Finding.NUMBER_REFUSED),
        ({"text": "e\u0301"}, Finding.TEXT_NOT_NFC),
        ({"text": "\ud800"}, Finding.TEXT_NOT_UNICODE),
    ],
)
async def test_what_an_entry_cannot_hold_is_refused_before_the_head_is_locked(
    process: Deployment, payload: dict[str, object], finding: Finding
) -> None:
    tenant = new_tenant()
    async with process.database.transaction(tenant) as transaction:
        with pytest.raises(EntryInvalid) as refused:
            await process.ledger.append(transaction, event(tenant, payload=payload))
        assert refused.value.finding is finding
        (receipt,) = await process.ledger.append_many(transaction, [event(tenant)])
    assert receipt.index == 0


async def test_a_clock_that_jumps_leaves_the_order_to_the_index(
    scratch: Scratch, settings: Settings
) -> None:
    now = datetime.now(UTC)
    times = [now]
    async with deployment(scratch, settings, clock=lambda: times[-1]) as process:
        tenant = new_tenant()
        for jump in (3600, -60, 7200):
            times.append(now + timedelta(seconds=jump))
            await process.record(event(tenant))
        events = await process.reader.events(tenant, first=10)
        assert [e.index for e in events] == [0, 1, 2]
        for jump in (timedelta(days=365), -timedelta(days=365)):
            times.append(now + jump)
            with pytest.raises(SubgraphError) as refused:
                await process.record(event(tenant))
            assert refused.value.code is ErrorCode.LEDGER_KEY_UNAVAILABLE


async def test_nothing_is_appended_without_permission(scratch: Scratch, settings: Settings) -> None:
    def behind() -> None:
        raise SubgraphError(ErrorCode.LEDGER_BEHIND_WITNESS)

    async with deployment(scratch, settings, permit=behind, renewed=False) as process:
        for attempt in (process.keys.renew(), process.record(event(new_tenant()))):
            with pytest.raises(SubgraphError) as refused:
                await attempt
            assert refused.value.code is ErrorCode.LEDGER_BEHIND_WITNESS


async def test_pages_are_by_index_and_by_type(process: Deployment) -> None:
    tenant = new_tenant()
    kinds = [EventType.TENANT_REGISTERED, *[EventType.DATASET_REGISTERED] * 4]
    await process.record(*(event(tenant, n, type=kind) for n, kind in enumerate(kinds)))
    read = process.reader.events
    assert [e.index for e in await read(tenant, first=2)] == [0, 1]
    assert [e.index for e in await read(tenant, first=2, after=1)] == [2, 3]
    of_type = await read(tenant, first=3, after=1, type="dataset.registered")
    assert [e.index for e in of_type] == [2, 3, 4]
    assert await read(tenant, first=3, type="no.such") == []


async def test_proofs_verify_at_every_size(process: Deployment) -> None:
    tenant = new_tenant()
    sizes = []
    for count in (1, 2, 4, 3):
        await process.record(*(event(tenant, n) for n in range(count)))
        signed = await process.checkpoints.require(tenant)
        sizes.append(signed)
        proofs = await process.reader.inclusions(tenant, range(signed.size + 3), signed.size)
        assert sorted(proofs) == list(range(signed.size))
        for index, proof in proofs.items():
            verify_inclusion(proof.leaf, index, signed.size, proof.hashes, signed.root)
    for older in sizes:
        for newer in sizes[sizes.index(older) :]:
            proof = await process.reader.consistency(tenant, older.size, newer.size)
            verify_consistency(older.size, newer.size, proof.hashes, older.root, newer.root)
    old = await process.reader.checkpoint(tenant, 3)
    assert old is not None and read_note(old.note)[0].size == 3
    assert await process.reader.inclusion(tenant, 0, 2) is None


@pytest.mark.parametrize(("older", "newer"), [(-1, 0), (2, 1), (0, 2), (5, 9)])
async def test_a_consistency_proof_of_sizes_that_never_were_is_refused(
    process: Deployment, older: int, newer: int
) -> None:
    tenant = new_tenant()
    await process.record(event(tenant))
    with pytest.raises(SubgraphError) as refused:
        await process.reader.consistency(tenant, older, newer)
    assert refused.value.code is ErrorCode.INVALID_INPUT


async def test_an_event_is_read_in_its_own_tenant_only(process: Deployment) -> None:
    tenant, other = new_tenant(), new_tenant()
    (receipt,) = await process.record(event(tenant))
    found = await process.reader.events_by_id(
        [(tenant, receipt.event_id), (other, receipt.event_id), (None, receipt.event_id)]
    )
    assert list(found) == [(tenant, receipt.event_id)]


async def test_the_reserved_id_names_no_tenant(process: Deployment) -> None:
    with pytest.raises(ValueError, match="None"):
        await process.reader.head(DEPLOYMENT)
    with pytest.raises(EntryInvalid):
        await process.record(event(DEPLOYMENT))
