"""`Tenant`."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

from resolvers.connections import After, Connection, First, checked_first, page_of, position
from resolvers.context import Info, RequestContext
from resolvers.datasets import Dataset
from resolvers.ledger import Ledger
from resolvers.regions import Region, region_of
from subgraph.db import ids
from subgraph.db.cursors import ListIdentity
from subgraph.db.ids import IdKind
from subgraph.federation.access import AUTHENTICATED, scope
from subgraph.federation.declare import attribute, field, object_type
from subgraph.policy.scopes import Scope
from subgraph.tenants import model
from subgraph.tenants.model import Page


@object_type(access=AUTHENTICATED, key="id")
class Tenant:
    """A customer of the SaaS."""

    record: strawberry.Private[model.Tenant]
    id: strawberry.ID = attribute("The id that was chosen at registration.")
    name: str | None = attribute("The name for people.")
    display_name: str | None = attribute("The name for people.")

    @field()
    def home_region(self, info: Info) -> Region | None:
        """The region where the tenant's data are at home."""
        return region_of(self.record.home_region, info.context)

    @field(at_most=100)
    def allowed_regions(self, info: Info) -> list[Region] | None:
        """The regions where the tenant's data may be."""
        found = (region_of(code, info.context) for code in self.record.allowed_regions)
        return [region for region in found if region is not None]

    @field(access=scope(Scope.DATASETS_READ), paged=True)
    async def datasets(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Dataset] | None:
        """The tenant's data sets, by slug."""
        checked_first(first)
        context = info.context
        identity = ListIdentity("datasets", self.record.tenant_id, "slug")
        cursors = context.services.cursors
        behind = position(cursors, identity, after)
        page = Page(first + 1, None if behind is None else str(behind))
        found = await context.loaders.dataset_pages.load((self.record.tenant_id, page))
        return page_of(
            [Dataset.of(dataset) for dataset in found],
            first=first,
            after=after,
            cursors=cursors,
            of=identity,
            place=lambda dataset: dataset.slug,
        )

    @field(access=scope(Scope.DATASETS_READ))
    async def dataset(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id of the data set.")],
    ) -> Dataset | None:
        """One data set of the tenant."""
        entity = ids.decode(IdKind.DATASET, id)
        if entity is None or entity.tenant != self.record.tenant_id:
            return None
        found = await info.context.loaders.datasets.load((entity.tenant, entity.key))
        return None if found is None else Dataset.of(found)

    @field(access=scope(Scope.LEDGER_READ))
    async def ledger(self, info: Info) -> Ledger | None:
        """The log of what happened to the tenant."""
        return await Ledger.read(self.record.tenant_id, info.context)

    @classmethod
    def of(cls, tenant: model.Tenant) -> "Tenant":
        """The GraphQL object of a tenant."""
        return cls(
            record=tenant,
            id=strawberry.ID(tenant.tenant_id),
            name=tenant.name,
            display_name=tenant.name,
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["Tenant | None"]:
        """The tenants with these ids; one statement."""
        found = await context.loaders.tenants.load_many(keys)
        return [None if tenant is None else cls.of(tenant) for tenant in found]


async def tenant_of(tenant_id: str, context: RequestContext) -> Tenant | None:
    """The tenant with this id, if the caller may see it."""
    found = await context.loaders.tenants.load(tenant_id)
    return None if found is None else Tenant.of(found)
