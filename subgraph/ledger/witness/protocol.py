"""The rules of c2sp.org/tlog-witness, as functions without a memory."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from subgraph.ledger import merkle
from subgraph.ledger.errors import ProofInvalid, VerificationFailed
from subgraph.ledger.note import (
    Checkpoint,
    EcdsaNoteVerifier,
    NoteSignature,
    open_note,
    read_hash,
    read_note,
    read_size,
)
from subgraph.ledger.publickey import PublicKey

DEFAULT_NAME: Final = "governance-subgraph.local/witness"
MOST_PROOF_LINES: Final = 63
LONGEST_SUBMISSION: Final = 65_536
SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"

_OLD: Final = "old "
_LONGEST_ORIGIN: Final = 255


class Refused(Exception):
    """The witness does not cosign: an HTTP status, and a body of `content_type`."""

    def __init__(self, status: HTTPStatus, body: str, content_type: str = TEXT_TYPE) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        super().__init__(f"{status.value}: {body.strip()}")


@dataclass(frozen=True, slots=True)
class Submission:
    """The body of `add-checkpoint`: the size that was cosigned last, a proof, and a note."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str


@dataclass(frozen=True, slots=True)
class KnownLogs:
    """The keys that each log's checkpoints are signed with, under the origin as the key's name.

    An origin that ends in `/*` stands for every log one step below it.
    """

    keys: Mapping[str, Sequence[PublicKey]]

    def verifiers(self, origin: str) -> tuple[EcdsaNoteVerifier, ...]:
        """The verifiers of one log; none when the witness does not know it."""
        parent, _, last = origin.rpartition("/")
        found = self.keys.get(origin) or (self.keys.get(f"{parent}/*") if last else None) or ()
        return tuple(EcdsaNoteVerifier(origin, key) for key in found if last != "*")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A checkpoint that may be cosigned, and the signatures of its log that hold."""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]


def write_submission(submission: Submission) -> bytes:
    """The body of a request; ValueError when the proof is longer than any can be."""
    if len(submission.proof) > MOST_PROOF_LINES:
        raise ValueError(f"a consistency proof has at most {MOST_PROOF_LINES} hashes")
    hashes = [base64.b64encode(hashed).decode() for hashed in submission.proof]
    return "\n".join([f"{_OLD}{submission.old_size}", *hashes, "", submission.note]).encode()


def read_submission(content: bytes) -> Submission:
    """Read the body of a request; `Refused` with 400 when it is none."""
    try:
        head, blank, note = content.decode().partition("\n\n")
        first, *hashes = head.split("\n")
        if not blank or not first.startswith(_OLD):
            raise _bad_request("the body is `old`, a size, a proof, an empty line and a checkpoint")
        if len(hashes) > MOST_PROOF_LINES:
            raise _bad_request(f"a proof has at most {MOST_PROOF_LINES} lines")
        old_size = read_size(first.removeprefix(_OLD))
        return Submission(old_size, tuple(map(read_hash, hashes)), note)
    except UnicodeDecodeError:
        raise _bad_request("the body is not UTF-8") from None
    except VerificationFailed as failure:
        raise _bad_request(failure.reason) from None


def authenticate(submission: Submission, logs: KnownLogs) -> Accepted:
    """The checkpoint, signed by its log; `Refused` with 400, 404 or 403."""
    try:
        checkpoint, signatures = read_note(submission.note)
    except VerificationFailed as failure:
        raise _bad_request(failure.reason) from None
    verifiers = logs.verifiers(checkpoint.origin)
    if not verifiers or len(checkpoint.origin) > _LONGEST_ORIGIN:
        raise Refused(HTTPStatus.NOT_FOUND, "this witness does not know the log\n")
    try:
        open_note(submission.note, verifiers)
    except VerificationFailed as failure:
        raise Refused(HTTPStatus.FORBIDDEN, f"{failure.reason}\n") from None
    hints = {verifier.hint for verifier in verifiers}
    by_log = [line for line in signatures if line.name == checkpoint.origin and line.hint in hints]
    return Accepted(checkpoint, tuple({line.hint: line for line in reversed(by_log)}.values()))


def check_growth(latest: Checkpoint, submission: Submission, checkpoint: Checkpoint) -> None:
    """Check that `checkpoint` continues `latest`; `Refused` with 400, 409 or 422.

    `latest` is what was cosigned last, or the empty tree.
    """
    if submission.old_size > checkpoint.size:
        raise _bad_request("the old size exceeds the size of the checkpoint")
    if submission.old_size != latest.size:
        raise Refused(HTTPStatus.CONFLICT, f"{latest.size}\n", SIZE_TYPE)
    try:
        merkle.verify_consistency(
            latest.size, checkpoint.size, submission.proof, latest.root, checkpoint.root
        )
    except ProofInvalid as failure:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"{failure.reason}\n") from None


def origin_hash(origin: str) -> str:
    """What a log is called in the address of its last checkpoint: SHA-256, lower-case hex."""
    return hashlib.sha256(origin.encode()).hexdigest()


def empty(origin: str) -> Checkpoint:
    """What every log begins with."""
    return Checkpoint(origin, 0, merkle.EMPTY_ROOT)


def _bad_request(reason: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, f"{reason}\n")
