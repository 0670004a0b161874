"""`Tenant`."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

from resolvers.break_glass import BreakGlassRequest, request_page
from resolvers.connections import After, Connection, First, checked_first, page_of, position
from resolvers.context import Info, RequestContext
from resolvers.datasets import Dataset
from resolvers.key_jobs import KeyJob, job_page
from resolvers.keys import CustomerManagedKey
from resolvers.ledger import Ledger
from resolvers.records import ProtectedRecord, record_page
from resolvers.regions import Region, region_of
from resolvers.tenant_budgets import TenantBudgets
from subgraph.db import ids
from subgraph.db.cursors import ListIdentity
from subgraph.db.ids import IdKind
from subgraph.federation.access import AUTHENTICATED, scope
from subgraph.federation.declare import attribute, field, object_type
from subgraph.keys.breakglass.model import BreakGlassState
from subgraph.keys.jobs.model import KeyJobState
from subgraph.policy.scopes import Scope
from subgraph.tenants import model
from subgraph.tenants.model import Page


@object_type(access=AUTHENTICATED, key="id")
class Tenant(TenantBudgets):
    """A customer of the SaaS."""

    tenant: strawberry.Private[model.Tenant]
    id: strawberry.ID = attribute("The id that was chosen at registration.")
    name: str | None = attribute("The name for people.")
    display_name: str | None = attribute("The name for people.")

    @field()
    def home_region(self, info: Info) -> Region | None:
        """The region where the tenant's data are at home."""
        return region_of(self.tenant.home_region, info.context)

    @field(at_most=100)
    def allowed_regions(self, info: Info) -> list[Region] | None:
        """The regions where the tenant's data may be."""
        found = (region_of(code, info.context) for code in self.tenant.allowed_regions)
        return [region for region in found if region is not None]

    @field(access=scope(Scope.DATASETS_READ), paged=True)
    async def datasets(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[Dataset] | None:
        """The tenant's data sets, by slug."""
        checked_first(first)
        context = info.context
        identity = ListIdentity("datasets", self.tenant.tenant_id, "slug")
        cursors = context.services.cursors
        behind = position(cursors, identity, after)
        page = Page(first + 1, None if behind is None else str(behind))
        found = await context.loaders.dataset_pages.load((self.tenant.tenant_id, page))
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
        if entity is None or entity.tenant != self.tenant.tenant_id:
            return None
        found = await info.context.loaders.datasets.load((entity.tenant, entity.key))
        return None if found is None else Dataset.of(found)

    @field(access=scope(Scope.KEYS_READ))
    async def cmk(self, info: Info) -> CustomerManagedKey | None:
        """The key that the tenant brought; null until one is attached."""
        found = await info.context.loaders.customer_keys.load(self.tenant.tenant_id)
        return None if found is None else CustomerManagedKey.of(found)

    @field(access=scope(Scope.KEYS_READ), paged=True)
    async def key_jobs(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        state: Annotated[
            KeyJobState | None, strawberry.argument(description="Only jobs in this state.")
        ] = None,
    ) -> Connection[KeyJob] | None:
        """The jobs on the tenant's keys, newest first."""
        return await job_page(info.context, self.tenant.tenant_id, first, after, state)

    @field(access=scope(Scope.BREAKGLASS_READ), paged=True)
    async def break_glass_requests(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        state: Annotated[
            BreakGlassState | None, strawberry.argument(description="Only requests in this state.")
        ] = None,
    ) -> Connection[BreakGlassRequest] | None:
        """The tenant's break-glass requests, newest first."""
        return await request_page(info.context, self.tenant.tenant_id, first, after, state)

    @field(access=scope(Scope.RECORDS_READ), paged=True)
    async def records(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        object_type: Annotated[
            str | None, strawberry.argument(description="Only records of this type.")
        ] = None,
    ) -> Connection[ProtectedRecord] | None:
        """The tenant's protected records, in the order of their ids."""
        return await record_page(info.context, self.tenant.tenant_id, first, after, object_type)

    @field(access=scope(Scope.RECORDS_READ))
    async def record(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id of the record.")],
    ) -> ProtectedRecord | None:
        """One protected record of the tenant."""
        entity = ids.decode(IdKind.PROTECTED_RECORD, id)
        if entity is None or entity.tenant != self.tenant.tenant_id:
            return None
        found = await info.context.loaders.records.load((entity.tenant, entity.key))
        return None if found is None else ProtectedRecord.of(found)

    @field(access=scope(Scope.LEDGER_READ))
    async def ledger(self, info: Info) -> Ledger | None:
        """The log of what happened to the tenant."""
        return await Ledger.read(self.tenant.tenant_id, info.context)

    @classmethod
    def of(cls, tenant: model.Tenant) -> "Tenant":
        """The GraphQL object of a tenant."""
        return cls(
            tenant=tenant,
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
