"""The SQL of data keys, and of the counters of what they encrypt."""

from datetime import datetime
from uuid import UUID

from subgraph.db.binding import tenant_read
from subgraph.db.service import Database, Row, Transaction
from subgraph.db.tables.keys import COUNTER_SHARDS
from subgraph.keys.custody.model import DataKeyState, KeyState, StoredDataKey
from subgraph.kms.contract import KeyProvider

_DATA_KEY = (
    "d.tenant_id, d.data_key_id, d.object_type, d.generation, d.state, d.key_version, d.wrapped,"
    " v.provider, v.key_uri, v.provider_version"
)
_DATA_KEYS = (
    f"SELECT {_DATA_KEY} FROM data_key d JOIN key_version v"
    " ON v.tenant_id = d.tenant_id AND v.number = d.key_version"
)

_ONE_DATA_KEY = tenant_read(
    f"{_DATA_KEYS} WHERE d.tenant_id = bound.tenant AND d.data_key_id = $2"
    " AND d.state <> 'DESTROYED'"
)
_ACTIVE_DATA_KEY = tenant_read(
    f"{_DATA_KEYS} WHERE d.tenant_id = bound.tenant AND d.object_type = $2 AND d.state = 'ACTIVE'"
)
_NEWEST_DATA_KEY = tenant_read(
    f"{_DATA_KEYS} WHERE d.tenant_id = bound.tenant AND d.state IN ('ACTIVE', 'DECRYPT_ONLY')"
    " ORDER BY d.key_version DESC, d.created_at DESC LIMIT 1"
)


async def data_key(database: Database, tenant: str, data_key_id: UUID) -> StoredDataKey | None:
    """A data key that is not destroyed."""
    rows = await database.read(_ONE_DATA_KEY, tenant, data_key_id)
    return _data_key(rows[0]) if rows else None


async def active_data_key(
    database: Database, tenant: str, object_type: str
) -> StoredDataKey | None:
    """The data key that new records of the type are encrypted under."""
    rows = await database.read(_ACTIVE_DATA_KEY, tenant, object_type)
    return _data_key(rows[0]) if rows else None


async def newest_data_key(database: Database, tenant: str) -> StoredDataKey | None:
    """A data key that the newest version wrapped, for probes."""
    rows = await database.read(_NEWEST_DATA_KEY, tenant)
    return _data_key(rows[0]) if rows else None


async def records_under(transaction: Transaction, tenant: str, number: int) -> bool:
    """Whether a record is encrypted under a data key that the version wrapped; by the records."""
    row = await transaction.row(
        "SELECT FROM data_key d WHERE d.tenant_id = $1 AND d.key_version = $2 AND EXISTS ("
        " SELECT FROM protected_record r"
        " WHERE r.tenant_id = $1 AND r.data_key_id = d.data_key_id) LIMIT 1",
        tenant,
        number,
    )
    return row is not None


async def replace_data_key(transaction: Transaction, tenant: str, key: StoredDataKey) -> bool:
    """Make `key` the active one of its type; False when its generation is taken."""
    await transaction.run(
        "UPDATE data_key SET state = 'DECRYPT_ONLY'"
        " WHERE tenant_id = $1 AND object_type = $2 AND state = 'ACTIVE' AND generation < $3",
        tenant,
        key.object_type,
        key.generation,
    )
    row = await transaction.row(
        "INSERT INTO data_key (tenant_id, data_key_id, object_type, generation, state,"
        " key_version, wrapped) VALUES ($1, $2, $3, $4, 'ACTIVE', $5, $6)"
        " ON CONFLICT DO NOTHING RETURNING data_key_id",
        tenant,
        key.data_key_id,
        key.object_type,
        key.generation,
        key.key_version,
        key.wrapped,
    )
    if row is None:
        return False
    await transaction.run(
        "INSERT INTO data_key_count (tenant_id, data_key_id, shard, records)"
        " SELECT $1, $2, shard, 0 FROM generate_series(0, $3::int - 1) AS shard",
        tenant,
        key.data_key_id,
        COUNTER_SHARDS,
    )
    return True


