"""The SQL that appends to a ledger; every statement runs in a transaction bound to the log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from subgraph.db.service import Row, Transaction
from subgraph.ledger.merkle import EMPTY_ROOT, Frontier
from subgraph.ledger.model import (
    LockedHead,
    Personal,
    RecordedEvent,
    SignedCheckpoint,
    VerificationKey,
)

_INSERT = (
    "completed AS (INSERT INTO ledger_node (tenant_id, level, index, hash)"
    " SELECT $1, node.* FROM unnest($8::int2[], $9::int8[], $10::bytea[]) AS node)"
    " INSERT INTO ledger_event (tenant_id, index, event_id, type, entry, leaf, signature)"
    " SELECT $1, $2 + ordinality - 1, event_id, type, entry, leaf, signature"
    " FROM unnest($3::uuid[], $4::text[], $5::bytea[], $6::bytea[], $7::bytea[])"
    " WITH ORDINALITY AS event(event_id, type, entry, leaf, signature, ordinality)"
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Events that follow each other, from the index `first` on, and the nodes they complete.

    A node is a level, an index and a hash.
    """

    first: int
    event_ids: Sequence[UUID]
    types: Sequence[str]
    entries: Sequence[bytes]
    leaves: Sequence[bytes]
    signatures: Sequence[bytes]
    nodes: Sequence[tuple[int, int, bytes]]


async def lock_head(transaction: Transaction, log: str, origin: str) -> LockedHead:
    """The head of the log, which nobody else can move until the transaction ends."""
    head = await _locked(transaction, log)
    if head is None:
        await transaction.run(
            "INSERT INTO ledger_log (tenant_id, origin, size, frontier, root)"
            " VALUES ($1, $2, 0, '{}', $3) ON CONFLICT DO NOTHING",
            log,
            origin,
            EMPTY_ROOT,
        )
        head = await _locked(transaction, log)
    assert head is not None
    return head


async def _locked(transaction: Transaction, log: str) -> LockedHead | None:
    row = await transaction.row(
        "SELECT origin, size, frontier FROM ledger_log WHERE tenant_id = $1 FOR UPDATE", log
    )
    return None if row is None else LockedHead(row["origin"], row["size"], tuple(row["frontier"]))


async def events_with_ids(
    transaction: Transaction, log: str, event_ids: Sequence[UUID]
) -> dict[UUID, RecordedEvent]:
    """Those of the events that are recorded already. Called after the head is locked.

    It must be a statement of its own: one that waits for the lock would still look at the events
    as they were before it waited.
    """
    rows = await transaction.rows(
        "SELECT tenant_id, index, event_id, type, entry, leaf, signature FROM ledger_event"
        " WHERE tenant_id = $1 AND event_id = ANY ($2::uuid[])",
        log,
        event_ids,
    )
    return {row["event_id"]: recorded_event(row, None) for row in rows}


async def insert_some(
    transaction: Transaction, log: str, rows: Rows, meanwhile: Callable[[], Rows]
) -> Rows:
    """Record events and the nodes that they complete; answers what is made meanwhile.

    The head stays where it was, until `insert_last` moves it.
    """
    return await transaction.run_while(meanwhile, f"WITH {_INSERT}", *_columns(log, rows))


async def insert_last(transaction: Transaction, log: str, rows: Rows, frontier: Frontier) -> None:
    """Record events, the nodes that they complete and the head that all of them lead to."""
    await transaction.run(
        "WITH head AS (UPDATE ledger_log SET size = $11, frontier = $12, root = $13"
        f" WHERE tenant_id = $1), {_INSERT}",
        *_columns(log, rows),
        frontier.size,
        frontier.hashes,
        frontier.root(),
    )


def _columns(log: str, rows: Rows) -> tuple[object, ...]:
    return (
        log,
        rows.first,
        rows.event_ids,
        rows.types,
        rows.entries,
        rows.leaves,
        rows.signatures,
        [level for level, _, _ in rows.nodes],
        [index for _, index, _ in rows.nodes],
        [hashed for _, _, hashed in rows.nodes],
    )


async def insert_personal(
    transaction: Transaction, log: str, payloads: Sequence[tuple[UUID, Personal]]
) -> None:
    """Keep the payloads that can be erased."""
    await transaction.run(
        "INSERT INTO ledger_personal (tenant_id, event_id, salt, payload)"
        " SELECT $1, kept.* FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS kept",
        log,
        [event_id for event_id, _ in payloads],
        [personal.salt for _, personal in payloads],
        [personal.payload for _, personal in payloads],
    )


async def personal(transaction: Transaction, log: str, event_id: UUID) -> Personal | None:
    """The payload that an event commits to, unless it was erased."""
    row = await transaction.row(
        "SELECT salt, payload FROM ledger_personal WHERE tenant_id = $1 AND event_id = $2",
        log,
        event_id,
    )
    return None if row is None else Personal(row["salt"], row["payload"])


async def erase_personal(transaction: Transaction, log: str, event_id: UUID) -> bool:
    """Erase the payload and its salt for good; False when there is none."""
    row = await transaction.row(
        "DELETE FROM ledger_personal WHERE tenant_id = $1 AND event_id = $2 RETURNING event_id",
        log,
        event_id,
    )
    return row is not None


async def insert_checkpoint(
    transaction: Transaction, log: str, checkpoint: SignedCheckpoint
) -> None:
    """Keep a note; the first one of a size stays."""
    await transaction.run(
        "INSERT INTO ledger_checkpoint (tenant_id, size, root, note, signed_at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        log,
        checkpoint.size,
        checkpoint.root,
        checkpoint.note,
        checkpoint.signed_at,
    )


async def insert_key(transaction: Transaction, log: str, key: VerificationKey) -> None:
    """Publish a key; one that is known stays as it is."""
    await transaction.run(
        "INSERT INTO signing_key (tenant_id, key_id, purpose, public_key_pem, origin, valid_from,"
        " valid_until, event_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        log,
        key.key_id,
        key.purpose.value,
        key.public_key_pem,
        key.origin,
        key.valid_from,
        key.valid_until,
        key.event_id,
    )


async def revoke_key(
    transaction: Transaction, log: str, key_id: str, at: datetime, index: int | None
) -> None:
    """Mark a key as revoked, and from which index of the deployment log on, if that was said."""
    await transaction.run(
        "UPDATE signing_key SET revoked_at = coalesce(revoked_at, $3),"
        " revoked_at_index = least(revoked_at_index, $4)"
        " WHERE tenant_id = $1 AND key_id = $2",
        log,
        key_id,
        at,
        index,
    )


async def take_lease(
    transaction: Transaction, log: str, name: str, holder: UUID, seconds: float
) -> bool:
    """Take or prolong a lease; False while another holder's has not expired."""
    row = await transaction.row(
        "INSERT INTO lease (tenant_id, name, holder, expires_at)"
        " VALUES ($1, $2, $3, now() + make_interval(secs => $4))"
        " ON CONFLICT (tenant_id, name) DO UPDATE"
        " SET holder = excluded.holder, expires_at = excluded.expires_at"
        " WHERE lease.holder = excluded.holder OR lease.expires_at < now() RETURNING name",
        log,
        name,
        holder,
        seconds,
    )
    return row is not None


def recorded_event(row: Row, tenant: str | None) -> RecordedEvent:
    """An event from its row."""
    return RecordedEvent(
        tenant=tenant,
        index=row["index"],
        event_id=row["event_id"],
        type=row["type"],
        entry=row["entry"],
        leaf=row["leaf"],
        signature=row["signature"],
    )
