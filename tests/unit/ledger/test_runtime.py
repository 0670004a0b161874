"""The parts of one process together: what it announces at its start, and what it leaves behind."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.ledger.model import EventType, KeyPurpose, NewEvent
from subgraph.ledger.publickey import algorithm_of_pem
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch, scratch_database
from tests.unit.ledger.runtimes import deployment_witness, started, witnessed

ALGORITHMS = ["ECDSA-P256-SHA256", "Ed25519"]


@pytest.fixture
async def empty(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as scratch:
        yield scratch


async def keys_of_witnesses(runtime: LedgerRuntime) -> list[str]:
    return [key.public_key_pem for key in await runtime.reader.keys(KeyPurpose.WITNESS)]


async def test_the_keys_of_the_witness_are_announced_at_the_start(
    empty: Scratch, settings: Settings, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    first = await deployment_witness(empty, settings, tmp_path / "first", data)
    try:
        for _ in range(2):
            async with started(empty, witnessed(settings, data, first)) as runtime:
                old = await keys_of_witnesses(runtime)
                assert sorted(algorithm_of_pem(pem) for pem in old) == ALGORITHMS
                kind = EventType.KEY_ANNOUNCED.value
                assert len(await runtime.reader.events(None, first=99, type=kind)) == 3
    finally:
        first.stop()
    (first.folder / "ed.pem").unlink()
    await first.start()
    try:
        async with started(empty, witnessed(settings, data, first)) as runtime:
            new = await keys_of_witnesses(runtime)
    finally:
        first.stop()
    assert new[:2] == old and [algorithm_of_pem(pem) for pem in new[2:]] == ["Ed25519"]


async def test_no_thread_is_left_behind(empty: Scratch, settings: Settings, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    alone = msgspec.structs.replace(settings, data_dir=str(tmp_path), witness_url="off")
    async with started(empty, alone) as runtime:
        events = [
            NewEvent(EventType.DATASET_REGISTERED, "someone", None, {"number": number})
            for number in range(100)
        ]
        async with runtime.checkpoints._database.transaction("_deployment") as transaction:
            await runtime.ledger.append_many(transaction, events)
        signing = set(threading.enumerate()) - before
        assert any(thread.name.startswith("ledger-signing") for thread in signing)
    assert not any(thread.is_alive() for thread in signing if thread.name.startswith("ledger-"))
