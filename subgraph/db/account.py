"""The operating system's account that the embedded server runs under.

PostgreSQL refuses to run as root, so root lends it an unprivileged account; everyone else runs it
as themselves.
"""

import os
import pwd
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from subgraph.errors import ErrorCode, SubgraphError

_LAUNCH = Path(__file__).with_name("launch.py")
_DEFAULTS = ("postgres", "nobody")
# PGDATA, PGOPTIONS, LD_PRELOAD and the like of our caller are not meant for this server.
_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_LIST_UNREACHABLE = """
for path; do
    if [ -d "$path" ]; then [ -x "$path" ]; else [ -r "$path" ]; fi || printf '%s\\n' "$path"
done
"""


@dataclass(frozen=True)
class Account:
    """An account; `borrowed` when it is not the one this process runs as."""

    name: str
    uid: int
    gid: int
    borrowed: bool

    def own(self, path: Path) -> None:
        """Give a file or folder that this process made to the account."""
        if self.borrowed:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def choose(name: str | None, *, owner: int | None) -> Account:
    """The account `name`; by default the one with the id `owner`, else `postgres` or `nobody`.

    Raises `SETTINGS_INVALID` when there is no such account or it may not be used.
    """
    if os.geteuid() != 0:
        try:
            entry = _entry(os.geteuid())
        except KeyError:
            raise _invalid(
                f"PostgreSQL needs an account, and the user id {os.geteuid()} has none; add it to "
                "/etc/passwd, or set DATABASE_URL"
            ) from None
        if name not in (None, entry.pw_name):
            raise _invalid(f"only root can run PostgreSQL as {name}; this is {entry.pw_name}")
        return Account(entry.pw_name, os.geteuid(), os.getegid(), borrowed=False)
    candidates: Sequence[str | int] = _DEFAULTS
    if name is not None:
        candidates = (name,)
    elif owner is not None:
        candidates = (owner,)
    for candidate in candidates:
        try:
            entry = _entry(candidate)
        except KeyError:
            continue
        if entry.pw_uid == 0:
            raise _invalid("PostgreSQL does not run as root; name an unprivileged account")
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, borrowed=True)
    wanted = " or ".join(str(candidate) for candidate in candidates)
    raise _invalid(f"PostgreSQL does not run as root, and there is no account {wanted}: create one")


def spawn(
    account: Account,
    command: Sequence[str],
    *,
    death_signal: signal.Signals,
    output: IO[bytes] | int,
    inherit: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start `command` as the account, in a session of its own, so that no Ctrl-C reaches it.

    When this process ends, however it ends, the kernel sends `death_signal` to the child. It does
    so when the thread that called this ends; hence only the main thread may call it.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a child that must die with the process is started by its main thread")
    uid, gid = (account.uid, account.gid) if account.borrowed else (-1, -1)
    arguments = [str(number) for number in (os.getpid(), uid, gid, int(death_signal))]
    return subprocess.Popen(  # noqa: S603 - an argument list of ours, no shell
        [sys.executable, "-I", "-S", str(_LAUNCH), *arguments, *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=_ENVIRONMENT,
        umask=0o077,
        start_new_session=True,
        pass_fds=inherit,
    )


def unreachable(account: Account, paths: Sequence[Path]) -> list[str]:
    """Those of `paths` that the account cannot read (files) or walk through (folders).

    Raises `SETTINGS_INVALID` when this process cannot become the account at all.
    """
    child = spawn(
        account,
        ["/bin/sh", "-c", _LIST_UNREACHABLE, "sh", *map(str, paths)],
        death_signal=signal.SIGKILL,
        output=subprocess.PIPE,
    )
    output, _ = child.communicate()
    text = os.fsdecode(output)
    if child.returncode != 0:
        reason = (text.strip().splitlines() or ["no reason given"])[-1]
        raise _invalid(
            f"PostgreSQL cannot be started as {account.name} ({reason}); start the service as an "
            "ordinary user, or set DATABASE_URL"
        )
    return text.splitlines()


def _entry(key: str | int) -> pwd.struct_passwd:
    return pwd.getpwnam(key) if isinstance(key, str) else pwd.getpwuid(key)


def _invalid(message: str) -> SubgraphError:
    return SubgraphError(ErrorCode.SETTINGS_INVALID, message)
