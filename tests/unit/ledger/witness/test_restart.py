"""`ig witness` after a crash, with another key, and without its memory."""

import signal
from pathlib import Path

import httpx
import pytest

from subgraph.ledger.note import open_note
from tests.unit.ledger.witness.logs import LOG, WitnessProcess, add

pytestmark = pytest.mark.xdist_group("witness")


async def test_it_remembers_after_a_kill(own: WitnessProcess) -> None:
    for size in range(1, 6):
        async with httpx.AsyncClient(base_url=own.url, trust_env=False) as http:
            assert (await add(http, LOG.submission(size - 1, size))).status_code == 200
        own.stop(signal.SIGKILL)
        await own.start()
    async with httpx.AsyncClient(base_url=own.url, trust_env=False) as http:
        assert (await add(http, LOG.fork(20).submission(0, 20))).text == "5\n"


# The process dies at the named place of the state file's `append`.
CRASH = """
import os, signal, sys
from subgraph.cli import main
from subgraph.ledger.witness import state
place = sys.argv.pop(1)
real_write, real_fsync = os.write, os.fsync
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
def half(handle, content):
    real_write(handle, content[: len(content) // 2]); die()
def arm(self, cosigned):
    if cosigned.checkpoint.size == 20:
        if place == "checked": die()
        if place == "half written": os.write = half
        if place == "written": os.fsync = die
        if place == "synced": os.fsync = lambda handle: (real_fsync(handle), die())
    append(self, cosigned)
append, state.StateFile.append = state.StateFile.append, arm
sys.exit(main.main())
"""


@pytest.mark.parametrize(
    ("place", "kept"), [("checked", 7), ("half written", 7), ("written", 20), ("synced", 20)]
)
async def test_a_crash_between_check_and_answer_lets_no_fork_in(
    tmp_path: Path, place: str, kept: int
) -> None:
    dying = WitnessProcess(tmp_path, [LOG], program=("-c", CRASH, place))
    await dying.start()
    async with httpx.AsyncClient(base_url=dying.url, trust_env=False) as http:
        assert (await add(http, LOG.submission(0, 7))).status_code == 200
        with pytest.raises(httpx.TransportError):
            await add(http, LOG.submission(7, 20))
    dying.stop()
    again = await WitnessProcess(tmp_path, [LOG], initial=False).start()
    fork = LOG.fork(20, at=5)
    async with httpx.AsyncClient(base_url=again.url, trust_env=False) as http:
        assert (await add(http, LOG.submission(0, 3))).text == f"{kept}\n"
        refused = await add(http, fork.submission(kept, 20))
        assert refused.status_code == 422
        assert (await add(http, LOG.submission(kept, 20))).status_code == 200
    again.stop()


async def test_it_does_not_start_without_its_memory(tmp_path: Path) -> None:
    first = await WitnessProcess(tmp_path, [LOG]).start()
    first.stop()
    first.state.unlink()
    refused = await WitnessProcess(tmp_path, [LOG], initial=False).start()
    assert "WITNESS_STATE_INVALID" in refused.refusal()


async def test_it_does_not_start_with_a_changed_memory(own: WitnessProcess) -> None:
    async with httpx.AsyncClient(base_url=own.url, trust_env=False) as http:
        await add(http, LOG.submission(0, 7))
    own.stop()
    own.state.write_bytes(own.state.read_bytes().replace(b"\\n7\\n", b"\\n6\\n"))
    await own.start()
    assert "WITNESS_STATE_INVALID" in own.refusal()


async def test_a_second_one_does_not_start_on_the_same_memory(witness: WitnessProcess) -> None:
    second = await WitnessProcess(witness.folder, [LOG]).start()
    assert "WITNESS_STATE_IN_USE" in second.refusal()


async def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    first = await WitnessProcess(tmp_path, [LOG]).start()
    first.stop()
    (tmp_path / "key.pem").chmod(0o644)
    await first.start()
    assert "KEY_UNUSABLE" in first.refusal()


@pytest.mark.parametrize("through", ["plain", "link"])
async def test_a_memory_in_the_data_folder_is_refused(tmp_path: Path, through: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    folder = data
    if through == "link":
        folder = tmp_path / "link"
        folder.symlink_to(data)
    process = WitnessProcess(folder, [LOG], environment={"IG_DATA_DIR": str(data)})
    assert "SETTINGS_INVALID" in (await process.start()).refusal()
    assert not (data / "state").exists()


async def test_a_new_key_cosigns_what_the_old_one_did(own: WitnessProcess) -> None:
    async with httpx.AsyncClient(base_url=own.url, trust_env=False) as http:
        before = (await add(http, LOG.submission(0, 7))).text
    own.stop()
    (own.folder / "key.pem").unlink()
    await own.start()
    async with httpx.AsyncClient(base_url=own.url, trust_env=False) as http:
        after = (await add(http, LOG.submission(7, 7))).text
    assert after != before
    assert len(open_note(LOG.note(7) + after, own.verifiers).signed_by) == 2
