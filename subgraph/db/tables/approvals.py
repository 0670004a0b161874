"""Requests under dual control, their approvals, and break-glass."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, UUID

from subgraph.db.tables.naming import metadata

approval_request = Table(
    "approval_request",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("request_id", UUID, nullable=False),
    Column("kind", Text, nullable=False, comment="what takes effect, such as breakGlass"),
    Column("requester", Text, nullable=False, comment="pseudonymous subject id"),
    Column("payload", JSON, nullable=False, comment="RFC 8785 text of what is to be approved"),
    Column("digest", Text, nullable=False, comment="sha256:<64 hex>, what an approver signs for"),
    Column("state", Text, nullable=False),
    Column("needed", SmallInteger, nullable=False, comment="number of distinct approvers"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, comment="to approve and to use"),
    Column("rejected_by", Text, comment="pseudonymous subject id"),
    Column("rejected_at", DateTime(timezone=True)),
    Column("rejection_reason", Text),
    Column("idempotency_key", Text, nullable=False),
    Column("input_digest", Text, nullable=False, comment="sha256:<64 hex> of the caller's input"),
    PrimaryKeyConstraint("tenant_id", "request_id"),
    UniqueConstraint("tenant_id", "kind", "requester", "idempotency_key"),
    UniqueConstraint("tenant_id", "request_id", "requester", "digest"),
    ForeignKeyConstraint(["tenant_id"], ["tenant.tenant_id"]),
    CheckConstraint("kind ~ '^[a-z][a-zA-Z]{0,62}$'", name="kind"),
    CheckConstraint("digest ~ '^sha256:[0-9a-f]{64}$'", name="digest"),
    CheckConstraint("input_digest ~ '^sha256:[0-9a-f]{64}$'", name="input_digest"),
    CheckConstraint(
        "state IN ('REQUESTED', 'APPROVED', 'APPLIED', 'REJECTED', 'EXPIRED', 'CANCELLED')",
        name="state",
    ),
    CheckConstraint("needed >= 2", name="needed"),
    CheckConstraint("expires_at > created_at", name="expires_at"),
    CheckConstraint(
        "num_nonnulls(rejected_by, rejected_at, rejection_reason)"
        " = CASE state WHEN 'REJECTED' THEN 3 ELSE 0 END",
        name="rejection",
    ),
    Index(None, "tenant_id", "kind", "created_at", "request_id"),
    Index(
        "approval_request_open_idx",
        "expires_at",
        postgresql_where=text("state IN ('REQUESTED', 'APPROVED')"),
    ),
    comment="What takes effect once enough other people have approved exactly its digest.",
)

approval = Table(
    "approval",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("request_id", UUID, nullable=False),
    Column("requester", Text, nullable=False, comment="of the request, to differ from approver"),
    Column("digest", Text, nullable=False, comment="of the request"),
    Column("approver", Text, nullable=False, comment="pseudonymous subject id"),
    Column("token_id", Text, nullable=False, comment="jti or digest of the approver's token"),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("key_id", Text, nullable=False, comment="of the process that vouches for the approval"),
    Column("signature", LargeBinary, nullable=False, comment="ECDSA P-256, DER, of the DSSE PAE"),
    PrimaryKeyConstraint("tenant_id", "request_id", "approver"),
    UniqueConstraint("tenant_id", "request_id", "token_id"),
    ForeignKeyConstraint(
        ["tenant_id", "request_id", "requester", "digest"],
        [
            "approval_request.tenant_id",
            "approval_request.request_id",
            "approval_request.requester",
            "approval_request.digest",
        ],
    ),
    CheckConstraint("approver <> requester", name="approver"),
    CheckConstraint("key_id ~ '^[0-9a-f]{64}$'", name="key_id"),
    comment="Who approved a request; append-only.",
)

break_glass_justification = Table(
    "break_glass_justification",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("request_id", UUID, nullable=False),
    Column("salt", LargeBinary, nullable=False, comment="32 random bytes; erased with the text"),
    Column("justification", Text, nullable=False, comment="may name people"),
    PrimaryKeyConstraint("tenant_id", "request_id"),
    ForeignKeyConstraint(
        ["tenant_id", "request_id"], ["approval_request.tenant_id", "approval_request.request_id"]
    ),
    CheckConstraint("octet_length(salt) = 32", name="salt"),
    comment="Why break-glass was asked for, apart from the request so that it can be erased.",
)

break_glass_session = Table(
    "break_glass_session",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("request_id", UUID, nullable=False),
    Column("short_id", Text, nullable=False, comment="names the request in its markers"),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("ended_by", Text, comment="pseudonymous subject id"),
    Column("outcome", Text, comment="why it ended"),
    Column("idempotency_key", Text, nullable=False, comment="of the opening"),
    Column("token_id", Text, nullable=False, comment="jti or digest of the requester's token"),
    Column("watermark_key", LargeBinary, nullable=False, comment="HMAC-SHA256 key of the markers"),
    PrimaryKeyConstraint("tenant_id", "request_id"),
    ForeignKeyConstraint(
        ["tenant_id", "request_id"], ["approval_request.tenant_id", "approval_request.request_id"]
    ),
    CheckConstraint("short_id ~ '^[0-9A-HJKMNP-TV-Z]{12}$'", name="short_id"),
    CheckConstraint(
        "expires_at > opened_at AND expires_at <= opened_at + interval '60 minutes'",
        name="expires_at",
    ),
    CheckConstraint("outcome IN ('CLOSED', 'EXPIRED')", name="outcome"),
    CheckConstraint("num_nonnulls(ended_at, ended_by, outcome) IN (0, 3)", name="ended"),
    CheckConstraint("octet_length(watermark_key) = 32", name="watermark_key"),
    Index(None, "tenant_id", "short_id"),
    Index("break_glass_session_open_idx", "expires_at", postgresql_where=text("ended_at IS NULL")),
    comment="The one use of an approved break-glass request.",
)
