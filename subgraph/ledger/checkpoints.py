"""Signs the state of each log: on a timer, after a number of events, and on demand.

The root signs and the witness cosigns between transactions, never inside one. A tenant's
checkpoint is an event of the deployment log before it is stored, so every stored one is in it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from subgraph.db.operator import operator_transaction
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger import store
from subgraph.ledger.errors import VerificationFailed
from subgraph.ledger.faultpoints import FaultPoint, FaultPoints, no_faults
from subgraph.ledger.merkle import EMPTY_ROOT, verify_consistency
from subgraph.ledger.model import DEPLOYMENT, EventType, Head, NewEvent, SignedCheckpoint
from subgraph.ledger.note import KEY_HINT_BYTES, Checkpoint, signature_line, write_note
from subgraph.ledger.reading import LedgerReader
from subgraph.ledger.root import RootKey
from subgraph.ledger.service import Ledger
from subgraph.ledger.signing import Clock, utc_now

_log = logging.getLogger(__name__)

_ACTOR = "deployment"
_LEASE = "checkpoints"

_CONTRADICTED = (ErrorCode.LEDGER_BEHIND_WITNESS, ErrorCode.LEDGER_FORKED)

ConsistencyFrom = Callable[[int], Awaitable[Sequence[bytes]]]
"""The hashes that prove the checkpoint's tree against the log's tree of an older size."""


class Cosign(Protocol):
    """The witness, as the signer of checkpoints sees it."""

    async def cosign(self, note: str, size: int, proof_from: ConsistencyFrom) -> tuple[str, ...]:
        """Return the signature lines that the witness adds to the note of a tree of `size`.

        It MUST answer within its deadline or raise. It MUST raise LEDGER_BEHIND_WITNESS or
        LEDGER_FORKED when the note contradicts what it cosigned before. It MAY ask for the proof
        from any size that it remembers.
        """
        ...


class WriteGate:
    """Whether events may be appended; closed while the witness has not vouched for the database."""

    def __init__(self, closed: ErrorCode | None = None) -> None:
        self._closed = closed

    @property
    def closed(self) -> ErrorCode | None:
        """Why nothing may be appended; None when it may."""
        return self._closed

    def permit(self) -> None:
        """Return if events may be appended; raise the reason if not."""
        if self._closed is not None:
            raise SubgraphError(self._closed)

    def close(self, code: ErrorCode) -> None:
        """Refuse every append from now on."""
        self._closed = code

    def open(self) -> None:
        """Let events be appended."""
        self._closed = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """When checkpoints are signed without being asked for.

    `seconds` between two looks at all logs; `events` after which a log is signed at once.
    """

    seconds: float
    events: int


class Growth:
    """Counts what this process appends to each log."""

    def __init__(self) -> None:
        self._counts: dict[str | None, int] = {}
        self._changed = asyncio.Event()

    def notice(self, tenant: str | None, count: int) -> None:
        """Count events; whether they are committed is seen when the log is signed."""
        self._counts[tenant] = self._counts.get(tenant, 0) + count
        self._changed.set()

    def take(self, events: int = 1) -> list[str]:
        """The tenants whose logs grew by so many, to be counted anew."""
        grown = [log for log, count in self._counts.items() if count >= events]
        for log in grown:
            del self._counts[log]
        return [log for log in grown if log is not None]

    async def wait(self, schedule: Schedule) -> list[str] | None:
        """The tenants whose logs grew by `schedule.events`; None after `schedule.seconds`."""
        try:
            async with asyncio.timeout(schedule.seconds):
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    grown = self.take(schedule.events)
                    if grown:
                        return grown
        except TimeoutError:
            return None


class Checkpoints:
    """Signs, cosigns and stores the checkpoints of all logs."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        reader: LedgerReader,
        root: RootKey,
        *,
        witness: Cosign | None = None,
        gate: WriteGate | None = None,
        clock: Clock = utc_now,
        faults: FaultPoints = no_faults,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._reader = reader
        self._root = root
        self._witness = witness
        self._gate = gate or WriteGate()
        self._clock = clock
        self._faults = faults
        self._holder = uuid4()

    async def require(self, tenant: str | None) -> SignedCheckpoint:
        """A checkpoint of the log as it stands now, signed by the root in this very call.

        Called before a decision, it shows that what follows can be signed; called after one, it
        covers it. Raises `CHECKPOINT_UNAVAILABLE` while the root or the witness is away, and
        `VerificationFailed` if the log does not continue what was signed before.
        """
        head = await self._reader.head(tenant)
        await self._faults(FaultPoint.CHECKPOINT_HEAD_READ)
        await self._require_continuation(head)
        note = await self._sign(head)
        await self._faults(FaultPoint.CHECKPOINT_SIGNED)
        if tenant is not None:
            await self._anchor(head)
            await self._faults(FaultPoint.CHECKPOINT_ANCHORED)
        signed = SignedCheckpoint(head.size, head.root, note, self._clock())
        log = tenant or DEPLOYMENT
        async with self._database.transaction(log) as transaction:
            await store.insert_checkpoint(transaction, log, signed)
        await self._faults(FaultPoint.CHECKPOINT_STORED)
        return await self._reader.checkpoint(tenant, head.size) or signed

    async def admit(self) -> None:
        """Open the gate once the witness has cosigned the deployment log as the database has it.

        Every checkpoint of a tenant is in that log, so a database that went back shows there.
        Raises `LEDGER_BEHIND_WITNESS`, `LEDGER_FORKED` or `CHECKPOINT_UNAVAILABLE`.
        """
        head = await self._reader.head(None)
        if self._witness is not None:
            await self._require_continuation(head)
            await self._sign(head)
        self._gate.open()

    async def sign_due(self, tenants: Sequence[str]) -> list[str | None]:
        """Sign those logs, then the deployment's; None in the answer stands for the latter.

        The deployment log comes last, since the others' checkpoints are events of it. A log that
        has not grown is left alone; one that fails does not keep the others from being signed.
        """
        signed: list[str | None] = []
        for tenant in (*tenants, None):
            try:
                if await self._grew(tenant):
                    await self.require(tenant)
                    signed.append(tenant)
            except VerificationFailed:
                _log.exception("the log of %s was tampered with", tenant or "the deployment")
            except SubgraphError as error:
                _log.warning("no checkpoint of %s: %s", tenant or "the deployment", error)
        return signed

    async def keep(self, schedule: Schedule, growth: Growth, system_dsn: str | None) -> None:
        """Sign what is due, for ever: all logs on the timer, and a log that grew much at once.

        The timer's work is done by the process with the lease only. Without the system role nobody
        sees all logs; each process then signs those that it appended to.
        """
        while True:
            try:
                grown = await growth.wait(schedule)
                if grown is not None:
                    await self.sign_due(grown)
                elif system_dsn is None:
                    await self.sign_due(growth.take())
                elif await self._leads(schedule.seconds * 3):
                    await self.sign_due(await _behind(system_dsn))
            except SubgraphError as error:
                _log.warning("checkpoints are late: %s", error)

    async def _leads(self, seconds: float) -> bool:
        async with self._database.transaction(DEPLOYMENT) as transaction:
            return await store.take_lease(transaction, DEPLOYMENT, _LEASE, self._holder, seconds)

    async def _grew(self, tenant: str | None) -> bool:
        newest = await self._reader.checkpoint(tenant)
        return (await self._reader.head(tenant)).size > (newest.size if newest else 0)

    async def _require_continuation(self, head: Head) -> None:
        """Raise `VerificationFailed` rather than sign against what was signed before."""
        last = await self._reader.checkpoint(head.tenant)
        size, root = (0, EMPTY_ROOT) if last is None else (last.size, last.root)
        proof = (
            await self._reader.consistency_hashes(head.tenant, size, head.size)
            if 0 < size < head.size
            else ()
        )
        verify_consistency(size, head.size, proof, root, head.root)

    async def _sign(self, head: Head) -> str:
        try:
            return await self._signed_note(head)
        except SubgraphError as error:
            if error.code in _CONTRADICTED:
                self._gate.close(error.code)
                raise
            code = ErrorCode.CHECKPOINT_UNAVAILABLE
            raise SubgraphError(code, because=error.code.name) from error

    async def _signed_note(self, head: Head) -> str:
        checkpoint = Checkpoint(head.origin, head.size, head.root)
        root = await self._root.signer()
        signature = await root.sign(checkpoint.body())
        hint = bytes.fromhex(root.key_id)[:KEY_HINT_BYTES]
        line = signature_line(head.origin, hint, signature)
        note = write_note(checkpoint, [line])
        if self._witness is None:
            return note

        async def proof_from(older: int) -> Sequence[bytes]:
            return await self._reader.consistency_hashes(head.tenant, older, head.size)

        return note + "".join(await self._witness.cosign(note, head.size, proof_from))

    async def _anchor(self, head: Head) -> None:
        event = NewEvent(
            EventType.CHECKPOINT_SIGNED,
            _ACTOR,
            None,
            {"origin": head.origin, "size": head.size, "rootHash": f"sha256:{head.root.hex()}"},
            event_id=_anchor_id(head),
        )
        async with self._database.transaction(DEPLOYMENT) as transaction:
            await self._ledger.append(transaction, event)


def _anchor_id(head: Head) -> UUID:
    """One id for each size of each log: signing it again records nothing new."""
    return uuid5(NAMESPACE_URL, f"{head.origin}#{head.size}")


async def _behind(system_dsn: str) -> list[str]:
    """The tenants whose logs have grown since their last checkpoint."""
    async with operator_transaction(system_dsn) as transaction:
        rows = await transaction.rows(
            "SELECT tenant_id FROM ledger_log l WHERE size > coalesce("
            " (SELECT max(size) FROM ledger_checkpoint c WHERE c.tenant_id = l.tenant_id), 0)"
            " AND tenant_id <> $1 ORDER BY tenant_id",
            DEPLOYMENT,
        )
    return [row["tenant_id"] for row in rows]
