"""`Dataset` and its columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import strawberry

from resolvers.context import Info, RequestContext
from resolvers.dp import DpQueries
from resolvers.entities import by_tenant, load_by_id
from resolvers.regions import Region, region_of
from subgraph.db import ids
from subgraph.db.ids import IdKind
from subgraph.federation.access import AS_PARENT, scope
from subgraph.federation.declare import attribute, described_enum, field, object_type
from subgraph.policy.scopes import Scope
from subgraph.tenants import model

if TYPE_CHECKING:
    from resolvers.tenants import Tenant

described_enum(
    model.ColumnKind,
    {
        "NUMBER": "A number between public bounds.",
        "CATEGORY": "One of a public list of values.",
        "TIMESTAMP": "A date or a moment.",
    },
)


@object_type(access=AS_PARENT)
class DatasetColumn:
    """A column that may be queried."""

    name: str = attribute("The name of the column.")
    kind: model.ColumnKind = attribute("What the column holds.")
    lower: float | None = attribute("The public lower bound.")
    upper: float | None = attribute("The public upper bound.")
    values: list[str] | None = attribute("The public values of a category.", at_most=100)


@object_type(access=scope(Scope.DATASETS_READ), key="id")
class Dataset:
    """Data that may be queried under differential privacy; this is its metadata."""

    record: strawberry.Private[model.Dataset]
    id: strawberry.ID = attribute("The id of the data set.")
    slug: str = attribute("The short name, unique within the tenant.")
    name: str = attribute("The name for people.")
    license: str = attribute("The license, an SPDX expression.")
    version: str = attribute("The version of the data that queries read.")
    privacy_unit: str = attribute("The column that names what is protected, such as a person.")
    max_contributions: int = attribute("How many rows of one privacy unit count.")

    @field()
    async def tenant(
        self, info: Info
    ) -> Annotated["Tenant", strawberry.lazy("resolvers.tenants")] | None:
        """The tenant that the data belong to."""
        from resolvers.tenants import tenant_of

        return await tenant_of(self.record.tenant_id, info.context)

    @field(access=scope(Scope.DP_QUERY))
    def dp(self) -> DpQueries | None:
        """What may be asked of it with differential privacy."""
        return DpQueries(dataset=self.record)

    @field()
    def region(self, info: Info) -> Region | None:
        """The region where the data are kept."""
        return region_of(self.record.region, info.context)

    @field(at_most=200)
    def columns(self) -> list[DatasetColumn]:
        """The columns that may be queried."""
        return [
            DatasetColumn(
                name=column.name,
                kind=column.kind,
                lower=column.lower,
                upper=column.upper,
                values=list(column.values) if column.values is not None else None,
            )
            for column in self.record.columns
        ]

    @classmethod
    def of(cls, dataset: model.Dataset) -> "Dataset":
        """The GraphQL object of a data set."""
        return cls(
            record=dataset,
            id=strawberry.ID(ids.encode(IdKind.DATASET, dataset.tenant_id, dataset.dataset_id)),
            slug=dataset.slug,
            name=dataset.name,
            license=dataset.license,
            version=dataset.version,
            privacy_unit=dataset.privacy_unit,
            max_contributions=dataset.max_contributions,
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["Dataset | None"]:
        """The data sets with these ids; one statement."""
        loader = context.loaders.datasets
        return await load_by_id(IdKind.DATASET, keys, loader, by_tenant, cls.of)
