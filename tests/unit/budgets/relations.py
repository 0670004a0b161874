"""Small relations of tenants, and data sets over them, for queries through the real SQL."""

import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from subgraph.budgets.aggregates import aggregate
from subgraph.budgets.model import DpQueryKind, ReleaseKey
from subgraph.budgets.predicates import Operator, Predicate
from subgraph.budgets.queries import ReleaseRequest, normalised
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.tenants.model import Column, ColumnKind, Dataset, Source, encode_columns

COLUMNS = {
    "person": "bigint",
    "age": "integer",
    "spend": "double precision",
    "income": "numeric",
    "ward": "text",
    "smoker": "boolean",
    "seen": "date",
    "admitted": "timestamp with time zone",
}
QUERYABLE = (
    Column("age", ColumnKind.NUMBER, 0, 100),
    Column("spend", ColumnKind.NUMBER, -5.5, 20.25),
    Column("income", ColumnKind.NUMBER, 10, 50),
    Column("ward", ColumnKind.CATEGORY, values=("a", "b", "c")),
    Column("smoker", ColumnKind.CATEGORY, values=("false", "true")),
    Column("seen", ColumnKind.TIMESTAMP),
    Column("admitted", ColumnKind.TIMESTAMP),
)
SOURCE_ID = UUID(int=7)
EPSILON = Decimal(1)

REQUESTS = (
    ReleaseRequest(DpQueryKind.COUNT, EPSILON),
    ReleaseRequest(DpQueryKind.COUNT, EPSILON, None, (Predicate("spend", Operator.LT, ("3",)),)),
    ReleaseRequest(DpQueryKind.DISTINCT_COUNT, EPSILON),
    ReleaseRequest(DpQueryKind.SUM, EPSILON, "age"),
    ReleaseRequest(DpQueryKind.SUM, EPSILON, "spend"),
    ReleaseRequest(DpQueryKind.SUM, EPSILON, "income", (Predicate("ward", Operator.NE, ("a",)),)),
    ReleaseRequest(DpQueryKind.MEAN, EPSILON, "spend"),
    ReleaseRequest(DpQueryKind.VARIANCE, EPSILON, "spend"),
    ReleaseRequest(DpQueryKind.HISTOGRAM, EPSILON, "ward"),
    ReleaseRequest(
        DpQueryKind.HISTOGRAM, EPSILON, "spend", bins=tuple(map(Decimal, ("-5.5", "0", "1", "20")))
    ),
    ReleaseRequest(DpQueryKind.QUANTILE, EPSILON, "spend", q=Decimal("0.5")),
    ReleaseRequest(DpQueryKind.QUANTILE, EPSILON, "age", q=Decimal("0.9")),
)


@dataclass(frozen=True)
class Fact:
    """A row."""

    person: int | None
    age: int | None = None
    spend: float | None = None
    income: Decimal | None = None
    ward: str | None = None
    smoker: bool | None = None
    seen: date | None = None
    admitted: datetime | None = None


MIDNIGHT = datetime(2020, 2, 29, tzinfo=UTC)


@dataclass(frozen=True)
class Relation:
    """A relation of this test process with the columns above, kept apart by tenant."""

    name: str
    owner: Any
    database: Database

    async def hold(self, facts: dict[str, Sequence[Fact]]) -> None:
        """Make these the only rows, by tenant, stored in their order."""
        await self.owner.execute(f"TRUNCATE {self.name}")
        places = [(tenant, fact) for tenant, held in facts.items() for fact in held]
        columns = [[getattr(fact, name) for _, fact in places] for name in COLUMNS]
        arrays = ", ".join(
            f"${number}::{kind}[]" for number, kind in enumerate(COLUMNS.values(), 2)
        )
        await self.owner.execute(
            f"INSERT INTO {self.name} SELECT * FROM unnest($1::text[], {arrays})",
            [tenant for tenant, _ in places],
            *columns,
        )

    @property
    def source(self) -> Source:
        return Source("any", SOURCE_ID, self.name, COLUMNS)

    async def aggregate(
        self, tenant: str, dataset: Dataset, request: ReleaseRequest
    ) -> tuple[int, ...]:
        """The exact integers of a request."""
        asked = normalised(request, dataset)
        return await aggregate(self.database, tenant, dataset, self.source, asked)

    async def provide(self, dataset: Dataset) -> Dataset:
        """The data set, with a source and a tenant of its own in the database."""
        tenant, source_id = f"t-{secrets.token_hex(8)}", uuid4()
        await self.owner.execute(
            "INSERT INTO tenant (tenant_id, name, home_region, allowed_regions, registered_by)"
            " VALUES ($1, 'T', 'aws:eu-central-1', '{aws:eu-central-1}', 'test')",
            tenant,
        )
        columns = ", ".join(f'"{name}": "{kind}"' for name, kind in COLUMNS.items())
        await self.owner.execute(
            "INSERT INTO dataset_source (tenant_id, source_id, relation, columns)"
            " VALUES ($1, $2, $3, $4)",
            tenant, source_id, self.name, f"{{{columns}}}",
        )  # fmt: skip
        return replace(dataset, tenant_id=tenant, source_id=source_id)


@asynccontextmanager
async def relation(postgres: EmbeddedServer, database: Database) -> AsyncIterator[Relation]:
    """A relation that is gone afterwards."""
    name = f"tenant_data.facts_{secrets.token_hex(6)}"
    owner = await asyncpg.connect(postgres.url(Role.OWNER))
    columns = "".join(f", {column} {kind}" for column, kind in COLUMNS.items())
    try:
        await owner.execute("CREATE SCHEMA IF NOT EXISTS tenant_data")
        await owner.execute("GRANT USAGE ON SCHEMA tenant_data TO ig_service")
        await owner.execute(f"CREATE TABLE {name} (tenant_id text NOT NULL{columns})")
        await owner.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        await owner.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
        await owner.execute(
            f"CREATE POLICY load ON {name} TO ig_owner USING (true) WITH CHECK (true)"
        )
        await owner.execute(
            f"CREATE POLICY isolation ON {name} TO ig_service"
            " USING (tenant_id = current_setting('ig.tenant', true))"
        )
        await owner.execute(f"GRANT SELECT ON {name} TO ig_service")
        yield Relation(name, owner, database)
        await owner.execute(f"DROP TABLE {name}")
    finally:
        await owner.close()


def dataset(
    max_contributions: int = 1, columns: Iterable[Column] = QUERYABLE, **changes: Any
) -> Dataset:
    """A data set over the columns above; each of them counts the same rows of a unit."""
    described = Dataset(
        tenant_id="t-any",
        dataset_id=UUID(int=11),
        slug="facts",
        name="Facts",
        source_id=SOURCE_ID,
        region="aws:eu-central-1",
        license="CC0-1.0",
        license_text_digest="sha256:" + "0" * 64,
        version="1",
        privacy_unit="person",
        max_contributions=max_contributions,
        encoded_columns=encode_columns(tuple(columns)),
    )
    return replace(described, **changes)


@dataclass(frozen=True)
class Paid:
    """A reservation of one release."""

    release_key: ReleaseKey
    epsilon: Decimal

    def covers(self, release_key: ReleaseKey, epsilon: Decimal) -> bool:
        return (release_key, epsilon) == (self.release_key, self.epsilon)


def paid(request: ReleaseRequest, of: Dataset) -> Paid:
    """What the accountant gives for this request."""
    from subgraph.budgets.queries import release_key

    asked = normalised(request, of)
    return Paid(release_key(asked, of), asked.epsilon)
