"""Runs the releases of operations: plan, reserve, draw, store, and only then answer.

An operation is paid for as a whole or not at all. Once it is paid for it is drawn and stored
whoever goes on waiting: an answer that was paid for is there for whoever asks next.
"""

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from subgraph.budgets import reading
from subgraph.budgets.accountant import Accountant
from subgraph.budgets.answers import write_answer
from subgraph.budgets.drawing import draw
from subgraph.budgets.errors import BudgetRefused, ReleasePending
from subgraph.budgets.handle import (
    Covered,
    OperationReleases,
    Outcome,
    Outcomes,
    stored_before,
    told,
)
from subgraph.budgets.model import (
    DpSpendState,
    Release,
    ReleaseKey,
    Reservation,
    ReservationRequest,
    StoredRelease,
)
from subgraph.budgets.outlook import DpDecision, Outlook, outlook
from subgraph.budgets.planning import (
    AskedRelease,
    DatasetKey,
    OperationPlan,
    PlannedRelease,
    plan,
)
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.tenants.model import Dataset

_DRAWN_AT_ONCE = 4
"""Of one operation; each draw takes a connection while PostgreSQL aggregates."""
_LOOKS_SECONDS = 0.025
"""Between two looks for an answer that another operation has paid for."""

Vouch = Callable[[str], Awaitable[None]]
"""Raises while the spend log of a tenant does not continue what the ledger says of it."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Who asks: the subject, and the client's idempotency key if it sent one."""

    subject: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class OperationEstimate:
    """What would become of an operation; nothing was spent to tell.

    `outlook` is None when the tenant has no policy, or nothing is asked.
    """

    plan: OperationPlan
    decision: DpDecision
    outlook: Outlook | None

    @property
    def earliest_at(self) -> datetime | None:
        """When an operation that has to wait could run."""
        queued = self.decision is DpDecision.QUEUE and self.outlook is not None
        return self.outlook.resets_at if queued and self.outlook else None

    @property
    def remaining_after(self) -> Decimal | None:
        """What the budget would have left; None if the operation cannot run now."""
        if self.outlook is None or self.decision is not DpDecision.ALLOW:
            return None
        return self.outlook.remaining - self.plan.epsilon


