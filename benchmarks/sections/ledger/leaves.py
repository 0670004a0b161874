"""Rebuilding the tree of a million entries, against hashing their bytes."""

import hashlib
import time
from collections.abc import Callable, Sequence

from benchmarks.sections.contract import Comparison, Result
from benchmarks.sections.ledger.recorder import ENTRY_BYTES
from subgraph.ledger.merkle import Frontier, leaf_hashes

_CHUNK = 1 << 16
_TIMES = 16
"""The same entries are taken so many times, so that a million of them fit into memory."""


def verified(rounds: int) -> Result:
    """Seconds for 2^20 entries, from their bytes to the root."""
    entries = [(b"%d" % number).ljust(ENTRY_BYTES, b"x") for number in range(_CHUNK)]
    taken: dict[str, list[float]] = {"tree": [], "hashes": []}
    arms = {"tree": _tree, "hashes": _hashes}
    for turn in range(rounds):
        for name in arms if turn % 2 else reversed(arms):
            taken[name].append(_timed(arms[name], entries))
    compared = Comparison(
        f"Verifying {_CHUNK * _TIMES:,} leaves of {ENTRY_BYTES} bytes",
        "s",
        "tree and root",
        "SHA-256 of the bytes",
        taken["tree"],
        taken["hashes"],
    )
    goal = compared.at_most(3, "Verifying leaves takes three times hashing their bytes at most")
    return Result("leaves", "", [compared], [goal], [])


def _timed(arm: Callable[[Sequence[bytes]], None], entries: Sequence[bytes]) -> float:
    started = time.perf_counter()
    arm(entries)
    return time.perf_counter() - started


def _tree(entries: Sequence[bytes]) -> None:
    tree = Frontier()
    for _ in range(_TIMES):
        tree.extend(leaf_hashes(entries))
    tree.root()


def _hashes(entries: Sequence[bytes]) -> None:
    sha256 = hashlib.sha256
    for _ in range(_TIMES):
        for entry in entries:
            sha256(entry).digest()
