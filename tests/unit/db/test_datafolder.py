"""The data folder: private, locked, and never at the cost of what is around it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.db.datafolder import DataFolder, shared_folder
from subgraph.errors import ErrorCode, SubgraphError

ROOT = Path(__file__).parents[3]
HOLD = """
import os, sys, time
from pathlib import Path
from subgraph.db.datafolder import DataFolder
folder = DataFolder.open(Path(sys.argv[1]))
print(os.getpid(), flush=True)
if len(sys.argv) > 2:
    while True:
        folder.write_private("secret", sys.argv[2].encode() * 100_000)
sys.stdin.read()
"""

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which root may")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    opened = DataFolder.open(tmp_path / "data")
    yield opened
    opened.close()


def hold(path: Path, *arguments: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid
    return process


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def rights(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mode, status.st_uid, status.st_gid


def refused(path: Path) -> SubgraphError:
    with pytest.raises(SubgraphError) as caught:
        DataFolder.open(path)
    return caught.value


def test_a_new_folder_is_private(folder: DataFolder) -> None:
    assert mode(folder.path) == 0o700


def test_the_parents_are_left_as_they_were(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    before = [rights(path) for path in tmp_path.parents]
    DataFolder.open(tmp_path / "data").close()
    assert mode(tmp_path) == 0o750
    assert [rights(path) for path in tmp_path.parents] == before


def test_missing_parents_are_made(tmp_path: Path) -> None:
    DataFolder.open(tmp_path / "a" / "b" / "data").close()
    assert (tmp_path / "a" / "b" / "data").is_dir()


def test_an_empty_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.mkdir()
    path.chmod(0o755)
    DataFolder.open(path).close()
    assert mode(path) == 0o700


def test_a_folder_with_other_files_is_refused_and_untouched(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.txt").touch()
    assert refused(tmp_path).code is ErrorCode.DATA_FOLDER_UNUSABLE
    assert (mode(tmp_path), list(tmp_path.iterdir())) == (0o755, [tmp_path / "thesis.txt"])


def test_a_mounted_volume_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    DataFolder.open(tmp_path).close()


@pytest.mark.parametrize("below", ["file", "file/data"])
def test_a_file_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    error = refused(tmp_path / below)
    assert error.code is ErrorCode.DATA_FOLDER_UNUSABLE
    assert "is a file" in error.message


def test_a_symbolic_link_leads_to_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    opened = DataFolder.open(tmp_path / "link")
    opened.close()
    assert opened.path == tmp_path / "disk"


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "subgraph.lock").symlink_to(victim)
    assert refused(tmp_path / "data").code is ErrorCode.DATA_FOLDER_UNUSABLE
    assert victim.read_text() == "precious"


@only_root
def test_the_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.mkdir()
    os.chown(path, 65534, 65534)
    error = refused(path)
    assert error.code is ErrorCode.DATA_FOLDER_UNUSABLE
    assert "65534" in error.message


def test_a_place_that_cannot_be_written_is_refused() -> None:
    error = refused(Path("/sys/governance-subgraph"))
    assert error.code is ErrorCode.DATA_FOLDER_UNUSABLE
    assert "cannot be written" in error.message


def test_a_second_process_is_told_who_has_the_folder(tmp_path: Path) -> None:
    with hold(tmp_path / "data") as holder:
        error = refused(tmp_path / "data")
        assert error.code is ErrorCode.DATA_FOLDER_IN_USE
        assert error.details == {"pid": holder.pid}
        assert str(holder.pid) in error.message


def test_the_same_process_cannot_open_it_twice(folder: DataFolder) -> None:
    assert refused(folder.path).code is ErrorCode.DATA_FOLDER_IN_USE


def test_a_refused_process_changes_no_permission(folder: DataFolder) -> None:
    folder.path.chmod(0o710)
    refused(folder.path)
    assert mode(folder.path) == 0o710


def test_a_killed_holder_leaves_the_folder_free(tmp_path: Path) -> None:
    with hold(tmp_path / "data") as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        DataFolder.open(tmp_path / "data").close()


def test_a_child_process_does_not_inherit_the_lock(folder: DataFolder) -> None:
    code = "import os; print(*map(os.path.realpath, map('/proc/self/fd/{}'.format, range(64))))"
    command = [sys.executable, "-c", code]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, close_fds=False)
    assert str(folder.path) not in listed.stdout


def test_a_closed_folder_is_free_even_if_a_fork_still_has_the_handle(tmp_path: Path) -> None:
    opened = DataFolder.open(tmp_path / "data")
    handle = os.dup(opened._lock)
    opened.close()
    DataFolder.open(tmp_path / "data").close()
    os.close(handle)


def test_a_private_file_is_read_as_it_was_written(folder: DataFolder) -> None:
    folder.write_private("cursor.key", b"\x00\xff")
    assert folder.read_private("cursor.key") == b"\x00\xff"


def test_an_absent_private_file_is_none(folder: DataFolder) -> None:
    assert folder.read_private("cursor.key") is None


def test_a_private_file_is_private_under_any_umask(folder: DataFolder) -> None:
    before = os.umask(0)
    try:
        folder.write_private("cursor.key", b"secret")
    finally:
        os.umask(before)
    assert mode(folder.path / "private" / "cursor.key") == 0o600


@pytest.mark.parametrize("name", ["../lock", "a/b", ".hidden", "", "A", "x" * 101])
def test_a_private_name_cannot_leave_its_folder(folder: DataFolder, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        folder.write_private(name, b"")


def test_a_link_in_place_of_a_private_file_is_not_read(folder: DataFolder, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"planted")
    (folder.path / "private" / "cursor.key").symlink_to(tmp_path / "outside")
    with pytest.raises(SubgraphError):
        folder.read_private("cursor.key")


def test_a_kill_while_writing_leaves_a_whole_file(tmp_path: Path) -> None:
    with hold(tmp_path / "data", "a") as writer:
        while not (tmp_path / "data" / "private" / "secret").exists():
            assert writer.poll() is None
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    opened = DataFolder.open(tmp_path / "data")
    assert opened.read_private("secret") == b"a" * 100_000
    opened.close()


def test_what_an_interrupted_write_left_is_removed(tmp_path: Path) -> None:
    DataFolder.open(tmp_path / "data").close()
    (tmp_path / "data" / "private" / ".draft").write_bytes(b"half a sec")
    DataFolder.open(tmp_path / "data").close()
    assert list((tmp_path / "data" / "private").iterdir()) == []


def test_a_shared_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(SubgraphError, match="only the user of this process can write"):
        shared_folder(tmp_path)
