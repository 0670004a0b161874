"""`ig` as a process of its own."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Command:
    """A running command; `log` is what it printed."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait(self) -> int:
        return self.process.wait(60)

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that happens while it runs."""
        while not holds():
            if self.process.poll() is not None:
                pytest.fail(f"it ended early: {self.said[-3000:]}")
            time.sleep(0.05)


def bare_environment() -> dict[str, str]:
    """This process's environment without what configures the subgraph."""
    ours = ("IG_", "DATABASE_URL", "OPA_URL", "OTEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@contextmanager
def ig(
    arguments: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    *,
    python: str = sys.executable,
    **options: object,
) -> Iterator[Command]:
    """Run `ig`; when it is left the process is killed, if it still runs."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # type: ignore[call-overload]
            [python, "-m", "subgraph.cli.main", *arguments],
            cwd=ROOT,
            env={**bare_environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **options,
        )
    try:
        yield Command(process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def answers(url: str) -> tuple[int, Any] | None:
    """The status and the JSON of a page; None while nobody listens."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=10)
    try:
        connection.request("GET", place.path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def status(url: str) -> int | None:
    answer = answers(url)
    return None if answer is None else answer[0]


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


def descendants(pid: int) -> set[int]:
    """The processes that a process started, and those that they started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found
