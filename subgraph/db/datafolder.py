"""The data folder: one private folder of one running process.

It holds the embedded database, generated passwords and development keys. Whoever has it open has
an exclusive lock on it for the life of the process, so what a crashed predecessor left behind can
be mended without a rival.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from subgraph.errors import ErrorCode, SubgraphError

LOCK_NAME = "subgraph.lock"
_PRIVATE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
# A volume that is mounted as the data folder has this entry from birth.
_FOREIGN_BUT_HARMLESS = {"lost+found"}


@dataclass(frozen=True)
class DataFolder:
    """An open data folder; `path` is absolute and free of symbolic links."""

    path: Path
    _lock: int = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Create the folder (mode 0700) if it is missing, and lock it.

        Missing parents are created with the process's umask; existing ones are never touched.
        Raises `DATA_FOLDER_IN_USE` when another process has it open, `DATA_FOLDER_UNUSABLE` when
        it is no folder, belongs to another user, cannot be written or holds other people's files.
        """
        real = Path(os.path.realpath(path))
        try:
            real.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_foreign(real)
            lock = lock_file(real / LOCK_NAME)
        except OSError as error:
            raise unusable(real, _explain(real, error)) from error
        try:
            # Only under the lock: another process may have let its server's account in.
            real.chmod(0o700)
            private = real / "private"
            private.mkdir(mode=0o700, exist_ok=True)
            for leftover in private.glob(".*"):
                leftover.unlink()
        except OSError as error:
            unlock_file(lock)
            raise unusable(real, _explain(real, error)) from error
        return cls(real, lock)

    def close(self) -> None:
        """Give the folder back. Call it once, after everything that runs in it has stopped."""
        unlock_file(self._lock)

    def admit(self, gid: int) -> None:
        """Let the group `gid` walk through the folder (mode 0710), not list it; root only."""
        os.chown(self.path, -1, gid)
        self.path.chmod(0o710)

    def read_private(self, name: str) -> bytes | None:
        """The content of a private file, or None when there is none.

        Raises `DATA_FOLDER_UNUSABLE` when it exists and cannot be read.
        """
        path = self._private(name)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(self.path, _explain(path, error)) from error
        with os.fdopen(handle, "rb") as file:
            return file.read()

    def write_private(self, name: str, content: bytes) -> None:
        """Replace a private file (mode 0600) as a whole; it is on disk when this returns.

        Raises `DATA_FOLDER_UNUSABLE` when it cannot be written; the old content then remains.
        """
        path = self._private(name)
        draft = path.with_name(f".{secrets.token_hex(8)}")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
            sync_folder(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise unusable(self.path, _explain(path, error)) from error

    def remove_private(self, name: str) -> None:
        """Remove a private file, if it is there."""
        self._private(name).unlink(missing_ok=True)

    def _private(self, name: str) -> Path:
        if not _PRIVATE_NAME.fullmatch(name):
            raise ValueError(f"not a name of a private file: {name!r}")
        return self.path / "private" / name


def lock_file(path: Path) -> int:
    """Lock `path` exclusively, write our pid into it, and return the handle for `unlock_file`.

    Child processes do not inherit the handle. Raises `DATA_FOLDER_IN_USE`, which names the
    holder's pid, when another process has the lock, and `OSError` when it cannot be taken.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
            os.close(handle)
            raise _in_use(path.parent, holder) from None
        except BaseException:
            os.close(handle)
            raise
        if _is_still(path, handle):
            os.ftruncate(handle, 0)
            os.pwrite(handle, b"%d\n" % os.getpid(), 0)
            return handle
        # The folder was removed and made anew between opening and locking.
        os.close(handle)


def unlock_file(handle: int) -> None:
    """Give up a lock of `lock_file`, even if a forked process still has the handle."""
    fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable, as fsync(2) asks of whoever renames a file."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def shared_folder(path: Path) -> None:
    """Make the folder for what root shares with unprivileged accounts: others walk, root writes.

    Raises `DATA_FOLDER_UNUSABLE` when it is there and somebody else could write into it.
    """
    try:
        path.mkdir(mode=0o711, parents=True)
        path.chmod(0o711)
    except FileExistsError:
        pass
    except OSError as error:
        raise unusable(path, _explain(path, error)) from error
    status = path.lstat()
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    if not is_ours or status.st_mode & 0o022:
        raise unusable(path, "it must be a folder that only the user of this process can write")


def unusable(path: Path, remedy: str) -> SubgraphError:
    """The error that says why the folder `path` cannot be used, and what to do."""
    return SubgraphError(
        ErrorCode.DATA_FOLDER_UNUSABLE, f"the data folder {path} cannot be used: {remedy}"
    )


def _in_use(folder: Path, holder: str) -> SubgraphError:
    if not holder.isdigit():
        return SubgraphError(
            ErrorCode.DATA_FOLDER_IN_USE, f"another process runs on the data folder {folder}"
        )
    return SubgraphError(
        ErrorCode.DATA_FOLDER_IN_USE,
        f"the process {holder} runs on the data folder {folder}",
        pid=int(holder),
    )


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _refuse_foreign(path: Path) -> None:
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    if status.st_uid != os.geteuid():
        raise unusable(
            path,
            f"it belongs to the user id {status.st_uid} and this process runs as {os.geteuid()}; "
            "start it as that user, or choose another folder",
        )
    entries = {entry.name for entry in path.iterdir()}
    # Its permissions are about to be narrowed: a home or a project folder must not be hit.
    if LOCK_NAME not in entries and entries - _FOREIGN_BUT_HARMLESS:
        raise unusable(path, "it holds files of something else; choose an empty or a new folder")


def _explain(path: Path, error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "it, or a part of its path, is a file; choose another folder"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.filename or path} cannot be written; choose another folder, or allow it"
    return f"{error.filename or path}: {os.strerror(error.errno or 0)}"
