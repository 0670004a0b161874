"""Records events in the transaction of whoever causes them."""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from subgraph.db.service import Transaction
from subgraph.ledger import canonical, store
from subgraph.ledger.dsse import pae
from subgraph.ledger.entry import PAYLOAD_TYPE, SALT_BYTES, Entry, commitment
from subgraph.ledger.faultpoints import FaultPoint, FaultPoints, no_faults
from subgraph.ledger.model import DEPLOYMENT, NewEvent, Personal, Receipt, log_origin
from subgraph.ledger.recording import SignedEntry, record
from subgraph.ledger.signing import Clock, ProcessKey, ProcessKeys, always, utc_now


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
        log = log_origin(self._base, events[0].tenant)
        signed = [_sign(event, at, log, key) for event in events]
        await self._faults(FaultPoint.EVENTS_SIGNED)
        receipts = await record(transaction, signed, self._faults)
        self._notice(events[0].tenant, len(events))
        return receipts

    async def erase_personal(
        self, transaction: Transaction, tenant: str | None, event_id: UUID
    ) -> bool:
        """Erase what an event only commits to; False when there is nothing to erase."""
        return await store.erase_personal(transaction, tenant or DEPLOYMENT, event_id)


def _sign(event: NewEvent, at: datetime, log: str, key: ProcessKey) -> SignedEntry:
    personal = committed = None
    if event.personal is not None:
        personal = Personal(secrets.token_bytes(SALT_BYTES), canonical.encode(dict(event.personal)))
        committed = commitment(personal.salt, personal.payload)
    entry = Entry(
        origin=log,
        event_id=event.event_id or uuid4(),
        tenant=event.tenant,
        type=event.type.value,
        at=at,
        actor=event.actor,
        key_id=key.key_id,
        payload=event.payload,
        payload_commitment=committed,
    )
    encoded = entry.encode()
    return SignedEntry(
        entry,
        encoded,
        key.sign(pae(PAYLOAD_TYPE, encoded)),
        repeatable=event.event_id is not None,
        personal=personal,
    )
