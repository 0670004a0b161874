"""The measured part of the schema as a Strawberry user would write it.

Ids, cursors and the region registry are those of the service, so that the answers are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import strawberry
from strawberry.dataloader import DataLoader
from strawberry.types import Info as StrawberryInfo

from subgraph.db import ids
from subgraph.db.cursors import CursorCodec, ListIdentity
from subgraph.db.ids import EntityId, IdKind
from subgraph.policy.model import Principal
from subgraph.tenants.regions import RegionRegistry


@dataclass(frozen=True, slots=True)
class Context:
    """What the fields of one request share."""

    principal: Principal
    tenants: DataLoader[str, Any]
    datasets: DataLoader[EntityId, Any]
    pages: DataLoader[tuple[str, int, str], list[Any]]
    regions: RegionRegistry
    cursors: CursorCodec


Info = StrawberryInfo[Context, None]


@strawberry.federation.type(keys=["code"])
class Region:
    """A place where a cloud provider runs services."""

    code: strawberry.ID
    provider: str
    jurisdiction: str
    display_name: str

    @classmethod
    def of(cls, code: str, info: Info) -> Self | None:
        """The region with this code."""
        found = info.context.regions.get(code)
        if found is None:
            return None
        return cls(
            code=strawberry.ID(found.code),
            provider=found.provider,
            jurisdiction=found.jurisdiction,
            display_name=found.display_name,
        )

    @classmethod
    def resolve_reference(cls, info: Info, code: strawberry.ID) -> Self | None:
        """The region of a representation."""
        return cls.of(code, info)


@strawberry.federation.type(keys=["id"])
class Dataset:
    """Metadata of a data set."""

    id: strawberry.ID
    slug: str
    name: str
    license: str
    version: str
    privacy_unit: str
    max_contributions: int
    region_code: strawberry.Private[str]

    @strawberry.field
    def region(self, info: Info) -> Region | None:
        """The region where the data are kept."""
        return Region.of(self.region_code, info)

    @classmethod
    def of(cls, row: Any) -> Self:
        """The GraphQL object of a row."""
        return cls(
            id=strawberry.ID(ids.encode(IdKind.DATASET, row["tenant_id"], row["dataset_id"])),
            slug=row["slug"],
            name=row["name"],
            license=row["license"],
            version=row["version"],
            privacy_unit=row["privacy_unit"],
            max_contributions=row["max_contributions"],
            region_code=row["region"],
        )

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID) -> Self | None:
        """The data set of a representation."""
        entity = ids.decode(IdKind.DATASET, id)
        principal = info.context.principal
        if entity is None or not _may_read(principal, entity.tenant):
            return None
        row = await info.context.datasets.load(entity)
        return None if row is None else cls.of(row)


@strawberry.type
class PageInfo:
    """Where a page stands in its list."""

    has_next_page: bool
    end_cursor: str | None


@strawberry.type
class DatasetConnection:
    """A page of a list."""

    nodes: list[Dataset]
    page_info: PageInfo


@strawberry.federation.type(keys=["id"])
class Tenant:
    """A customer of the SaaS."""

    id: strawberry.ID
    name: str | None
    home_region_code: strawberry.Private[str]
    allowed_region_codes: strawberry.Private[Sequence[str]]

    @strawberry.field
    def home_region(self, info: Info) -> Region | None:
        """The region where the tenant's data are at home."""
        return Region.of(self.home_region_code, info)

    @strawberry.field
    def allowed_regions(self, info: Info) -> list[Region]:
        """The regions where the tenant's data may be."""
        found = (Region.of(code, info) for code in self.allowed_region_codes)
        return [region for region in found if region is not None]

    @strawberry.field
    async def datasets(
        self, info: Info, first: int = 20, after: str | None = None
    ) -> DatasetConnection | None:
        """The tenant's data sets, by slug."""
        context = info.context
        if not _may_read(context.principal, self.id):
            return None
        identity = ListIdentity("datasets", self.id, "slug")
        behind = "" if after is None else str(context.cursors.decode(identity, after)[0])
        rows = await context.pages.load((self.id, first + 1, behind))
        last = rows[:first][-1]["slug"] if rows else None
        return DatasetConnection(
            nodes=[Dataset.of(row) for row in rows[:first]],
            page_info=PageInfo(
                has_next_page=len(rows) > first,
                end_cursor=None if last is None else context.cursors.encode(identity, (last,)),
            ),
        )

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID) -> Self | None:
        """The tenant of a representation."""
        return await cls.load(id, info)

    @classmethod
    async def load(cls, id: str, info: Info) -> Self | None:
        """The tenant with this id, if it is the caller's."""
        if info.context.principal.tenant != id:
            return None
        row = await info.context.tenants.load(id)
        if row is None:
            return None
        return cls(
            id=strawberry.ID(row["tenant_id"]),
            name=row["name"],
            home_region_code=row["home_region"],
            allowed_region_codes=row["allowed_regions"],
        )


@strawberry.type
class Caller:
    """Who sent the operation."""

    subject: str
    scopes: list[str]


@strawberry.type
class Query:
    """What can be read."""

    @strawberry.field
    def caller(self, info: Info) -> Caller:
        """Who sent the operation."""
        principal = info.context.principal
        return Caller(subject=principal.subject, scopes=sorted(principal.scopes))

    @strawberry.field
    async def tenant(self, info: Info, id: strawberry.ID) -> Tenant | None:
        """A tenant that the caller may see."""
        return await Tenant.load(id, info)


def _may_read(principal: Principal, tenant: str) -> bool:
    return principal.tenant == tenant and "datasets:read" in principal.scopes
