"""Delegations and revocations: entries of the deployment log that the root signs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from subgraph.ledger.dsse import pae
from subgraph.ledger.entry import PAYLOAD_TYPE, Entry, decode, read_time
from subgraph.ledger.errors import Finding, VerificationFailed, placed
from subgraph.ledger.note import EcdsaNoteVerifier
from subgraph.ledger.proof import read_proof, verify_proof
from subgraph.ledger.publickey import PublicKey
from subgraph.ledger.slice import KeyStatement

DELEGATED = "ledger.key.delegated"
REVOKED = "ledger.key.revoked"


@dataclass(frozen=True, slots=True)
class SigningRight:
    """A key that may sign entries; a root's right has no bounds in time."""

    key: PublicKey
    not_before: datetime | None = None
    not_after: datetime | None = None

    def covers(self, at: datetime) -> bool:
        """Whether the time is within the bounds, the later of which is not included."""
        return (self.not_before is None or self.not_before <= at) and (
            self.not_after is None or at < self.not_after
        )


@dataclass(frozen=True, slots=True)
class IndexedEntry:
    """An entry, and where it stands in its log."""

    index: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Revocation:
    """What the key signs in the log `origin` counts only before the index."""

    key_id: str
    origin: str
    from_index: int


def verify_entry_signature(content: bytes, signature: bytes, key: PublicKey) -> None:
    """Check a signature over an entry; VerificationFailed when it does not hold."""
    key.verify(pae(PAYLOAD_TYPE, content), signature)


def verify_key_statement(
    statement: KeyStatement, deployment: str, roots: Mapping[str, PublicKey]
) -> IndexedEntry:
    """The entry, signed by a trusted root and included in the deployment log of that origin."""
    entry = decode(statement.entry)
    if entry.origin != deployment:
        raise VerificationFailed(Finding.ORIGIN_MISMATCH, "not an entry of the deployment log")
    if entry.key_id not in roots:
        raise VerificationFailed(Finding.KEY_UNTRUSTED)
    verify_entry_signature(statement.entry, statement.signature, roots[entry.key_id])
    verifiers = [EcdsaNoteVerifier(deployment, root) for root in roots.values()]
    with placed("proof"):
        note = verify_proof(statement.entry, statement.proof, verifiers)
        if note.checkpoint.origin != deployment:
            message = "not a checkpoint of the deployment log"
            raise VerificationFailed(Finding.ORIGIN_MISMATCH, message)
    return IndexedEntry(read_proof(statement.proof).index, entry)


def read_delegation(entry: Entry) -> SigningRight:
    """What a delegation grants; VerificationFailed when the entry is none."""
    fields = _payload(
        entry, DELEGATED, ("keyId", "publicKeyPem", "notBefore", "notAfter", "delegatedBy")
    )
    key = PublicKey.from_pem(_text(fields, "publicKeyPem"))
    if key.key_id != fields["keyId"]:
        raise VerificationFailed(Finding.KEY_ID_MISMATCH)
    if fields["delegatedBy"] != entry.key_id:
        message = "the delegation names another root than has signed it"
        raise VerificationFailed(Finding.DELEGATION_INVALID, message)
    bounds = (read_time(_text(fields, name)) for name in ("notBefore", "notAfter"))
    return SigningRight(key, *bounds)


def read_revocation(entry: Entry) -> Revocation:
    """What a revocation ends; VerificationFailed when the entry is none."""
    fields = _payload(entry, REVOKED, ("keyId", "origin", "fromIndex", "reason"))
    index = fields["fromIndex"]
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise VerificationFailed(Finding.DELEGATION_INVALID, "`fromIndex` is not an index")
    return Revocation(_text(fields, "keyId"), _text(fields, "origin"), index)


def _payload(entry: Entry, kind: str, names: Sequence[str]) -> Mapping[str, Any]:
    if entry.type != kind or entry.payload is None or entry.payload.keys() != set(names):
        message = f"not an entry {kind} of {', '.join(names)}"
        raise VerificationFailed(Finding.DELEGATION_INVALID, message)
    return entry.payload


def _text(fields: Mapping[str, Any], name: str) -> str:
    text = fields[name]
    if not isinstance(text, str):
        raise VerificationFailed(Finding.DELEGATION_INVALID, f"`{name}` is not a text")
    return text
