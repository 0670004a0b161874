"""Checkpoints: on demand, on the timer, after a number of events, and never without the root."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.checkpoints import Growth, Schedule, WriteGate
from subgraph.ledger.entry import decode
from subgraph.ledger.merkle import EMPTY_ROOT
from subgraph.ledger.model import EventType
from subgraph.ledger.note import EcdsaNoteVerifier, open_note, signature_line
from subgraph.ledger.publickey import PublicKey
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch, scratch_database
from tests.unit.ledger.deployment import BASE, Deployment, deployment, event, new_tenant

NEVER = 3600.0


class Witness:
    """Adds a line, or refuses."""

    def __init__(self) -> None:
        self.refusal: ErrorCode | None = None
        self.asked: list[int] = []

    async def cosign(
        self, note: str, size: int, proof_from: Callable[[int], Awaitable[Sequence[bytes]]]
    ) -> tuple[str, ...]:
        self.asked.append(size)
        if self.refusal is not None:
            raise SubgraphError(self.refusal)
        return (signature_line("witness.test", b"1234", b"cosigned"),)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    while not await holds():
        await asyncio.sleep(0.01)


async def test_a_checkpoint_is_a_note_that_the_root_signed(process: Deployment) -> None:
    tenant = new_tenant()
    await process.record(event(tenant))
    signed = await process.checkpoints.require(tenant)
    key = PublicKey.from_pem(process.root.public_key_pem)
    opened = open_note(signed.note, [EcdsaNoteVerifier(f"{BASE}/tenant/{tenant}", key)])
    head = await process.reader.head(tenant)
    assert (opened.checkpoint.size, opened.checkpoint.root) == (1, head.root)


async def test_an_empty_log_has_a_checkpoint_too(process: Deployment) -> None:
    signed = await process.checkpoints.require(new_tenant())
    assert (signed.size, signed.root) == (0, EMPTY_ROOT)


async def test_old_sizes_keep_their_notes(process: Deployment) -> None:
    tenant = new_tenant()
    notes = []
    for number in range(3):
        await process.record(event(tenant, number))
        notes.append((await process.checkpoints.require(tenant)).note)
    again = await process.checkpoints.require(tenant)
    assert again.note == notes[-1]
    for size, note in enumerate(notes, 1):
        kept = await process.reader.checkpoint(tenant, size)
        assert kept is not None and kept.note == note
    newest = await process.reader.checkpoint(tenant)
    assert newest is not None and newest.size == 3
    assert await process.reader.checkpoint(tenant, 17) is None


async def test_each_tenants_checkpoint_is_one_event_of_the_deployment_log(
    process: Deployment,
) -> None:
    tenant = new_tenant()
    await process.record(event(tenant))
    for _ in range(2):
        signed = await process.checkpoints.require(tenant)
    events = await process.reader.events(None, first=1000, type=EventType.CHECKPOINT_SIGNED.value)
    said = [decode(e.entry).payload for e in events]
    assert [p for p in said if p and p["origin"] == f"{BASE}/tenant/{tenant}"] == [
        {
            "origin": f"{BASE}/tenant/{tenant}",
            "size": 1,
            "rootHash": f"sha256:{signed.root.hex()}",
        }
    ]


async def test_without_the_root_events_go_on_and_checkpoints_are_refused(
    process: Deployment,
) -> None:
    tenant = new_tenant()
    await process.record(event(tenant))
    await process.checkpoints.require(tenant)
    process.root.away = True
    try:
        await process.record(event(tenant, 1))
        for _ in range(2):
            with pytest.raises(SubgraphError) as refused:
                await process.checkpoints.require(tenant)
            assert refused.value.code is ErrorCode.CHECKPOINT_UNAVAILABLE
    finally:
        process.root.away = False
    newest = await process.reader.checkpoint(tenant)
    assert newest is not None and newest.size == 1
    assert (await process.checkpoints.require(tenant)).size == 2


async def test_a_root_that_went_away_since_the_last_checkpoint_is_noticed(
    process: Deployment,
) -> None:
    tenant = new_tenant()
    await process.record(event(tenant))
    await process.checkpoints.require(tenant)
    process.root.away = True
    try:
        with pytest.raises(SubgraphError):
            await process.checkpoints.require(tenant)
    finally:
        process.root.away = False


async def test_the_cosignature_stands_in_the_note(scratch: Scratch, settings: Settings) -> None:
    witness = Witness()
    async with deployment(scratch, settings, witness=witness) as process:
        tenant = new_tenant()
        await process.record(event(tenant))
        assert "witness.test" in (await process.checkpoints.require(tenant)).note
        assert witness.asked == [1]


@pytest.mark.parametrize("refusal", [ErrorCode.WITNESS_UNAVAILABLE, ErrorCode.WITNESS_REFUSED])
async def test_without_the_witness_no_checkpoint_is_stored(
    scratch: Scratch, settings: Settings, refusal: ErrorCode
) -> None:
    witness = Witness()
    async with deployment(scratch, settings, witness=witness) as process:
        tenant = new_tenant()
        await process.record(event(tenant))
        witness.refusal = refusal
        with pytest.raises(SubgraphError) as refused:
            await process.checkpoints.require(tenant)
        assert refused.value.code is ErrorCode.CHECKPOINT_UNAVAILABLE
        assert refused.value.details == {"because": refusal.name}
        assert await process.reader.checkpoint(tenant) is None
        await process.record(event(tenant, 1))


@pytest.mark.parametrize("refusal", [ErrorCode.LEDGER_BEHIND_WITNESS, ErrorCode.LEDGER_FORKED])
async def test_a_contradiction_closes_the_gate(
    scratch: Scratch, settings: Settings, refusal: ErrorCode
) -> None:
    witness, gate = Witness(), WriteGate()
    async with deployment(
        scratch, settings, witness=witness, gate=gate, permit=gate.permit
    ) as process:
        tenant = new_tenant()
        await process.record(event(tenant))
        witness.refusal = refusal
        with pytest.raises(SubgraphError) as refused:
            await process.checkpoints.require(tenant)
        assert refused.value.code is refusal
        with pytest.raises(SubgraphError) as refused:
            await process.record(event(tenant, 1))
        assert refused.value.code is refusal


async def test_the_gate_opens_when_the_witness_vouches_for_the_database(
    scratch: Scratch, settings: Settings
) -> None:
    witness, gate = Witness(), WriteGate(ErrorCode.WITNESS_UNAVAILABLE)
    async with deployment(
        scratch, settings, witness=witness, gate=gate, permit=gate.permit, renewed=False
    ) as process:
        witness.refusal = ErrorCode.LEDGER_BEHIND_WITNESS
        with pytest.raises(SubgraphError):
            await process.checkpoints.admit()
        with pytest.raises(SubgraphError):
            await process.keys.renew()
        witness.refusal = None
        await process.checkpoints.admit()
        await process.keys.renew()


async def test_the_timer_signs_every_log_that_grew(
    postgres: EmbeddedServer, settings: Settings
) -> None:
    async with (
        scratch_database(postgres) as scratch,
        deployment(scratch, settings) as process,
    ):
        tenants = sorted(new_tenant() for _ in range(3))
        for tenant in tenants:
            await process.record(event(tenant))
        system = scratch.url(Role.SYSTEM)
        keeping = asyncio.create_task(
            process.checkpoints.keep(Schedule(0.05, 10**6), Growth(), system)
        )

        async def all_signed() -> bool:
            rows = await scratch.ask(
                "SELECT FROM ledger_log l LEFT JOIN ledger_checkpoint c USING (tenant_id, size)"
                " WHERE c.size IS NULL"
            )
            return not rows

        await eventually(all_signed)
        keeping.cancel()
        signed = await scratch.ask("SELECT DISTINCT tenant_id FROM ledger_checkpoint ORDER BY 1")
        assert [row["tenant_id"] for row in signed] == ["_deployment", *tenants]


async def test_a_log_that_grew_much_is_signed_before_the_timer(
    scratch: Scratch, settings: Settings
) -> None:
    async with deployment(scratch, settings) as process:
        tenant = new_tenant()
        keeping = asyncio.create_task(
            process.checkpoints.keep(Schedule(NEVER, 4), process.growth, None)
        )
        await process.record(*(event(tenant, number) for number in range(3)))
        await process.record(*(event(tenant, number) for number in range(3)))

        async def signed() -> bool:
            # The last events may be committed only after they were counted.
            await process.record(*(event(tenant, number) for number in range(4)))
            return await process.reader.checkpoint(tenant) is not None

        await eventually(signed)
        keeping.cancel()


async def test_only_the_holder_of_the_lease_works_the_timer(
    postgres: EmbeddedServer, settings: Settings
) -> None:
    async with (
        scratch_database(postgres) as scratch,
        deployment(scratch, settings) as first,
        deployment(scratch, settings, root=first.root) as second,
    ):
        assert await first.checkpoints._leads(60)
        assert not await second.checkpoints._leads(60)
        assert await first.checkpoints._leads(60)
        await scratch.run("UPDATE lease SET expires_at = now() - interval '1 second'")
        assert await second.checkpoints._leads(60)
        assert not await first.checkpoints._leads(60)


async def test_two_that_sign_one_size_at_once_leave_one_note(process: Deployment) -> None:
    tenant = new_tenant()
    await process.record(event(tenant))
    notes = await asyncio.gather(*(process.checkpoints.require(tenant) for _ in range(5)))
    assert len({signed.note for signed in notes}) == 1


async def test_checkpoints_under_load_all_fit_the_log(process: Deployment) -> None:
    tenant = new_tenant()

    async def write() -> None:
        for number in range(30):
            await process.record(event(tenant, number))

    writing = [asyncio.create_task(write()) for _ in range(3)]
    while not all(task.done() for task in writing):
        await process.checkpoints.require(tenant)
    assert (await process.checkpoints.require(tenant)).size == 90
