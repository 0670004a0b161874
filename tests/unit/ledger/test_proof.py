from dataclasses import replace

import pytest

from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.merkle import leaf_hash
from subgraph.ledger.note import EcdsaNoteVerifier
from subgraph.ledger.proof import TlogProof, read_proof, verify_proof
from tests.unit.ledger.logs import ROOT, STRANGER, TENANT, note, tenant_log

LOG = tenant_log(13)
VERIFIER = EcdsaNoteVerifier(TENANT, ROOT.public)
PROOF = TlogProof(6, LOG.path(6, 13), note(LOG.checkpoint()))
TEXT = PROOF.write()


def refusal(call, *arguments):
    with pytest.raises(VerificationFailed) as raised:
        call(*arguments)
    return raised.value.finding


def test_the_text_has_the_lines_of_the_specification():
    lines = TEXT.split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 6"]
    assert [len(line) for line in lines[2:6]] == [44, 44, 44, 44]
    assert lines[6:8] == ["", TENANT]


@pytest.mark.parametrize("extra", [None, b"", b"opaque"])
def test_a_proof_comes_back_from_its_text(extra):
    proof = TlogProof(PROOF.index, PROOF.path, PROOF.note, extra)
    assert read_proof(proof.write()) == proof


def test_a_log_of_one_entry_needs_no_path():
    log = tenant_log(1)
    text = TlogProof(0, (), note(log.checkpoint())).write()
    assert verify_proof(log.entries[0], text, [VERIFIER]).checkpoint.size == 1


def test_a_proof_holds_for_its_entry_alone():
    assert verify_proof(LOG.entries[6], TEXT, [VERIFIER]).checkpoint == LOG.checkpoint()
    for entry in (LOG.entries[5], LOG.entries[6] + b" "):
        assert refusal(verify_proof, entry, TEXT, [VERIFIER]) is Finding.INCLUSION_INVALID


@pytest.mark.parametrize("index", ["5", "7", "12"])
def test_another_index_is_refused(index):
    changed = TEXT.replace("index 6", f"index {index}")
    assert refusal(verify_proof, LOG.entries[6], changed, [VERIFIER]) in {
        Finding.INCLUSION_INVALID,
        Finding.PROOF_LENGTH_WRONG,
    }


def test_an_index_past_the_size_is_refused():
    changed = TEXT.replace("index 6", "index 13")
    assert refusal(verify_proof, LOG.entries[6], changed, [VERIFIER]) is Finding.INDEX_OUT_OF_RANGE


def test_the_note_of_a_stranger_is_refused():
    text = TlogProof(6, PROOF.path, note(LOG.checkpoint(), STRANGER)).write()
    assert refusal(verify_proof, LOG.entries[6], text, [VERIFIER]) is Finding.NOTE_SIGNATURE_MISSING


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("proof@v1", "proof@v2"),
        ("index 6", "index 06"),
        ("index 6", "index -6"),
        ("index 6\n", ""),
        ("index 6", "extra !!\nindex 6"),
        ("index 6", "index 6\nextra YQ=="),
        ("index 6\n", "index 6\n" + "A" * 43 + "=\n" * 1),
        ("index 6\n", "index 6\n" + ("A" * 43 + "=\n") * 60),
        ("\n\n", "\n"),
    ],
)
def test_another_text_is_refused(old, new):
    changed = TEXT.replace(old, new, 1)
    assert changed != TEXT
    with pytest.raises(VerificationFailed):
        verify_proof(LOG.entries[6], changed, [VERIFIER])


def test_an_interior_node_is_not_taken_for_an_entry():
    children = leaf_hash(LOG.entries[6]) + leaf_hash(LOG.entries[7])
    forged = TlogProof(3, PROOF.path[1:], note(replace(LOG.checkpoint(), size=7)))
    assert refusal(verify_proof, children, forged.write(), [VERIFIER]) is Finding.INCLUSION_INVALID
