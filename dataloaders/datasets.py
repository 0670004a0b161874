"""Data sets by id, and pages of a tenant's data sets."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from dataloaders.batching import BatchLoader
from dataloaders.visibility import Visibility
from subgraph.db.service import Database
from subgraph.policy.scopes import Scope
from subgraph.tenants import store
from subgraph.tenants.model import Dataset, Page

DatasetKey = tuple[str, UUID]
PageKey = tuple[str, Page]
DatasetLoader = BatchLoader[DatasetKey, Dataset | None]
DatasetPageLoader = BatchLoader[PageKey, Sequence[Dataset]]


def dataset_loader(database: Database, visibility: Visibility) -> DatasetLoader:
    """Loads data sets by tenant and key, None where the caller sees none; one statement a batch."""

    async def read(keys: Sequence[DatasetKey]) -> Mapping[DatasetKey, Dataset]:
        visible = await visibility.tenants(Scope.DATASETS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        return await store.datasets(database, asked) if asked else {}

    return BatchLoader(read, missing=None)


def dataset_page_loader(database: Database, visibility: Visibility) -> DatasetPageLoader:
    """Loads pages by tenant, empty where the caller sees none; one statement a batch."""

    async def read(keys: Sequence[PageKey]) -> Mapping[PageKey, Sequence[Dataset]]:
        visible = await visibility.tenants(Scope.DATASETS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        return await store.dataset_pages(database, asked) if asked else {}

    return BatchLoader(read, missing=())
