"""Dual control on a real database, with a database clock that tests can set ahead."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from subgraph.approvals import store
from subgraph.approvals.model import ApprovalRequest, NewRequest, RequestKey
from subgraph.approvals.service import ApprovalService
from subgraph.db.roles import Role
from subgraph.db.service import Transaction
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.entry import Entry, decode
from subgraph.ledger.faultpoints import FaultPoint, FaultPoints, no_faults
from subgraph.ledger.signing import utc_now
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch, ask
from tests.unit.ledger.deployment import Deployment, deployment

_EARLIER = timedelta(hours=6)
_DROP = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = $1 AND usename = 'ig_service'"
)


@dataclass
class Time:
    """The database's clock, set ahead or back."""

    offset: timedelta = timedelta()

    async def __call__(self, transaction: Transaction) -> datetime:
        return await store.now(transaction) + self.offset


@dataclass
class Faults:
    """Drops every connection of the service when the chosen step is reached."""

    scratch: Scratch
    at: FaultPoint | None = None

    async def __call__(self, point: FaultPoint) -> None:
        if point is self.at:
            self.at = None
            await ask(self.scratch.url(Role.ADMIN), _DROP, self.scratch.name)


@dataclass
class Control:
    """One process that answers for dual control."""

    process: Deployment
    approvals: ApprovalService
    permitted: list[bool]
    time: Time = field(default_factory=Time)

    async def make_tenant(self) -> str:
        tenant = f"t-{secrets.token_hex(8)}"
        await self.process.scratch.run(
            "INSERT INTO tenant (tenant_id, name, home_region, allowed_regions, registered_by)"
            f" VALUES ('{tenant}', 'Test', 'aws:eu-central-1', '{{aws:eu-central-1}}', 'test')"
        )
        return tenant

    async def request(self, tenant: str, **changes: Any) -> ApprovalRequest:
        made, _ = await self.requested(tenant, **changes)
        return made

    async def requested(self, tenant: str, **changes: Any) -> tuple[ApprovalRequest, bool]:
        payload = changes.pop("payload", {"what": "something"})
        given: dict[str, Any] = {
            "kind": "testing",
            "requester": "ann",
            "payload": payload,
            "input": payload,
            "idempotency_key": secrets.token_hex(8),
            **changes,
        }
        async with self.process.database.transaction(tenant) as transaction:
            return await self.approvals.request(transaction, tenant, NewRequest(**given))

    async def approve(self, request: ApprovalRequest, *approvers: str) -> ApprovalRequest:
        for approver in approvers:
            request = await self.approvals.approve(
                request.key, digest=request.digest, approver=approver, token_id=f"t-{approver}"
            )
        return request

    async def approved(self, tenant: str) -> ApprovalRequest:
        return await self.approve(await self.request(tenant), "ben", "cleo")

    async def consume(self, key: RequestKey, **changes: Any) -> ApprovalRequest:
        keys = changes.pop("keys", None) or await self.approvals.published_keys()
        async with self.process.database.transaction(key.tenant) as transaction:
            return await self.approvals.consume(transaction, key, by="ann", keys=keys)

    async def cancel(self, key: RequestKey, by: str = "ann") -> ApprovalRequest:
        async with self.process.database.transaction(key.tenant) as transaction:
            return await self.approvals.cancel(transaction, key, by=by)

    async def shown(self, key: RequestKey) -> ApprovalRequest:
        return (await self.approvals.load_many([key]))[key]

    async def events(self, tenant: str) -> list[Entry]:
        recorded = await self.process.reader.events(tenant, first=1000)
        return [decode(event.entry) for event in recorded]

    async def told(self, tenant: str) -> list[str]:
        return [entry.type for entry in await self.events(tenant)]

    async def tamper(self, table: str, *statements: str) -> None:
        """Change rows as the owner of the tables could, past their triggers."""
        await self.process.scratch.run(
            f"ALTER TABLE {table} DISABLE TRIGGER USER",
            *statements,
            f"ALTER TABLE {table} ENABLE TRIGGER USER",
        )


@asynccontextmanager
async def control(
    scratch: Scratch, settings: Settings, *, faults: FaultPoints = no_faults
) -> AsyncIterator[Control]:
    permitted = [True]

    def permit() -> None:
        if not permitted[0]:
            raise SubgraphError(ErrorCode.WITNESS_UNAVAILABLE)

    # The process's key is of some hours ago, so that clocks can go back as well.
    async with deployment(
        scratch, settings, clock=lambda: utc_now() - _EARLIER, faults=faults, permit=permit
    ) as process:
        time = Time()
        approvals = ApprovalService(
            process.database, process.ledger, process.keys, process.reader, now=time
        )
        yield Control(process, approvals, permitted, time)


def refused(caught: "pytest.ExceptionInfo[SubgraphError]") -> str:
    return caught.value.code.name
