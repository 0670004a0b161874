"""Keys that the deployment uses are announced in its log, each of them once."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from subgraph.db.roles import Role
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.delegation import verify_entry_signature
from subgraph.ledger.entry import decode
from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.fsck import fsck
from subgraph.ledger.model import EventType, KeyPurpose
from subgraph.ledger.publickey import PublicKey, algorithm_of_pem
from subgraph.ledger.rootentry import AnnouncedKey
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch
from tests.unit.ledger.deployment import Deployment, Root, deployment


def new_key(purpose: KeyPurpose = KeyPurpose.WITNESS) -> AnnouncedKey:
    return AnnouncedKey(purpose, Root().public_key_pem)


async def announced(process: Deployment, key: AnnouncedKey) -> int:
    """How many events announce the key."""
    events = await process.reader.events(None, first=10_000, type=EventType.KEY_ANNOUNCED.value)
    said = [decode(event.entry).payload or {} for event in events]
    return [payload["keyId"] for payload in said].count(key.key_id)


@pytest.mark.parametrize("purpose", [KeyPurpose.WITNESS, KeyPurpose.PROVER])
async def test_a_key_is_published_with_the_event_that_the_root_signed(
    process: Deployment, purpose: KeyPurpose
) -> None:
    key = new_key(purpose)
    await process.announcements.announce([key])
    (found,) = [known for known in await process.reader.keys(purpose) if known.key_id == key.key_id]
    event = await process.reader.event(None, found.event_id)
    assert event is not None and found.public_key_pem == key.public_key_pem
    root = PublicKey.from_pem(process.root.public_key_pem)
    verify_entry_signature(event.entry, event.signature, root)


async def test_what_is_announced_is_whole(process: Deployment) -> None:
    await process.announcements.announce([new_key(), new_key(KeyPurpose.PROVER)])
    root = PublicKey.from_pem(process.root.public_key_pem)
    assert (await fsck(process.scratch.url(Role.SYSTEM), [root])).faults == ()


async def test_a_key_is_announced_once_and_the_root_is_not_asked_again(process: Deployment) -> None:
    key = new_key()
    await process.announcements.announce([key, key])
    signed = process.root.signed
    await process.announcements.announce([key])
    assert (await announced(process, key), process.root.signed) == (1, signed)


async def test_a_new_key_is_announced_beside_those_that_are_known(process: Deployment) -> None:
    old, new = new_key(), new_key()
    await process.announcements.announce([old])
    await process.announcements.announce([old, new])
    assert [await announced(process, key) for key in (old, new)] == [1, 1]


async def test_two_replicas_announce_a_key_once(scratch: Scratch, settings: Settings) -> None:
    key = new_key()
    async with (
        deployment(scratch, settings) as here,
        deployment(scratch, settings, root=here.root) as there,
    ):
        await asyncio.gather(*(replica.announcements.announce([key]) for replica in (here, there)))
        assert await announced(here, key) == 1


async def test_a_root_that_is_away_announces_nothing(scratch: Scratch, settings: Settings) -> None:
    async with deployment(scratch, settings) as process:
        process.root.away, key = True, new_key()
        with pytest.raises(SubgraphError) as refused:
            await process.announcements.announce([key])
        assert refused.value.code is ErrorCode.KEY_UNAVAILABLE
        assert await announced(process, key) == 0


async def test_nothing_is_announced_while_the_database_is_not_vouched_for(
    scratch: Scratch, settings: Settings
) -> None:
    def permit() -> None:
        raise SubgraphError(ErrorCode.LEDGER_BEHIND_WITNESS)

    async with deployment(scratch, settings, permit=permit, renewed=False) as process:
        key = new_key()
        with pytest.raises(SubgraphError) as refused:
            await process.announcements.announce([key])
        assert refused.value.code is ErrorCode.LEDGER_BEHIND_WITNESS
        assert await announced(process, key) == 0


async def test_a_text_that_is_no_key_is_refused(process: Deployment) -> None:
    with pytest.raises(VerificationFailed) as failed:
        await process.announcements.announce([AnnouncedKey(KeyPurpose.WITNESS, "no key")])
    assert failed.value.finding is Finding.KEY_INVALID


def test_the_algorithm_is_that_of_the_key() -> None:
    edwards = Ed25519PrivateKey.generate().public_key()
    pem = edwards.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    algorithms = [algorithm_of_pem(text) for text in (pem, Root().public_key_pem)]
    assert algorithms == ["Ed25519", "ECDSA-P256-SHA256"]
