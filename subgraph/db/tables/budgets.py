"""Privacy budgets: policies, windows, reservations, the spend log, releases, overrides, tickets.

Checks and triggers stand in `migrations/sql/0005_*.sql` only.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import UUID

from subgraph.db.tables.naming import metadata

_ZERO = text("0")

dp_policy = Table(
    "dp_policy",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("accountant", Text, nullable=False),
    Column("window_kind", Text, nullable=False),
    Column("epsilon_limit", Numeric, nullable=False),
    Column("lifetime_limit", Numeric, comment="for all windows together; none: no cap"),
    Column("max_epsilon_per_operation", Numeric),
    Column("effective_from", DateTime(timezone=True), nullable=False),
    Column("set_by", Text, nullable=False),
    PrimaryKeyConstraint("tenant_id", "version"),
    ForeignKeyConstraint(["tenant_id"], ["tenant.tenant_id"]),
    comment="Every version of each tenant's budget policy; append-only.",
)

dp_budget = Table(
    "dp_budget",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("window_start", DateTime(timezone=True), nullable=False),
    Column("window_end", DateTime(timezone=True), nullable=False),
    Column(
        "policy_version",
        Integer,
        comment="under which the window opened; of the lifetime, whose cap it has",
    ),
    Column("epsilon_limit", Numeric, comment="none: no cap, for the lifetime only"),
    Column(
        "epsilon_granted",
        Numeric,
        nullable=False,
        server_default=_ZERO,
        comment="sum of the applied overrides",
    ),
    Column(
        "epsilon_spent",
        Numeric,
        nullable=False,
        server_default=_ZERO,
        comment="never decreases; includes what is RESERVED",
    ),
    Column(
        "epsilon_reserved",
        Numeric,
        nullable=False,
        server_default=_ZERO,
        comment="promised to queued operations, not spent",
    ),
    Column("seq", BigInteger, nullable=False, server_default=_ZERO, comment="number of spends"),
    Column("head", LargeBinary, comment="chain hash of the newest spend; none for the lifetime"),
    Column(
        "alerted_at",
        DateTime(timezone=True),
        comment="when less than a tenth was left for the first time",
    ),
    Column(
        "anchored_seq",
        BigInteger,
        nullable=False,
        server_default=_ZERO,
        comment="seq in the newest budget.head event",
    ),
    PrimaryKeyConstraint("tenant_id", "window_start"),
    ForeignKeyConstraint(["tenant_id"], ["tenant.tenant_id"]),
    ForeignKeyConstraint(
        ["tenant_id", "policy_version"],
        ["dp_policy.tenant_id", "dp_policy.version"],
        name="dp_budget_tenant_id_policy_version_fkey",
    ),
    comment="What a tenant may spend and has spent in each window; at -infinity, in its lifetime.",
)

dp_reservation = Table(
    "dp_reservation",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("reservation_id", UUID, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column(
        "request_digest",
        LargeBinary,
        nullable=False,
        comment="SHA-256 of what was asked under the key",
    ),
    Column("window_start", DateTime(timezone=True), nullable=False),
    Column("first_seq", BigInteger, nullable=False, comment="seq of the first of its spends"),
    Column("spends", Integer, nullable=False),
    Column("epsilon", Numeric, nullable=False),
    Column("head", LargeBinary, nullable=False, comment="chain hash of the last of its spends"),
    Column("reserved_at", DateTime(timezone=True), nullable=False),
    Column("holder", UUID, nullable=False),
    Column(
        "epoch",
        Integer,
        nullable=False,
        comment="fencing number; grows when another holder takes over",
    ),
    Column("lease_until", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant_id", "reservation_id"),
    UniqueConstraint(
        "tenant_id", "idempotency_key", name="dp_reservation_tenant_id_idempotency_key_key"
    ),
    ForeignKeyConstraint(
        ["tenant_id", "window_start"],
        ["dp_budget.tenant_id", "dp_budget.window_start"],
        name="dp_reservation_tenant_id_window_start_fkey",
    ),
    comment="All spends of one operation: paid for together or not at all.",
)

dp_spend = Table(
    "dp_spend",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("window_start", DateTime(timezone=True), nullable=False),
    Column("seq", BigInteger, nullable=False, comment="position in the window, from 1"),
    Column("spend_id", UUID, nullable=False),
    Column("reservation_id", UUID, nullable=False),
    Column("dataset_id", UUID, nullable=False),
    Column("release_key", LargeBinary, nullable=False),
    Column("epsilon", Numeric, nullable=False),
    Column("entry", Text, nullable=False, comment="RFC 8785 text exactly as hashed"),
    Column(
        "chain_hash",
        LargeBinary,
        nullable=False,
        comment="SHA-256 over the one before and the entry",
    ),
    Column("state", Text, nullable=False, server_default="RESERVED"),
    Column("settled_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant_id", "window_start", "seq"),
    UniqueConstraint("tenant_id", "spend_id", name="dp_spend_tenant_id_spend_id_key"),
    ForeignKeyConstraint(
        ["tenant_id", "reservation_id"],
        ["dp_reservation.tenant_id", "dp_reservation.reservation_id"],
        name="dp_spend_tenant_id_reservation_id_fkey",
    ),
    Index(
        "dp_spend_unsettled",
        "tenant_id",
        "release_key",
        unique=True,
        postgresql_where=text("state = 'RESERVED'"),
    ),
    comment="The hash-chained spend log of each window; entries never change.",
)

dp_release = Table(
    "dp_release",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("release_key", LargeBinary, nullable=False),
    Column("spend_id", UUID, nullable=False),
    Column("dataset_version", Text, nullable=False),
    Column("answer", Text, nullable=False, comment="in clear: it is public by post-processing"),
    Column("released_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant_id", "release_key"),
    UniqueConstraint("tenant_id", "spend_id", name="dp_release_tenant_id_spend_id_key"),
    ForeignKeyConstraint(
        ["tenant_id", "spend_id"],
        ["dp_spend.tenant_id", "dp_spend.spend_id"],
        name="dp_release_tenant_id_spend_id_fkey",
    ),
    comment="Answers that were paid for; a repeat gets the stored one.",
)

dp_override = Table(
    "dp_override",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("override_id", UUID, nullable=False),
    Column("approval_request_id", UUID, nullable=False),
    Column("window_start", DateTime(timezone=True), nullable=False),
    Column("epsilon", Numeric, nullable=False),
    Column("warrant_reference", Text, nullable=False),
    Column("warrant_issued_by", Text, nullable=False),
    Column("warrant_issued_at", DateTime(timezone=True), nullable=False),
    Column("warrant_expires_at", DateTime(timezone=True), nullable=False),
    Column("warrant_document_digest", Text, nullable=False),
    Column("applied_at", DateTime(timezone=True), nullable=False),
    Column("applied_by", Text, nullable=False),
    PrimaryKeyConstraint("tenant_id", "override_id"),
    UniqueConstraint(
        "tenant_id", "approval_request_id", name="dp_override_tenant_id_approval_request_id_key"
    ),
    ForeignKeyConstraint(
        ["tenant_id", "window_start"],
        ["dp_budget.tenant_id", "dp_budget.window_start"],
        name="dp_override_tenant_id_window_start_fkey",
    ),
    Index("dp_override_tenant_id_window_start_idx", "tenant_id", "window_start"),
    comment="Epsilon granted on top of a window's limit; append-only.",
)

dp_ticket = Table(
    "dp_ticket",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("ticket_id", UUID, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("request_digest", LargeBinary, nullable=False),
    Column("operation", Text, nullable=False),
    Column("variables", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("epsilon", Numeric, nullable=False),
    Column(
        "promised",
        Numeric,
        nullable=False,
        comment="part of epsilon_reserved of its window; 0 once used",
    ),
    Column(
        "not_before",
        DateTime(timezone=True),
        nullable=False,
        comment="start of the window that promised",
    ),
    Column("deadline", DateTime(timezone=True), nullable=False),
    Column(
        "expires_at",
        DateTime(timezone=True),
        nullable=False,
        comment="the deadline, or the end of that window if earlier",
    ),
    Column("state", Text, nullable=False, server_default="QUEUED"),
    Column("failure", Text),
    Column("result", Text),
    Column("holder", UUID),
    Column(
        "epoch",
        Integer,
        nullable=False,
        server_default=_ZERO,
        comment="fencing number; grows with every claim",
    ),
    Column("lease_until", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("settled_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant_id", "ticket_id"),
    UniqueConstraint(
        "tenant_id", "idempotency_key", name="dp_ticket_tenant_id_idempotency_key_key"
    ),
    ForeignKeyConstraint(
        ["tenant_id", "not_before"],
        ["dp_budget.tenant_id", "dp_budget.window_start"],
        name="dp_ticket_tenant_id_not_before_fkey",
    ),
    Index(
        "dp_ticket_open",
        "not_before",
        "created_at",
        postgresql_where=text("state IN ('QUEUED', 'RUNNING')"),
    ),
    comment="Operations that wait for the next window, with its promise.",
)
