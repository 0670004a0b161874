"""The ledgers, and the leases of background work."""

from sqlalchemy import (
    BigInteger,
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
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from subgraph.db.tables.naming import metadata

ledger_log = Table(
    "ledger_log",
    metadata,
    Column("tenant_id", Text, nullable=False, comment="a tenant, or _deployment"),
    Column("origin", Text, nullable=False, comment="first line of the log's checkpoints"),
    Column("size", BigInteger, nullable=False, comment="number of entries"),
    Column(
        "frontier",
        ARRAY(LargeBinary),
        nullable=False,
        comment="roots of the complete subtrees, largest first",
    ),
    Column("root", LargeBinary, nullable=False, comment="RFC 6962 tree hash at size"),
    PrimaryKeyConstraint("tenant_id"),
    CheckConstraint("size >= 0", name="size"),
    CheckConstraint("octet_length(root) = 32", name="root"),
    comment="The head of each ledger; an appending transaction locks its row.",
)

ledger_event = Table(
    "ledger_event",
    metadata,
    Column("tenant_id", Text, nullable=False, comment="a tenant, or _deployment"),
    Column("index", BigInteger, nullable=False, comment="position of the leaf, from 0"),
    Column("event_id", UUID, nullable=False),
    Column("type", Text, nullable=False),
    Column("entry", LargeBinary, nullable=False, comment="RFC 8785 bytes exactly as hashed"),
    Column("leaf", LargeBinary, nullable=False, comment="SHA-256(0x00 || entry)"),
    Column("signature", LargeBinary, nullable=False, comment="ECDSA P-256, DER, of the DSSE PAE"),
    PrimaryKeyConstraint("tenant_id", "index"),
    UniqueConstraint("tenant_id", "event_id"),
    CheckConstraint("index >= 0", name="index"),
    CheckConstraint("octet_length(entry) <= 65535", name="entry"),
    CheckConstraint("octet_length(leaf) = 32", name="leaf"),
    Index(None, "tenant_id", "type", "index"),
    comment="The entries of each ledger; append-only.",
)

ledger_node = Table(
    "ledger_node",
    metadata,
    Column("tenant_id", Text, nullable=False, comment="a tenant, or _deployment"),
    Column("level", SmallInteger, nullable=False, comment="1 is above the leaves"),
    Column("index", BigInteger, nullable=False, comment="position within the level, from 0"),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256(0x01 || left || right)"),
    PrimaryKeyConstraint("tenant_id", "level", "index"),
    CheckConstraint("level BETWEEN 1 AND 62", name="level"),
    CheckConstraint("octet_length(hash) = 32", name="hash"),
    comment="The complete interior nodes of each ledger; append-only.",
)

ledger_checkpoint = Table(
    "ledger_checkpoint",
    metadata,
    Column("tenant_id", Text, nullable=False, comment="a tenant, or _deployment"),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False, comment="C2SP signed note with all its signatures"),
    Column("signed_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant_id", "size"),
    comment="The signed notes of each ledger; append-only.",
)

ledger_personal = Table(
    "ledger_personal",
    metadata,
    Column("tenant_id", Text, nullable=False, comment="a tenant, or _deployment"),
    Column("event_id", UUID, nullable=False),
    Column("salt", LargeBinary, nullable=False, comment="32 random bytes; erased with the payload"),
    Column(
        "payload", LargeBinary, nullable=False, comment="RFC 8785 bytes that the entry commits to"
    ),
    PrimaryKeyConstraint("tenant_id", "event_id"),
    ForeignKeyConstraint(
        ["tenant_id", "event_id"], ["ledger_event.tenant_id", "ledger_event.event_id"]
    ),
    comment=(
        "Payloads with personal data, kept apart from their entries so that they can be erased."
    ),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("tenant_id", Text, nullable=False, comment="_deployment"),
    Column("key_id", Text, nullable=False, comment="lower-case hex SHA-256 of the SPKI DER"),
    Column("purpose", Text, nullable=False),
    Column("public_key_pem", Text, nullable=False),
    Column("origin", Text, nullable=False, comment="whose statements it signs"),
    Column("valid_from", DateTime(timezone=True), nullable=False),
    Column("valid_until", DateTime(timezone=True), comment="none for a root"),
    Column("event_id", UUID, nullable=False, comment="the event that announced it"),
    Column("revoked_at", DateTime(timezone=True)),
    Column("revoked_at_index", BigInteger, comment="index in the deployment log"),
    PrimaryKeyConstraint("tenant_id", "key_id"),
    CheckConstraint("key_id ~ '^[0-9a-f]{64}$'", name="key_id"),
    CheckConstraint("purpose IN ('ROOT', 'PROCESS', 'PROVER', 'WITNESS')", name="purpose"),
    ForeignKeyConstraint(
        ["tenant_id", "event_id"], ["ledger_event.tenant_id", "ledger_event.event_id"]
    ),
    comment="Public keys that signed, as the deployment log announced them.",
)

lease = Table(
    "lease",
    metadata,
    Column("tenant_id", Text, nullable=False, comment="_deployment"),
    Column("name", Text, nullable=False, comment="the work that one process does at a time"),
    Column("holder", UUID, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant_id", "name"),
    comment="Which process does a piece of background work.",
)
