"""The SQL of protected records."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from subgraph.db.binding import TenantReadMany, tenant_read_many
from subgraph.db.service import Database, Row, Transaction
from subgraph.keys.records.model import RecordPage, StoredRecord

_RECORD = (
    "r.tenant_id, r.record_id, r.external_id, r.object_type, r.data_key_id, r.row_version,"
    " r.fields, r.created_at, r.updated_at, d.key_version"
)
_FROM = (
    "FROM protected_record r JOIN data_key d"
    " ON d.tenant_id = r.tenant_id AND d.data_key_id = r.data_key_id"
)

_RECORDS = tenant_read_many(
    f"SELECT {_RECORD}, k.state = 'SUSPENDED' AS suspended {_FROM}"
    " JOIN tenant_cmk k ON k.tenant_id = r.tenant_id"
    " WHERE r.tenant_id = bound.tenant AND r.record_id = ANY (asked.keys)",
    key_type="uuid",
)


def _pages(of_type: str) -> TenantReadMany:
    # Every page asks for its own rows; keys are "first|after|object type".
    return tenant_read_many(
        "SELECT page.key AS asked_key, found.* FROM unnest(asked.keys) AS page(key)"
        " CROSS JOIN LATERAL ("
        f"   SELECT {_RECORD}, k.state = 'SUSPENDED' AS suspended {_FROM}"
        "    JOIN tenant_cmk k ON k.tenant_id = r.tenant_id"
        "    WHERE r.tenant_id = bound.tenant"
        f"     AND r.record_id > split_part(page.key, '|', 2)::uuid{of_type}"
        "    ORDER BY r.record_id LIMIT split_part(page.key, '|', 1)::int) AS found"
        " ORDER BY found.record_id",
        key_type="text",
    )


_ALL_PAGES = _pages("")
_TYPED_PAGES = _pages(" AND r.object_type = split_part(page.key, '|', 3)")
_FIRST = UUID(int=0)


async def records(
    database: Database, keys: Sequence[tuple[str, UUID]]
) -> dict[tuple[str, UUID], StoredRecord]:
    """The records that exist, by tenant and id; one statement."""
    rows = await database.read_many(_RECORDS, keys)
    return {(row["tenant_id"], row["record_id"]): record(row) for row in rows}


async def record_pages(
    database: Database, pages: Sequence[tuple[str, RecordPage]]
) -> Mapping[tuple[str, RecordPage], Sequence[StoredRecord]]:
    """Pages of records, in the order of their ids; a statement for those of a type, and for all."""
    found: dict[tuple[str, RecordPage], list[StoredRecord]] = {asked: [] for asked in pages}
    for statement, typed in ((_ALL_PAGES, False), (_TYPED_PAGES, True)):
        keys = {
            (tenant, f"{page.first}|{page.after or _FIRST}|{page.object_type or ''}"): page
            for tenant, page in pages
            if (page.object_type is not None) == typed
        }
        for row in await database.read_many(statement, list(keys)) if keys else []:
            found[row["tenant_id"], keys[row["tenant_id"], row["asked_key"]]].append(record(row))
    return found


async def insert(transaction: Transaction, tenant: str, wanted: StoredRecord) -> None:
    """Store a new record."""
    await transaction.run(
        "INSERT INTO protected_record"
        " (tenant_id, record_id, external_id, object_type, data_key_id, row_version, fields)"
        " VALUES ($1, $2, $3, $4, $5, 1, $6)",
        tenant,
        wanted.record_id,
        wanted.external_id,
        wanted.object_type,
        wanted.data_key_id,
        wanted.fields,
    )


async def lock(transaction: Transaction, tenant: str, record_id: UUID) -> tuple[str, UUID] | None:
    """The object type and data key of a record, which is held until the transaction ends.

    Without a join: PostgreSQL would check one with the data key of before the wait, and find no
    record while a job moves it to another.
    """
    row = await transaction.row(
        "SELECT object_type, data_key_id FROM protected_record"
        " WHERE tenant_id = $1 AND record_id = $2 FOR UPDATE",
        tenant,
        record_id,
    )
    return (row["object_type"], row["data_key_id"]) if row else None


async def replace(transaction: Transaction, tenant: str, wanted: StoredRecord) -> None:
    """Give a record that is locked its new content."""
    await transaction.run(
        "UPDATE protected_record SET external_id = $3, data_key_id = $4, fields = $5,"
        " row_version = row_version + 1, updated_at = now()"
        " WHERE tenant_id = $1 AND record_id = $2",
        tenant,
        wanted.record_id,
        wanted.external_id,
        wanted.data_key_id,
        wanted.fields,
    )


async def delete(transaction: Transaction, tenant: str, record_id: UUID) -> UUID | None:
    """Delete a record; the data key that it was encrypted under, None if there is none."""
    row = await transaction.row(
        "DELETE FROM protected_record WHERE tenant_id = $1 AND record_id = $2"
        " RETURNING data_key_id",
        tenant,
        record_id,
    )
    return None if row is None else row["data_key_id"]


def record(row: Row) -> StoredRecord:
    """The record in a row that names its key's version and suspension."""
    return StoredRecord(
        tenant_id=row["tenant_id"],
        record_id=row["record_id"],
        external_id=row["external_id"],
        object_type=row["object_type"],
        data_key_id=row["data_key_id"],
        key_version=row["key_version"],
        row_version=row["row_version"],
        fields=row["fields"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        suspended=row["suspended"],
    )
