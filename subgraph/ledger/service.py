"""Records events in the transaction of whoever causes them."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from subgraph.db.service import Transaction
from subgraph.errors import JSONValue
from subgraph.ledger import canonical, store
from subgraph.ledger.dsse import pae
from subgraph.ledger.entry import PAYLOAD_TYPE, SALT_BYTES, Entry, commitment
from subgraph.ledger.faultpoints import FaultPoint, FaultPoints, no_faults
from subgraph.ledger.model import DEPLOYMENT, EventType, NewEvent, Personal, Receipt, log_origin
from subgraph.ledger.recording import CHUNK, Batch, WrittenEntry, record
from subgraph.ledger.signing import Clock, ProcessKeys, always, utc_now
from subgraph.ledger.template import EntryTemplate

_ANY_ID = UUID(int=0)


def unnoticed(_tenant: str | None, _count: int) -> None:
    """Leave the timer to find the events."""


class Ledger:
    """Appends events to the log of their tenant, or of the deployment.

    `permit` raises while nothing may be appended: when the database is behind its witness.
    `notice` is told the tenant and the number of events of every append, committed or not.
    """

    def __init__(
        self,
        base: str,
        keys: ProcessKeys,
        *,
        permit: Callable[[], None] = always,
        notice: Callable[[str | None, int], None] = unnoticed,
        clock: Clock = utc_now,
        faults: FaultPoints = no_faults,
    ) -> None:
        self._base = base
        self._keys = keys
        self._permit = permit
        self._notice = notice
        self._clock = clock
        self._faults = faults

    def permit(self) -> None:
        """Return if events may be appended; raise why not if not.

        For writes without an event of their own: they too stop while the database is behind its
        witness.
        """
        self._permit()

    async def append(self, transaction: Transaction, event: NewEvent) -> Receipt:
        """Record one event; see `append_many`."""
        return (await self.append_many(transaction, [event]))[0]

    async def append_many(
        self, transaction: Transaction, events: Sequence[NewEvent]
    ) -> list[Receipt]:
        """Record events of one log, in order; they are in it once the transaction commits.

        The transaction is bound to the tenant of the events, or to `DEPLOYMENT`, and holds the
        log's head until it ends: append late in it. An event whose id is in the log already
        answers the receipt of then.

        Raises `LEDGER_EQUIVOCATION` for a known id with another statement, `EntryInvalid` for
        what an entry cannot hold, `LEDGER_KEY_UNAVAILABLE`, and what `permit` raises. The
        transaction can go on only after a refusal that came before anything was written; roll
        back in doubt.
        """
        if not events:
            return []
        if len({event.tenant for event in events}) > 1:
            raise ValueError("the events of one call are of one log")
        self._permit()
        at = self._clock()
        key = self._keys.current(at)
        origin = log_origin(self._base, events[0].tenant)
        entries = _written(events, at, origin, key.key_id)
        signatures = key.signatures([pae(PAYLOAD_TYPE, item.encoded) for item in entries])
        # Those of the first chunk; the others are made while PostgreSQL has work to do.
        signatures(range(min(CHUNK, len(entries))))
        await self._faults(FaultPoint.EVENTS_SIGNED)
        batch = Batch(origin, events[0].tenant, entries, signatures)
        receipts = await record(transaction, batch, self._faults)
        self._notice(events[0].tenant, len(events))
        return receipts

    async def erase_personal(
        self, transaction: Transaction, tenant: str | None, event_id: UUID
    ) -> bool:
        """Erase what an event only commits to; False when there is nothing to erase."""
        return await store.erase_personal(transaction, tenant or DEPLOYMENT, event_id)


def _text(payload: Mapping[str, JSONValue] | None) -> bytes | None:
    if payload is None:
        return None
    plain = payload if isinstance(payload, dict) else dict(payload)
    return canonical.encode(plain, within=1)


def _written(
    events: Sequence[NewEvent], at: datetime, origin: str, key_id: str
) -> list[WrittenEntry]:
    templates: dict[tuple[EventType, str], EntryTemplate] = {}
    entries = []
    for event in events:
        template = templates.get((event.type, event.actor))
        if template is None:
            sample = Entry(
                origin=origin,
                event_id=_ANY_ID,
                tenant=event.tenant,
                type=event.type.value,
                at=at,
                actor=event.actor,
                key_id=key_id,
                payload={},
            )
            template = templates[event.type, event.actor] = EntryTemplate.of(sample)
        personal = committed = None
        if event.personal is not None:
            content = canonical.encode(dict(event.personal))
            personal = Personal(secrets.token_bytes(SALT_BYTES), content)
            committed = commitment(personal.salt, personal.payload)
        payload = None if event.payload is None else _text(event.payload)
        event_id = event.event_id or uuid4()
        entries.append(
            WrittenEntry(
                event_id,
                event.type.value,
                event.actor,
                payload,
                template.encode(event_id, payload, committed),
                repeatable=event.event_id is not None,
                personal=personal,
            )
        )
    return entries
