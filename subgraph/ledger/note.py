"""Signed notes (c2sp.org/signed-note) of checkpoints (c2sp.org/tlog-checkpoint)."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from subgraph.ledger import merkle
from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.publickey import PublicKey, read_base64, write_base64

KEY_HINT_BYTES = 4
MOST_SIGNATURES = 100
LONGEST_NOTE = 1_000_000

_DASH = "\u2014 "
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_CHECKPOINT_LINES = 3


class NoteVerifier(Protocol):
    """A key that is known to the verifier under a name.

    `hint` is the note's four-byte key id. `verify` MUST raise `VerificationFailed` unless the
    signature (what follows the hint) is the key's, over the text with its final newline.
    """

    @property
    def name(self) -> str:
        """The key name of its signature lines."""

    @property
    def hint(self) -> bytes:
        """The four bytes that its signatures begin with."""

    def verify(self, text: bytes, signature: bytes) -> None:
        """Check one signature."""


@dataclass(frozen=True, slots=True)
class EcdsaNoteVerifier:
    """Signature type 0x02: ECDSA over SHA-256 in DER; the hint is of the key alone."""

    name: str
    key: PublicKey

    @property
    def hint(self) -> bytes:
        """The first four bytes of the SHA-256 of the SPKI DER."""
        return ecdsa_hint(self.key)

    def verify(self, text: bytes, signature: bytes) -> None:
        """Check one signature."""
        self.key.verify(text, signature)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: its origin, its number of leaves, and the 32 bytes of its root."""

    origin: str
    size: int
    root: bytes

    def body(self) -> bytes:
        """The text that is signed."""
        root = write_base64(self.root)
        return f"{self.origin}\n{self.size}\n{root}\n".encode()


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: the name of the key, its four-byte id, and the signature itself."""

    name: str
    hint: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A note of a checkpoint, and the verifiers that have signed it, each once."""

    text: str
    checkpoint: Checkpoint
    signed_by: tuple[NoteVerifier, ...]


def ecdsa_hint(key: PublicKey) -> bytes:
    """The four-byte key id of an ECDSA key (type 0x02)."""
    return key.fingerprint[:KEY_HINT_BYTES]


def signature_line(name: str, hint: bytes, signature: bytes) -> str:
    """One line of a note, with its newline; ValueError when the name cannot stand in it."""
    if not _is_key_name(name) or len(hint) != KEY_HINT_BYTES:
        raise ValueError("a key name has no spaces and no plus; a hint has 4 bytes")
    return f"{_DASH}{name} {write_base64(hint + signature)}\n"


def write_note(checkpoint: Checkpoint, lines: Sequence[str]) -> str:
    """The note: the body, a blank line, and the signature lines."""
    return checkpoint.body().decode() + "\n" + "".join(lines)


def read_note(text: str) -> tuple[Checkpoint, tuple[NoteSignature, ...]]:
    """The parts of a note, nothing verified; VerificationFailed(NOTE_MALFORMED) for other text.

    A checkpoint with extension lines is refused: no log of this kind writes any.
    """
    if len(text) > LONGEST_NOTE or any(c < " " and c != "\n" for c in text):
        raise _malformed("the note is too long or holds control characters")
    body, blank, rest = text.rpartition("\n\n")
    lines = rest.split("\n")
    if not blank or lines.pop() != "":
        raise _malformed("the note has no signatures, or no newline at its end")
    if not 0 < len(lines) <= MOST_SIGNATURES:
        raise _malformed("the note has no signatures, or too many")
    return _read_checkpoint(body), tuple(_read_signature(line) for line in lines)


def open_note(text: str, verifiers: Sequence[NoteVerifier]) -> OpenedNote:
    """The note, verified by at least one known key; VerificationFailed when there is none.

    Signatures of unknown keys are passed over. One that bears a known key's name and id but does
    not hold makes the whole note fail, whatever else has signed it.
    """
    checkpoint, signatures = read_note(text)
    known = {(verifier.name, verifier.hint): verifier for verifier in verifiers}
    signed_by: dict[tuple[str, bytes], NoteVerifier] = {}
    for signature in signatures:
        identity = (signature.name, signature.hint)
        if identity in known and identity not in signed_by:
            known[identity].verify(checkpoint.body(), signature.signature)
            signed_by[identity] = known[identity]
    if not signed_by:
        raise VerificationFailed(Finding.NOTE_SIGNATURE_MISSING)
    return OpenedNote(text, checkpoint, tuple(signed_by.values()))


def read_size(text: str) -> int:
    """A tree size or an index in decimal; VerificationFailed(NOTE_MALFORMED) for other text."""
    if not _DECIMAL.fullmatch(text) or int(text) > merkle.LARGEST_SIZE:
        raise _malformed("a size or an index is not a plain decimal below 2^63")
    return int(text)


def read_hash(text: str) -> bytes:
    """A hash in standard base64; VerificationFailed for other text."""
    content = read_base64(text)
    if len(content) != merkle.HASH_BYTES:
        raise _malformed("a hash is not 32 bytes long")
    return content


def _read_checkpoint(body: str) -> Checkpoint:
    lines = body.split("\n")
    if len(lines) != _CHECKPOINT_LINES or not lines[0]:
        raise _malformed("a checkpoint has three lines: origin, size and root")
    try:
        lines[0].encode()
    except UnicodeEncodeError:
        raise _malformed("the origin is not Unicode") from None
    return Checkpoint(lines[0], read_size(lines[1]), read_hash(lines[2]))


def _read_signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not _is_key_name(name):
        raise _malformed("a signature line is an em dash, a key name and base64")
    content = read_base64(encoded)
    if len(content) <= KEY_HINT_BYTES:
        raise _malformed("a signature line holds no signature")
    return NoteSignature(name, content[:KEY_HINT_BYTES], content[KEY_HINT_BYTES:])


def _is_key_name(name: str) -> bool:
    return bool(name) and not any(
        character == "+" or character.isspace() or unicodedata.category(character) == "Cs"
        for character in name
    )


def _malformed(message: str) -> VerificationFailed:
    return VerificationFailed(Finding.NOTE_MALFORMED, message)
