"""Verification of a slice: everything that can be known without the database or the network."""

from collections.abc import Sequence
from dataclasses import dataclass

from subgraph.ledger import keyring, merkle, origin
from subgraph.ledger.delegation import IndexedEntry
from subgraph.ledger.entry import decode
from subgraph.ledger.errors import Finding, VerificationFailed, placed
from subgraph.ledger.note import (
    Checkpoint,
    EcdsaNoteVerifier,
    NoteVerifier,
    OpenedNote,
    open_note,
)
from subgraph.ledger.publickey import PublicKey, key_id_of_pem
from subgraph.ledger.slice import Completeness, Slice, SliceEntry, SliceKey, read_slice


@dataclass(frozen=True, slots=True)
class Report:
    """What was verified. `first` and `last` are indices, None when the slice has no entries.

    `complete` tells that no entry from `first` up to the newer checkpoint is left out. `signers`
    are the ids of the keys that signed entries, `witnesses` the names of the trusted witnesses
    that cosigned both checkpoints.
    """

    origin: str
    older: Checkpoint
    newer: Checkpoint
    entries: int
    first: int | None
    last: int | None
    complete: bool
    signers: tuple[str, ...]
    witnesses: tuple[str, ...]


def verify_slice(
    content: bytes, roots: Sequence[PublicKey], witnesses: Sequence[NoteVerifier] = ()
) -> Report:
    """Verify all of a file that `ig ledger export` wrote.

    `roots` are the keys that the caller trusts, known from elsewhere than the file. When witnesses
    are given, one of them must have cosigned each checkpoint. VerificationFailed names the first
    thing that is wrong, in the order: the form of the file, its keys, the checkpoints, their
    consistency, the form of the entries, delegations and revocations, signatures, the tree.
    """
    given = read_slice(content)
    with placed("origin"):
        deployment = origin.deployment_beside(given.origin)
    _check_keys(given.keys)
    notes = [
        _open_checkpoint(text, name, given.origin, roots, witnesses)
        for name, text in (("older", given.older), ("newer", given.newer))
    ]
    older, newer = (note.checkpoint for note in notes)
    with placed("consistency"):
        merkle.verify_consistency(older.size, newer.size, given.consistency, older.root, newer.root)
    entries = _open_entries(given)
    ring = keyring.gather(given, deployment, roots, entries)
    for name, note in zip(("older", "newer"), notes, strict=True):
        with placed(name):
            _check_signers(note, ring)
    for place, (item, opened) in enumerate(zip(given.entries, entries, strict=True)):
        with placed(f"entries[{place}]"):
            ring.check_signature(opened, item.entry, item.signature)
    if given.complete is None:
        _check_inclusions(given.entries, newer)
    else:
        _check_tree(given.entries, given.complete, older, newer)
    cosigners = [{signer.name for signer in note.signed_by} - {given.origin} for note in notes]
    return Report(
        origin=given.origin,
        older=older,
        newer=newer,
        entries=len(entries),
        first=entries[0].index if entries else None,
        last=entries[-1].index if entries else None,
        complete=given.complete is not None,
        signers=tuple(sorted({opened.entry.key_id for opened in entries})),
        witnesses=tuple(sorted(cosigners[0] & cosigners[1])),
    )


def _check_keys(keys: Sequence[SliceKey]) -> None:
    for place, key in enumerate(keys):
        with placed(f"keys[{place}]"):
            if key_id_of_pem(key.public_key_pem) != key.key_id:
                raise VerificationFailed(Finding.KEY_ID_MISMATCH)


def _open_checkpoint(
    text: str,
    where: str,
    log: str,
    roots: Sequence[PublicKey],
    witnesses: Sequence[NoteVerifier],
) -> OpenedNote:
    by_the_log = [EcdsaNoteVerifier(log, root) for root in roots]
    with placed(where):
        opened = open_note(text, [*by_the_log, *witnesses])
        if not any(verifier in opened.signed_by for verifier in by_the_log):
            raise VerificationFailed(Finding.NOTE_SIGNATURE_MISSING)
        if witnesses and not any(witness in opened.signed_by for witness in witnesses):
            raise VerificationFailed(Finding.COSIGNATURE_MISSING)
        if opened.checkpoint.origin != log:
            raise VerificationFailed(Finding.ORIGIN_MISMATCH)
    return opened


def _check_signers(note: OpenedNote, ring: keyring.KeyRing) -> None:
    # A checkpoint speaks of all indices below its size.
    log, last = note.checkpoint.origin, note.checkpoint.size - 1
    for signer in note.signed_by:
        if isinstance(signer, EcdsaNoteVerifier):
            ring.check_not_revoked(signer.key.key_id, log, last)


def _open_entries(given: Slice) -> list[IndexedEntry]:
    opened: list[IndexedEntry] = []
    seen = set()
    for place, item in enumerate(given.entries):
        with placed(f"entries[{place}]"):
            entry = decode(item.entry)
            if entry.origin != given.origin:
                raise VerificationFailed(Finding.ORIGIN_MISMATCH)
            if entry.event_id in seen:
                raise VerificationFailed(Finding.EVENT_ID_REUSED)
            if opened and item.index <= opened[-1].index:
                message = "the entries do not stand in the order of their indices"
                raise VerificationFailed(Finding.ENTRY_MISSING, message)
        seen.add(entry.event_id)
        opened.append(IndexedEntry(item.index, entry))
    return opened


def _check_inclusions(entries: Sequence[SliceEntry], newer: Checkpoint) -> None:
    for place, item in enumerate(entries):
        with placed(f"entries[{place}]"):
            if item.inclusion is None:
                raise VerificationFailed(Finding.ENTRY_UNPROVEN)
            leaf = merkle.leaf_hash(item.entry)
            merkle.verify_inclusion(leaf, item.index, newer.size, item.inclusion, newer.root)


def _check_tree(
    entries: Sequence[SliceEntry], complete: Completeness, older: Checkpoint, newer: Checkpoint
) -> None:
    """Rebuild the tree, and compare it at both sizes where it covers them."""
    start = complete.start
    with placed("complete"):
        tree = merkle.Frontier.of(start, complete.frontier)
    for place, item in enumerate(entries):
        if item.index != start + place or item.inclusion is not None:
            where = f"entries[{place}]"
            message = f"index {item.index} where {start + place} has to be"
            raise VerificationFailed(Finding.ENTRY_MISSING, message, where)
    if start + len(entries) != newer.size:
        message = f"{len(entries)} entries from {start} on, of a log of {newer.size}"
        raise VerificationFailed(Finding.ENTRY_MISSING, message, "entries")
    leaves = merkle.leaf_hashes(item.entry for item in entries)
    rest = 0
    if start <= older.size:
        rest = older.size - start
        tree.extend(leaves[:rest])
        _check_root(tree, older, "older")
    tree.extend(leaves[rest:])
    _check_root(tree, newer, "newer")


def _check_root(tree: merkle.Frontier, checkpoint: Checkpoint, where: str) -> None:
    if tree.root() != checkpoint.root:
        raise VerificationFailed(Finding.ROOT_MISMATCH, where=where)
