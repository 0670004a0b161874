"""Loads the demonstration: three tenants, and a real data set for the first one."""

from decimal import Decimal

from subgraph.db import ids
from subgraph.db.ids import IdKind
from subgraph.db.operator import operator_transaction
from subgraph.db.service import Database, Transaction
from subgraph.ledger.service import Ledger
from subgraph.tenants import demo_data, store
from subgraph.tenants.model import DatasetRegistration
from subgraph.tenants.provisioning import provision
from subgraph.tenants.regions import RegionRegistry
from subgraph.tenants.service import TenantService

RELATION = "tenant_data.rand_health_insurance"
_OPERATOR = "demo-operator"
_OF_TENANT = "tenant_id = current_setting('ig.tenant', true)"


async def load(database: Database, ledger: Ledger, *, owner_dsn: str, system_dsn: str) -> None:
    """Load what is missing; a second run changes nothing. `database` is the service role's."""
    service = TenantService(database, RegionRegistry.load(), ledger)
    for tenant in demo_data.TENANTS:
        await service.register_tenant(tenant, by=_OPERATOR)
    described = demo_data.DATASET
    async with operator_transaction(owner_dsn) as transaction:
        await _load_relation(transaction, described)
    source = await provision(system_dsn, described.tenant_id, RELATION)
    registration = DatasetRegistration(
        slug=described.slug,
        name=described.name,
        source=ids.encode(IdKind.DATASET_SOURCE, source.tenant_id, source.source_id),
        region=described.region,
        license=described.license,
        license_text_digest=described.license_text_digest,
        privacy_unit=described.privacy_unit,
        max_contributions=described.max_contributions,
        columns=described.queryable,
    )
    await service.register_dataset(described.tenant_id, registration, by=_OPERATOR)


async def _load_relation(transaction: Transaction, described: demo_data.DemoDataset) -> None:
    if await store.relation(transaction, RELATION) is not None:
        return
    columns = "".join(f", {column.name} {column.sql_type} NOT NULL" for column in described.columns)
    key = f"PRIMARY KEY (tenant_id, {', '.join(described.key)})"
    for statement in (
        "CREATE SCHEMA IF NOT EXISTS tenant_data",
        "GRANT USAGE ON SCHEMA tenant_data TO ig_service",
        f"CREATE TABLE {RELATION} (tenant_id text NOT NULL{columns}, {key})",
        f"ALTER TABLE {RELATION} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {RELATION} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY owner_loads ON {RELATION} TO ig_owner USING (true) WITH CHECK (true)",
        f"CREATE POLICY tenant_isolation ON {RELATION} TO ig_service USING ({_OF_TENANT})",
        f"GRANT SELECT ON {RELATION} TO ig_service",
    ):
        await transaction.run(statement)
    names = ", ".join(column.name for column in described.columns)
    arrays = ", ".join(
        f"${number}::{column.sql_type}[]" for number, column in enumerate(described.columns, 2)
    )
    values: list[list[int | Decimal | bool | str]] = [[] for _ in described.columns]
    for row in demo_data.rows():
        for column, value in zip(values, row, strict=True):
            column.append(value)
    await transaction.run(
        f"INSERT INTO {RELATION} (tenant_id, {names})"
        f" SELECT $1, loaded.* FROM unnest({arrays}) AS loaded({names})",
        described.tenant_id,
        *values,
    )
