"""Tenants by id."""

from strawberry.dataloader import DataLoader

from dataloaders.visibility import Visibility
from subgraph.db.service import Database
from subgraph.policy.model import AUTHENTICATED
from subgraph.tenants import store
from subgraph.tenants.model import Tenant

TenantLoader = DataLoader[str, Tenant | None]


def tenant_loader(database: Database, visibility: Visibility) -> TenantLoader:
    """Loads the tenants that the caller may see, None for any other id; one statement a batch."""

    async def load(keys: list[str]) -> list[Tenant | None]:
        visible = await visibility.tenants(AUTHENTICATED, keys)
        found = await store.tenants(database, sorted(visible)) if visible else {}
        return [found.get(key) for key in keys]

    return DataLoader(load_fn=load)
