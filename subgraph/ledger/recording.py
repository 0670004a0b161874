"""Puts entries into a log, under the lock of its head."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from subgraph.db.service import Transaction
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger import canonical, store
from subgraph.ledger.entry import commitment, decode
from subgraph.ledger.faultpoints import FaultPoint, FaultPoints
from subgraph.ledger.merkle import Frontier, leaf_hashes
from subgraph.ledger.model import DEPLOYMENT, Personal, Receipt, RecordedEvent

CHUNK = 128
"""Entries that one statement inserts, while those of the next one are signed."""

Signatures = Callable[[Sequence[int]], Sequence[bytes]]
"""The signatures of the entries at these places, which are made when they are first asked for."""


@dataclass(frozen=True, slots=True)
class WrittenEntry:
    """An entry's bytes and what they say; `repeatable` if its id was given to us.

    `payload` is the canonical text of its public payload.
    """

    event_id: UUID
    type: str
    actor: str
    payload: bytes | None
    encoded: bytes
    repeatable: bool
    personal: Personal | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one log, in order, of which all are allowed."""

    origin: str
    tenant: str | None
    entries: Sequence[WrittenEntry]
    signatures: Signatures

    @property
    def log(self) -> str:
        """What stands for the tenant of the log."""
        return self.tenant or DEPLOYMENT


async def record(transaction: Transaction, batch: Batch, faults: FaultPoints) -> list[Receipt]:
    """Append the entries; answers where each of them stands.

    One that stands there already keeps its place. Raises `LEDGER_EQUIVOCATION` if it says
    something else than what stands under its event id, and `SETTINGS_INVALID` if the log has
    another origin; nothing is appended then.
    """
    head = await store.lock_head(transaction, batch.log, batch.origin)
    await faults(FaultPoint.HEAD_LOCKED)
    if head.origin != batch.origin:
        message = f"this log began as {head.origin}; IG_LEDGER_ORIGIN cannot change"
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, message)
    standing = await _standing(transaction, batch)
    await faults(FaultPoint.EVENTS_COMPARED)
    first = _first_places(batch)
    places = [
        place
        for place, item in enumerate(batch.entries)
        if first.get(item.event_id, place) == place and item.event_id not in standing
    ]
    appended: dict[int, Receipt] = {}
    if places:
        frontier = Frontier.of(head.size, head.frontier)
        appended = await _insert(transaction, batch, places, frontier)
        await faults(FaultPoint.EVENTS_RECORDED)
    await _keep_personal(transaction, batch, places, faults)
    return [
        standing.get(item.event_id) or appended[first.get(item.event_id, place)]
        for place, item in enumerate(batch.entries)
    ]


def _first_places(batch: Batch) -> dict[UUID, int]:
    """Where each event that may be repeated is first said; it says the same everywhere."""
    first: dict[UUID, int] = {}
    for place, item in enumerate(batch.entries):
        if item.repeatable:
            before = first.setdefault(item.event_id, place)
            if before != place and not _same(batch.entries[before], item):
                raise _equivocation(item.event_id)
    return first


async def _insert(
    transaction: Transaction, batch: Batch, places: Sequence[int], frontier: Frontier
) -> dict[int, Receipt]:
    """Insert chunk by chunk: the next one is made while PostgreSQL works on the last one."""
    receipts: dict[int, Receipt] = {}

    def made(start: int) -> store.Rows:
        chosen = places[start : start + CHUNK]
        items = [batch.entries[place] for place in chosen]
        entries = [item.encoded for item in items]
        leaves, first = leaf_hashes(entries), frontier.size
        for index, (place, item, leaf) in enumerate(zip(chosen, items, leaves, strict=True), first):
            receipts[place] = Receipt(item.event_id, index, leaf, batch.origin)
        return store.Rows(
            first,
            [item.event_id for item in items],
            [item.type for item in items],
            entries,
            leaves,
            batch.signatures(chosen),
            frontier.append_all(leaves),
        )

    rows = made(0)
    for start in range(CHUNK, len(places), CHUNK):
        rows = await store.insert_some(transaction, batch.log, rows, partial(made, start))
    await store.insert_last(transaction, batch.log, rows, frontier)
    return receipts


async def _standing(transaction: Transaction, batch: Batch) -> dict[UUID, Receipt]:
    repeatable = [item.event_id for item in batch.entries if item.repeatable]
    if not repeatable:
        return {}
    found = await store.events_with_ids(transaction, batch.log, repeatable)
    for item in batch.entries:
        event = found.get(item.event_id)
        if event is not None and not await _stands(transaction, batch, event, item):
            raise _equivocation(event.event_id)
    return {
        event_id: Receipt(event_id, event.index, event.leaf, batch.origin)
        for event_id, event in found.items()
    }


async def _stands(
    transaction: Transaction, batch: Batch, event: RecordedEvent, wanted: WrittenEntry
) -> bool:
    """Whether the event says what is wanted; when it was said, and by which key, is no part."""
    entry = decode(event.entry)
    payload = None if entry.payload is None else canonical.encode(dict(entry.payload), within=1)
    said = (entry.origin, entry.tenant, entry.type, entry.actor, payload)
    if said != (batch.origin, batch.tenant, wanted.type, wanted.actor, wanted.payload):
        return False
    if entry.payload_commitment is None or wanted.personal is None:
        return entry.payload_commitment is None and wanted.personal is None
    kept = await store.personal(transaction, batch.log, event.event_id)
    # Of what was erased nobody can say that it was the same.
    return kept is not None and entry.payload_commitment == commitment(
        kept.salt, wanted.personal.payload
    )


def _same(one: WrittenEntry, other: WrittenEntry) -> bool:
    said = [
        (item.type, item.actor, item.payload, item.personal and item.personal.payload)
        for item in (one, other)
    ]
    return said[0] == said[1]


async def _keep_personal(
    transaction: Transaction, batch: Batch, places: Sequence[int], faults: FaultPoints
) -> None:
    payloads = [
        (batch.entries[place].event_id, personal)
        for place in places
        if (personal := batch.entries[place].personal) is not None
    ]
    if payloads:
        await store.insert_personal(transaction, batch.log, payloads)
        await faults(FaultPoint.PERSONAL_RECORDED)


def _equivocation(event_id: UUID) -> SubgraphError:
    return SubgraphError(ErrorCode.LEDGER_EQUIVOCATION, eventId=str(event_id))
