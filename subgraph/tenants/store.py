"""The SQL of tenants, sources and data sets."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from subgraph.db.binding import tenant_read, tenant_read_many
from subgraph.db.service import Database, Row, Transaction
from subgraph.tenants.model import Dataset, Page, Source, Tenant

_TENANT = "tenant_id, name, home_region, allowed_regions"
_DATASET = (
    "tenant_id, dataset_id, slug, name, source_id, region, license, license_text_digest,"
    " version, privacy_unit, max_contributions, columns"
)

_TENANTS = tenant_read_many(
    f"SELECT {_TENANT} FROM tenant WHERE tenant_id = bound.tenant", key_type="text"
)
_DATASETS = tenant_read_many(
    f"SELECT {_DATASET} FROM dataset"
    " WHERE tenant_id = bound.tenant AND dataset_id = ANY (asked.keys)",
    key_type="uuid",
)
_DATASET_PAGES = tenant_read_many(
    # Every page asks for its own number of rows behind its own slug; keys are "first|after".
    "SELECT page.key AS asked_key, found.* FROM unnest(asked.keys) AS page(key)"
    " CROSS JOIN LATERAL ("
    f"   SELECT {_DATASET} FROM dataset"
    "    WHERE tenant_id = bound.tenant AND slug > split_part(page.key, '|', 2)"
    "    ORDER BY slug LIMIT split_part(page.key, '|', 1)::int) AS found"
    " ORDER BY found.slug",
    key_type="text",
)
_SOURCE = tenant_read(
    "SELECT tenant_id, source_id, relation, columns FROM dataset_source"
    " WHERE tenant_id = bound.tenant AND source_id = $2"
)


async def tenants(database: Database, tenant_ids: Sequence[str]) -> dict[str, Tenant]:
    """The tenants that exist, by id; one statement."""
    rows = await database.read_many(_TENANTS, [(tenant, tenant) for tenant in tenant_ids])
    return {row["tenant_id"]: _tenant(row) for row in rows}


async def datasets(
    database: Database, keys: Sequence[tuple[str, UUID]]
) -> dict[tuple[str, UUID], Dataset]:
    """The data sets that exist, by tenant and id; one statement."""
    rows = await database.read_many(_DATASETS, keys)
    return {(row["tenant_id"], row["dataset_id"]): _dataset(row) for row in rows}


async def dataset_pages(
    database: Database, pages: Sequence[tuple[str, Page]]
) -> Mapping[tuple[str, Page], Sequence[Dataset]]:
    """A page of data sets of each tenant, ordered by slug; one statement for all pages."""
    asked = {(tenant, f"{page.first}|{page.after or ''}"): page for tenant, page in pages}
    found: dict[tuple[str, Page], list[Dataset]] = {
        (tenant, page): [] for (tenant, _), page in asked.items()
    }
    for row in await database.read_many(_DATASET_PAGES, list(asked)):
        tenant = row["tenant_id"]
        found[tenant, asked[tenant, row["asked_key"]]].append(_dataset(row))
    return found


async def source(database: Database, tenant: str, source_id: UUID) -> Source | None:
    """A source that the operator provisioned for the tenant."""
    rows = await database.read(_SOURCE, tenant, source_id)
    return _source(rows[0]) if rows else None


async def insert_tenant(transaction: Transaction, tenant: Tenant, *, by: str) -> bool:
    """Register a tenant; False when its id is taken."""
    row = await transaction.row(
        "INSERT INTO tenant (tenant_id, name, home_region, allowed_regions, registered_by)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING tenant_id",
        tenant.tenant_id,
        tenant.name,
        tenant.home_region,
        list(tenant.allowed_regions),
        by,
    )
    return row is not None


async def insert_dataset(transaction: Transaction, dataset: Dataset, *, by: str) -> bool:
    """Register a data set; False when its slug is taken."""
    row = await transaction.row(
        f"INSERT INTO dataset ({_DATASET}, registered_by)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
        " ON CONFLICT DO NOTHING RETURNING dataset_id",
        dataset.tenant_id,
        dataset.dataset_id,
        dataset.slug,
        dataset.name,
        dataset.source_id,
        dataset.region,
        dataset.license,
        dataset.license_text_digest,
        dataset.version,
        dataset.privacy_unit,
        dataset.max_contributions,
        dataset.encoded_columns,
        by,
    )
    return row is not None


async def dataset_by_slug(transaction: Transaction, tenant: str, slug: str) -> Dataset | None:
    """The data set with this slug."""
    row = await transaction.row(
        f"SELECT {_DATASET} FROM dataset WHERE tenant_id = $1 AND slug = $2", tenant, slug
    )
    return _dataset(row) if row else None


async def lock_dataset(transaction: Transaction, tenant: str, dataset_id: UUID) -> Dataset | None:
    """A data set whose version nobody else changes until the transaction ends."""
    row = await transaction.row(
        f"SELECT {_DATASET} FROM dataset WHERE tenant_id = $1 AND dataset_id = $2 FOR UPDATE",
        tenant,
        dataset_id,
    )
    return _dataset(row) if row else None


async def publish_version(
    transaction: Transaction, dataset: Dataset, version: str, *, by: str
) -> bool:
    """Give a locked data set a version; False when it had it before."""
    row = await transaction.row(
        # The first version was never published, so it is kept when it is replaced.
        "WITH replaced AS (INSERT INTO dataset_version (tenant_id, dataset_id, version, by)"
        "  VALUES ($1, $2, $3, $5) ON CONFLICT DO NOTHING),"
        " published AS (INSERT INTO dataset_version (tenant_id, dataset_id, version, by)"
        "  VALUES ($1, $2, $4, $5) ON CONFLICT DO NOTHING RETURNING version)"
        " UPDATE dataset d SET version = published.version FROM published"
        " WHERE d.tenant_id = $1 AND d.dataset_id = $2 RETURNING d.version",
        dataset.tenant_id,
        dataset.dataset_id,
        dataset.version,
        version,
        by,
    )
    return row is not None


async def relation(transaction: Transaction, name: str) -> Row | None:
    """What the catalogue says of a relation: its columns, and whether the service may read it."""
    return await transaction.row(
        "SELECT has_table_privilege('ig_service', c.oid, 'SELECT') AS readable,"
        " (SELECT json_object_agg(a.attname, format_type(a.atttypid, NULL))"
        "  FROM pg_attribute a"
        "  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = split_part($1, '.', 1) AND c.relname = split_part($1, '.', 2)",
        name,
    )


async def is_registered(transaction: Transaction, tenant: str) -> bool:
    """Whether the tenant exists."""
    row = await transaction.row("SELECT FROM tenant WHERE tenant_id = $1", tenant)
    return row is not None


async def insert_source(transaction: Transaction, source: Source) -> None:
    """Provision a source; a relation that is provisioned already keeps its id."""
    await transaction.run(
        "INSERT INTO dataset_source (tenant_id, source_id, relation, columns)"
        " VALUES ($1, $2, $3, $4) ON CONFLICT (tenant_id, relation) DO NOTHING",
        source.tenant_id,
        source.source_id,
        source.relation,
        msgspec.json.encode(source.columns).decode(),
    )


async def sources(transaction: Transaction, tenant: str) -> list[Source]:
    """The sources of a tenant, by relation name."""
    rows = await transaction.rows(
        "SELECT tenant_id, source_id, relation, columns FROM dataset_source"
        " WHERE tenant_id = $1 ORDER BY relation",
        tenant,
    )
    return [_source(row) for row in rows]


def _tenant(row: Row) -> Tenant:
    return Tenant(row["tenant_id"], row["name"], row["home_region"], tuple(row["allowed_regions"]))


def _source(row: Row) -> Source:
    columns = msgspec.json.decode(row["columns"], type=dict[str, str])
    return Source(row["tenant_id"], row["source_id"], row["relation"], columns)


def _dataset(row: Row) -> Dataset:
    return Dataset(
        tenant_id=row["tenant_id"],
        dataset_id=row["dataset_id"],
        slug=row["slug"],
        name=row["name"],
        source_id=row["source_id"],
        region=row["region"],
        license=row["license"],
        license_text_digest=row["license_text_digest"],
        version=row["version"],
        privacy_unit=row["privacy_unit"],
        max_contributions=row["max_contributions"],
        encoded_columns=row["columns"],
    )
