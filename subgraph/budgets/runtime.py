"""The budgets of one process: their parts, and what runs beside the requests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from subgraph.approvals.service import ApprovalService
from subgraph.background import beside
from subgraph.budgets import sweeper
from subgraph.budgets.accountant import Accountant
from subgraph.budgets.anchors import anchor, check_anchor
from subgraph.budgets.model import BudgetPolicy, BudgetTerms
from subgraph.budgets.override_requests import BudgetOverrides
from subgraph.budgets.policies import set_policy
from subgraph.budgets.reader import BudgetReader
from subgraph.budgets.service import DpService
from subgraph.db.service import Database
from subgraph.errors import SubgraphError
from subgraph.ledger.model import EventType, RecordedEvent
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.settings import Settings

_log = logging.getLogger(__name__)

_LEASE = timedelta(seconds=60)
"""Longer than the draws of an operation take, with the database's own timeouts."""
_MOST_SWEPT = 500


class BudgetsRuntime:
    """What a process needs to spend budgets; it opens nothing before it is used."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        recording: LedgerRuntime,
        approvals: ApprovalService,
    ) -> None:
        self._settings = settings
        self._database = database
        self._recording = recording
        self._vouched: set[str] = set()
        self.accountant = Accountant(
            database, recording.ledger, lease=_LEASE, permit=recording.ledger.permit
        )
        self.releases = DpService(
            database, self.accountant, self._vouch, grid=settings.dp_grid_ms / 1000
        )
        self.reader = BudgetReader(database)
        self.overrides = BudgetOverrides(database, recording.ledger, approvals)

    async def set_policy(self, tenant: str, terms: BudgetTerms, *, by: str) -> BudgetPolicy:
        """See `policies.set_policy`."""
        return await set_policy(self._database, self._recording.ledger, tenant, terms, by=by)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Forfeit what was abandoned and anchor the spend chains for as long as the block runs.

        Both need the system role. At the end, what was paid for is drawn and stored.
        """
        work = []
        if (system := self._settings.database_system_url) is not None:
            work.append(self._every(self._settings.dp_sweep_seconds, self._sweep, system))
            work.append(self._every(self._settings.checkpoint_seconds, self._anchor, system))
        try:
            async with beside(*work):
                yield
        finally:
            await self.releases.close()

    async def _vouch(self, tenant: str) -> None:
        if tenant not in self._vouched:
            await check_anchor(self._database, self._newest, tenant)
            self._vouched.add(tenant)

    async def _newest(self, tenant: str, type: EventType) -> RecordedEvent | None:
        return await self._recording.reader.newest(tenant, type)

    @staticmethod
    async def _every(seconds: float, step: Callable[[str], Awaitable[None]], system: str) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await step(system)
            except SubgraphError as error:
                _log.warning("budgets are not swept or anchored: %s", error)

    @staticmethod
    async def _sweep(system: str) -> None:
        forfeited = await sweeper.forfeit_abandoned(system, most=_MOST_SWEPT)
        if forfeited:
            _log.warning("%d releases were abandoned and are forfeited", forfeited)
        await sweeper.expire_tickets(system, most=_MOST_SWEPT)

    async def _anchor(self, system: str) -> None:
        for tenant in await sweeper.moved_tenants(system, most=_MOST_SWEPT):
            async with self._database.transaction(tenant) as transaction:
                await anchor(transaction, self._recording.ledger, tenant)
