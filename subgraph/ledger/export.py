"""Reads a part of a log with all that proves it, as the file that `ig ledger export` writes."""

from collections.abc import Sequence

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.entry import decode
from subgraph.ledger.errors import EntryInvalid
from subgraph.ledger.merkle import frontier_nodes
from subgraph.ledger.model import DEPLOYMENT, EventType, KeyPurpose, RecordedEvent, SignedCheckpoint
from subgraph.ledger.proof import TlogProof
from subgraph.ledger.reading import LedgerReader
from subgraph.ledger.slice import (
    Completeness,
    KeyStatement,
    Slice,
    SliceEntry,
    SliceKey,
    write_slice,
)

_PAGE = 1_000
_MOST_ENTRIES = 2**63


async def export_slice(
    reader: LedgerReader, tenant: str | None, start: int, end: int | None = None
) -> bytes:
    """All entries from `start` to below `end`, a size with a checkpoint; None means the newest.

    Raises `INVALID_INPUT` when there is no such log or checkpoint, or the range is empty, and
    `CHECKPOINT_UNAVAILABLE` until one covers the log, and one of the deployment log the
    delegations.
    """
    newer = await _end(reader, tenant, end)
    if not 0 <= start < newer.size:
        message = f"the range from {start} to {newer.size} is empty, or begins nowhere"
        raise SubgraphError(ErrorCode.INVALID_INPUT, message)
    # An older checkpoint inside the range would do as well; the last one before it says most.
    older = await reader.checkpoint_up_to(tenant, start) or newer
    events = await _events(reader, tenant, start, newer.size)
    delegations, revocations = await _statements(reader, events)
    head = await reader.head(tenant)
    frontier = frontier_nodes(start)
    hashes = await reader.nodes(tenant, frontier)
    keys = await reader.keys(KeyPurpose.ROOT, KeyPurpose.WITNESS)
    return write_slice(
        Slice(
            origin=head.origin,
            older=older.note,
            newer=newer.note,
            consistency=await reader.consistency_hashes(tenant, older.size, newer.size),
            complete=Completeness(start, tuple(hashes[node] for node in frontier)),
            entries=tuple(
                SliceEntry(event.index, event.entry, event.signature) for event in events
            ),
            delegations=delegations,
            revocations=revocations,
            keys=tuple(SliceKey(key.key_id, key.purpose.value, key.public_key_pem) for key in keys),
        )
    )


async def _end(reader: LedgerReader, tenant: str | None, size: int | None) -> SignedCheckpoint:
    newest = await _newest(reader, tenant)
    if size is None:
        return newest
    found = await reader.checkpoint(tenant, size) if 0 <= size < _MOST_ENTRIES else None
    if found is None:
        message = f"the log has no checkpoint of size {size}; the newest is of {newest.size}"
        raise SubgraphError(ErrorCode.INVALID_INPUT, message)
    return found


async def _newest(reader: LedgerReader, tenant: str | None) -> SignedCheckpoint:
    if tenant == DEPLOYMENT:
        raise _unknown(tenant)
    newest = await reader.checkpoint(tenant)
    if newest is not None:
        return newest
    try:
        size = (await reader.head(tenant)).size
    except EntryInvalid:
        size = 0
    if tenant is not None and size == 0:
        raise _unknown(tenant)
    message = "no checkpoint of this log was signed yet; try again"
    raise SubgraphError(ErrorCode.CHECKPOINT_UNAVAILABLE, message)


def _unknown(tenant: str) -> SubgraphError:
    return SubgraphError(ErrorCode.INVALID_INPUT, f"there is no ledger of a tenant {tenant!r}")


async def _events(
    reader: LedgerReader, tenant: str | None, start: int, end: int
) -> list[RecordedEvent]:
    events: list[RecordedEvent] = []
    while start + len(events) < end:
        missing = end - start - len(events)
        page = await reader.events(tenant, first=min(_PAGE, missing), after=start + len(events) - 1)
        if not page:
            message = "the log holds fewer entries than its checkpoint says"
            raise SubgraphError(ErrorCode.LEDGER_INVALID, message)
        events += page
    return events


async def _statements(
    reader: LedgerReader, events: Sequence[RecordedEvent]
) -> tuple[tuple[KeyStatement, ...], tuple[KeyStatement, ...]]:
    """The delegations of the keys that signed the events, and all revocations."""
    signers = {decode(event.entry).key_id for event in events}
    announced = {
        key.event_id for key in await reader.keys(KeyPurpose.PROCESS) if key.key_id in signers
    }
    found = await reader.events_by_id([(None, event_id) for event_id in announced])
    delegations = sorted(found.values(), key=lambda event: event.index)
    revocations = await _all_of_type(reader, EventType.KEY_REVOKED)
    checkpoint = await reader.checkpoint(None)
    indices = [event.index for event in (*delegations, *revocations)]
    if indices and (checkpoint is None or checkpoint.size <= max(indices)):
        message = "no checkpoint of the deployment log covers the delegations yet; try again"
        raise SubgraphError(ErrorCode.CHECKPOINT_UNAVAILABLE, message)
    if checkpoint is None:
        return (), ()
    proofs = await _proofs(reader, indices, checkpoint)
    delegated, revoked = (
        tuple(
            KeyStatement(event.entry, event.signature, proofs[event.index]) for event in statements
        )
        for statements in (delegations, revocations)
    )
    return delegated, revoked


async def _all_of_type(reader: LedgerReader, kind: EventType) -> list[RecordedEvent]:
    events: list[RecordedEvent] = []
    while True:
        after = events[-1].index if events else None
        page = await reader.events(None, first=_PAGE, after=after, type=kind.value)
        events += page
        if len(page) < _PAGE:
            return events


async def _proofs(
    reader: LedgerReader, indices: Sequence[int], checkpoint: SignedCheckpoint
) -> dict[int, str]:
    found = await reader.inclusions(None, indices, checkpoint.size)
    return {
        index: TlogProof(index, proof.hashes, checkpoint.note).write()
        for index, proof in found.items()
    }
