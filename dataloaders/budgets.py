"""Windows of privacy budgets, spends and override requests, by id."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from dataloaders.batching import BatchLoader
from dataloaders.visibility import Visibility
from subgraph.budgets import override_requests, reading
from subgraph.budgets.model import Budget, Spend
from subgraph.budgets.override_requests import OverrideRequest
from subgraph.db.service import Database
from subgraph.policy.scopes import Scope

WindowKey = tuple[str, datetime]
Keyed = tuple[str, UUID]
BudgetLoader = BatchLoader[WindowKey, Budget | None]
SpendLoader = BatchLoader[Keyed, Spend | None]
OverrideLoader = BatchLoader[Keyed, OverrideRequest | None]


def budget_loader(database: Database, visibility: Visibility) -> BudgetLoader:
    """Loads windows by tenant and start, None where the caller sees none; one statement a batch."""

    async def read(keys: Sequence[WindowKey]) -> Mapping[WindowKey, Budget]:
        visible = await visibility.tenants(Scope.BUDGETS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        return await reading.budgets(database, asked) if asked else {}

    return BatchLoader(read, missing=None)


def spend_loader(database: Database, visibility: Visibility) -> SpendLoader:
    """Loads spends by tenant and id, None where the caller sees none; one statement a batch."""

    async def read(keys: Sequence[Keyed]) -> Mapping[Keyed, Spend]:
        visible = await visibility.tenants(Scope.BUDGETS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        return await reading.spends(database, asked) if asked else {}

    return BatchLoader(read, missing=None)


def override_loader(database: Database, visibility: Visibility) -> OverrideLoader:
    """Loads override requests by tenant and id, None where the caller sees none; one statement."""

    async def read(keys: Sequence[Keyed]) -> Mapping[Keyed, OverrideRequest]:
        visible = await visibility.tenants(Scope.BUDGETS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        return await override_requests.load_many(database, asked) if asked else {}

    return BatchLoader(read, missing=None)
