"""Tenants and their data sets."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, UUID

from subgraph.db.tables.naming import metadata

tenant = Table(
    "tenant",
    metadata,
    Column("tenant_id", Text, nullable=False, comment="public id, chosen at registration"),
    Column("name", Text, nullable=False),
    Column("home_region", Text, nullable=False, comment="code of the region registry"),
    Column("allowed_regions", ARRAY(Text), nullable=False, comment="sorted; contains home_region"),
    Column("registered_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("registered_by", Text, nullable=False, comment="pseudonymous subject id"),
    PrimaryKeyConstraint("tenant_id"),
    CheckConstraint("tenant_id ~ '^[a-z][a-z0-9-]{1,62}$'", name="tenant_id"),
    CheckConstraint("char_length(name) BETWEEN 1 AND 200", name="name"),
    CheckConstraint("home_region = ANY (allowed_regions)", name="home_region"),
    comment="A customer of the SaaS.",
)

dataset_source = Table(
    "dataset_source",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("source_id", UUID, nullable=False),
    Column("relation", Text, nullable=False, comment="schema-qualified name of the relation"),
    Column("columns", JSON, nullable=False, comment="column name to SQL type, as provisioned"),
    Column("provisioned_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("tenant_id", "source_id"),
    UniqueConstraint("tenant_id", "relation"),
    ForeignKeyConstraint(["tenant_id"], ["tenant.tenant_id"]),
    comment="A relation that the operator provisioned for a tenant to register data sets from.",
)

dataset = Table(
    "dataset",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("dataset_id", UUID, nullable=False),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("source_id", UUID, nullable=False),
    Column("region", Text, nullable=False, comment="code of the region registry"),
    Column("license", Text, nullable=False, comment="SPDX expression"),
    Column("license_text_digest", Text, nullable=False, comment="sha256:<64 hex>"),
    Column("version", Text, nullable=False),
    Column("privacy_unit", Text, nullable=False, comment="column that names the protected unit"),
    Column("max_contributions", Integer, nullable=False, comment="rows of one unit that count"),
    Column("columns", JSON, nullable=False, comment="list of {name, kind, lower, upper, values}"),
    Column("registered_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("registered_by", Text, nullable=False, comment="pseudonymous subject id"),
    PrimaryKeyConstraint("tenant_id", "dataset_id"),
    UniqueConstraint("tenant_id", "slug"),
    ForeignKeyConstraint(["tenant_id"], ["tenant.tenant_id"]),
    ForeignKeyConstraint(
        ["tenant_id", "source_id"], ["dataset_source.tenant_id", "dataset_source.source_id"]
    ),
    CheckConstraint("slug ~ '^[a-z][a-z0-9-]{0,62}$'", name="slug"),
    CheckConstraint("max_contributions >= 1", name="max_contributions"),
    CheckConstraint("license_text_digest ~ '^sha256:[0-9a-f]{64}$'", name="license_text_digest"),
    comment="Metadata of a data set that may be queried under differential privacy.",
)

dataset_version = Table(
    "dataset_version",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("dataset_id", UUID, nullable=False),
    Column("version", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("by", Text, nullable=False, comment="pseudonymous subject id"),
    PrimaryKeyConstraint("tenant_id", "dataset_id", "version"),
    ForeignKeyConstraint(["tenant_id", "dataset_id"], ["dataset.tenant_id", "dataset.dataset_id"]),
    comment="The versions that data sets have had; none is ever used again.",
)
