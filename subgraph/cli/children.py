"""Child processes that do not outlive the process that started them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from subgraph.db import launch

_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.02

Child = subprocess.Popen[bytes]


def start(command: Sequence[str], environment: Mapping[str, str], *descriptors: int) -> Child:
    """Start `command` in a session of its own, with the listening sockets `descriptors`.

    It gets SIGTERM when this process ends, however that ends.
    """
    keep_user = -1
    launch_arguments = [os.getpid(), keep_user, keep_user, int(signal.SIGTERM)]
    launched = [sys.executable, "-I", "-S", launch.__file__, *map(str, launch_arguments)]
    return subprocess.Popen(  # noqa: S603 the command is made here, of constants and paths
        [*launched, *command],
        env=environment,
        pass_fds=descriptors,
        start_new_session=True,
    )


async def stop(child: Child) -> None:
    """Ask the child to end, and end it by force when it does not."""
    child.terminate()
    for _ in range(int(_STOP_SECONDS / _POLL_SECONDS)):
        if child.poll() is not None:
            return
        await asyncio.sleep(_POLL_SECONDS)
    child.kill()
    child.wait()


def ended(started: Mapping[str, Child]) -> list[str]:
    """The names of the children that run no more."""
    return [name for name, child in started.items() if child.poll() is not None]
