"""The witness of a stack: a process with a key and a memory of its own, beside the data folder.

On one machine it cannot be out of the reach of whoever restores a backup of everything. Beside
the data folder it is at least not restored with it.
"""

import asyncio
import logging
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from subgraph.cli import children
from subgraph.cli.listening import listen
from subgraph.cli.witness import STATE, witness_command
from subgraph.db.datafolder import DataFolder
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.origin import deployment_log
from subgraph.ledger.runtime import open_root
from subgraph.ledger.witness.state import StateFile
from subgraph.settings import Settings

_log = logging.getLogger(__name__)

_ROOT = "ledger-root.pub"
_VERIFIERS = "verifiers"
_PREDECESSOR_SECONDS = 15.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class WitnessProcess:
    """A witness that was started; it may not answer yet, but what it is asked waits for it."""

    process: children.Child
    url: str
    verifiers: Path

    def told_to(self, settings: Settings) -> Settings:
        """The settings of whoever is to ask this witness."""
        return msgspec.structs.replace(
            settings, witness_url=self.url, witness_verifiers_file=str(self.verifiers)
        )

    async def answers(self, stopping: asyncio.Event) -> bool:
        """Wait until it has told its verifiers; False when it ended or `stopping` came first."""
        while not self.verifiers.exists():
            if self.process.poll() is not None or stopping.is_set():
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True


def place(folder: DataFolder) -> Path:
    """The witness's own folder."""
    return folder.path.with_name(f"{folder.path.name}-witness")


async def start(folder: DataFolder, settings: Settings) -> WitnessProcess:
    """Start a witness for the ledgers of `folder`, on a free port of the loopback interface.

    Raises `DATA_FOLDER_UNUSABLE` when its folder cannot be used, or remembers ledgers that a new
    data folder cannot have; `WITNESS_STATE_IN_USE` when another witness runs on it and does not
    end; `WITNESS_STATE_INVALID`; and what opening the root key raises.
    """
    own = place(folder)
    _make(own)
    known = folder.read_private(_ROOT) is not None
    remembers = await _remembers(own / STATE)
    if remembers and not known:
        message = (
            f"{folder.path} is new, and the witness in {own} remembers the ledgers of another"
            f" data folder at this place: put that one back, or remove {own} too"
        )
        raise SubgraphError(ErrorCode.DATA_FOLDER_UNUSABLE, message)
    if known and not remembers:
        _log.warning("the witness in %s begins anew: it knows nothing of what was before", own)
    root = folder.path / "private" / _ROOT
    folder.write_private(_ROOT, await _root_pem(settings))
    verifiers = own / _VERIFIERS
    verifiers.unlink(missing_ok=True)
    base = settings.ledger_origin
    logs = {deployment_log(base): root, f"{base}/tenant/*": root}
    with listen("127.0.0.1", 0) as listener:
        descriptor = listener.fileno()
        command = witness_command(listen_fd=descriptor, folder=own, verifiers=verifiers, logs=logs)
        process = children.start(command, _environment(folder), descriptor)
        return WitnessProcess(process, f"http://127.0.0.1:{listener.getsockname()[1]}", verifiers)


def _make(own: Path) -> None:
    remedy = "allow it, or run without a witness: IG_WITNESS_URL=off"
    try:
        own.mkdir(mode=0o700, exist_ok=True)
        status = own.lstat()
    except OSError as error:
        message = f"the witness's folder {own} cannot be used: {error.strerror}; {remedy}"
        raise SubgraphError(ErrorCode.DATA_FOLDER_UNUSABLE, message) from None
    private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    if not private or status.st_uid != os.geteuid():
        message = f"the witness's folder {own} must be a folder for this user only (mode 0700)"
        raise SubgraphError(ErrorCode.DATA_FOLDER_UNUSABLE, message)


async def _remembers(state: Path) -> bool:
    """Whether anything was cosigned; waits for a predecessor that is about to end."""
    deadline = time.monotonic() + _PREDECESSOR_SECONDS
    while state.exists():
        try:
            memory = StateFile.open(state)
        except SubgraphError as error:
            if error.code is not ErrorCode.WITNESS_STATE_IN_USE or time.monotonic() > deadline:
                raise
            await asyncio.sleep(_POLL_SECONDS)
            continue
        try:
            return any(True for _ in memory.origins())
        finally:
            memory.close()
    return False


async def _root_pem(settings: Settings) -> bytes:
    root = await open_root(settings)
    try:
        return root.public_key_pem.encode()
    finally:
        await root.close()


def _environment(folder: DataFolder) -> dict[str, str]:
    """What the witness may know: none of the service's secrets."""
    ours = ("IG_", "DATABASE_URL", "OPA_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "IG_DATA_DIR": str(folder.path)}
