"""The ledger: heads, entries, nodes, checkpoints, erasable payloads, keys and leases."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from subgraph.db.migrations.row_security import isolate, open_to_system

revision = "0002"
down_revision = "0001"

_APPEND_ONLY = ("ledger_event", "ledger_node", "ledger_checkpoint")


def upgrade() -> None:
    _create_log()
    _create_tree()
    _create_personal()
    _create_keys()
    isolate("ledger_log", service="SELECT, INSERT, UPDATE (size, frontier, root)")
    isolate("ledger_event", service="SELECT, INSERT")
    isolate("ledger_node", service="SELECT, INSERT")
    isolate("ledger_checkpoint", service="SELECT, INSERT")
    isolate("ledger_personal", service="SELECT, INSERT, DELETE")
    isolate("signing_key", service="SELECT, INSERT, UPDATE (revoked_at, revoked_at_index)")
    isolate("lease", service="SELECT, INSERT, UPDATE (holder, expires_at)")
    for table in (
        "ledger_log",
        "ledger_event",
        "ledger_node",
        "ledger_checkpoint",
        "ledger_personal",
        "signing_key",
    ):
        open_to_system(table, privileges="SELECT")
    _defend()


def _create_log() -> None:
    op.create_table(
        "ledger_log",
        _tenant_id(),
        sa.Column("origin", sa.Text, nullable=False, comment="first line of the log's checkpoints"),
        sa.Column("size", sa.BigInteger, nullable=False, comment="number of entries"),
        sa.Column(
            "frontier",
            postgresql.ARRAY(sa.LargeBinary),
            nullable=False,
            comment="roots of the complete subtrees, largest first",
        ),
        sa.Column("root", sa.LargeBinary, nullable=False, comment="RFC 6962 tree hash at size"),
        sa.PrimaryKeyConstraint("tenant_id", name="ledger_log_pkey"),
        sa.CheckConstraint("size >= 0", name=op.f("ledger_log_size_check")),
        sa.CheckConstraint("octet_length(root) = 32", name=op.f("ledger_log_root_check")),
        comment="The head of each ledger; an appending transaction locks its row.",
    )


def _create_tree() -> None:
    op.create_table(
        "ledger_event",
        _tenant_id(),
        sa.Column("index", sa.BigInteger, nullable=False, comment="position of the leaf, from 0"),
        sa.Column("event_id", postgresql.UUID, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column(
            "entry", sa.LargeBinary, nullable=False, comment="RFC 8785 bytes exactly as hashed"
        ),
        sa.Column("leaf", sa.LargeBinary, nullable=False, comment="SHA-256(0x00 || entry)"),
        sa.Column(
            "signature",
            sa.LargeBinary,
            nullable=False,
            comment="ECDSA P-256, DER, of the DSSE PAE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "index", name="ledger_event_pkey"),
        sa.UniqueConstraint("tenant_id", "event_id", name="ledger_event_tenant_id_event_id_key"),
        sa.CheckConstraint("index >= 0", name=op.f("ledger_event_index_check")),
        sa.CheckConstraint("octet_length(entry) <= 65535", name=op.f("ledger_event_entry_check")),
        sa.CheckConstraint("octet_length(leaf) = 32", name=op.f("ledger_event_leaf_check")),
        comment="The entries of each ledger; append-only.",
    )
    op.create_index(
        "ledger_event_tenant_id_type_index_idx", "ledger_event", ["tenant_id", "type", "index"]
    )
    op.create_table(
        "ledger_node",
        _tenant_id(),
        sa.Column("level", sa.SmallInteger, nullable=False, comment="1 is above the leaves"),
        sa.Column(
            "index", sa.BigInteger, nullable=False, comment="position within the level, from 0"
        ),
        sa.Column("hash", sa.LargeBinary, nullable=False, comment="SHA-256(0x01 || left || right)"),
        sa.PrimaryKeyConstraint("tenant_id", "level", "index", name="ledger_node_pkey"),
        sa.CheckConstraint("level BETWEEN 1 AND 62", name=op.f("ledger_node_level_check")),
        sa.CheckConstraint("octet_length(hash) = 32", name=op.f("ledger_node_hash_check")),
        comment="The complete interior nodes of each ledger; append-only.",
    )
    op.create_table(
        "ledger_checkpoint",
        _tenant_id(),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column(
            "note", sa.Text, nullable=False, comment="C2SP signed note with all its signatures"
        ),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "size", name="ledger_checkpoint_pkey"),
        comment="The signed notes of each ledger; append-only.",
    )


def _create_personal() -> None:
    op.create_table(
        "ledger_personal",
        _tenant_id(),
        sa.Column("event_id", postgresql.UUID, nullable=False),
        sa.Column(
            "salt",
            sa.LargeBinary,
            nullable=False,
            comment="32 random bytes; erased with the payload",
        ),
        sa.Column(
            "payload",
            sa.LargeBinary,
            nullable=False,
            comment="RFC 8785 bytes that the entry commits to",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "event_id", name="ledger_personal_pkey"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "event_id"],
            ["ledger_event.tenant_id", "ledger_event.event_id"],
            name="ledger_personal_tenant_id_event_id_fkey",
        ),
        comment=(
            "Payloads with personal data, kept apart from their entries so that they can be erased."
        ),
    )


def _create_keys() -> None:
    op.create_table(
        "signing_key",
        sa.Column("tenant_id", sa.Text, nullable=False, comment="_deployment"),
        sa.Column(
            "key_id", sa.Text, nullable=False, comment="lower-case hex SHA-256 of the SPKI DER"
        ),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("public_key_pem", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False, comment="whose statements it signs"),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), comment="none for a root"),
        sa.Column(
            "event_id", postgresql.UUID, nullable=False, comment="the event that announced it"
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at_index", sa.BigInteger, comment="index in the deployment log"),
        sa.PrimaryKeyConstraint("tenant_id", "key_id", name="signing_key_pkey"),
        sa.CheckConstraint("key_id ~ '^[0-9a-f]{64}$'", name=op.f("signing_key_key_id_check")),
        sa.CheckConstraint(
            "purpose IN ('ROOT', 'PROCESS', 'PROVER', 'WITNESS')",
            name=op.f("signing_key_purpose_check"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "event_id"],
            ["ledger_event.tenant_id", "ledger_event.event_id"],
            name="signing_key_tenant_id_event_id_fkey",
        ),
        comment="Public keys that signed, as the deployment log announced them.",
    )
    op.create_table(
        "lease",
        sa.Column("tenant_id", sa.Text, nullable=False, comment="_deployment"),
        sa.Column(
            "name", sa.Text, nullable=False, comment="the work that one process does at a time"
        ),
        sa.Column("holder", postgresql.UUID, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", name="lease_pkey"),
        comment="Which process does a piece of background work.",
    )


def _defend() -> None:
    """Refuse to every role what no role is granted: to change or remove what was appended."""
    op.execute(
        "CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME"
        " USING ERRCODE = 'restrict_violation'; END $$"
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()"
        )
    op.execute(
        "CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON ledger_log"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()"
    )
    op.execute(
        "CREATE TRIGGER only_grows BEFORE UPDATE ON ledger_log"
        " FOR EACH ROW WHEN (NEW.size <= OLD.size)"
        " EXECUTE FUNCTION ledger_is_append_only()"
    )


def _tenant_id() -> sa.Column[str]:
    return sa.Column("tenant_id", sa.Text, nullable=False, comment="a tenant, or _deployment")


def downgrade() -> None:
    for table in (
        "lease",
        "signing_key",
        "ledger_personal",
        "ledger_checkpoint",
        "ledger_node",
        "ledger_event",
        "ledger_log",
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION ledger_is_append_only()")
