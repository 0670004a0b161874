"""Server processes that outlived the process which started them.

The caller holds the lock of the folder, so whatever still runs on its cluster is a leftover. A
process counts as one of the cluster only if it runs as the cluster's account, calls itself
`postgres`, and works in the cluster's folder; a pid file alone proves nothing, as pids are reused.
"""

import asyncio
import hashlib
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from subgraph.errors import ErrorCode, SubgraphError

_POLL_SECONDS = 0.01
# In postmaster.pid, counted from zero.
_STATE_LINE = 7
_FAST_SECONDS = 20.0
_IMMEDIATE_SECONDS = 5.0


def cluster_name(cluster: Path) -> str:
    """The name that the server's processes show in their titles, distinct for each folder."""
    return "governance-" + hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]


def processes(cluster: Path, uid: int) -> list[int]:
    """The pids of all server processes of the cluster."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if _belongs(pid, cluster, uid)]


async def stop(cluster: Path, uid: int) -> None:
    """Stop every server process of the cluster: fast, then immediate, then by force.

    Afterwards neither a pid file nor the memory of another server keeps a new one from starting.
    Raises `DATA_FOLDER_IN_USE` when a process survives even that (it hangs in the kernel).
    """
    postmaster = read_pid_file(cluster)[0]
    if postmaster in processes(cluster, uid):
        _send(postmaster, cluster, uid, signal.SIGINT)
        await _gone(cluster, uid, _FAST_SECONDS)
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for pid in processes(cluster, uid):
            _send(pid, cluster, uid, number)
        await _gone(cluster, uid, _IMMEDIATE_SECONDS)
    left = processes(cluster, uid)
    if left:
        raise SubgraphError(
            ErrorCode.DATA_FOLDER_IN_USE,
            f"the database process {left[0]} of {cluster} does not end",
            pid=left[0],
        )
    # Its pid may be another process by now, which a new server would take for a rival.
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def read_pid_file(cluster: Path) -> tuple[int, str]:
    """The pid and the state (`starting`, `ready`, ...) in the pid file; 0 and "" without one."""
    try:
        handle = os.open(cluster / "postmaster.pid", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            lines = file.read(4096).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return 0, ""
    pid = int(lines[0]) if lines and lines[0].strip().isdecimal() else 0
    return pid, "".join(lines[_STATE_LINE : _STATE_LINE + 1]).strip()


def _belongs(pid: int, cluster: Path, uid: int) -> bool:
    process = Path("/proc") / str(pid)
    try:
        if process.joinpath("comm").read_bytes() != b"postgres\n":
            return False
        for line in process.joinpath("status").read_text("utf-8", "replace").splitlines():
            if line.startswith("Uid:") and int(line.split()[2]) != uid:
                return False
        try:
            return process.joinpath("cwd").samefile(cluster)
        except PermissionError:
            # Root in a container often may not look at the folder of another user's process.
            return _calls_itself(process.joinpath("cmdline").read_bytes(), cluster)
    except OSError:
        return False


def _calls_itself(command: bytes, cluster: Path) -> bool:
    title = f"postgres: {cluster_name(cluster)}: ".encode()
    arguments = command.split(b"\0")
    return command.startswith(title) or arguments[1:3] == [b"-D", os.fsencode(cluster)]


def _send(pid: int, cluster: Path, uid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            # Checked again: the handle pins the process, the pid alone could have been reused.
            if _belongs(pid, cluster, uid):
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


async def _gone(cluster: Path, uid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while processes(cluster, uid):
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(_POLL_SECONDS)