async def data_keys_in(
    transaction: Transaction, tenant: str, state: DataKeyState, object_type: str | None
) -> list[StoredDataKey]:
    """The data keys in a state, of one object type or of all, oldest first."""
    rows = await transaction.rows(
        f"{_DATA_KEYS} WHERE d.tenant_id = $1 AND d.state = $2"
        " AND ($3::text IS NULL OR d.object_type = $3) ORDER BY d.created_at, d.data_key_id",
        tenant,
        state.value,
        object_type,
    )
    return [_data_key(row) for row in rows]


async def active_since_before(
    transaction: Transaction, tenant: str, instant: datetime, object_type: str | None
) -> dict[str, int]:
    """The object types whose active data key was made before `instant`, with its generation."""
    rows = await transaction.rows(
        "SELECT object_type, generation FROM data_key"
        " WHERE tenant_id = $1 AND state = 'ACTIVE' AND created_at < $2"
        " AND ($3::text IS NULL OR object_type = $3) ORDER BY object_type",
        tenant,
        instant,
        object_type,
    )
    return {row["object_type"]: row["generation"] for row in rows}


async def behind(transaction: Transaction, tenant: str, *, limit: int) -> list[StoredDataKey]:
    """Data keys in use that a version other than the active one wrapped, oldest first."""
    rows = await transaction.rows(
        f"{_DATA_KEYS} WHERE d.tenant_id = $1 AND d.state IN ('ACTIVE', 'DECRYPT_ONLY')"
        " AND v.state <> 'ACTIVE'"
        " ORDER BY d.created_at, d.data_key_id LIMIT $2",
        tenant,
        limit,
    )
    return [_data_key(row) for row in rows]


async def rewrap(
    transaction: Transaction, tenant: str, key: StoredDataKey, *, number: int, wrapped: bytes
) -> bool:
    """Replace the wrap of a data key; False when it is no longer the one in `key`."""
    tag = await transaction.run(
        "UPDATE data_key SET wrapped = $3, key_version = $4, wrapped_at = now()"
        " WHERE tenant_id = $1 AND data_key_id = $2 AND key_version = $5 AND wrapped = $6",
        tenant,
        key.data_key_id,
        wrapped,
        number,
        key.key_version,
        key.wrapped,
    )
    return tag == "UPDATE 1"


async def set_data_key_state(
    transaction: Transaction, tenant: str, data_key_id: UUID, state: DataKeyState
) -> None:
    """Say what a data key does from now on."""
    await transaction.run(
        "UPDATE data_key SET state = $3 WHERE tenant_id = $1 AND data_key_id = $2",
        tenant,
        data_key_id,
        state.value,
    )


async def destroy_data_keys(transaction: Transaction, tenant: str, number: int) -> int:
    """Erase the wraps of a version's data keys; how many there were."""
    tag = await transaction.run(
        "UPDATE data_key SET wrapped = NULL, state = 'DESTROYED'"
        " WHERE tenant_id = $1 AND key_version = $2 AND state <> 'DESTROYED'",
        tenant,
        number,
    )
    return int(tag.split()[-1])


async def share_active(transaction: Transaction, tenant: str, data_key_id: UUID) -> KeyState | None:
    """Hold a data key as the active one until the transaction ends; None if it is not.

    Answers whether the tenant's key may be used.
    """
    row = await transaction.row(
        "SELECT k.state FROM data_key d JOIN tenant_cmk k ON k.tenant_id = d.tenant_id"
        " WHERE d.tenant_id = $1 AND d.data_key_id = $2 AND d.state = 'ACTIVE' FOR SHARE OF d",
        tenant,
        data_key_id,
    )
    return KeyState(row["state"]) if row else None


async def count(
    transaction: Transaction, tenant: str, data_key_id: UUID, shard: int, change: int
) -> None:
    """Move the counter of a data key's records."""
    await transaction.run(
        "UPDATE data_key_count SET records = records + $4"
        " WHERE tenant_id = $1 AND data_key_id = $2 AND shard = $3",
        tenant,
        data_key_id,
        shard,
        change,
    )


def _data_key(row: Row) -> StoredDataKey:
    return StoredDataKey(
        tenant_id=row["tenant_id"],
        data_key_id=row["data_key_id"],
        object_type=row["object_type"],
        generation=row["generation"],
        state=DataKeyState(row["state"]),
        key_version=row["key_version"],
        wrapped=row["wrapped"],
        provider=KeyProvider(row["provider"]),
        key_uri=row["key_uri"],
        provider_version=row["provider_version"],
    )
