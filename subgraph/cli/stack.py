"""Everything on one machine: PostgreSQL, server, worker and witness, children of one process.

The parent owns the data folder. It starts the children in order, stops them in reverse, and
neither outlives it.
"""

import asyncio
import contextlib
import ipaddress
import os
import secrets
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from subgraph.cli import children, running, witnessing
from subgraph.cli.children import Child
from subgraph.cli.listening import listen
from subgraph.db import embedded
from subgraph.db.datafolder import DataFolder
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.migrations import HEAD
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from subgraph.http import development_tokens
from subgraph.settings import Settings

DESCRIPTION = "demo.json"
_RESTART_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Running:
    """What an action on a running stack can use."""

    folder: DataFolder
    settings: Settings
    url: str


Action = Callable[[Running], Awaitable[None]]


async def _nothing(_: Running) -> None:
    """No action."""


class Stack:
    """Runs the parts until a signal comes or one of them ends.

    `DESCRIPTION` in the data folder, which `ready` may write, is there only while the server runs.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int = 1,
        witness: bool = False,
        prepare: Action,
        ready: Action,
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._witness = witness and settings.witness_url is None
        self._prepare = prepare
        self._ready = ready

    @classmethod
    def run(
        cls,
        settings: Settings,
        *,
        workers: int = 1,
        witness: bool = False,
        prepare: Action = _nothing,
        ready: Action = _nothing,
    ) -> int:
        """Run until SIGINT or SIGTERM; 0 then, 1 when a part ended by itself.

        `witness` starts one too, unless the settings say which one there is. `prepare` is called
        once the database is migrated, `ready` once the server answers. Raises `PORT_IN_USE`,
        `DATA_FOLDER_IN_USE`, `DATA_FOLDER_UNUSABLE`, and what `witnessing.start` raises.
        """
        stack = cls(settings, workers=workers, witness=witness, prepare=prepare, ready=ready)
        return asyncio.run(stack.live())

    async def live(self) -> int:
        """Start the parts, wait, stop them; see `run`."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        async with contextlib.AsyncExitStack() as parts:
            folder = DataFolder.open(self._settings.data_path)
            parts.callback(folder.close)
            description = folder.path / DESCRIPTION
            description.unlink(missing_ok=True)
            parts.callback(description.unlink, missing_ok=True)
            listener = parts.enter_context(listen(self._settings.host, self._settings.port))
            settings, started = self._settings, dict[str, Child]()
            # It gets ready while PostgreSQL starts.
            witness = await witnessing.start(folder, settings) if self._witness else None
            if witness is not None:
                started["the witness"] = witness.process
                parts.push_async_callback(children.stop, witness.process)
                settings = witness.told_to(settings)
            database = await embedded.start(folder)
            started["PostgreSQL"] = database.process
            parts.push_async_callback(database.stop)
            settings = complete(settings, folder, database)
            assert settings.database_owner_url is not None
            await _migrate(settings.database_owner_url)
            if witness is not None and not await witness.answers(stopping):
                return _outcome(started, stopping)
            running.describe(folder, settings)
            parts.callback(running.forget, folder)
            state = Running(folder, settings, _address(listener))
            await self._prepare(state)
            server = _start_server(settings, listener, self._workers)
            started["the server"] = server
            parts.push_async_callback(children.stop, server)
            worker = _Worker(settings)
            parts.push_async_callback(worker.stop)
            if not await _answers(state, started, stopping):
                return _outcome(started, stopping)
            await self._ready(state)
            return await _wait(started, stopping, worker)


async def _migrate(owner_dsn: str) -> None:
    """Bring the database up to date; on most starts it is, and Alembic need not be loaded."""
    async with operator_transaction(owner_dsn) as transaction:
        marked = await transaction.row("SELECT to_regclass('alembic_version') IS NOT NULL AS made")
        if marked is not None and marked["made"]:
            current = await transaction.row("SELECT version_num FROM alembic_version")
            if current is not None and current["version_num"] == HEAD:
                return
    from subgraph.db import migrate

    await migrate.upgrade(owner_dsn)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if listener.family == socket.AF_INET6 else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def complete(settings: Settings, folder: DataFolder, database: EmbeddedServer) -> Settings:
    """The settings with the database's addresses, and development secrets where none is set."""
    key = development_tokens.load_or_create(settings) if not settings.production else None
    named = settings.jwt_jwks_url or settings.jwt_public_key_file
    return msgspec.structs.replace(
        settings,
        database_url=database.url(Role.SERVICE),
        database_system_url=database.url(Role.SYSTEM),
        database_owner_url=database.url(Role.OWNER),
        cursor_key=settings.cursor_key or _secret(folder, "cursor-key"),
        gateway_secret=settings.gateway_secret or _secret(folder, "gateway-secret"),
        jwt_public_key_file=settings.jwt_public_key_file
        if named or key is None
        else str(key.key_set_file),
    )


def environment(settings: Settings) -> Mapping[str, str]:
    """The environment in which a child reads `settings` again."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IG_")}
    bare = {"database_url": "DATABASE_URL", "opa_url": "OPA_URL"}
    for name, value in msgspec.structs.asdict(settings).items():
        if value is not None and name != "database_owner_url":
            kept[bare.get(name, f"IG_{name.upper()}")] = _written(value)
    return kept


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _secret(folder: DataFolder, name: str) -> str:
    known = folder.read_private(name)
    if known is None:
        known = secrets.token_hex(32).encode()
        folder.write_private(name, known)
    return known.decode()


def _start_server(settings: Settings, listener: socket.socket, workers: int) -> Child:
    descriptor = listener.fileno()
    command = [sys.executable, "-m", "subgraph.cli.main", "serve", "--workers", str(workers)]
    command += ["--listen-fd", str(descriptor)]
    return children.start(command, environment(settings), descriptor)


class _Worker:
    """The worker, which is started again when it ends: its jobs go on where they were."""

    def __init__(self, settings: Settings) -> None:
        self._command = [sys.executable, "-m", "subgraph.cli.main", "worker"]
        self._environment = environment(settings)
        self._start()

    def keep(self) -> None:
        """Start it again if it has ended, unless that was just done."""
        if self._child.poll() is None or time.monotonic() - self._started < _RESTART_SECONDS:
            return
        status = self._child.returncode
        print(f"ig: the worker ended with status {status}; it is started again", file=sys.stderr)
        self._start()

    async def stop(self) -> None:
        """Ask it to end."""
        await children.stop(self._child)

    def _start(self) -> None:
        self._started = time.monotonic()
        self._child = children.start(self._command, self._environment)


async def _answers(state: Running, started: Mapping[str, Child], stopping: asyncio.Event) -> bool:
    """Wait until the server is ready; False when a part ended or a signal came first."""
    while not children.ended(started) and not stopping.is_set():
        if await asyncio.to_thread(_is_ready, f"{state.url}/readyz"):
            return True
        await asyncio.sleep(0.02)
    return False


def _is_ready(url: str) -> bool:
    # A proxy that the environment names is for other machines.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=5) as response:
            return bool(response.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False


async def _wait(started: Mapping[str, Child], stopping: asyncio.Event, worker: _Worker) -> int:
    while not stopping.is_set():
        if children.ended(started):
            return _outcome(started, stopping)
        worker.keep()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 0.5)
    return 0


def _outcome(started: Mapping[str, Child], stopping: asyncio.Event) -> int:
    """The exit status, with the reason on stderr when a part ended by itself."""
    if stopping.is_set():
        return 0
    for name in children.ended(started):
        print(f"ig: {name} ended with status {started[name].returncode}", file=sys.stderr)
    return 1
