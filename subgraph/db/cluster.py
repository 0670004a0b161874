"""The cluster of the embedded server: where it lies, and how it comes into being.

A home folder holds the cluster, its socket folder and its lock. As root all of these are entries
of a folder that root owns, so the server's account cannot redirect what root does in it.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from subgraph.db import survivors
from subgraph.db.account import Account, spawn, unreachable
from subgraph.db.binaries import Binaries
from subgraph.db.datafolder import DataFolder, shared_folder, sync_folder, unusable

_HOME_RECORD = "postgres-home"
_MADE_RECORD = "postgres-version"
_SOCKET_RECORD = "postgres-socket"
_SOCKET_FILES = (".s.PGSQL.5432", ".s.PGSQL.5432.lock")
# sockaddr_un.sun_path holds 108 bytes, the closing zero included.
_LONGEST_SOCKET_PATH = 107
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Home:
    """A folder for one cluster, and the account that the cluster belongs to."""

    path: Path
    account: Account

    @property
    def cluster(self) -> Path:
        """PGDATA."""
        return self.path / "cluster"


def recorded_owner(folder: DataFolder) -> int | None:
    """The user id that the folder's cluster belongs to, or None when there is no cluster yet."""
    home = _recorded(folder)
    try:
        return None if home is None else (home / "cluster").lstat().st_uid
    except FileNotFoundError:
        return None


def settle(folder: DataFolder, account: Account, shared: Path) -> Home:
    """The home of the folder's cluster, made when it is missing, and remembered.

    It lies in the data folder, or below `shared` when the account cannot walk to that. Raises
    `DATA_FOLDER_UNUSABLE` when the account can reach neither.
    """
    inside = folder.path / "postgres"
    path = _recorded(folder)
    if path is None:
        path = inside
        if account.borrowed and unreachable(account, [folder.path.parent]):
            name = hashlib.sha256(os.fsencode(folder.path)).hexdigest()[:16]
            # The random part keeps a new data folder off the cluster of a removed one.
            path = shared / f"{name}-{secrets.token_hex(4)}"
        remembered = path.name if path == inside else str(path)
        folder.write_private(_HOME_RECORD, os.fsencode(remembered))
    if path != inside:
        shared_folder(path.parent)
    elif account.borrowed:
        folder.admit(account.gid)
    _make(path, account)
    return Home(path, account)


async def initialise(
    folder: DataFolder,
    home: Home,
    binaries: Binaries,
    password: str,
    *,
    durable: bool,
    log: IO[bytes],
) -> None:
    """Make the cluster, with `password` for its superuser `ig_admin`, unless it is there.

    It is built beside its place and moved there when it is whole: an interrupted attempt is
    thrown away by the next one. Raises `DATA_FOLDER_UNUSABLE` when `initdb` fails, or the cluster
    is gone, or of another major version or account.
    """
    for leftover in home.path.glob("cluster.new-*"):
        await survivors.stop(leftover, home.account.uid)
        shutil.rmtree(leftover)
    if home.cluster.exists():
        _check(home, binaries)
    elif folder.read_private(_MADE_RECORD) is not None:
        # An empty database in its place would look like one that lost everything.
        raise unusable(
            folder.path,
            f"its database is gone from {home.cluster}; restore it, or choose an empty folder",
        )
    else:
        await _build(home, binaries, password, durable=durable, log=log)
    folder.write_private(_MADE_RECORD, binaries.version.encode())


async def _build(
    home: Home, binaries: Binaries, password: str, *, durable: bool, log: IO[bytes]
) -> None:
    draft = home.path / f"cluster.new-{secrets.token_hex(8)}"
    draft.mkdir(mode=0o700)
    home.account.own(draft)
    await _initdb(home, binaries, draft, password, durable=durable, log=log)
    draft.rename(home.cluster)
    sync_folder(home.path)


def socket_folder(folder: DataFolder, home: Home) -> Path:
    """An empty folder of mode 0700 for the socket, of a path short enough for one."""
    forget_socket_folder(folder, home)
    place = home.path / "socket"
    if _fits(place):
        place.mkdir(mode=0o700, exist_ok=True)
        home.account.own(place)
        for name in _SOCKET_FILES:
            # Left by a crash; its lock file names a pid that may be another process by now.
            (place / name).unlink(missing_ok=True)
        return place
    bases = [Path("/run")] if home.account.borrowed else [Path(tempfile.gettempdir())]
    for base in (*bases, Path("/tmp")):  # noqa: S108 - the folder in it is made by mkdtemp
        if _fits(base / "ig-12345678") and _is_safe_base(base):
            place = Path(tempfile.mkdtemp(prefix="ig-", dir=base))
            folder.write_private(_SOCKET_RECORD, os.fsencode(place))
            home.account.own(place)
            return place
    raise unusable(folder.path, "its path is too long for a socket, and so are the temporary ones")


