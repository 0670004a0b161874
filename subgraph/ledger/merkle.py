"""The Merkle tree of RFC 6962, section 2.1: hashes, growth, proofs and their verification.

A node is named by its level (0 for leaves) and its index on that level: it covers the leaves
from `index << level` to below `(index + 1) << level`. Only nodes whose leaves
all exist are ever stored; what a proof needs of the ragged right edge is combined from them.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from subgraph.ledger.errors import Finding, ProofInvalid

HASH_BYTES = 32
LARGEST_SIZE = 2**63 - 1
EMPTY_ROOT = hashlib.sha256(b"").digest()

_sha256 = hashlib.sha256


@dataclass(frozen=True, slots=True)
class Node:
    """The place of a complete subtree."""

    level: int
    index: int


@dataclass(frozen=True, slots=True)
class ProofPlan:
    """The stored nodes that a proof is made of.

    Each step is one hash of the proof, given by the complete subtrees, from left to right, that
    it is combined from. `nodes` are all of them, each once.
    """

    steps: tuple[tuple[Node, ...], ...]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What has to be read, in the order of the steps."""
        return tuple(node for step in self.steps for node in step)

    def assemble(self, hashes: Mapping[Node, bytes]) -> tuple[bytes, ...]:
        """The hashes of the proof; KeyError when a node is missing."""
        return tuple(root_of_peaks([hashes[node] for node in step]) for step in self.steps)


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf; its prefix keeps an interior node from passing as an entry."""
    return _sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """The hashes of many leaves, without a call for each."""
    return [_sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an interior node."""
    return _sha256(b"\x01" + left + right).digest()


def root_of_peaks(peaks: Sequence[bytes]) -> bytes:
    """The root over complete subtrees of falling size, the largest first."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in peaks[-2::-1]:
        root = node_hash(peak, root)
    return root


def frontier_nodes(size: int) -> tuple[Node, ...]:
    """The complete subtrees, the largest first, whose hashes are the frontier at this size."""
    _check_sizes(0, size)
    return _cover(0, size)


class Frontier:
    """All that is needed to append to a tree: its size and its peaks, the largest first."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    @classmethod
    def of(cls, size: int, hashes: Sequence[bytes]) -> "Frontier":
        """The frontier that was stored; ProofInvalid when the hashes cannot be of that size."""
        _check_sizes(0, size)
        _check_hashes(hashes)
        if size.bit_count() != len(hashes):
            message = f"a tree of {size} has {size.bit_count()} peaks, not {len(hashes)}"
            raise ProofInvalid(Finding.PROOF_LENGTH_WRONG, message)
        frontier = cls()
        frontier.size = size
        frontier._peaks = list(hashes)
        return frontier

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The peaks, the largest first: one for each bit that is set in the size."""
        return tuple(self._peaks)

    def root(self) -> bytes:
        """The root of the tree; `EMPTY_ROOT` when it has no leaves."""
        return root_of_peaks(self._peaks)

    def append(self, leaf: bytes) -> list[tuple[Node, bytes]]:
        """Add one leaf hash; the interior nodes (level 1 and up) that it completes, lowest first.

        The leaf itself is `Node(0, size before)` and is not in the list.
        """
        return [(Node(level, index), top) for level, index, top in self.append_all([leaf])]

    def append_all(self, leaves: Iterable[bytes]) -> list[tuple[int, int, bytes]]:
        """Add leaf hashes as `append` does; level, index and hash of each completed node."""
        completed: list[tuple[int, int, bytes]] = []
        peaks, size = self._peaks, self.size
        for leaf in leaves:
            level, index, top = 0, size, leaf
            while index & 1:
                top = _sha256(b"\x01" + peaks.pop() + top).digest()
                level, index = level + 1, index >> 1
                completed.append((level, index, top))
            peaks.append(top)
            size += 1
        self.size = size
        return completed

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add many leaf hashes, faster than one by one, without naming the nodes."""
        start, count = 0, len(leaves)
        while start < count:
            # The largest complete subtree that may begin here without passing the end.
            room = (count - start).bit_length() - 1
            level = min(room, _trailing_zeros(self.size)) if self.size else room
            row = leaves[start : start + (1 << level)]
            for _ in range(level):
                halves = iter(row)
                row = [
                    _sha256(b"\x01" + left + right).digest()
                    for left, right in zip(halves, halves, strict=True)
                ]
            self._add_peak(level, row[0])
            start += 1 << level

    def _add_peak(self, level: int, top: bytes) -> None:
        index = self.size >> level
        while index & 1:
            top = node_hash(self._peaks.pop(), top)
            index >>= 1
        self._peaks.append(top)
        self.size += 1 << level


