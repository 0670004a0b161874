import hashlib
from dataclasses import replace
from itertools import pairwise

import pymerkle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.ledger.errors import Finding, ProofInvalid
from subgraph.ledger.merkle import (
    EMPTY_ROOT,
    LARGEST_SIZE,
    Frontier,
    Node,
    consistency_path,
    frontier_nodes,
    inclusion_path,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

# The vectors of certificate-transparency-go (merkle_tree_test.cc at first), which RFC 6962 logs share.
LEAVES = [
    bytes.fromhex(text)
    for text in [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A, B, C, D, E, F, G, H = (
    bytes.fromhex(text)
    for text in [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    ]
)
LEAF_0 = bytes.fromhex(ROOTS[1])


class Tree:
    def __init__(self, leaves):
        self.leaves = leaves
        self.nodes = {}
        self.roots = [EMPTY_ROOT]
        frontier = Frontier()
        for index, leaf in enumerate(leaves):
            self.nodes[Node(0, index)] = leaf
            self.nodes.update(frontier.append(leaf))
            self.roots.append(frontier.root())

    def inclusion(self, index, size):
        return inclusion_path(index, size).assemble(self.nodes)

    def consistency(self, size1, size2):
        return consistency_path(size1, size2).assemble(self.nodes)


def tree(count):
    return Tree([leaf_hash(str(number).encode()) for number in range(count)])


@pytest.fixture(scope="module")
def vectors():
    return Tree([leaf_hash(leaf) for leaf in LEAVES])


@pytest.fixture(scope="module")
def large():
    return tree(600)


def finding(raised):
    return raised.value.finding


def test_roots_are_those_of_the_rfc_6962_vectors(vectors):
    assert [root.hex() for root in vectors.roots] == ROOTS


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [(0, 1, []), (0, 8, [A, B, C]), (5, 8, [D, E, F]), (2, 3, [G]), (1, 5, [LEAF_0, B, D])],
)
def test_inclusion_paths_are_those_of_the_rfc_6962_vectors(vectors, index, size, path):
    assert vectors.inclusion(index, size) == tuple(path)


@pytest.mark.parametrize(
    ("size1", "size2", "path"),
    [(1, 1, []), (1, 8, [A, B, C]), (6, 8, [H, E, F]), (2, 5, [B, D])],
)
def test_consistency_paths_are_those_of_the_rfc_6962_vectors(vectors, size1, size2, path):
    assert vectors.consistency(size1, size2) == tuple(path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=130), st.data())
def test_roots_and_paths_are_those_of_pymerkle(entries, data):
    oracle = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in entries:
        oracle.append_entry(entry)
    ours = Tree([leaf_hash(entry) for entry in entries])
    size = data.draw(st.integers(1, len(entries)))
    index = data.draw(st.integers(0, size - 1))
    assert oracle.get_root(size) == ours.roots[size]
    # Its paths begin with the leaf itself.
    assert tuple(oracle.prove_inclusion(index + 1, size).path[1:]) == ours.inclusion(index, size)


@settings(deadline=None)
@given(st.data())
def test_every_inclusion_proof_holds_for_its_leaf_and_its_index_alone(large, data):
    size = data.draw(st.integers(1, 600))
    index = data.draw(st.integers(0, size - 1))
    path, root = large.inclusion(index, size), large.roots[size]
    verify_inclusion(large.leaves[index], index, size, path, root)
    other = data.draw(st.integers(0, size - 1).filter(lambda drawn: drawn != index or size == 1))
    if other != index:
        with pytest.raises(ProofInvalid):
            verify_inclusion(large.leaves[other], index, size, path, root)
        with pytest.raises(ProofInvalid):
            verify_inclusion(large.leaves[index], other, size, path, root)


@settings(deadline=None)
@given(st.data())
def test_every_consistency_proof_holds_for_its_two_trees_alone(large, data):
    size2 = data.draw(st.integers(1, 600))
    size1 = data.draw(st.integers(1, size2))
    path = large.consistency(size1, size2)
    verify_consistency(size1, size2, path, large.roots[size1], large.roots[size2])
    wrong = large.roots[data.draw(st.integers(1, 600).filter(lambda drawn: drawn != size1))]
    with pytest.raises(ProofInvalid):
        verify_consistency(size1, size2, path, wrong, large.roots[size2])


@settings(deadline=None)
@given(st.data())
def test_no_changed_hash_is_accepted_in_a_proof(large, data):
    size = data.draw(st.integers(2, 600))
    index = data.draw(st.integers(0, size - 1))
    path = list(large.inclusion(index, size))
    place, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
    changed = int.from_bytes(path[place], "big") ^ (1 << bit)
    path[place] = changed.to_bytes(32, "big")
    with pytest.raises(ProofInvalid) as raised:
        verify_inclusion(large.leaves[index], index, size, path, large.roots[size])
    assert finding(raised) is Finding.INCLUSION_INVALID


@settings(deadline=None)
@given(st.lists(st.integers(0, 90), max_size=6))
def test_extending_gives_the_tree_that_appending_gives(steps):
    total = sum(steps)
    leaves = [leaf_hash(str(number).encode()) for number in range(total)]
    slow, fast = Frontier(), Frontier()
    for leaf in leaves:
        slow.append(leaf)
    start = 0
    for step in steps:
        fast.extend(leaves[start : start + step])
        start += step
    assert (fast.size, fast.hashes, fast.root()) == (slow.size, slow.hashes, slow.root())


def test_a_stored_frontier_goes_on_as_if_it_had_never_left(large):
    for size in (0, 1, 255, 256, 511):
        stored = [large.nodes[node] for node in frontier_nodes(size)]
        resumed = Frontier.of(size, stored)
        assert resumed.root() == large.roots[size]
        resumed.extend(large.leaves[size:])
        assert resumed.root() == large.roots[600]


def test_a_proof_is_made_of_stored_nodes_of_complete_subtrees_only(large):
    for size in range(1, 70):
        complete = {node for node in large.nodes if (node.index + 1) << node.level <= size}
        needed = {node for index in range(size) for node in inclusion_path(index, size).nodes}
        assert needed <= complete


def test_the_largest_log_needs_few_nodes():
    plan = inclusion_path(12_345, LARGEST_SIZE)
    assert len(plan.steps) == 63
    assert len(plan.nodes) < 130


def test_the_empty_tree_has_the_hash_of_nothing():
    assert Frontier().root() == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_an_empty_tree_with_another_root_is_refused():
    with pytest.raises(ProofInvalid) as raised:
        verify_consistency(0, 0, [], bytes(32), bytes(32))
    assert finding(raised) is Finding.EMPTY_ROOT_WRONG


def test_every_tree_continues_the_empty_one_without_a_proof(large):
    verify_consistency(0, 5, [], EMPTY_ROOT, large.roots[5])
    with pytest.raises(ProofInvalid) as raised:
        verify_consistency(0, 5, [large.roots[1]], EMPTY_ROOT, large.roots[5])
    assert finding(raised) is Finding.PROOF_LENGTH_WRONG


def test_two_roots_of_one_size_are_a_split_view(large):
    with pytest.raises(ProofInvalid) as raised:
        verify_consistency(5, 5, [], large.roots[5], large.roots[6])
    assert finding(raised) is Finding.SPLIT_VIEW


@pytest.mark.parametrize(("index", "size"), [(5, 5), (6, 5), (0, 0), (-1, 5)])
def test_an_index_past_the_size_is_refused(large, index, size):
    for attempt in (
        lambda: inclusion_path(index, size),
        lambda: verify_inclusion(large.leaves[4], index, size, [], large.roots[5]),
    ):
        with pytest.raises(ProofInvalid) as raised:
            attempt()
        assert finding(raised) is Finding.INDEX_OUT_OF_RANGE


@pytest.mark.parametrize(("size1", "size2"), [(6, 5), (-1, 5), (1, LARGEST_SIZE + 1)])
def test_sizes_out_of_order_are_refused(size1, size2):
    with pytest.raises(ProofInvalid) as raised:
        consistency_path(size1, size2)
    assert finding(raised) is Finding.SIZES_OUT_OF_ORDER


def test_an_interior_node_is_not_a_leaf(large):
    # Second preimage: the two children offered as an entry one level above the leaves.
    forged = large.leaves[0] + large.leaves[1]
    root = node_hash(large.leaves[0], large.leaves[1])
    verify_inclusion(root, 0, 1, [], large.roots[2])
    with pytest.raises(ProofInvalid) as raised:
        verify_inclusion(leaf_hash(forged), 0, 1, [], large.roots[2])
    assert finding(raised) is Finding.INCLUSION_INVALID


def test_a_path_of_a_wrong_length_is_refused(large):
    path = large.inclusion(7, 20)
    for wrong in (path[:-1], path[1:], (), (*path, path[0]), (path[0][:31], *path[1:])):
        with pytest.raises(ProofInvalid) as raised:
            verify_inclusion(large.leaves[7], 7, 20, wrong, large.roots[20])
        assert finding(raised) is Finding.PROOF_LENGTH_WRONG


def test_a_consistency_proof_of_a_wrong_length_is_refused(large):
    for size1, size2 in pairwise([3, 8, 13, 20]):
        path = large.consistency(size1, size2)
        for wrong in (path[:-1], (), (*path, path[0]), (*path[:-1], path[-1] + b"\x00")):
            with pytest.raises(ProofInvalid) as raised:
                verify_consistency(size1, size2, wrong, large.roots[size1], large.roots[size2])
            assert finding(raised) is Finding.PROOF_LENGTH_WRONG


def test_a_frontier_with_a_missing_peak_is_refused(large):
    peaks = [large.nodes[node] for node in frontier_nodes(7)]
    for wrong in (peaks[:-1], [*peaks, peaks[0]], [peaks[0], peaks[1], b""]):
        with pytest.raises(ProofInvalid) as raised:
            Frontier.of(7, wrong)
        assert finding(raised) is Finding.PROOF_LENGTH_WRONG


def test_a_plan_without_a_node_does_not_assemble(large):
    plan = inclusion_path(7, 20)
    have = {node: large.nodes[node] for node in plan.nodes[1:]}
    with pytest.raises(KeyError):
        plan.assemble(have)
    assert replace(plan, steps=()).assemble({}) == ()
