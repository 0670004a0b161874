"""What the run ran on, without names of machines or places; and whose CPU was used."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

GENERATOR_CORE = 1
SERVER_CORE = 0

_PACKAGES = (
    "strawberry-graphql", "graphql-core", "starlette", "uvicorn", "uvloop", "httptools", "asyncpg",
    "orjson", "msgspec", "pyjwt", "cryptography", "hdrhistogram",
)  # fmt: skip
_SOURCES = ("subgraph", "resolvers", "dataloaders", "persisted_queries", "benchmarks")
_ROOT = Path(__file__).parents[1]


def separate_cores() -> int | None:
    """Keep this process and its children off the servers' core; that core, or None for one core."""
    available = os.sched_getaffinity(0)
    if not {SERVER_CORE, GENERATOR_CORE} <= available:
        return None
    os.sched_setaffinity(0, {GENERATOR_CORE})
    return SERVER_CORE


@contextmanager
def all_cores() -> Iterator[None]:
    """Let this thread, and threads that it starts, run on the servers' core too."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before | ({SERVER_CORE} if GENERATOR_CORE in before else set()))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def busy_seconds() -> float:
    """CPU time that the whole machine has used, time that its host took away included."""
    user, nice, system, _idle, _waiting, irq, softirq, steal = (
        int(ticks) for ticks in Path("/proc/stat").read_text().split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_of_children(parent: int) -> float:
    """CPU time that the living children of a process have used, as Linux has it."""
    total = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with suppress(OSError):
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(after_name[1]) == parent:
                total += int((folder / "schedstat").read_text().split()[0])
    return total / 1e9


def load() -> list[float]:
    """Processes that wanted to run, as averages over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def environment() -> Mapping[str, object]:
    """The machine and the versions, fit to be published."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def commit() -> tuple[str, bool]:
    """The short commit of the sources, and whether they differ from it."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        return name, bool(_git("status", "--porcelain", "--", *_SOURCES))
    except (OSError, subprocess.CalledProcessError):
        return "unversioned", False


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=_ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or sys.platform
