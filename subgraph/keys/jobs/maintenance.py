"""What is due by the clock, for all tenants; of all workers one at a time sees to it.

It lists tenants as the system role and acts as the service, bound to one tenant at a time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

from subgraph.approvals.service import ApprovalService
from subgraph.db.operator import operator_transaction
from subgraph.db.queue import prune
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.breakglass.service import BreakGlassService
from subgraph.keys.custody import store as custody_store
from subgraph.keys.custody.wrapping import Wrappers
from subgraph.keys.jobs import store
from subgraph.keys.jobs.fence import WORKER
from subgraph.keys.jobs.model import KeyJobKind, NewJob
from subgraph.keys.jobs.service import Enqueue, KeyJobs
from subgraph.ledger.model import DEPLOYMENT
from subgraph.ledger.store import take_lease

_LEASE = "maintenance"
_MOST = 100
"""Of each kind of work, a round."""
_ASKED = 20
"""Keys a round whose providers are asked; the next round goes on behind them."""

_log = logging.getLogger(__name__)


class Maintenance:
    """Rounds of: slices that got lost, requests and sessions whose time is over, rotations.

    A job that has not moved for `stalled_seconds` has its slice put into the queue again, which
    changes nothing while it waits there or runs.
    """

    def __init__(
        self,
        database: Database,
        system_dsn: str,
        *,
        wrappers: Wrappers,
        jobs: KeyJobs,
        approvals: ApprovalService,
        break_glass: BreakGlassService,
        enqueue: Enqueue,
        stalled_seconds: float,
    ) -> None:
        self._database = database
        self._system_dsn = system_dsn
        self._wrappers = wrappers
        self._jobs = jobs
        self._approvals = approvals
        self._break_glass = break_glass
        self._enqueue = enqueue
        self._stalled_seconds = stalled_seconds
        self._holder = uuid4()
        self._asked = ""

    async def run(self, seconds: float) -> None:
        """A round every `seconds`, by the worker that has the lease; for ever."""
        while True:
            try:
                if await self.leads(seconds * 3):
                    await self.round()
            except SubgraphError as error:
                _log.warning("maintenance is late: %s", error)
            await asyncio.sleep(seconds)

    async def leads(self, seconds: float) -> bool:
        """Take the lease, or prolong it; False while another worker has it."""
        async with self._database.transaction(DEPLOYMENT) as transaction:
            return await take_lease(transaction, DEPLOYMENT, _LEASE, self._holder, seconds)

    async def round(self) -> None:
        """Do what is due; what fails is logged and keeps nothing else from being done."""
        steps: tuple[Callable[[], Awaitable[None]], ...] = (
            self._find_lost_slices,
            self._end_requests,
            self._end_sessions,
            self._plan_rotations,
            self._notice_rotations,
            self._prune,
        )
        for step in steps:
            try:
                await step()
            except SubgraphError as error:
                _log.warning("maintenance: %s", error)

    async def _find_lost_slices(self) -> None:
        async with operator_transaction(self._system_dsn) as transaction:
            stalled = await store.stalled(transaction, seconds=self._stalled_seconds, limit=_MOST)
        for job in stalled:
            async with self._database.transaction(job.tenant_id) as transaction:
                await self._enqueue(transaction, job, timedelta(0))

    async def _end_requests(self) -> None:
        async with operator_transaction(self._system_dsn) as transaction:
            due = await self._approvals.due(transaction, limit=_MOST)
        for key in due:
            await self._approvals.expire(key)

    async def _end_sessions(self) -> None:
        async with operator_transaction(self._system_dsn) as transaction:
            due = await self._break_glass.due(transaction, limit=_MOST)
        for tenant, request_id in due:
            await self._break_glass.close_expired(tenant, request_id)

    async def _plan_rotations(self) -> None:
        async with operator_transaction(self._system_dsn) as transaction:
            due = await store.rotations_due(transaction, limit=_MOST)
        for tenant, name in due:
            await self._plan(tenant, KeyJobKind.ROTATE, f"scheduled: {name}")

    async def _notice_rotations(self) -> None:
        """Ask some providers which version wraps: a rotation there asks for a rewrap here."""
        async with operator_transaction(self._system_dsn) as transaction:
            tenants = await store.tenants_with_keys(transaction, after=self._asked, limit=_ASKED)
        self._asked = tenants[-1] if len(tenants) == _ASKED else ""
        for tenant in tenants:
            try:
                await self._compare(tenant)
            except SubgraphError as error:
                _log.info("a key cannot be described: %s", error, extra={"tenant": tenant})

    async def _compare(self, tenant: str) -> None:
        owner = (await custody_store.keys(self._database, [tenant])).get(tenant)
        if owner is None:
            return
        async with self._wrappers.using(owner.provider, owner.key_uri, tenant) as wrapper:
            described = await wrapper.describe()
        async with self._database.transaction(tenant) as transaction:
            active = await custody_store.active_version(transaction, tenant)
        version = described.provider_version
        if active is not None and active.provider_version != version:
            # A version asks for one job, however the provider words it when it is used.
            await self._plan(tenant, KeyJobKind.REWRAP, f"noticed: {version}"[:200])

    async def _plan(self, tenant: str, kind: KeyJobKind, name: str) -> None:
        try:
            await self._jobs.plan(tenant, NewJob(kind), idempotency_key=name, by=WORKER)
        except SubgraphError as error:
            if error.code is not ErrorCode.JOB_IN_FLIGHT:
                raise

    async def _prune(self) -> None:
        await prune(self._system_dsn)
