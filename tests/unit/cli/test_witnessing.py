"""A stack waits for the witness of its predecessor, which may still be ending."""

import asyncio
from pathlib import Path

import pytest

from subgraph.cli import witnessing
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.witness.state import Cosigned, StateFile
from tests.unit.ledger.witness.logs import Log, WitnessProcess

LOG = Log.of(3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory of one checkpoint."""
    path = tmp_path / "state"
    state = StateFile.open(path, create=True)
    state.append(Cosigned(LOG.checkpoint(2), LOG.note(2)))
    state.close()
    return path


async def test_a_lock_that_is_given_back_is_waited_for(path: Path) -> None:
    predecessor = StateFile.open(path)
    remembers = asyncio.create_task(witnessing._remembers(path))
    done, _ = await asyncio.wait([remembers], timeout=witnessing._POLL_SECONDS * 3)
    assert not done
    predecessor.close()
    assert await remembers


async def test_a_witness_that_ends_is_waited_for(tmp_path: Path) -> None:
    predecessor = await WitnessProcess(tmp_path, [LOG]).start()
    await predecessor.cosigned(LOG, 2)
    remembers = asyncio.create_task(witnessing._remembers(predecessor.state))
    await asyncio.to_thread(predecessor.stop)
    assert await remembers


async def test_a_lock_that_stays_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witnessing, "_PREDECESSOR_SECONDS", 0.0)
    predecessor = StateFile.open(path)
    with pytest.raises(SubgraphError) as refused:
        await witnessing._remembers(path)
    predecessor.close()
    assert refused.value.code is ErrorCode.WITNESS_STATE_IN_USE


async def test_a_damaged_memory_is_not_waited_for(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\\n2\\n", b"\\n1\\n"))
    with pytest.raises(SubgraphError) as refused:
        await witnessing._remembers(path)
    assert refused.value.code is ErrorCode.WITNESS_STATE_INVALID


async def test_no_memory_remembers_nothing(tmp_path: Path) -> None:
    assert not await witnessing._remembers(tmp_path / "state")
