"""Files with a secret: read only if nobody else can, and written so that nobody else can."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from subgraph.errors import ErrorCode, SubgraphError

_MOST_BYTES: Final = 65_536
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def read_private(path: Path) -> bytes:
    """Return the content of a file that only its owner, this account or root, can open.

    Symbolic links are followed, as secrets are mounted through them. Raises `SubgraphError`:
    KEY_NOT_FOUND when there is no file, KEY_UNUSABLE when it cannot be read, is no regular file
    of at most 64 KiB, or when other accounts could read or change it.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            _check(path, os.fstat(file.fileno()))
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise SubgraphError(ErrorCode.KEY_NOT_FOUND, f"{path}: there is no such file") from None
    except OSError as error:
        raise unusable(path, error.strerror or "it cannot be read") from None
    if len(content) > _MOST_BYTES:
        raise unusable(path, "it is larger than any key")
    return content


def create_private(path: Path, content: bytes) -> bool:
    """Make the file (mode 0600) as a whole, durably; False when one was there before.

    Of several processes one makes the file, and the others see it complete. Raises
    `SubgraphError` with KEY_UNUSABLE when it cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _draft(path, content) as draft:
            os.link(draft, path)
        _sync(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise unusable(path, error.strerror or "it cannot be written") from None
    return True


def replace_private(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Write what `change` makes of the file's content in its place, as a whole and durably.

    Of several processes one changes the file after the other, and none overwrites what another
    wrote. Raises `SubgraphError` as `read_private` and `create_private` do.
    """
    with _sole_writer(path):
        content = change(read_private(path))
        try:
            with _draft(path, content) as draft:
                draft.replace(path)
            _sync(path.parent)
        except OSError as error:
            raise unusable(path, error.strerror or "it cannot be written") from None


def unusable(path: Path, reason: str) -> SubgraphError:
    """The error that says what is wrong with a file; never what is in it."""
    return SubgraphError(ErrorCode.KEY_UNUSABLE, f"{path}: {reason}")


def _open(path: str, flags: int) -> int:
    # A pipe must not hold the start up; it is refused once it is open.
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise unusable(path, "it is no regular file")
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise unusable(path, f"other accounts can open it (mode {mode:04o}): run chmod 600")
    if status.st_uid not in (os.geteuid(), 0):
        raise unusable(path, "it belongs to another account")


@contextmanager
def _draft(path: Path, content: bytes) -> Iterator[Path]:
    """A file beside `path` that holds `content` and is on the disk; gone afterwards."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".key-")
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _sole_writer(path: Path) -> Iterator[None]:
    # The folder is locked, not the file, which is another one after every change.
    try:
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        raise SubgraphError(ErrorCode.KEY_NOT_FOUND, f"{path}: there is no such file") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
