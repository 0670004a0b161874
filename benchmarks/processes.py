"""Starts, asks and stops the server processes of the arms."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import orjson

from benchmarks.arms.server import PROCESS_PATH
from subgraph.db import launch

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_KEEP_USER = -1


@dataclass(frozen=True, slots=True)
class Use:
    """What a process has used since it started."""

    cpu_seconds: float
    collections: tuple[int, ...]
    """Garbage collections by generation."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running arm."""

    address: tuple[str, int]
    process: "subprocess.Popen[bytes]"

    def use(self) -> Use:
        """What its process has used."""
        connection = http.client.HTTPConnection(*self.address, timeout=_START_SECONDS)
        try:
            connection.request("GET", PROCESS_PATH)
            told = orjson.loads(connection.getresponse().read())
        finally:
            connection.close()
        return Use(told["cpu_ns"] / 1e9, tuple(told["collections"]))


@contextmanager
def serving(factory: str, environment: Mapping[str, str], core: int | None) -> Iterator[Server]:
    """Serve the application that `factory` (`module:function`) makes, on a core of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        # It ends with this process, however that ends, and a ^C is ours to handle.
        tie = [os.getpid(), _KEEP_USER, _KEEP_USER, int(signal.SIGTERM)]
        descriptor = listener.fileno()
        command = [sys.executable, "-I", "-S", launch.__file__, *map(str, tie)]
        command += [sys.executable, "-m", "benchmarks.arms.server", factory]
        process = subprocess.Popen(
            [*command, str(descriptor), str(-1 if core is None else core)],
            env=_inherited() | dict(environment),
            pass_fds=[descriptor],
            start_new_session=True,
        )
        server = Server(listener.getsockname(), process)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        _stop(process)


def _inherited() -> dict[str, str]:
    """The environment without settings of a service that the caller may have configured."""
    prefixes = ("IG_", "OTEL_", "DATABASE_", "OPA_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            server.use()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("an arm did not start")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
