"""The database that all arms read: an embedded PostgreSQL of the benchmark's own, and its rows."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from subgraph.db import embedded, ids, migrate
from subgraph.db.datafolder import DataFolder
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.ids import IdKind
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role

TENANT = "bench-000"
TENANTS = 50
DATASETS = 120
DATASETS_OF_OTHERS = 20
HOME_REGION = "aws:eu-central-1"
REGIONS = (HOME_REGION, "aws:eu-west-1", "gcp:europe-west3")

_IDS = uuid.UUID("6f5f3f0a-6b6e-4c8e-9a53-0d8f0a2c9d11")
_COLUMNS = """[
  {"name": "age", "kind": "NUMBER", "lower": 0, "upper": 120, "values": null},
  {"name": "visits", "kind": "NUMBER", "lower": 0, "upper": 365, "values": null},
  {"name": "plan", "kind": "CATEGORY", "lower": null, "upper": null, "values": ["a", "b", "c"]},
  {"name": "since", "kind": "TIMESTAMP", "lower": null, "upper": null, "values": null}]"""
_INSERT_DATASETS = """
INSERT INTO dataset (
    tenant_id, dataset_id, slug, name, source_id, region, license, license_text_digest, version,
    privacy_unit, max_contributions, columns, registered_by)
SELECT tenant, id, slug, 'Data set ' || slug || ' of ' || tenant, source, region, 'CC-BY-4.0',
    'sha256:' || repeat('a', 64), '1', 'person', 3, $6::jsonb, 'bench-operator'
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::uuid[], $5::text[])
    AS row (tenant, id, slug, source, region)
"""


@dataclass(frozen=True, slots=True)
class SeededDatabase:
    """The running server, and what it tells its administrator."""

    server: EmbeddedServer
    _admin: asyncpg.Connection
    _runner: asyncio.Runner

    @property
    def service_dsn(self) -> str:
        """Where every arm connects to, as the same role."""
        return self.server.url(Role.SERVICE)

    def statements(self) -> int:
        """Statements of the service role so far; BEGIN, COMMIT and resets are statements too."""
        count: int = self._ask(
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements"
            " WHERE userid = to_regrole('ig_service')"
        )
        return count

    def version(self) -> str:
        """The version of PostgreSQL."""
        version: str = self._ask("SHOW server_version")
        return version

    def _ask(self, sql: str) -> Any:
        return self._runner.run(self._admin.fetchval(sql))


@contextmanager
def seeded(folder: Path) -> Iterator[SeededDatabase]:
    """Start a server in `folder`, migrated and filled; durable, as a deployment would be."""
    with asyncio.Runner() as runner:
        parts = AsyncExitStack()
        try:
            server, admin = runner.run(_open(folder, parts))
            yield SeededDatabase(server, admin, runner)
        finally:
            runner.run(parts.aclose())


def dataset_ids(tenant: str = TENANT, count: int = DATASETS) -> list[str]:
    """The public ids of a tenant's first `count` data sets, by slug."""
    return [
        ids.encode(IdKind.DATASET, tenant, _dataset_key(tenant, _slug(number)))
        for number in range(count)
    ]


async def _open(folder: Path, parts: AsyncExitStack) -> tuple[EmbeddedServer, asyncpg.Connection]:
    data = DataFolder.open(folder)
    parts.callback(data.close)
    server = await embedded.start(data, settings={"shared_preload_libraries": "pg_stat_statements"})
    parts.push_async_callback(server.stop)
    await migrate.upgrade(server.url(Role.OWNER))
    await _fill(server)
    admin = await asyncpg.connect(server.url(Role.ADMIN))
    parts.push_async_callback(admin.close)
    await admin.execute("CREATE EXTENSION pg_stat_statements")
    await admin.execute("VACUUM ANALYZE")
    return server, admin


async def _fill(server: EmbeddedServer) -> None:
    tenants = [f"bench-{number:03}" for number in range(TENANTS)]
    sources = [uuid.uuid5(_IDS, tenant) for tenant in tenants]
    rows = [
        (tenant, _dataset_key(tenant, _slug(number)), _slug(number), source, REGIONS[number % 3])
        for tenant, source in zip(tenants, sources, strict=True)
        for number in range(DATASETS if tenant == TENANT else DATASETS_OF_OTHERS)
    ]
    async with operator_transaction(server.url(Role.OWNER)) as transaction:
        await transaction.run(
            "INSERT INTO tenant (tenant_id, name, home_region, allowed_regions, registered_by)"
            " SELECT id, 'Tenant ' || id, $2, $3::text[], 'bench-operator'"
            " FROM unnest($1::text[]) AS id",
            tenants,
            HOME_REGION,
            sorted(REGIONS),
        )
        await transaction.run(
            "INSERT INTO dataset_source (tenant_id, source_id, relation, columns)"
            " SELECT tenant, source, 'tenant_data.bench', '{}'::jsonb"
            " FROM unnest($1::text[], $2::uuid[]) AS row (tenant, source)",
            tenants,
            sources,
        )
        columns = [list(column) for column in zip(*rows, strict=True)]
        await transaction.run(_INSERT_DATASETS, *columns, _COLUMNS)


def _slug(number: int) -> str:
    return f"dataset-{number:03}"


def _dataset_key(tenant: str, slug: str) -> uuid.UUID:
    return uuid.uuid5(_IDS, f"{tenant}/{slug}")
