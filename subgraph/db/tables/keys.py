"""Customer-managed keys, the records that they protect, and the jobs that move them."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import UUID

from subgraph.db.tables.naming import metadata

COUNTER_SHARDS = 8

tenant_cmk = Table(
    "tenant_cmk",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("key_id", UUID, nullable=False, comment="our id of the key; the provider's is key_uri"),
    Column("provider", Text, nullable=False),
    Column("key_uri", Text, nullable=False, comment="address at the provider, without a version"),
    Column("state", Text, nullable=False),
    Column("rotate_every_days", Integer, comment="how often a rotation is due; none: never"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("last_rotated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("tenant_id"),
    ForeignKeyConstraint(["tenant_id"], ["tenant.tenant_id"]),
    CheckConstraint(
        "provider IN ('AWS_KMS', 'GCP_KMS', 'AZURE_KEY_VAULT', 'PKCS11', 'OPENBAO', 'LOCAL')",
        name="provider",
    ),
    CheckConstraint("state IN ('ACTIVE', 'SUSPENDED')", name="state"),
    CheckConstraint("rotate_every_days BETWEEN 1 AND 3650", name="rotate_every_days"),
    comment="The customer-managed key of each tenant.",
)

key_version = Table(
    "key_version",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="counts from 1, over all keys of a tenant"),
    Column("version_id", UUID, nullable=False),
    Column("provider", Text, nullable=False),
    Column("key_uri", Text, nullable=False),
    Column("provider_version", Text, nullable=False, comment="the version in the provider's words"),
    Column("state", Text, nullable=False),
    Column("origin", Text, nullable=False, comment="where the key comes from, the provider says"),
    Column("protection_level", Text, nullable=False, comment="such as SOFTWARE or HSM"),
    Column("region", Text, comment="the provider's region"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False, comment="pseudonymous subject id"),
    PrimaryKeyConstraint("tenant_id", "number"),
    UniqueConstraint("tenant_id", "version_id"),
    ForeignKeyConstraint(["tenant_id"], ["tenant_cmk.tenant_id"]),
    CheckConstraint("number >= 1", name="number"),
    CheckConstraint("state IN ('ACTIVE', 'DECRYPT_ONLY', 'DISABLED', 'DESTROYED')", name="state"),
    Index(
        "key_version_active",
        "tenant_id",
        unique=True,
        postgresql_where=text("state = 'ACTIVE'"),
    ),
    comment="The versions of the tenants' keys that wrapped data keys here.",
)

data_key = Table(
    "data_key",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("data_key_id", UUID, nullable=False, comment="in the header of every message"),
    Column("object_type", Text, nullable=False),
    Column("generation", Integer, nullable=False, comment="counts from 1 within the object type"),
    Column("state", Text, nullable=False),
    Column("key_version", Integer, nullable=False, comment="the version that wrapped it"),
    Column("wrapped", LargeBinary, comment="as only the provider opens it; none once destroyed"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("wrapped_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("tenant_id", "data_key_id"),
    UniqueConstraint("tenant_id", "object_type", "generation"),
    ForeignKeyConstraint(
        ["tenant_id", "key_version"], ["key_version.tenant_id", "key_version.number"]
    ),
    CheckConstraint("generation >= 1", name="generation"),
    CheckConstraint("state IN ('ACTIVE', 'DECRYPT_ONLY', 'RETIRED', 'DESTROYED')", name="state"),
    CheckConstraint("(wrapped IS NULL) = (state = 'DESTROYED')", name="wrapped"),
    Index(
        "data_key_active",
        "tenant_id",
        "object_type",
        unique=True,
        postgresql_where=text("state = 'ACTIVE'"),
    ),
    Index(None, "tenant_id", "key_version"),
    comment="The keys that encrypt, wrapped by a version of the tenant's key.",
)

data_key_count = Table(
    "data_key_count",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("data_key_id", UUID, nullable=False),
    Column("shard", SmallInteger, nullable=False, comment="writers spread over several rows"),
    Column("records", BigInteger, nullable=False, comment="one shard alone may be below zero"),
    PrimaryKeyConstraint("tenant_id", "data_key_id", "shard"),
    ForeignKeyConstraint(
        ["tenant_id", "data_key_id"], ["data_key.tenant_id", "data_key.data_key_id"]
    ),
    CheckConstraint(f"shard BETWEEN 0 AND {COUNTER_SHARDS - 1}", name="shard"),
    comment="How many records each data key encrypts, moved with the records.",
)

protected_record = Table(
    "protected_record",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("record_id", UUID, nullable=False),
    Column("external_id", Text, comment="the caller's own name for it; not encrypted"),
    Column("object_type", Text, nullable=False),
    Column("data_key_id", UUID, nullable=False),
    Column("row_version", BigInteger, nullable=False, comment="grows with every change of the row"),
    Column("fields", LargeBinary, nullable=False, comment="docs/envelope-format.md"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("tenant_id", "record_id"),
    ForeignKeyConstraint(
        ["tenant_id", "data_key_id"], ["data_key.tenant_id", "data_key.data_key_id"]
    ),
    CheckConstraint("row_version >= 1", name="row_version"),
    Index(None, "tenant_id", "object_type", "record_id"),
    Index(None, "tenant_id", "data_key_id", "record_id"),
    comment="Records whose fields are encrypted under a data key of the tenant.",
)

key_job = Table(
    "key_job",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("job_id", UUID, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("object_type", Text, comment="re-encrypt this type only; none: all"),
    Column(
        "throttle_per_second", Integer, comment="most rows a second; none: as the database allows"
    ),
    Column("total", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("superseded", BigInteger, nullable=False, comment="rows that a writer moved first"),
    Column("quarantined", BigInteger, nullable=False),
    Column("source", UUID, comment="the data key whose records are being moved"),
    Column("cursor", UUID, comment="the last record that was looked at"),
    Column("empty_sweeps", SmallInteger, nullable=False, comment="sweeps in a row without a row"),
    Column("epoch", BigInteger, nullable=False, comment="the slice that is due"),
    Column("attempt", BigInteger, nullable=False, comment="fence: claims, over all slices"),
    Column("rows_per_second", Float, comment="of the last slice"),
    Column("blocked_code", Text),
    Column("blocked_message", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False, comment="pseudonymous subject id"),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("tenant_id", "job_id"),
    ForeignKeyConstraint(["tenant_id"], ["tenant_cmk.tenant_id"]),
    CheckConstraint("kind IN ('ROTATE', 'REWRAP', 'REENCRYPT')", name="kind"),
    CheckConstraint(
        "state IN ('PLANNED', 'RUNNING', 'PAUSED', 'BLOCKED', 'VERIFYING', 'DONE', 'CANCELLED')",
        name="state",
    ),
    CheckConstraint("throttle_per_second >= 1", name="throttle_per_second"),
    CheckConstraint(
        "total >= 0 AND done >= 0 AND superseded >= 0 AND quarantined >= 0", name="counts"
    ),
    Index(
        "key_job_in_flight",
        "tenant_id",
        unique=True,
        postgresql_where=text("state NOT IN ('DONE', 'CANCELLED')"),
    ),
    Index(None, "tenant_id", "created_at", "job_id"),
    comment="Work on a tenant's keys and records; one job of a tenant is in flight at a time.",
)

key_job_quarantine = Table(
    "key_job_quarantine",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("job_id", UUID, nullable=False),
    Column("record_id", UUID, nullable=False),
    Column("code", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("tenant_id", "job_id", "record_id"),
    ForeignKeyConstraint(["tenant_id", "job_id"], ["key_job.tenant_id", "key_job.job_id"]),
    comment="Records that a job could not decrypt; they stay as they are.",
)

key_verdict = Table(
    "key_verdict",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("fault", Text, comment="why the key may not be used; none: it may"),
    Column("checked_at", DateTime(timezone=True), comment="none before the first probe"),
    Column("holder", UUID, comment="the process that probes"),
    Column("lease_until", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant_id"),
    ForeignKeyConstraint(["tenant_id"], ["tenant_cmk.tenant_id"]),
    comment="What the last probe of each tenant's key found; replicas read it every second.",
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("key", Text, nullable=False, comment="chosen by the caller"),
    Column("request_digest", LargeBinary, nullable=False, comment="SHA-256 of what was asked"),
    Column("result_id", UUID, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("tenant_id", "operation", "key"),
    comment="What a repeated request was answered the first time.",
)

ledger_subject = Table(
    "ledger_subject",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("subject_id", UUID, nullable=False, comment="an object that the event is about"),
    Column("index", BigInteger, nullable=False, comment="of the event in the tenant's log"),
    PrimaryKeyConstraint("tenant_id", "subject_id", "index"),
    ForeignKeyConstraint(["tenant_id", "index"], ["ledger_event.tenant_id", "ledger_event.index"]),
    comment="Finds the events of an object; derived, and no part of the log.",
)
