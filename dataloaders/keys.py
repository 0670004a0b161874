"""Keys, their versions and jobs, by id."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from dataloaders.batching import BatchLoader
from dataloaders.visibility import Visibility
from subgraph.db.service import Database
from subgraph.keys.custody import store
from subgraph.keys.custody.model import CustomerKey, KeyVersion
from subgraph.keys.jobs import store as job_store
from subgraph.keys.jobs.model import KeyJob
from subgraph.policy.scopes import Scope

Keyed = tuple[str, UUID]
Numbered = tuple[str, int]
CustomerKeyLoader = BatchLoader[str, CustomerKey | None]
KeyVersionLoader = BatchLoader[Keyed, KeyVersion | None]
NumberedVersionLoader = BatchLoader[Numbered, KeyVersion | None]
RemainingLoader = BatchLoader[Numbered, int]
KeyJobLoader = BatchLoader[Keyed, KeyJob | None]


def customer_key_loader(database: Database, visibility: Visibility) -> CustomerKeyLoader:
    """Loads the keys of tenants; one statement a batch."""

    async def read(tenants: Sequence[str]) -> Mapping[str, CustomerKey]:
        visible = await visibility.tenants(Scope.KEYS_READ, tenants)
        asked = [tenant for tenant in tenants if tenant in visible]
        return await store.keys(database, asked) if asked else {}

    return BatchLoader(read, missing=None)


def key_version_loader(database: Database, visibility: Visibility) -> KeyVersionLoader:
    """Loads key versions by tenant and id; one statement a batch."""

    async def read(keys: Sequence[Keyed]) -> Mapping[Keyed, KeyVersion]:
        visible = await visibility.tenants(Scope.KEYS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        return await store.versions(database, asked) if asked else {}

    return BatchLoader(read, missing=None)


def numbered_version_loader(database: Database, visibility: Visibility) -> NumberedVersionLoader:
    """Loads key versions by tenant and number; one statement a batch."""

    async def read(keys: Sequence[Numbered]) -> Mapping[Numbered, KeyVersion]:
        visible = await visibility.tenants(Scope.KEYS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        return await store.numbered_versions(database, asked) if asked else {}

    return BatchLoader(read, missing=None)


def remaining_loader(database: Database) -> RemainingLoader:
    """Loads how many records depend on versions that were loaded; one statement a batch."""

    async def read(keys: Sequence[Numbered]) -> Mapping[Numbered, int]:
        return await store.records_remaining(database, keys)

    return BatchLoader(read, missing=0)


def key_job_loader(database: Database, visibility: Visibility) -> KeyJobLoader:
    """Loads jobs by tenant and id; one statement a batch."""

    async def read(keys: Sequence[Keyed]) -> Mapping[Keyed, KeyJob]:
        visible = await visibility.tenants(Scope.KEYS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        return await job_store.jobs(database, asked) if asked else {}

    return BatchLoader(read, missing=None)
