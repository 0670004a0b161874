"""Puts signed entries into a log, under the lock of its head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from subgraph.db.service import Transaction
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger import canonical, store
from subgraph.ledger.entry import Entry, commitment, decode
from subgraph.ledger.faultpoints import FaultPoint, FaultPoints
from subgraph.ledger.merkle import Frontier, Node, leaf_hash
from subgraph.ledger.model import DEPLOYMENT, Personal, Receipt, RecordedEvent


@dataclass(frozen=True, slots=True)
class SignedEntry:
    """An entry with its bytes and their signature; `repeatable` if its id was given to us."""

    entry: Entry
    encoded: bytes
    signature: bytes
    repeatable: bool
    personal: Personal | None = None


async def record(
    transaction: Transaction, signed: Sequence[SignedEntry], faults: FaultPoints
) -> list[Receipt]:
    """Append entries of one log, in order; answers where each of them stands.

    One that stands there already keeps its place. Raises `LEDGER_EQUIVOCATION` if it says
    something else than what stands under its event id, and `SETTINGS_INVALID` if the log has
    another origin; nothing is appended then.
    """
    origin = signed[0].entry.origin
    log = signed[0].entry.tenant or DEPLOYMENT
    head = await store.lock_head(transaction, log, origin)
    await faults(FaultPoint.HEAD_LOCKED)
    if head.origin != origin:
        message = f"this log began as {head.origin}; IG_LEDGER_ORIGIN cannot change"
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, message)
    receipts = await _standing(transaction, log, signed)
    await faults(FaultPoint.EVENTS_COMPARED)
    frontier = Frontier.of(head.size, head.frontier)
    events: list[RecordedEvent] = []
    nodes: list[tuple[Node, bytes]] = []
    accepted: dict[UUID, SignedEntry] = {}
    for item in signed:
        event_id = item.entry.event_id
        if event_id in accepted and not _same(accepted[event_id], item):
            raise _equivocation(event_id)
        if event_id in receipts:
            continue
        accepted[event_id] = item
        leaf = leaf_hash(item.encoded)
        events.append(
            RecordedEvent(
                item.entry.tenant,
                frontier.size,
                event_id,
                item.entry.type,
                item.encoded,
                leaf,
                item.signature,
            )
        )
        receipts[event_id] = Receipt(event_id, frontier.size, leaf, origin)
        nodes += frontier.append(leaf)
    if events:
        await store.insert_events(transaction, log, events, nodes, frontier)
        await faults(FaultPoint.EVENTS_RECORDED)
    await _keep_personal(transaction, log, accepted, faults)
    return [receipts[item.entry.event_id] for item in signed]


async def _standing(
    transaction: Transaction, log: str, signed: Sequence[SignedEntry]
) -> dict[UUID, Receipt]:
    repeatable = [item.entry.event_id for item in signed if item.repeatable]
    if not repeatable:
        return {}
    found = await store.events_with_ids(transaction, log, repeatable)
    for item in signed:
        event = found.get(item.entry.event_id)
        if event is not None and not await _stands(transaction, log, event, item):
            raise _equivocation(event.event_id)
    origin = signed[0].entry.origin
    return {
        event_id: Receipt(event_id, event.index, event.leaf, origin)
        for event_id, event in found.items()
    }


async def _stands(
    transaction: Transaction, log: str, event: RecordedEvent, wanted: SignedEntry
) -> bool:
    """Whether the event says what is wanted; when it was said, and by which key, is no part."""
    entry = decode(event.entry)
    if _statement(entry) != _statement(wanted.entry):
        return False
    if entry.payload_commitment is None or wanted.personal is None:
        return entry.payload_commitment is None and wanted.personal is None
    kept = await store.personal(transaction, log, event.event_id)
    # Of what was erased nobody can say that it was the same.
    return kept is not None and entry.payload_commitment == commitment(
        kept.salt, wanted.personal.payload
    )


def _same(one: SignedEntry, other: SignedEntry) -> bool:
    payloads = [item.personal and item.personal.payload for item in (one, other)]
    return _statement(one.entry) == _statement(other.entry) and payloads[0] == payloads[1]


def _statement(entry: Entry) -> tuple[object, ...]:
    # As text, since True == 1 in Python and not in an entry.
    payload = None if entry.payload is None else canonical.encode(dict(entry.payload))
    return entry.origin, entry.tenant, entry.type, entry.actor, payload


async def _keep_personal(
    transaction: Transaction,
    log: str,
    accepted: Mapping[UUID, SignedEntry],
    faults: FaultPoints,
) -> None:
    payloads = [
        (event_id, item.personal)
        for event_id, item in accepted.items()
        if item.personal is not None
    ]
    if payloads:
        await store.insert_personal(transaction, log, payloads)
        await faults(FaultPoint.PERSONAL_RECORDED)


def _equivocation(event_id: UUID) -> SubgraphError:
    return SubgraphError(ErrorCode.LEDGER_EQUIVOCATION, eventId=str(event_id))
