"""Tenants with budgets on a real database, and what is charged to them."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from subgraph.budgets.accountant import Accountant
from subgraph.budgets.faultpoints import FaultPoints, no_faults
from subgraph.budgets.model import (
    BudgetPolicy,
    BudgetTerms,
    BudgetWindow,
    Charge,
    DpMechanism,
    DpQueryKind,
    Release,
    ReleaseKey,
    Reservation,
    ReservationRequest,
)
from subgraph.budgets.policies import set_policy
from subgraph.db.service import Database
from subgraph.ledger.entry import decode
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch
from tests.unit.ledger.deployment import Deployment, deployment

LEASE = timedelta(seconds=60)
DATASET = UUID(int=7)


def charge(epsilon: str = "0.1", key: bytes | None = None) -> Charge:
    return Charge(
        ReleaseKey(key or secrets.token_bytes(32)),
        DATASET,
        "1",
        DpQueryKind.COUNT,
        DpMechanism.DISCRETE_LAPLACE,
        Decimal(epsilon),
    )


def request(*charges: Charge, key: str | None = None, **changes: Any) -> ReservationRequest:
    asked = ReservationRequest(
        key or secrets.token_hex(8), uuid4(), "analyst", charges or (charge(),)
    )
    return replace(asked, **changes)


def answers(*charges: Charge, text: str = '{"value":"41"}') -> list[Release]:
    return [Release(item.release_key, item.dataset_version, text) for item in charges]


@dataclass
class Accounts:
    """One process that spends."""

    process: Deployment
    accountant: Accountant

    @property
    def scratch(self) -> Scratch:
        return self.process.scratch

    @property
    def database(self) -> Database:
        return self.process.database

    async def open(self, limit: str = "10", **terms: Any) -> str:
        """A tenant with a policy."""
        tenant = await new_tenant(self.scratch)
        await self.set_policy(tenant, limit, **terms)
        return tenant

    async def set_policy(self, tenant: str, limit: str, **terms: Any) -> BudgetPolicy:
        given = {
            name: Decimal(value) if isinstance(value, str) else value
            for name, value in terms.items()
        }
        wanted = BudgetTerms(given.pop("window", BudgetWindow.MONTH), Decimal(limit), **given)
        return await set_policy(self.database, self.process.ledger, tenant, wanted, by="officer")

    async def spend(self, tenant: str, *epsilons: str, **changes: Any) -> Reservation:
        charges = [charge(epsilon) for epsilon in epsilons or ("0.1",)]
        return await self.accountant.reserve(tenant, request(*charges, **changes))

    async def ask(self, sql: str, *args: object) -> list[Any]:
        return await self.scratch.ask(sql, *args)

    async def row(self, tenant: str, *, lifetime: bool = False) -> Any:
        """The newest window, or the lifetime, as it is stored."""
        (row,) = await self.ask(
            "SELECT * FROM dp_budget WHERE tenant_id = $1"
            f" AND (window_start = '-infinity') = {lifetime} ORDER BY window_start DESC LIMIT 1",
            tenant,
        )
        return row

    async def events(self, tenant: str, type: str) -> list[dict[str, Any]]:
        found = await self.process.reader.events(tenant, first=100, type=type)
        return [dict(decode(event.entry).payload or {}) for event in found]

    async def end_window(self, tenant: str) -> None:
        """Let the open windows end now, whatever the calendar says."""
        await self.scratch.run(
            "ALTER TABLE dp_budget DISABLE TRIGGER never_less",
            "UPDATE dp_budget SET window_end = clock_timestamp()"
            f" WHERE tenant_id = '{tenant}' AND window_start <= clock_timestamp()"
            " AND isfinite(window_end) AND window_end > clock_timestamp()",
            "ALTER TABLE dp_budget ENABLE TRIGGER never_less",
        )


async def new_tenant(scratch: Scratch) -> str:
    tenant = f"t-{secrets.token_hex(8)}"
    await scratch.ask(
        "INSERT INTO tenant (tenant_id, name, home_region, allowed_regions, registered_by)"
        " VALUES ($1, 'Test', 'aws:eu-central-1', '{aws:eu-central-1}', 'test')",
        tenant,
    )
    return tenant


@asynccontextmanager
async def accounts(
    scratch: Scratch,
    settings: Settings,
    *,
    faults: FaultPoints = no_faults,
    lease: timedelta = LEASE,
    pool_size: int = 10,
) -> AsyncIterator[Accounts]:
    async with deployment(scratch, settings, pool_size=pool_size) as process:
        accountant = Accountant(process.database, process.ledger, lease=lease, faults=faults)
        yield Accounts(process, accountant)
