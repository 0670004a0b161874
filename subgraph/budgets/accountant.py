"""The accountant: pays for all releases of an operation, then keeps their answers.

Reserve, then read the data, draw, and commit; only what `commit` returns may be shown. What is
reserved is spent: a crash forfeits it, and nothing is ever refunded.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

from subgraph.budgets import store
from subgraph.budgets.alerts import report_low
from subgraph.budgets.chain import charge_text, request_digest
from subgraph.budgets.epsilon import to_quanta
from subgraph.budgets.errors import ReleasePending, refuse
from subgraph.budgets.faultpoints import FaultPoint, FaultPoints, no_faults
from subgraph.budgets.model import (
    Lease,
    Release,
    ReleaseKey,
    Reservation,
    ReservationRequest,
    StoredRelease,
    spend_id,
)
from subgraph.db.service import Database, Row
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.service import Ledger
from subgraph.ledger.signing import always

_LONGEST_KEY = 200
_MOST_CHARGES = 1_000

_HELD = "HELD"
_LOW = "LOW"


class Accountant:
    """Reserves, commits and forfeits.

    `permit` raises while nothing may be spent: when the database is behind its witness. `lease` is
    how long a holder has to commit.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        *,
        lease: timedelta,
        permit: Callable[[], None] = always,
        faults: FaultPoints = no_faults,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._lease = lease
        self._permit = permit
        self._faults = faults

    async def reserve(self, tenant: str, request: ReservationRequest) -> Reservation:
        """Pay for every charge of the request, or for none; one round trip.

        A repeated request answers the same reservation; its lease is None while another holder has
        the right to commit it, and is taken over from a holder whose lease ran out.

        Raises `BudgetRefused` (`DP_BUDGET_EXHAUSTED`, `EPSILON_OVER_OPERATION_LIMIT`),
        `ReleasePending` when one of the answers is stored or paid for by now, and
        `BUDGET_NOT_SET`, `IDEMPOTENCY_CONFLICT` or `TICKET_LOST`; nothing is spent then.
        `ValueError` for a request that no caller may make.
        """
        self._permit()
        arguments = self._arguments(request)
        row = await store.reserve(self._database, tenant, *arguments(may_be_low=False))
        await self._faults(FaultPoint.RESERVED)
        if row["outcome"] == _LOW:
            # Only now is a second statement due in the same transaction.
            async with self._database.transaction(tenant) as transaction:
                row = await store.reserve_within(transaction, tenant, *arguments(may_be_low=True))
                await self._faults(FaultPoint.RESERVED_LOW)
                await report_low(transaction, self._ledger, tenant)
                await self._faults(FaultPoint.ALARMED)
        return _reservation(tenant, row)

    async def commit(
        self, reservation: Reservation, releases: Sequence[Release]
    ) -> Mapping[ReleaseKey, StoredRelease]:
        """Store answers and mark their spends COMMITTED; the stored answers, which may be shown.

        Whoever is unsure whether a commit succeeded repeats it with the same answers; what was
        stored first stays. Raises `RESERVATION_LOST` when the lease is not, or no longer, the
        caller's, and stores nothing then.
        """
        tenant, lease = reservation.tenant, reservation.lease
        if lease is None:
            raise SubgraphError(ErrorCode.RESERVATION_LOST)
        self._permit()
        identity = reservation.reservation_id
        keys = [release.release_key for release in releases]
        async with self._database.transaction(tenant) as transaction:
            held = await store.lock_reservation(transaction, tenant, identity)
            await self._faults(FaultPoint.RESERVATION_LOCKED)
            if held is None or held["epoch"] != lease.epoch:
                raise SubgraphError(ErrorCode.RESERVATION_LOST)
            if held["live"]:
                await store.commit_spends(transaction, tenant, identity, releases)
                await self._faults(FaultPoint.SPENDS_COMMITTED)
            stored = await store.releases_of(transaction, tenant, identity, keys)
            await self._faults(FaultPoint.RELEASES_READ)
            if stored.keys() != set(keys):
                raise SubgraphError(ErrorCode.RESERVATION_LOST)
        await self._faults(FaultPoint.COMMITTED)
        return stored

    async def forfeit(self, reservation: Reservation) -> int:
        """Give up what is not committed, after a failure; how many spends that were."""
        if reservation.lease is None:
            return 0
        return await store.forfeit(
            self._database,
            reservation.tenant,
            reservation.reservation_id,
            reservation.lease.epoch,
        )

    def _arguments(self, request: ReservationRequest) -> Callable[..., tuple[object, ...]]:
        charges = request.charges
        keys = [charge.release_key for charge in charges]
        if not 0 < len(charges) <= _MOST_CHARGES or len(set(keys)) < len(keys):
            raise ValueError("an operation is charged for each of its releases, once")
        if not 0 < len(request.key) <= _LONGEST_KEY:
            raise SubgraphError(
                ErrorCode.INVALID_INPUT, f"an idempotency key has 1 to {_LONGEST_KEY} characters"
            )
        for charge in charges:
            to_quanta(charge.epsilon)
        reservation_id, ticket = uuid4(), request.ticket
        digest = request_digest(request.actor, charges)
        texts = [charge_text(charge, request.actor) for charge in charges]

        def arguments(*, may_be_low: bool) -> tuple[object, ...]:
            return (
                reservation_id,
                request.key,
                digest,
                request.holder,
                self._lease,
                ticket and ticket.ticket_id,
                ticket and ticket.epoch,
                may_be_low,
                [spend_id(reservation_id, place) for place in range(len(charges))],
                [charge.dataset_id for charge in charges],
                keys,
                [charge.epsilon for charge in charges],
                texts,
            )

        return arguments


def _reservation(tenant: str, row: Row) -> Reservation:
    refuse(row)
    outcome = row["outcome"]
    if outcome in ("PENDING", "RELEASED"):
        raise ReleasePending(row["resets_at"] if outcome == "PENDING" else None)
    return Reservation(
        tenant=tenant,
        reservation_id=row["reservation_id"],
        window_start=row["window_start"],
        window_end=row["window_end"],
        first_sequence=row["first_seq"],
        spends=row["spends"],
        epsilon=Decimal(row["required"]),
        head=row["head"],
        reserved_at=row["reserved_at"],
        lease=Lease(row["epoch"], row["lease_until"]) if outcome == _HELD else None,
    )