def forget_socket_folder(folder: DataFolder, home: Home) -> None:
    """Remove the socket folder that lies elsewhere, if there is one."""
    record = folder.read_private(_SOCKET_RECORD)
    if record is None:
        return
    try:
        # By handle: the name may have been taken by someone else since, even as a symbolic link.
        handle = os.open(os.fsdecode(record), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        handle = -1
    if handle >= 0:
        try:
            if os.fstat(handle).st_uid in (home.account.uid, os.geteuid()):
                for name in _SOCKET_FILES:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=handle)
                Path(os.fsdecode(record)).rmdir()
        finally:
            os.close(handle)
    folder.remove_private(_SOCKET_RECORD)


async def _initdb(
    home: Home, binaries: Binaries, draft: Path, password: str, *, durable: bool, log: IO[bytes]
) -> None:
    # Through a pipe: the password is never in a file that the account's other processes could read.
    reader, writer = os.pipe()
    try:
        if home.account.borrowed:
            os.fchown(reader, home.account.uid, home.account.gid)
        os.write(writer, password.encode() + b"\n")
        command = [binaries.program("initdb"), "--pgdata", str(draft), "--username", "ig_admin"]
        command += ["--pwfile", f"/proc/self/fd/{reader}", "--auth", "scram-sha-256"]
        command += ["--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin"]
        command += ["--builtin-locale", "C.UTF-8", "--data-checksums", "--no-instructions"]
        command += [] if durable else ["--no-sync"]
        start = log.seek(0, os.SEEK_END)
        child = spawn(
            home.account, command, death_signal=signal.SIGKILL, output=log, inherit=[reader]
        )
    finally:
        os.close(writer)
        os.close(reader)
    try:
        while child.poll() is None:
            await asyncio.sleep(_POLL_SECONDS)
    except BaseException:
        _kill(child)
        raise
    if child.returncode != 0:
        raise unusable(home.path, f"initdb failed: {last_words(log, start)}")


def last_words(log: IO[bytes], start: int) -> str:
    """The last lines of a log since the offset `start`, as one line of text."""
    log.seek(start)
    lines = log.read().decode("utf-8", "replace").strip().splitlines()
    return " / ".join(line.strip() for line in lines[-4:]) or "it left no message"


def _kill(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.wait()


def _recorded(folder: DataFolder) -> Path | None:
    record = folder.read_private(_HOME_RECORD)
    return None if record is None else folder.path / os.fsdecode(record)


def _make(path: Path, account: Account) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise unusable(path, "it is not a folder of the user that runs this process")
    if not account.borrowed:
        return
    os.chown(path, -1, account.gid)
    path.chmod(0o710)
    if unreachable(account, [path]):
        raise unusable(
            path,
            f"the account {account.name}, which PostgreSQL runs as, cannot reach it; let others "
            "walk through the folders above it (chmod o+x), or set DATABASE_URL",
        )


def _check(home: Home, binaries: Binaries) -> None:
    owner = home.cluster.lstat().st_uid
    if owner != home.account.uid:
        raise unusable(
            home.cluster,
            f"it belongs to the user id {owner}, not to {home.account.name}; name that account, or "
            f"run chown -R {home.account.name} {home.cluster}",
        )
    try:
        version = (home.cluster / "PG_VERSION").read_text("ascii").strip()
    except FileNotFoundError:
        version = "of no version"
    if version != binaries.major:
        raise unusable(
            home.cluster,
            f"PostgreSQL {version} made it and {binaries.version} is installed; move the data with "
            "pg_dump or pg_upgrade, or choose another folder",
        )


def _fits(place: Path) -> bool:
    return len(os.fsencode(place / _SOCKET_FILES[0])) <= _LONGEST_SOCKET_PATH


def _is_safe_base(base: Path) -> bool:
    try:
        status = base.stat()
    except OSError:
        return False
    # Without the sticky bit any user could replace our folder by one of theirs.
    return bool(status.st_mode & stat.S_ISVTX) or not status.st_mode & 0o022
