"""Data sets by id, and pages of a tenant's data sets."""

from uuid import UUID

from strawberry.dataloader import DataLoader

from dataloaders.visibility import Visibility
from subgraph.db.service import Database
from subgraph.policy.scopes import Scope
from subgraph.tenants import store
from subgraph.tenants.model import Dataset, Page

DatasetLoader = DataLoader[tuple[str, UUID], Dataset | None]
DatasetPageLoader = DataLoader[tuple[str, Page], list[Dataset]]


def dataset_loader(database: Database, visibility: Visibility) -> DatasetLoader:
    """Loads data sets by tenant and key, None where the caller sees none; one statement a batch."""

    async def load(keys: list[tuple[str, UUID]]) -> list[Dataset | None]:
        visible = await visibility.tenants(Scope.DATASETS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        found = await store.datasets(database, asked) if asked else {}
        return [found.get(key) for key in keys]

    return DataLoader(load_fn=load)


def dataset_page_loader(database: Database, visibility: Visibility) -> DatasetPageLoader:
    """Loads pages by tenant, empty where the caller sees none; one statement a batch."""

    async def load(keys: list[tuple[str, Page]]) -> list[list[Dataset]]:
        visible = await visibility.tenants(Scope.DATASETS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        found = await store.dataset_pages(database, asked) if asked else {}
        return [found.get(key, []) for key in keys]

    return DataLoader(load_fn=load)
