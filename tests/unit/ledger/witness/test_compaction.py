"""The witness's memory is compacted at the start; a crash at any step leaves all that counts."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.witness.state import Cosigned, StateFile
from tests.unit.ledger.witness.logs import Log

LOGS = [Log.of(9, f"log.test/tenant/t-{number}") for number in range(3)]

# The process dies at the named step of the compaction.
CRASH = """
import os, signal, sys
from pathlib import Path
from subgraph.ledger.witness.state import StateFile
place, path = sys.argv[1], Path(sys.argv[2])
real_open, real_write, real_fsync, real_replace = os.open, os.write, os.fsync, Path.replace
synced = []
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
def opened(name, flags, *mode, **named):
    handle = real_open(name, flags, *mode, **named)
    if place == "opened" and flags & os.O_CREAT: die()
    return handle
def write(handle, content):
    if place == "half written":
        real_write(handle, content[: len(content) // 2]); die()
    written = real_write(handle, content)
    if place == "written": die()
    return written
def fsync(handle):
    real_fsync(handle); synced.append(handle)
    if place == ("synced", "folder synced")[len(synced) - 1]: die()
def replace(self, target):
    real_replace(self, target)
    if place == "renamed": die()
os.open, os.write, os.fsync, Path.replace = opened, write, fsync, replace
StateFile.open(path, superseded=0)
"""


def add(path: Path, sizes: tuple[int, ...]) -> None:
    state = StateFile.open(path, create=True)
    for size in sizes:
        for log in LOGS:
            state.append(Cosigned(log.checkpoint(size), log.note(size)))
    state.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with four records of each of three logs."""
    path = tmp_path / "state"
    add(path, (1, 2, 5, 7))
    return path


def sizes(path: Path) -> list[int]:
    """What is remembered of each log."""
    state = StateFile.open(path)
    found = [state.latest(log.origin) for log in LOGS]
    state.close()
    return [cosigned.checkpoint.size for cosigned in found if cosigned is not None]


def compact(path: Path) -> None:
    StateFile.open(path, superseded=0).close()


def test_the_latest_record_of_each_log_stays_as_it_was(path: Path) -> None:
    before = [line.partition(b" ")[2] for line in path.read_bytes().splitlines()[-3:]]
    compact(path)
    assert [line.partition(b" ")[2] for line in path.read_bytes().splitlines()[1:]] == before
    assert sizes(path) == [7, 7, 7]


def test_what_is_cosigned_next_continues_the_compacted_file(path: Path) -> None:
    state = StateFile.open(path, superseded=0)
    state.append(Cosigned(LOGS[1].checkpoint(9), LOGS[1].note(9)))
    state.close()
    assert sizes(path) == [7, 9, 7]


def test_a_file_with_few_superseded_records_stays(path: Path) -> None:
    before = path.read_bytes()
    StateFile.open(path, superseded=9).close()
    assert path.read_bytes() == before


def test_a_compacted_file_stays(path: Path) -> None:
    compact(path)
    before = path.stat()
    compact(path)
    assert os.path.samestat(before, path.stat())


def test_a_torn_line_is_not_carried_over(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])
    compact(path)
    assert sizes(path) == [7, 7, 5]


def test_only_the_owner_can_read_it(path: Path) -> None:
    compact(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "place", ["opened", "half written", "written", "synced", "renamed", "folder synced"]
)
def test_a_crash_at_any_step_loses_nothing(path: Path, place: str) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, place, path], check=False)
    assert done.returncode == -9
    assert sizes(path) == [7, 7, 7]
    compact(path)
    assert sizes(path) == [7, 7, 7]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_draft_that_cannot_be_written_leaves_the_old_file_in_use(path: Path) -> None:
    before = path.read_bytes()
    (path.parent / ".state.compact").mkdir()
    state = StateFile.open(path, superseded=0)
    assert path.read_bytes() == before
    state.append(Cosigned(LOGS[0].checkpoint(9), LOGS[0].note(9)))
    state.close()
    assert sizes(path) == [9, 7, 7]


def test_a_folder_that_cannot_be_synced_stops_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def refuse_folders(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(5, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    with pytest.raises(SubgraphError) as refused:
        StateFile.open(path, superseded=0)
    monkeypatch.undo()
    assert refused.value.code is ErrorCode.WITNESS_STATE_INVALID
    assert sizes(path) == [7, 7, 7]


def test_the_compacted_file_is_locked(path: Path) -> None:
    state = StateFile.open(path, superseded=0)
    with pytest.raises(SubgraphError) as refused:
        StateFile.open(path)
    assert refused.value.code is ErrorCode.WITNESS_STATE_IN_USE
    state.close()


def test_who_opened_the_old_file_before_it_was_replaced_does_not_get_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = StateFile._lock
    held: list[StateFile] = []

    def late(self: StateFile) -> None:
        monkeypatch.setattr(StateFile, "_lock", real)
        held.append(StateFile.open(path, superseded=0))
        real(self)

    monkeypatch.setattr(StateFile, "_lock", late)
    with pytest.raises(SubgraphError) as refused:
        StateFile.open(path)
    assert refused.value.code is ErrorCode.WITNESS_STATE_IN_USE
    held[0].close()
    assert sizes(path) == [7, 7, 7]