def inclusion_path(index: int, size: int) -> ProofPlan:
    """What proves the leaf at `index` in the tree of `size` (RFC 6962, section 2.1.1)."""
    _check_sizes(0, size)
    _check_index(index, size)
    siblings: list[tuple[Node, ...]] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _left_size(end - begin)
        if index < middle:
            siblings.append(_cover(middle, end))
            end = middle
        else:
            siblings.append(_cover(begin, middle))
            begin = middle
    return ProofPlan(tuple(reversed(siblings)))


def consistency_path(size1: int, size2: int) -> ProofPlan:
    """What proves that the tree of `size2` continues that of `size1` (RFC 6962, section 2.1.2).

    Nothing needs to be proven of an empty tree, or of a tree and itself.
    """
    _check_sizes(size1, size2)
    if size1 in (0, size2):
        return ProofPlan(())
    steps: list[tuple[Node, ...]] = []
    begin, end, whole = 0, size2, True
    while end != size1:
        middle = begin + _left_size(end - begin)
        if size1 <= middle:
            steps.append(_cover(middle, end))
            end = middle
        else:
            steps.append(_cover(begin, middle))
            begin, whole = middle, False
    if not whole:
        steps.append(_cover(begin, end))
    return ProofPlan(tuple(reversed(steps)))


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Check the proof as RFC 9162, section 2.1.3.2 says; ProofInvalid when it does not hold.

    `leaf` is the hash of the entry, which the caller has computed from the entry itself.
    """
    _check_sizes(0, size)
    _check_index(index, size)
    _check_hashes([leaf, root, *path])
    top = leaf
    for sibling, on_the_left in _climb(index, size - 1, path):
        top = node_hash(sibling, top) if on_the_left else node_hash(top, sibling)
    if top != root:
        raise ProofInvalid(Finding.INCLUSION_INVALID)


def verify_consistency(
    size1: int, size2: int, path: Sequence[bytes], root1: bytes, root2: bytes
) -> None:
    """Check the proof as RFC 9162, section 2.1.4.2 says; ProofInvalid when it does not hold.

    Two different roots of one size are a `SPLIT_VIEW`; a tree of size 0 has the `EMPTY_ROOT`.
    """
    _check_sizes(size1, size2)
    _check_hashes([root1, root2, *path])
    if (size1 == 0 and root1 != EMPTY_ROOT) or (size2 == 0 and root2 != EMPTY_ROOT):
        raise ProofInvalid(Finding.EMPTY_ROOT_WRONG)
    if size1 == size2 and root1 != root2:
        raise ProofInvalid(Finding.SPLIT_VIEW)
    if size1 in (0, size2):
        if path:
            raise ProofInvalid(Finding.PROOF_LENGTH_WRONG, "nothing was to be proven")
        return
    # The proof leaves out the older root where that is itself a node of the newer tree.
    hashes = [root1, *path] if size1.bit_count() == 1 else list(path)
    if not hashes:
        raise ProofInvalid(Finding.PROOF_LENGTH_WRONG, "the proof has too few hashes")
    skipped = _trailing_zeros(size1)
    older = newer = hashes[0]
    for sibling, on_the_left in _climb(size1 - 1 >> skipped, size2 - 1 >> skipped, hashes[1:]):
        if on_the_left:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
        else:
            newer = node_hash(newer, sibling)
    if older != root1 or newer != root2:
        raise ProofInvalid(Finding.CONSISTENCY_INVALID)


def _climb(node: int, last: int, path: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each sibling on the way from a node to the root, and whether it stands on the left.

    `node` and `last` are indices on one level, `last` being the level's rightmost.
    """
    for sibling in path:
        if last == 0:
            raise ProofInvalid(Finding.PROOF_LENGTH_WRONG, "the proof has too many hashes")
        on_the_left = bool(node & 1) or node == last
        yield sibling, on_the_left
        while on_the_left and node and not node & 1:
            node, last = node >> 1, last >> 1
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ProofInvalid(Finding.PROOF_LENGTH_WRONG, "the proof has too few hashes")


def _left_size(count: int) -> int:
    """The largest power of two below the count, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _cover(begin: int, end: int) -> tuple[Node, ...]:
    nodes: list[Node] = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        nodes.append(Node(level, begin >> level))
        begin += 1 << level
    return tuple(nodes)


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1


def _check_sizes(size1: int, size2: int) -> None:
    if not 0 <= size1 <= size2 <= LARGEST_SIZE:
        message = f"sizes {size1} and {size2} are out of order or out of range"
        raise ProofInvalid(Finding.SIZES_OUT_OF_ORDER, message)


def _check_index(index: int, size: int) -> None:
    if not 0 <= index < size:
        message = f"index {index} is not below the size {size}"
        raise ProofInvalid(Finding.INDEX_OUT_OF_RANGE, message)


def _check_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(hashed) != HASH_BYTES for hashed in hashes):
        raise ProofInvalid(Finding.PROOF_LENGTH_WRONG, "a hash is not 32 bytes long")
