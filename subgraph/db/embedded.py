"""The embedded PostgreSQL: a child process of ours, on a socket that only we can open.

It ends with this process, however that ends, and a start repairs what a crash left behind.
"""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO
from urllib.parse import quote

import asyncpg

from subgraph.db import binaries, cluster, roles, survivors
from subgraph.db.account import choose, spawn
from subgraph.db.cluster import Home
from subgraph.db.datafolder import LOCK_NAME, DataFolder, lock_file, unlock_file, unusable
from subgraph.db.roles import Role
from subgraph.errors import ErrorCode, SubgraphError

DATABASE = "governance"
SHARED = Path("/var/lib/governance-subgraph")

_PASSWORDS = "postgres-passwords.json"
_LOG_BYTES = 16 * 1024 * 1024
_POLL_SECONDS = 0.01
# Recovery after a crash replays at most max_wal_size, which can take long on a slow disk.
_START_SECONDS = 300.0
_FAST_SECONDS = 20.0
_IMMEDIATE_SECONDS = 5.0

_SETTINGS: Mapping[str, str] = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    # Small reads on few cores: workers for parallel queries and for I/O cost more than they give.
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",
    "jit": "off",
    "huge_pages": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    # Statements and the details of errors hold tenants' values.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
_NOT_DURABLE: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class EmbeddedServer:
    """A running server; `start` makes it."""

    def __init__(
        self,
        *,
        folder: DataFolder,
        home: Home,
        process: "subprocess.Popen[bytes]",
        socket_folder: Path,
        passwords: Mapping[Role, str],
        held: ExitStack,
    ) -> None:
        self.socket_folder = socket_folder
        self.process = process
        self._folder = folder
        self._home = home
        self._passwords = passwords
        self._held = held
        self._stopped = False

    def url(self, role: Role, database: str = DATABASE) -> str:
        """A libpq URL that logs `role` in to `database`; it holds the role's password."""
        user, password = role.value, quote(self._passwords[role], safe="")
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql://{user}:{password}@/{quote(database, safe='')}?host={host}"

    async def stop(self) -> None:
        """Shut down: fast, then immediate, then by force. Does nothing the second time.

        When it is cancelled the server shuts down immediately, behind its back.
        """
        if self._stopped:
            return
        self._stopped = True
        try:
            for number, seconds in (
                (signal.SIGINT, _FAST_SECONDS),
                (signal.SIGQUIT, _IMMEDIATE_SECONDS),
                (signal.SIGKILL, _IMMEDIATE_SECONDS),
            ):
                self.process.send_signal(number)
                if await self._ended(seconds):
                    break
            await survivors.stop(self._home.cluster, self._home.account.uid)
            cluster.forget_socket_folder(self._folder, self._home)
        except asyncio.CancelledError:
            self.process.send_signal(signal.SIGQUIT)
            raise
        finally:
            self._held.close()

    async def _ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True


async def start(
    folder: DataFolder,
    *,
    durable: bool = True,
    settings: Mapping[str, str] | None = None,
    account: str | None = None,
    shared: Path = SHARED,
) -> EmbeddedServer:
    """Start the server of `folder`, with its database `governance` and roles; make what is missing.

    Must run in the main thread. `durable=False` gives up crash safety for speed. `settings` are
    further server settings. As root the server runs as `account` (the owner of an existing
    cluster, else `postgres` or `nobody`), and `shared` takes what that account cannot reach
    where it is. A server left over from a crash is stopped first.

    Raises `DATA_FOLDER_UNUSABLE`, `DATA_FOLDER_IN_USE` or `SETTINGS_INVALID`; each says what to do.
    """
    if sys.platform != "linux":
        raise SubgraphError(
            ErrorCode.SETTINGS_INVALID, "the embedded PostgreSQL needs Linux; set DATABASE_URL"
        )
    owner = choose(account, owner=cluster.recorded_owner(folder))
    installed = binaries.readable_by(owner, binaries.locate(), shared)
    home = cluster.settle(folder, owner, shared)
    with _open_log(folder.path / "postgresql.log") as log, ExitStack() as held:
        # A copy of a data folder leads to the same cluster when that lies elsewhere.
        held.callback(unlock_file, lock_file(home.path / LOCK_NAME))
        passwords = _passwords(folder)
        await cluster.initialise(
            folder, home, installed, passwords[Role.ADMIN], durable=durable, log=log
        )
        await survivors.stop(home.cluster, owner.uid)
        socket_folder = cluster.socket_folder(folder, home)
        values = {
            **_SETTINGS,
            **({} if durable else _NOT_DURABLE),
            **(settings or {}),
            "listen_addresses": "",
            "unix_socket_directories": str(socket_folder),
            "unix_socket_permissions": "0700",
            "cluster_name": survivors.cluster_name(home.cluster),
        }
        command = [installed.program("postgres"), "-D", str(home.cluster)]
        command += [part for name, value in values.items() for part in ("-c", f"{name}={value}")]
        offset = log.seek(0, os.SEEK_END)
        process = spawn(owner, command, death_signal=signal.SIGINT, output=log)
        server = EmbeddedServer(
            folder=folder,
            home=home,
            process=process,
            socket_folder=socket_folder,
            passwords=passwords,
            held=held.pop_all(),
        )
        try:
            await _ready(server, home.cluster, log, offset)
            await _prepare(server, folder)
        except BaseException:
            await server.stop()
            raise
    return server


async def _ready(server: EmbeddedServer, cluster_path: Path, log: IO[bytes], offset: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        if survivors.read_pid_file(cluster_path) == (server.process.pid, "ready"):
            return
        await asyncio.sleep(_POLL_SECONDS)
    reason = cluster.last_words(log, offset)
    raise unusable(cluster_path, f"PostgreSQL did not start: {reason}")


async def _prepare(server: EmbeddedServer, folder: DataFolder) -> None:
    try:
        admin = await asyncpg.connect(server.url(Role.ADMIN, "postgres"))
    except asyncpg.InvalidPasswordError as error:
        raise unusable(
            folder.path,
            f"private/{_PASSWORDS} does not fit the database; restore both from the same backup, "
            "or choose an empty folder",
        ) from error
    try:
        await roles.ensure(admin, passwords=_passwords(folder), database=DATABASE)
        await admin.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
    finally:
        await admin.close()
    owner = await asyncpg.connect(server.url(Role.OWNER))
    try:
        await roles.seal(owner)
    finally:
        await owner.close()


def _passwords(folder: DataFolder) -> dict[Role, str]:
    """One password a role; they are on disk before any server knows them."""
    stored = json.loads(folder.read_private(_PASSWORDS) or "{}")
    if set(stored) != {role.value for role in Role}:
        stored = {role.value: stored.get(role.value, secrets.token_urlsafe(32)) for role in Role}
        folder.write_private(_PASSWORDS, json.dumps(stored).encode())
    return {role: stored[role.value] for role in Role}


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.rename(path.with_suffix(".log.1"))
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)
