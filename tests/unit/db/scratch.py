"""A database of its own for a test, on the server of the test process."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from subgraph.db import migrate, roles
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role


@dataclass(frozen=True)
class Scratch:
    """An empty database with the roles and rights that `ig db roles` gives one."""

    server: EmbeddedServer
    name: str

    def url(self, role: Role) -> str:
        return self.server.url(role, self.name)

    async def ask(self, sql: str, *args: object, role: Role = Role.ADMIN) -> list[Any]:
        """Run one statement and return its rows."""
        return await ask(self.url(role), sql, *args)

    async def run(self, *statements: str, role: Role = Role.OWNER) -> None:
        connection = await asyncpg.connect(self.url(role))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


async def ask(dsn: str, sql: str, *args: object) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(sql, *args))
    finally:
        await connection.close()


@asynccontextmanager
async def scratch_database(
    server: EmbeddedServer, *, migrated: bool = True
) -> AsyncIterator[Scratch]:
    scratch = Scratch(server, f"scratch_{secrets.token_hex(6)}")
    await roles.establish(server.url(Role.ADMIN, "postgres"), scratch.name)
    try:
        if migrated:
            await migrate.upgrade(scratch.url(Role.OWNER))
        yield scratch
    finally:
        admin = server.url(Role.ADMIN, "postgres")
        await ask(admin, f"DROP DATABASE {scratch.name} WITH (FORCE)")


async def fill(scratch: Scratch, tenants: Sequence[str], *, datasets: int) -> None:
    """Register tenants with `datasets` data sets each, as the owner, and analyse the tables."""
    owner = await asyncpg.connect(scratch.url(Role.OWNER))
    try:
        await owner.execute(
            "INSERT INTO tenant (tenant_id, name, home_region, allowed_regions, registered_by)"
            " SELECT t, 'name of ' || t, 'aws:eu-central-1', '{aws:eu-central-1}', 'filler'"
            " FROM unnest($1::text[]) AS t",
            list(tenants),
        )
        await owner.execute(
            "INSERT INTO dataset_source (tenant_id, source_id, relation, columns)"
            " SELECT t, gen_random_uuid(), 'tenant_data.numbers', '{\"n\": \"integer\"}'"
            " FROM unnest($1::text[]) AS t",
            list(tenants),
        )
        await owner.execute(
            "INSERT INTO dataset (tenant_id, dataset_id, slug, name, source_id, region, license,"
            "  license_text_digest, version, privacy_unit, max_contributions, columns,"
            "  registered_by)"
            " SELECT tenant_id, gen_random_uuid(), 'd-' || lpad(n::text, 6, '0'),"
            "  'data set ' || n || ' of ' || tenant_id, source_id, 'aws:eu-central-1', 'CC0-1.0',"
            "  'sha256:' || repeat('0', 64), '1', 'n', 1,"
            '  \'[{"name": "n", "kind": "NUMBER", "lower": 0, "upper": 1}]\', \'filler\''
            " FROM dataset_source CROSS JOIN generate_series(1, $1) AS n",
            datasets,
        )
        await owner.execute("ANALYZE tenant, dataset_source, dataset")
    finally:
        await owner.close()
