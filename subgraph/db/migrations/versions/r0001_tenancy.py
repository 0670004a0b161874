"""Tenants, provisioned sources and data sets."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from subgraph.db.migrations.row_security import isolate, open_to_system

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "tenant",
        sa.Column(
            "tenant_id", sa.Text, nullable=False, comment="public id, chosen at registration"
        ),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("home_region", sa.Text, nullable=False, comment="code of the region registry"),
        sa.Column(
            "allowed_regions",
            postgresql.ARRAY(sa.Text),
            nullable=False,
            comment="sorted; contains home_region",
        ),
        sa.Column(
            "registered_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
        ),
        sa.Column("registered_by", sa.Text, nullable=False, comment="pseudonymous subject id"),
        sa.PrimaryKeyConstraint("tenant_id", name="tenant_pkey"),
        sa.CheckConstraint(
            "tenant_id ~ '^[a-z][a-z0-9-]{1,62}$'", name=op.f("tenant_tenant_id_check")
        ),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 200", name=op.f("tenant_name_check")),
        sa.CheckConstraint(
            "home_region = ANY (allowed_regions)", name=op.f("tenant_home_region_check")
        ),
        comment="A customer of the SaaS.",
    )
    op.create_table(
        "dataset_source",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("source_id", postgresql.UUID, nullable=False),
        sa.Column(
            "relation", sa.Text, nullable=False, comment="schema-qualified name of the relation"
        ),
        sa.Column(
            "columns",
            postgresql.JSON,
            nullable=False,
            comment="column name to SQL type, as provisioned",
        ),
        sa.Column(
            "provisioned_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "source_id", name="dataset_source_pkey"),
        sa.UniqueConstraint("tenant_id", "relation", name="dataset_source_tenant_id_relation_key"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.tenant_id"], name="dataset_source_tenant_id_fkey"
        ),
        comment="A relation that the operator provisioned for a tenant to register data sets from.",
    )
    op.create_table(
        "dataset",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("dataset_id", postgresql.UUID, nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("source_id", postgresql.UUID, nullable=False),
        sa.Column("region", sa.Text, nullable=False, comment="code of the region registry"),
        sa.Column("license", sa.Text, nullable=False, comment="SPDX expression"),
        sa.Column("license_text_digest", sa.Text, nullable=False, comment="sha256:<64 hex>"),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column(
            "privacy_unit", sa.Text, nullable=False, comment="column that names the protected unit"
        ),
        sa.Column(
            "max_contributions", sa.Integer, nullable=False, comment="rows of one unit that count"
        ),
        sa.Column(
            "columns",
            postgresql.JSON,
            nullable=False,
            comment="list of {name, kind, lower, upper, values}",
        ),
        sa.Column(
            "registered_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
        ),
        sa.Column("registered_by", sa.Text, nullable=False, comment="pseudonymous subject id"),
        sa.PrimaryKeyConstraint("tenant_id", "dataset_id", name="dataset_pkey"),
        sa.UniqueConstraint("tenant_id", "slug", name="dataset_tenant_id_slug_key"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.tenant_id"], name="dataset_tenant_id_fkey"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "source_id"],
            ["dataset_source.tenant_id", "dataset_source.source_id"],
            name="dataset_tenant_id_source_id_fkey",
        ),
        sa.CheckConstraint("slug ~ '^[a-z][a-z0-9-]{0,62}$'", name=op.f("dataset_slug_check")),
        sa.CheckConstraint("max_contributions >= 1", name=op.f("dataset_max_contributions_check")),
        sa.CheckConstraint(
            "license_text_digest ~ '^sha256:[0-9a-f]{64}$'",
            name=op.f("dataset_license_text_digest_check"),
        ),
        comment="Metadata of a data set that may be queried under differential privacy.",
    )
    op.execute("GRANT USAGE ON SCHEMA public TO ig_service, ig_system")
    isolate("tenant", service="SELECT, INSERT")
    isolate("dataset_source", service="SELECT")
    isolate("dataset", service="SELECT, INSERT")
    open_to_system("tenant", privileges="SELECT, INSERT")
    open_to_system("dataset_source", privileges="SELECT, INSERT")
    op.execute("GRANT SELECT ON alembic_version TO ig_service, ig_system")


def downgrade() -> None:
    op.execute("REVOKE SELECT ON alembic_version FROM ig_service, ig_system")
    op.drop_table("dataset")
    op.drop_table("dataset_source")
    op.drop_table("tenant")
    op.execute("REVOKE USAGE ON SCHEMA public FROM ig_service, ig_system")
