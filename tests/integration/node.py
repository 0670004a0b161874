"""Node processes of the test suite: one-shot scripts and servers."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "schema.graphql"
NEIGHBOUR_SCHEMA = ROOT / "tests" / "neighbour" / "schema.graphql"

_OWN_NODE = ROOT / ".node" / "bin" / "node"
_READY = " ready at "


class NodeFailed(Exception):
    """A Node process ended with an error; the message is what it said."""


@dataclass(frozen=True)
class NodeServer:
    """A running Node server: its address, and the process for tests that end it themselves."""

    url: str
    process: subprocess.Popen[str]


def run_json(script: str, *arguments: str) -> Any:
    """Run the script (a path below the root) and return the JSON document that it prints.

    Raises `NodeFailed` when it ends with another code than 0.
    """
    done = subprocess.run(
        [_node(), str(_installed(script)), *arguments],
        capture_output=True,
        text=True,
        env=_environment({}),
        check=False,
    )
    if done.returncode != 0:
        raise NodeFailed(done.stderr)
    return json.loads(done.stdout)


@contextmanager
def server(script: str, settings: Mapping[str, str], *arguments: str) -> Iterator[NodeServer]:
    """Run the script until it prints that it is ready, and end it with SIGTERM afterwards.

    Raises `NodeFailed` when it ends before that.
    """
    with tempfile.TemporaryFile("w+") as messages:
        process = subprocess.Popen(
            [_node(), str(_installed(script)), *arguments],
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            env=_environment(settings),
        )
        try:
            line = process.stdout.readline() if process.stdout else ""
            if _READY not in line:
                process.wait()
                messages.seek(0)
                raise NodeFailed(messages.read())
            yield NodeServer(line.partition(_READY)[2].strip(), process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait()
            if process.stdout:
                process.stdout.close()


def _node() -> str:
    node = str(_OWN_NODE) if _OWN_NODE.exists() else shutil.which("node")
    if node is None:
        raise NodeFailed("Node is missing: run `make node`")
    return node


def _installed(script: str) -> Path:
    path = ROOT / script
    if not (path.parent / "node_modules").is_dir():
        raise NodeFailed(f"the packages of {path.parent} are missing: run `make node`")
    return path


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    # Settings of the shell that runs the suite must not reach a server under test.
    return {"PATH": os.environ["PATH"], **settings}