class DpService:
    """The releases of operations; one a process.

    New answers come on a grid of `grid` seconds from the reservation on, so that neither the draw
    nor the aggregate shows in their times; 0 is no grid.
    """

    def __init__(
        self, database: Database, accountant: Accountant, vouch: Vouch, *, grid: float
    ) -> None:
        self._database = database
        self._accountant = accountant
        self._vouch = vouch
        self._grid = grid
        self._running: set[asyncio.Task[None]] = set()

    async def begin(
        self,
        asked: Sequence[AskedRelease],
        datasets: Mapping[DatasetKey, Dataset],
        payer: Payer,
    ) -> OperationReleases:
        """Pay for an operation before its resolvers run; what they get is in the handle.

        A denial is the outcome of each release that is not stored. Raises what `planning.plan`
        raises; nothing is spent then.
        """
        planned = await plan(self._database, asked, datasets)
        if not planned.unpaid:
            return _settled(planned, {})
        loop = asyncio.get_running_loop()
        begun: asyncio.Future[OperationReleases] = loop.create_future()
        task = asyncio.create_task(self._run(planned, asked, datasets, payer, begun))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # Whoever gives up here leaves an operation that ends by itself.
        return await asyncio.shield(begun)

    async def estimate(
        self, asked: Sequence[AskedRelease], datasets: Mapping[DatasetKey, Dataset]
    ) -> OperationEstimate:
        """What `begin` would do; reads no protected data and writes nothing."""
        planned = await plan(self._database, asked, datasets)
        if not planned.planned:
            return OperationEstimate(planned, DpDecision.ALLOW, None)
        ahead = await outlook(self._database, planned.tenant)
        if ahead is None:
            free = planned.epsilon == 0
            return OperationEstimate(planned, DpDecision.ALLOW if free else DpDecision.DENY, None)
        return OperationEstimate(planned, ahead.decide(planned.epsilon), ahead)

    async def close(self) -> None:
        """Wait for what was paid for."""
        if self._running:
            await asyncio.wait(self._running)

    async def _run(
        self,
        planned: OperationPlan,
        asked: Sequence[AskedRelease],
        datasets: Mapping[DatasetKey, Dataset],
        payer: Payer,
        begun: "asyncio.Future[OperationReleases]",
    ) -> None:
        loop = asyncio.get_running_loop()
        outcomes: asyncio.Future[Outcomes] = loop.create_future()
        holder, reservation = uuid4(), None
        given: Outcomes = {}
        reserved_at = loop.time()
        try:
            while planned.unpaid and reservation is None:
                reservation = await self._reserved(planned, payer, holder)
                if reservation is None:
                    await asyncio.sleep(_LOOKS_SECONDS)
                    planned = await plan(self._database, asked, datasets)
            begun.set_result(OperationReleases(planned, outcomes))
            if reservation is not None:
                reserved_at = loop.time()
                given = await self._drawn(planned, reservation)
                await self._until_due(reserved_at)
        except SubgraphError as error:
            given = await self._denied(planned, error)
        finally:
            failed = _all(planned, SubgraphError(ErrorCode.DP_RELEASE_FAILED))
            outcomes.set_result({**failed, **stored_before(planned.stored), **given})
            if not begun.done():
                begun.set_result(OperationReleases(planned, outcomes))

    async def _reserved(
        self, planned: OperationPlan, payer: Payer, holder: UUID
    ) -> Reservation | None:
        """The reservation; None while another operation is about to store one of the answers."""
        tenant, charges = planned.tenant, planned.charges
        await self._vouch(tenant)
        key = _key(payer, planned.unpaid, holder)
        request = ReservationRequest(key, holder, payer.subject, charges)
        try:
            reservation = await self._accountant.reserve(tenant, request)
        except ReleasePending:
            return None
        if reservation.lease is not None:
            return reservation
        ids = [(tenant, identity) for identity in reservation.spend_ids]
        spends = await reading.spends(self._database, ids)
        if any(spend.state is DpSpendState.RESERVED for spend in spends.values()):
            return None
        if any(spend.state is DpSpendState.FORFEITED for spend in spends.values()):
            # The same key pays once: what was lost under it stays lost.
            raise SubgraphError(ErrorCode.DP_RELEASE_FAILED)
        return None

    async def _drawn(
        self, planned: OperationPlan, reservation: Reservation
    ) -> dict[ReleaseKey, Outcome]:
        """Draw everything that was paid for and store it; a failure says nothing but that."""
        unpaid, covered = planned.unpaid, Covered.by(reservation, planned)
        places = asyncio.Semaphore(_DRAWN_AT_ONCE)

        async def drawn(item: PlannedRelease) -> Release | None:
            async with places:
                try:
                    answer = await draw(
                        self._database, planned.tenant, item.dataset, item.request, covered
                    )
                except SubgraphError:
                    return None
            return Release(item.release_key, item.dataset.version, write_answer(answer))

        made = await asyncio.gather(*map(drawn, unpaid))
        releases = [release for release in made if release is not None]
        try:
            stored = await self._committed(reservation, releases)
            if len(releases) < len(unpaid):
                await self._accountant.forfeit(reservation)
        except SubgraphError:
            # What is not committed now is forfeited when its lease ends.
            return {}
        costs = {item.release_key: item.request.epsilon for item in unpaid}
        return {key: told(release, costs[key]) for key, release in stored.items()}

    async def _committed(
        self, reservation: Reservation, releases: Sequence[Release]
    ) -> Mapping[ReleaseKey, StoredRelease]:
        if not releases:
            return {}
        try:
            return await self._accountant.commit(reservation, releases)
        except SubgraphError as error:
            if error.code is ErrorCode.RESERVATION_LOST:
                raise
            # The first one may have succeeded; the second one then finds what it stored.
            return await self._accountant.commit(reservation, releases)

    async def _denied(self, planned: OperationPlan, error: SubgraphError) -> Outcomes:
        if not isinstance(error, BudgetRefused):
            return _all(planned, error)
        queueable = False
        if error.code is ErrorCode.DP_BUDGET_EXHAUSTED:
            with suppress(SubgraphError):
                ahead = await outlook(self._database, planned.tenant)
                queueable = ahead is not None and ahead.next_remaining >= error.required
        denied = BudgetRefused(
            error.code, error.required, error.remaining, error.resets_at, queueable=queueable
        )
        return _all(planned, denied)

    async def _until_due(self, reserved_at: float) -> None:
        if not self._grid:
            return
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(wait_for_tick(now - reserved_at, self._grid))


def wait_for_tick(elapsed: float, grid: float) -> float:
    """How many seconds are left until the next multiple of `grid`, so many after its start."""
    return (math.floor(elapsed / grid) + 1) * grid - elapsed


def _settled(planned: OperationPlan, outcomes: Outcomes) -> OperationReleases:
    """The handle of an operation for which nothing is drawn."""
    known: asyncio.Future[Outcomes] = asyncio.get_running_loop().create_future()
    known.set_result({**stored_before(planned.stored), **outcomes})
    return OperationReleases(planned, known)


def _all(planned: OperationPlan, outcome: SubgraphError) -> Outcomes:
    return dict.fromkeys((item.release_key for item in planned.unpaid), outcome)


def _key(payer: Payer, unpaid: Sequence[PlannedRelease], holder: UUID) -> str:
    """What makes a repeat known: for one client key, the same releases.

    A gateway sends one client's key with each of its fetches, and each of them is an operation.
    """
    if payer.idempotency_key is None:
        return f"run:{holder}"
    parts = [payer.subject.encode(), payer.idempotency_key.encode()]
    parts += sorted(item.release_key for item in unpaid)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return f"client:{digest.hexdigest()}"
