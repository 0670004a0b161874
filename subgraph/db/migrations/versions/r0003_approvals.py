"""Approvals and break-glass: requests under dual control, and what one of them opens."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from subgraph.db.migrations.row_security import isolate, open_to_system

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _create_request()
    _create_approval()
    _create_justification()
    _create_session()
    isolate(
        "approval_request",
        service="SELECT, INSERT, UPDATE (state, rejected_by, rejected_at, rejection_reason)",
    )
    isolate("approval", service="SELECT, INSERT")
    isolate("break_glass_justification", service="SELECT, INSERT, DELETE")
    isolate("break_glass_session", service="SELECT, INSERT, UPDATE (ended_at, ended_by, outcome)")
    # What a sweep looks for, and no more: not the watermark keys.
    open_to_system(
        "approval_request", privileges="SELECT (tenant_id, request_id, kind, state, expires_at)"
    )
    open_to_system(
        "break_glass_session", privileges="SELECT (tenant_id, request_id, expires_at, ended_at)"
    )
    _defend()


def _create_request() -> None:
    op.create_table(
        "approval_request",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("request_id", postgresql.UUID, nullable=False),
        sa.Column("kind", sa.Text, nullable=False, comment="what takes effect, such as breakGlass"),
        sa.Column("requester", sa.Text, nullable=False, comment="pseudonymous subject id"),
        sa.Column(
            "payload",
            postgresql.JSON,
            nullable=False,
            comment="RFC 8785 text of what is to be approved",
        ),
        sa.Column(
            "digest", sa.Text, nullable=False, comment="sha256:<64 hex>, what an approver signs for"
        ),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column(
            "needed", sa.SmallInteger, nullable=False, comment="number of distinct approvers"
        ),
        _time("created_at"),
        _time("expires_at", comment="to approve and to use"),
        sa.Column("rejected_by", sa.Text, comment="pseudonymous subject id"),
        sa.Column("rejected_at", sa.DateTime(timezone=True)),
        sa.Column("rejection_reason", sa.Text),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column(
            "input_digest", sa.Text, nullable=False, comment="sha256:<64 hex> of the caller's input"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "request_id", name="approval_request_pkey"),
        sa.UniqueConstraint(
            "tenant_id",
            "kind",
            "requester",
            "idempotency_key",
            name="approval_request_tenant_id_kind_requester_idempotency_key_key",
        ),
        sa.UniqueConstraint(
            "tenant_id",
            "request_id",
            "requester",
            "digest",
            name="approval_request_tenant_id_request_id_requester_digest_key",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.tenant_id"], name="approval_request_tenant_id_fkey"
        ),
        *_checks(
            "approval_request",
            kind="kind ~ '^[a-z][a-zA-Z]{0,62}$'",
            digest="digest ~ '^sha256:[0-9a-f]{64}$'",
            input_digest="input_digest ~ '^sha256:[0-9a-f]{64}$'",
            state="state IN"
            " ('REQUESTED', 'APPROVED', 'APPLIED', 'REJECTED', 'EXPIRED', 'CANCELLED')",
            needed="needed >= 2",
            expires_at="expires_at > created_at",
            rejection="num_nonnulls(rejected_by, rejected_at, rejection_reason)"
            " = CASE state WHEN 'REJECTED' THEN 3 ELSE 0 END",
        ),
        comment="What takes effect once enough other people have approved exactly its digest.",
    )
    op.create_index(
        "approval_request_tenant_id_kind_created_at_request_id_idx",
        "approval_request",
        ["tenant_id", "kind", "created_at", "request_id"],
    )
    op.create_index(
        "approval_request_open_idx",
        "approval_request",
        ["expires_at"],
        postgresql_where=sa.text("state IN ('REQUESTED', 'APPROVED')"),
    )


def _create_approval() -> None:
    op.create_table(
        "approval",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("request_id", postgresql.UUID, nullable=False),
        sa.Column(
            "requester", sa.Text, nullable=False, comment="of the request, to differ from approver"
        ),
        sa.Column("digest", sa.Text, nullable=False, comment="of the request"),
        sa.Column("approver", sa.Text, nullable=False, comment="pseudonymous subject id"),
        sa.Column(
            "token_id", sa.Text, nullable=False, comment="jti or digest of the approver's token"
        ),
        _time("at"),
        sa.Column(
            "key_id",
            sa.Text,
            nullable=False,
            comment="of the process that vouches for the approval",
        ),
        sa.Column(
            "signature",
            sa.LargeBinary,
            nullable=False,
            comment="ECDSA P-256, DER, of the DSSE PAE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "request_id", "approver", name="approval_pkey"),
        sa.UniqueConstraint(
            "tenant_id", "request_id", "token_id", name="approval_tenant_id_request_id_token_id_key"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "request_id", "requester", "digest"],
            [
                "approval_request.tenant_id",
                "approval_request.request_id",
                "approval_request.requester",
                "approval_request.digest",
            ],
            name="approval_tenant_id_request_id_requester_digest_fkey",
        ),
        *_checks("approval", approver="approver <> requester", key_id="key_id ~ '^[0-9a-f]{64}$'"),
        comment="Who approved a request; append-only.",
    )


def _create_justification() -> None:
    op.create_table(
        "break_glass_justification",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("request_id", postgresql.UUID, nullable=False),
        sa.Column(
            "salt", sa.LargeBinary, nullable=False, comment="32 random bytes; erased with the text"
        ),
        sa.Column("justification", sa.Text, nullable=False, comment="may name people"),
        sa.PrimaryKeyConstraint("tenant_id", "request_id", name="break_glass_justification_pkey"),
        _of_request("break_glass_justification"),
        *_checks("break_glass_justification", salt="octet_length(salt) = 32"),
        comment="Why break-glass was asked for, apart from the request so that it can be erased.",
    )


def _create_session() -> None:
    op.create_table(
        "break_glass_session",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("request_id", postgresql.UUID, nullable=False),
        sa.Column("short_id", sa.Text, nullable=False, comment="names the request in its markers"),
        _time("opened_at"),
        _time("expires_at"),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("ended_by", sa.Text, comment="pseudonymous subject id"),
        sa.Column("outcome", sa.Text, comment="why it ended"),
        sa.Column("idempotency_key", sa.Text, nullable=False, comment="of the opening"),
        sa.Column(
            "token_id", sa.Text, nullable=False, comment="jti or digest of the requester's token"
        ),
        sa.Column(
            "watermark_key",
            sa.LargeBinary,
            nullable=False,
            comment="HMAC-SHA256 key of the markers",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "request_id", name="break_glass_session_pkey"),
        _of_request("break_glass_session"),
        *_checks(
            "break_glass_session",
            short_id="short_id ~ '^[0-9A-HJKMNP-TV-Z]{12}$'",
            expires_at="expires_at > opened_at AND expires_at <= opened_at + interval '60 minutes'",
            outcome="outcome IN ('CLOSED', 'EXPIRED')",
            ended="num_nonnulls(ended_at, ended_by, outcome) IN (0, 3)",
            watermark_key="octet_length(watermark_key) = 32",
        ),
        comment="The one use of an approved break-glass request.",
    )
    op.create_index(
        "break_glass_session_tenant_id_short_id_idx",
        "break_glass_session",
        ["tenant_id", "short_id"],
    )
    op.create_index(
        "break_glass_session_open_idx",
        "break_glass_session",
        ["expires_at"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def _defend() -> None:
    """Keep dual control even from a fault of the service, which may update states."""
    op.execute(
        "CREATE FUNCTION approval_request_keeps_dual_control() RETURNS trigger"
        " LANGUAGE plpgsql AS $$ BEGIN"
        " IF TG_OP = 'INSERT' THEN"
        "  IF NEW.state = 'REQUESTED' THEN RETURN NEW; END IF;"
        " ELSIF (OLD.state = 'REQUESTED' AND NEW.state IN"
        "   ('APPROVED', 'REJECTED', 'EXPIRED', 'CANCELLED')"
        "  OR OLD.state = 'APPROVED' AND NEW.state IN"
        "   ('APPLIED', 'REJECTED', 'EXPIRED', 'CANCELLED'))"
        "  AND (NEW.state NOT IN ('APPROVED', 'APPLIED') OR NEW.needed <="
        "   (SELECT count(*) FROM approval AS a"
        "     WHERE a.tenant_id = NEW.tenant_id AND a.request_id = NEW.request_id))"
        " THEN RETURN NEW; END IF;"
        " RAISE EXCEPTION 'a request cannot become %', NEW.state"
        " USING ERRCODE = 'restrict_violation'; END $$"
    )
    op.execute(
        "CREATE TRIGGER dual_control BEFORE INSERT OR UPDATE ON approval_request"
        " FOR EACH ROW EXECUTE FUNCTION approval_request_keeps_dual_control()"
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON approval"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()"
    )


def _time(name: str, *, comment: str | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, comment=comment)


def _of_request(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", "request_id"],
        ["approval_request.tenant_id", "approval_request.request_id"],
        name=f"{table}_tenant_id_request_id_fkey",
    )


def _checks(table: str, **conditions: str) -> list[sa.CheckConstraint]:
    return [
        sa.CheckConstraint(condition, name=op.f(f"{table}_{name}_check"))
        for name, condition in conditions.items()
    ]


def downgrade() -> None:
    for table in (
        "break_glass_session",
        "break_glass_justification",
        "approval",
        "approval_request",
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION approval_request_keeps_dual_control()")
