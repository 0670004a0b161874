"""What can be wrong with a ledger, and the exceptions that name it.

A finding is a promise to whoever verifies: its name is what `ig ledger verify` prints and what
`docs/ledger.md` explains. A finding is never renamed or reused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from subgraph.errors import ErrorCode, SubgraphError


class Finding(Enum):
    """The first thing that is wrong, and what it means."""

    # JSON and entries
    JSON_MALFORMED = "The text is not JSON, or not UTF-8."
    JSON_DUPLICATE_KEY = "A JSON object names a key twice."
    JSON_NOT_CANONICAL = "The JSON text is not in the canonical form of RFC 8785."
    JSON_TOO_DEEP = "The JSON is nested too deeply."
    NUMBER_REFUSED = "A number is not an integer below 2^53; write it as a string."
    TEXT_NOT_NFC = "A text is not in Unicode normalization form C."
    TEXT_NOT_UNICODE = "A text holds a lone surrogate."
    ENTRY_TOO_LARGE = "The entry is longer than 65535 bytes."
    ENTRY_MALFORMED = "A field of the entry is missing, unknown or of a wrong form."
    ENTRY_VERSION_UNKNOWN = "The entry is of a schema version that this release does not know."

    # trees and proofs
    INDEX_OUT_OF_RANGE = "The index is not below the size of the tree."
    SIZES_OUT_OF_ORDER = "The older size exceeds the newer one, or a size is out of range."
    PROOF_LENGTH_WRONG = "The proof has too few or too many hashes, or one of a wrong length."
    INCLUSION_INVALID = "The entry is not in the tree at that index."
    CONSISTENCY_INVALID = "The newer tree does not continue the older one."
    ROOT_MISMATCH = "The entries do not make up the tree whose root was signed."
    EMPTY_ROOT_WRONG = "A tree without entries has a root other than SHA-256 of nothing."
    SPLIT_VIEW = "The log's key signed two different trees of the same size."

    # keys and signatures
    KEY_INVALID = "The key is not a P-256 public key in the plain PEM form."
    KEY_ID_MISMATCH = "The key id is not the SHA-256 of the key."
    KEY_UNTRUSTED = "The signature is by a key that the caller does not trust."
    KEY_NOT_DELEGATED = "No delegation was given for the key that signed the entry."
    KEY_OUT_OF_TIME = "The entry's time lies outside the delegation of the key that signed it."
    KEY_REVOKED = "The key was revoked at or before this index."
    SIGNATURE_ENCODING = "The signature is not strict DER, or not strict base64."
    SIGNATURE_INVALID = "The signature does not fit the text and the key."

    # notes, envelopes and files
    NOTE_MALFORMED = "The text is not a signed note of a checkpoint."
    NOTE_SIGNATURE_MISSING = "No signature of the note is by a trusted key."
    COSIGNATURE_MISSING = "No trusted witness has cosigned the checkpoint."
    PROOF_MALFORMED = "The text is not a c2sp.org/tlog-proof@v1."
    ENVELOPE_MALFORMED = "The text is not a DSSE envelope with one signature."
    SUBJECT_MISMATCH = "The statement is about another artifact."
    SLICE_MALFORMED = "A field of the slice is missing, unknown or of a wrong form."
    ORIGIN_MISMATCH = "Something is of another log than it should be."
    ENTRY_MISSING = "An entry of the range is missing, or stands at another index."
    ENTRY_UNPROVEN = "An entry is in no complete range and has no proof of inclusion."
    EVENT_ID_REUSED = "Two entries bear the same event id."
    DELEGATION_INVALID = "A delegation or revocation is not what its place in the file requires."


class VerificationFailed(SubgraphError):
    """Something does not verify. `where` is the place in what was given, empty for all of it."""

    error_code = ErrorCode.LEDGER_INVALID

    def __init__(self, finding: Finding, message: str | None = None, where: str = "") -> None:
        self.finding = finding
        self.where = where
        self.reason = message or finding.value
        text = f"{where}: {self.reason}" if where else self.reason
        super().__init__(self.error_code, text, finding=finding.name, where=where)


class ProofInvalid(VerificationFailed):
    """A Merkle proof does not verify."""


class EntryInvalid(VerificationFailed):
    """A value cannot be an entry; the caller who wanted it appended has to mend it."""

    error_code = ErrorCode.INVALID_INPUT


@contextmanager
def placed(where: str) -> Iterator[None]:
    """Name the place, below which a failure already may name a narrower one."""
    try:
        yield
    except VerificationFailed as failure:
        place = f"{where}.{failure.where}" if failure.where else where
        raise VerificationFailed(failure.finding, failure.reason, place) from None
