"""Strawberry's data loaders over the session of a request."""

from typing import Any

from strawberry.dataloader import DataLoader

from benchmarks.arms.session import Session
from subgraph.db.ids import EntityId

_TENANTS = """
SELECT tenant_id, name, home_region, allowed_regions FROM tenant WHERE tenant_id = ANY ($1)"""
_DATASET = """
SELECT tenant_id, dataset_id, slug, name, license, version, privacy_unit, max_contributions, region
  FROM dataset"""
_DATASETS = f"{_DATASET} WHERE tenant_id = $1 AND dataset_id = ANY ($2)"
_PAGE = f"{_DATASET} WHERE tenant_id = $1 AND slug > $2 ORDER BY slug LIMIT $3"


def tenant_loader(session: Session) -> DataLoader[str, Any]:
    """Rows of tenants by id."""

    async def load(keys: list[str]) -> list[Any]:
        rows = {row["tenant_id"]: row for row in await session.fetch(_TENANTS, keys)}
        return [rows.get(key) for key in keys]

    return DataLoader(load_fn=load)


def dataset_loader(session: Session, tenant: str) -> DataLoader[EntityId, Any]:
    """Rows of the tenant's data sets by id."""

    async def load(keys: list[EntityId]) -> list[Any]:
        found = await session.fetch(_DATASETS, tenant, [entity.key for entity in keys])
        rows = {row["dataset_id"]: row for row in found}
        return [rows.get(entity.key) for entity in keys]

    return DataLoader(load_fn=load)


def page_loader(session: Session) -> DataLoader[tuple[str, int, str], list[Any]]:
    """Rows of a page by tenant, length and the slug it starts behind."""

    async def load(keys: list[tuple[str, int, str]]) -> list[list[Any]]:
        return [await session.fetch(_PAGE, tenant, behind, count) for tenant, count, behind in keys]

    return DataLoader(load_fn=load)
