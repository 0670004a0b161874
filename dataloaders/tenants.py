"""Tenants by id."""

from collections.abc import Mapping, Sequence

from dataloaders.batching import BatchLoader
from dataloaders.visibility import Visibility
from subgraph.db.service import Database
from subgraph.policy.model import AUTHENTICATED
from subgraph.tenants import store
from subgraph.tenants.model import Tenant

TenantLoader = BatchLoader[str, Tenant | None]


def tenant_loader(database: Database, visibility: Visibility) -> TenantLoader:
    """Loads the tenants that the caller may see, None for any other id; one statement a batch."""

    async def read(keys: Sequence[str]) -> Mapping[str, Tenant]:
        visible = await visibility.tenants(AUTHENTICATED, keys)
        return await store.tenants(database, sorted(visible)) if visible else {}

    return BatchLoader(read, missing=None)
