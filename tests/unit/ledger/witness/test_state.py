"""The witness's memory: durable, whole, and refused when it is not."""

import os
from pathlib import Path

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.witness.state import Cosigned, StateFile
from tests.unit.ledger.witness.logs import Log

LOG = Log.of(9)


def cosigned(log: Log, size: int) -> Cosigned:
    return Cosigned(log.checkpoint(size), log.note(size))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with three records."""
    path = tmp_path / "state"
    state = StateFile.open(path, create=True)
    for size in (2, 5, 9):
        state.append(cosigned(LOG, size))
    state.close()
    return path


def refusal(path: Path, *, create: bool = True) -> SubgraphError:
    with pytest.raises(SubgraphError) as caught:
        StateFile.open(path, create=create)
    return caught.value


def remembered(path: Path) -> int:
    state = StateFile.open(path)
    latest = state.latest(LOG.origin)
    state.close()
    return latest.checkpoint.size if latest is not None else 0


def test_it_remembers_after_a_restart(path: Path) -> None:
    assert remembered(path) == 9


def test_a_missing_file_is_not_made_unless_asked_for(tmp_path: Path) -> None:
    assert refusal(tmp_path / "state", create=False).code is ErrorCode.WITNESS_STATE_INVALID
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "state").touch(0o600)
    assert "first line" in refusal(tmp_path / "state").message


@pytest.mark.parametrize("kept", [1, 60, 200])
def test_a_torn_last_line_is_dropped(path: Path, kept: int) -> None:
    content = path.read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1
    path.write_bytes(content[: last + kept])
    assert remembered(path) == 5
    assert path.read_bytes() == content[:last]


def test_it_goes_on_after_a_torn_line(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])
    state = StateFile.open(path)
    state.append(cosigned(LOG, 7))
    state.close()
    assert remembered(path) == 7


def test_every_changed_byte_but_the_last_newline_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for place in range(0, len(content) - 1, 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert refusal(path).code is ErrorCode.WITNESS_STATE_INVALID


@pytest.mark.parametrize("change", ["remove", "swap", "repeat"])
def test_changed_lines_are_noticed(path: Path, change: str) -> None:
    header, first, second, third = path.read_bytes().splitlines(keepends=True)
    lines = {
        "remove": [header, first, third],
        "swap": [header, second, first, third],
        "repeat": [header, first, second, second, third],
    }[change]
    path.write_bytes(b"".join(lines))
    assert "chain" in refusal(path).message


@pytest.mark.parametrize("then", [cosigned(LOG, 5), cosigned(LOG.fork(9), 9)], ids=["back", "fork"])
def test_a_record_that_takes_an_earlier_one_back_is_refused(path: Path, then: Cosigned) -> None:
    state = StateFile.open(path)
    state.append(then)
    state.close()
    assert "takes back" in refusal(path).message


def test_two_witnesses_cannot_share_a_file(path: Path) -> None:
    state = StateFile.open(path)
    assert refusal(path).code is ErrorCode.WITNESS_STATE_IN_USE
    state.close()
    assert remembered(path) == 9


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert "other accounts" in refusal(path).message


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, path: Path, kind: str) -> None:
    other = tmp_path / "other"
    {
        "folder": other.mkdir,
        "link": lambda: other.symlink_to(path),
        "pipe": lambda: os.mkfifo(other, 0o600),
    }[kind]()
    assert refusal(other).code is ErrorCode.WITNESS_STATE_INVALID


def test_nothing_is_added_to_a_file_that_somebody_else_changed(path: Path) -> None:
    state = StateFile.open(path)
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(SubgraphError, match="was changed"):
        state.append(cosigned(LOG, 9))
    state.close()


def test_nothing_is_added_once_another_file_is_in_its_place(path: Path) -> None:
    state = StateFile.open(path)
    before = path.read_bytes()
    path.rename(path.with_name("old"))
    path.write_bytes(before)
    with pytest.raises(SubgraphError, match="in its place"):
        state.append(cosigned(LOG, 9))
    state.close()


def test_after_a_failed_write_it_refuses_until_it_is_read_anew(path: Path) -> None:
    state = StateFile.open(path)
    whole = os.dup(state._handle)
    reading = os.open(path, os.O_RDONLY)
    os.dup2(reading, state._handle)
    with pytest.raises(SubgraphError):
        state.append(cosigned(LOG, 9))
    os.dup2(whole, state._handle)
    with pytest.raises(SubgraphError, match="a write failed"):
        state.append(cosigned(LOG, 9))
    for handle in (whole, reading):
        os.close(handle)
    state.close()
    assert remembered(path) == 9
