"""The portable proof that an entry is in a log (c2sp.org/tlog-proof@v1)."""

from collections.abc import Sequence
from dataclasses import dataclass

from subgraph.ledger import merkle
from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.note import (
    LONGEST_NOTE,
    NoteVerifier,
    OpenedNote,
    open_note,
    read_hash,
    read_size,
)
from subgraph.ledger.publickey import read_base64, write_base64

_HEADER = "c2sp.org/tlog-proof@v1"
_LONGEST_PATH = 63


@dataclass(frozen=True, slots=True)
class TlogProof:
    """The index of an entry, its inclusion path from the leaf upwards, and a signed note.

    `extra` is opaque and not authenticated; None when the proof has no such line.
    """

    index: int
    path: tuple[bytes, ...]
    note: str
    extra: bytes | None = None

    def write(self) -> str:
        """The text of the proof, to be stored as `.tlog-proof`."""
        extra = [] if self.extra is None else [f"extra {write_base64(self.extra)}"]
        path = [write_base64(hashed) for hashed in self.path]
        return "\n".join([_HEADER, *extra, f"index {self.index}", *path, "", self.note])


def read_proof(text: str) -> TlogProof:
    """The parts of a proof, nothing verified; VerificationFailed for other text."""
    head, blank, note = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or lines.pop(0) != _HEADER or len(text) > 2 * LONGEST_NOTE:
        raise _malformed("the first line or the blank line is missing")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = read_base64(lines.pop(0).removeprefix("extra "))
    if not lines or not lines[0].startswith("index "):
        raise _malformed("the line of the index is missing")
    index = read_size(lines.pop(0).removeprefix("index "))
    if len(lines) > _LONGEST_PATH:
        raise _malformed("the path is too long for any tree")
    return TlogProof(index, tuple(read_hash(line) for line in lines), note, extra)


def verify_proof(entry: bytes, text: str, verifiers: Sequence[NoteVerifier]) -> OpenedNote:
    """Check that the entry is in the log; the note that commits to it.

    The caller gives verifiers of the one log that it accepts, and compares the origin of the note;
    VerificationFailed when the proof does not hold.
    """
    proof = read_proof(text)
    opened = open_note(proof.note, verifiers)
    checkpoint, leaf = opened.checkpoint, merkle.leaf_hash(entry)
    merkle.verify_inclusion(leaf, proof.index, checkpoint.size, proof.path, checkpoint.root)
    return opened


def _malformed(message: str) -> VerificationFailed:
    return VerificationFailed(Finding.PROOF_MALFORMED, message)
