"""Which keys may have signed which entries and checkpoints."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from subgraph.ledger.delegation import (
    REVOKED,
    IndexedEntry,
    Revocation,
    SigningRight,
    read_delegation,
    read_revocation,
    verify_entry_signature,
    verify_key_statement,
)
from subgraph.ledger.errors import Finding, VerificationFailed, placed
from subgraph.ledger.publickey import PublicKey
from subgraph.ledger.slice import Slice


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The rights of each key, by its id, and what has been revoked."""

    rights: Mapping[str, Sequence[SigningRight]]
    revocations: Sequence[Revocation]

    def check_not_revoked(self, key_id: str, origin: str, index: int) -> None:
        """VerificationFailed(KEY_REVOKED) when the key no longer counts at the index."""
        for revocation in self.revocations:
            applies = revocation.key_id == key_id and revocation.origin == origin
            if applies and index >= revocation.from_index:
                message = f"the key was revoked from index {revocation.from_index} of the log on"
                raise VerificationFailed(Finding.KEY_REVOKED, message)

    def check_signature(self, item: IndexedEntry, content: bytes, signature: bytes) -> None:
        """Check that the entry's key has signed these bytes, and was allowed to."""
        entry = item.entry
        rights = self.rights.get(entry.key_id, ())
        if not rights:
            raise VerificationFailed(Finding.KEY_NOT_DELEGATED)
        verify_entry_signature(content, signature, rights[0].key)
        if not any(right.covers(entry.at) for right in rights):
            raise VerificationFailed(Finding.KEY_OUT_OF_TIME)
        self.check_not_revoked(entry.key_id, entry.origin, item.index)


def gather(
    given: Slice, deployment: str, roots: Sequence[PublicKey], entries: Iterable[IndexedEntry]
) -> KeyRing:
    """The trusted roots, and what they have delegated and revoked.

    Revocations count wherever the slice has them: listed, or among its entries. VerificationFailed
    when a statement is not by a trusted root, or not in the deployment log.
    """
    trusted = {root.key_id: root for root in roots}
    rights = {key_id: [SigningRight(root)] for key_id, root in trusted.items()}
    stated: list[tuple[str, IndexedEntry]] = []
    for place, statement in enumerate(given.delegations):
        with placed(f"delegations[{place}]"):
            item = verify_key_statement(statement, deployment, trusted)
            right = read_delegation(item.entry)
        stated.append((f"delegations[{place}]", item))
        rights.setdefault(right.key.key_id, []).append(right)
    revocations = []
    for place, statement in enumerate(given.revocations):
        with placed(f"revocations[{place}]"):
            revoked = verify_key_statement(statement, deployment, trusted)
            revocations.append(read_revocation(revoked.entry))
    revocations.extend(
        read_revocation(item.entry)
        for item in entries
        if item.entry.type == REVOKED and item.entry.key_id in trusted
    )
    ring = KeyRing(rights, revocations)
    for where, item in stated:
        with placed(where):
            ring.check_not_revoked(item.entry.key_id, deployment, item.index)
    return ring
