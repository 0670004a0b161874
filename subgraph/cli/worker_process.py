"""A worker process of `ig serve --workers N`: it ends with its supervisor."""

import ctypes
import multiprocessing
import os
import signal
import sys

from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE

from subgraph import app
from subgraph.errors import SubgraphError

_PR_SET_PDEATHSIG = 1


def create() -> ASGIApp:
    """The application, in a process that a killed supervisor does not leave behind.

    Exits with the status that makes the supervisor give up when the application cannot be made:
    it would fail the same way again.
    """
    _end_with_supervisor()
    try:
        return app.create()
    except SubgraphError as error:
        print(f"ig: {error.code.name}: {error.message}", file=sys.stderr)
        sys.exit(STARTUP_FAILURE)


def _end_with_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    if supervisor is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, *map(ctypes.c_ulong, (signal.SIGTERM, 0, 0, 0)))
    if os.getppid() != supervisor.pid:
        # It died before the request, which then sends no signal any more.
        sys.exit("the supervisor is gone")
