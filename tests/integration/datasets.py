"""Tenants and data sets for the tests, made the way a deployment makes them."""

import asyncio
import secrets
from typing import Any

from subgraph.db import ids
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.ids import IdKind
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from subgraph.tenants import store
from subgraph.tenants.provisioning import provision
from tests.conftest import Api

REGION = "aws:eu-central-1"
DIGEST = "sha256:" + "0" * 64
RELATION = "tenant_data.visits"
COLUMNS = {
    "person": "bigint",
    "age": "integer",
    "spend": "double precision",
    "ward": "text",
    "seen": "date",
    "scan": "bytea",
}

REGISTER_TENANT = (
    "mutation($input: RegisterTenantInput!) { registerTenant(input: $input)"
    " { tenant { id name homeRegion { code } allowedRegions { code } }"
    " userErrors { __typename code message field } } }"
)
REGISTER_DATASET = (
    "mutation($tenant: ID!, $input: RegisterDatasetInput!)"
    " { registerDataset(tenantId: $tenant, input: $input)"
    " { dataset { id slug name license version region { code }"
    " columns { name kind lower upper values } }"
    " userErrors { __typename code message field } } }"
)


def tenant_input(tenant: str, **changes: object) -> dict[str, Any]:
    """A valid registration of a tenant, with changes."""
    valid = {"id": tenant, "name": "Test", "homeRegion": REGION, "allowedRegions": [REGION]}
    return {**valid, **changes}


def dataset_input(source: str, slug: str = "visits", **changes: object) -> dict[str, Any]:
    """A valid registration of a data set, with changes."""
    valid = {
        "slug": slug,
        "name": "Visits",
        "source": source,
        "region": REGION,
        "license": "CC-BY-4.0",
        "licenseTextDigest": DIGEST,
        "privacyUnit": "person",
        "columns": [{"name": "age", "kind": "NUMBER", "lower": 0, "upper": 120}],
    }
    return {**valid, **changes}


async def register_tenant(api: Api, tenant: str | None = None) -> str:
    """The id of a tenant that is registered now."""
    identity = tenant or f"t-{secrets.token_hex(8)}"
    answer = await api.ask(
        REGISTER_TENANT,
        token=api.mint(None, "platform:tenants"),
        variables={"input": tenant_input(identity)},
    )
    assert answer["data"]["registerTenant"]["userErrors"] == []
    return identity


async def provision_source(postgres: EmbeddedServer, tenant: str) -> str:
    """The public id of a source of `tenant` over a scratch relation."""
    async with operator_transaction(postgres.url(Role.OWNER)) as transaction:
        await transaction.run("SELECT pg_advisory_xact_lock(hashtext($1))", RELATION)
        if await store.relation(transaction, RELATION) is None:
            columns = "".join(f", {name} {kind}" for name, kind in COLUMNS.items())
            for statement in (
                "CREATE SCHEMA IF NOT EXISTS tenant_data",
                "GRANT USAGE ON SCHEMA tenant_data TO ig_service",
                f"CREATE TABLE {RELATION} (tenant_id text NOT NULL{columns})",
                f"ALTER TABLE {RELATION} ENABLE ROW LEVEL SECURITY",
                f"ALTER TABLE {RELATION} FORCE ROW LEVEL SECURITY",
                (
                    f"CREATE POLICY isolation ON {RELATION} TO ig_service"
                    " USING (tenant_id = current_setting('ig.tenant', true))"
                ),
                f"GRANT SELECT ON {RELATION} TO ig_service",
            ):
                await transaction.run(statement)
    source = await provision(postgres.url(Role.SYSTEM), tenant, RELATION)
    return ids.encode(IdKind.DATASET_SOURCE, source.tenant_id, source.source_id)


async def register_dataset(
    api: Api, tenant: str, source: str, slug: str = "visits", **changes: object
) -> str:
    """The id of a data set that is registered now."""
    answer = await api.ask(
        REGISTER_DATASET,
        token=api.mint(tenant, "datasets:read", "datasets:write"),
        variables={"tenant": tenant, "input": dataset_input(source, slug, **changes)},
    )
    payload = answer["data"]["registerDataset"]
    assert payload["userErrors"] == []
    return str(payload["dataset"]["id"])


async def tenant_with_datasets(
    api: Api, postgres: EmbeddedServer, count: int = 1
) -> tuple[str, list[str]]:
    """A new tenant and the ids of its `count` data sets, in the order of their slugs."""
    tenant = await register_tenant(api)
    source = await provision_source(postgres, tenant)
    slugs = [f"visits-{number:03}" for number in range(count)]
    registrations = (register_dataset(api, tenant, source, slug) for slug in slugs)
    return tenant, list(await asyncio.gather(*registrations))


async def first_events(api: Api, tenant: str, count: int) -> list[str]:
    """The ids of the first `count` events of a tenant's ledger."""
    answer = await api.ask(
        "query($tenant: ID!, $first: Int!) { tenant(id: $tenant)"
        " { ledger { events(first: $first) { nodes { id } } } } }",
        token=api.mint(tenant, "ledger:read"),
        variables={"tenant": tenant, "first": count},
    )
    return [node["id"] for node in answer["data"]["tenant"]["ledger"]["events"]["nodes"]]
