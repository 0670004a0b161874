"""The SQL of keys, their versions and data keys."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from subgraph.db.binding import tenant_read, tenant_read_many
from subgraph.db.service import Database, Row, Transaction
from subgraph.db.tables.keys import COUNTER_SHARDS
from subgraph.keys.custody.model import (
    CustomerKey,
    DataKeyState,
    KeyState,
    KeyVersion,
    KeyVersionState,
    StoredDataKey,
)
from subgraph.kms.contract import KeyProvider

_KEY = "tenant_id, key_id, provider, key_uri, state, rotate_every_days, created_at, last_rotated_at"
_VERSION = (
    "tenant_id, number, version_id, provider, key_uri, provider_version, state, origin,"
    " protection_level, region, created_at"
)
_DATA_KEY = (
    "d.tenant_id, d.data_key_id, d.object_type, d.generation, d.state, d.key_version, d.wrapped,"
    " v.provider, v.key_uri, v.provider_version"
)
_DATA_KEYS = (
    f"SELECT {_DATA_KEY} FROM data_key d JOIN key_version v"
    " ON v.tenant_id = d.tenant_id AND v.number = d.key_version"
)

_KEYS = tenant_read_many(
    f"SELECT {_KEY} FROM tenant_cmk WHERE tenant_id = bound.tenant", key_type="text"
)
_VERSIONS = tenant_read_many(
    f"SELECT {_VERSION} FROM key_version"
    " WHERE tenant_id = bound.tenant AND version_id = ANY (asked.keys)",
    key_type="uuid",
)
_NUMBERED = tenant_read_many(
    f"SELECT {_VERSION} FROM key_version"
    " WHERE tenant_id = bound.tenant AND number = ANY (asked.keys)",
    key_type="int",
)
_VERSION_PAGE = tenant_read(
    f"SELECT {_VERSION} FROM key_version WHERE tenant_id = bound.tenant AND number < $2"
    " ORDER BY number DESC LIMIT $3"
)
_REMAINING = tenant_read_many(
    "SELECT bound.tenant AS tenant_id, d.key_version AS number,"
    " sum(c.records)::bigint AS records"
    " FROM data_key d JOIN data_key_count c"
    "  ON c.tenant_id = d.tenant_id AND c.data_key_id = d.data_key_id"
    " WHERE d.tenant_id = bound.tenant AND d.key_version = ANY (asked.keys) GROUP BY d.key_version",
    key_type="int",
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


async def keys(database: Database, tenants: Sequence[str]) -> dict[str, CustomerKey]:
    """The keys of these tenants; one statement."""
    rows = await database.read_many(_KEYS, [(tenant, tenant) for tenant in tenants])
    return {row["tenant_id"]: _key(row) for row in rows}


async def versions(
    database: Database, asked: Sequence[tuple[str, UUID]]
) -> dict[tuple[str, UUID], KeyVersion]:
    """Key versions by tenant and id; one statement."""
    rows = await database.read_many(_VERSIONS, asked)
    return {(row["tenant_id"], row["version_id"]): _version(row) for row in rows}


async def numbered_versions(
    database: Database, asked: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], KeyVersion]:
    """Key versions by tenant and number; one statement."""
    rows = await database.read_many(_NUMBERED, asked)
    return {(row["tenant_id"], row["number"]): _version(row) for row in rows}


async def version_page(
    database: Database, tenant: str, *, first: int, before: int
) -> list[KeyVersion]:
    """Versions with numbers below `before`, newest first."""
    rows = await database.read(_VERSION_PAGE, tenant, before, first)
    return [_version(row) for row in rows]


async def records_remaining(
    database: Database, asked: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    """How many records depend on each version, by tenant and number; one statement."""
    rows = await database.read_many(_REMAINING, asked)
    return {(row["tenant_id"], row["number"]): row["records"] for row in rows}


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


async def registered(transaction: Transaction, tenant: str) -> bool:
    """Whether there is such a tenant."""
    row = await transaction.row("SELECT FROM tenant WHERE tenant_id = $1", tenant)
    return row is not None


async def lock_key(transaction: Transaction, tenant: str) -> CustomerKey | None:
    """The tenant's key, held against other changes of it until the transaction ends."""
    row = await transaction.row(
        f"SELECT {_KEY} FROM tenant_cmk WHERE tenant_id = $1 FOR UPDATE", tenant
    )
    return _key(row) if row else None


async def insert_key(transaction: Transaction, tenant: str, key: CustomerKey) -> bool:
    """Attach the first key of a tenant; False when there is one."""
    row = await transaction.row(
        "INSERT INTO tenant_cmk (tenant_id, key_id, provider, key_uri, state)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING tenant_id",
        tenant,
        key.key_id,
        key.provider.value,
        key.key_uri,
        key.state.value,
    )
    return row is not None


async def move_key(
    transaction: Transaction, tenant: str, provider: KeyProvider, key_uri: str
) -> None:
    """Name another key as the tenant's from now on."""
    await transaction.run(
        "UPDATE tenant_cmk SET provider = $2, key_uri = $3 WHERE tenant_id = $1",
        tenant,
        provider.value,
        key_uri,
    )


async def set_state(transaction: Transaction, tenant: str, state: KeyState) -> None:
    """Suspend or resume the key."""
    await transaction.run(
        "UPDATE tenant_cmk SET state = $2 WHERE tenant_id = $1", tenant, state.value
    )


async def forget_verdict(transaction: Transaction, tenant: str) -> None:
    """Have the key probed anew: what was found before says nothing about it any more.

    Nor does what a probe finds that is under way: it loses its lease.
    """
    await transaction.run(
        "UPDATE key_verdict SET checked_at = NULL, holder = NULL, lease_until = NULL"
        " WHERE tenant_id = $1",
        tenant,
    )


async def schedule_rotation(transaction: Transaction, tenant: str, days: int | None) -> None:
    """Rotate every so many days; None: only when asked."""
    await transaction.run(
        "UPDATE tenant_cmk SET rotate_every_days = $2 WHERE tenant_id = $1", tenant, days
    )


async def activate_version(transaction: Transaction, version: KeyVersion, *, by: str) -> None:
    """Enter a version as the one that wraps; the one before only unwraps from now on."""
    tenant = version.tenant_id
    await transaction.run(
        "UPDATE key_version SET state = 'DECRYPT_ONLY' WHERE tenant_id = $1 AND state = 'ACTIVE'",
        tenant,
    )
    await transaction.run(
        f"INSERT INTO key_version ({_VERSION}, created_by)"
        " VALUES ($1, $2, $3, $4, $5, $6, 'ACTIVE', $7, $8, $9, now(), $10)",
        tenant,
        version.number,
        version.version_id,
        version.provider.value,
        version.key_uri,
        version.provider_version,
        version.origin,
        version.protection_level,
        version.region,
        by,
    )
    await transaction.run(
        "UPDATE tenant_cmk SET last_rotated_at = now() WHERE tenant_id = $1", tenant
    )


async def active_version(transaction: Transaction, tenant: str) -> KeyVersion | None:
    """The version that wraps now."""
    row = await transaction.row(
        f"SELECT {_VERSION} FROM key_version WHERE tenant_id = $1 AND state = 'ACTIVE'", tenant
    )
    return _version(row) if row else None


async def version(transaction: Transaction, tenant: str, version_id: UUID) -> KeyVersion | None:
    """One version of the key."""
    row = await transaction.row(
        f"SELECT {_VERSION} FROM key_version WHERE tenant_id = $1 AND version_id = $2",
        tenant,
        version_id,
    )
    return _version(row) if row else None


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


async def newest_number(transaction: Transaction, tenant: str) -> int:
    """The highest number of a version so far; 0 before the first."""
    row = await transaction.row(
        "SELECT coalesce(max(number), 0) AS number FROM key_version WHERE tenant_id = $1", tenant
    )
    assert row is not None
    return int(row["number"])


async def set_version_state(
    transaction: Transaction, tenant: str, number: int, state: KeyVersionState
) -> None:
    """Say what a version does from now on."""
    await transaction.run(
        "UPDATE key_version SET state = $3 WHERE tenant_id = $1 AND number = $2",
        tenant,
        number,
        state.value,
    )


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


async def idle_versions(transaction: Transaction, tenant: str) -> list[KeyVersion]:
    """Versions that wrap no data key in use, and are neither active nor out of use already."""
    rows = await transaction.rows(
        f"SELECT {_VERSION} FROM key_version v"
        " WHERE tenant_id = $1 AND state = 'DECRYPT_ONLY' AND NOT EXISTS ("
        "  SELECT FROM data_key d WHERE d.tenant_id = $1 AND d.key_version = v.number"
        "  AND d.state IN ('ACTIVE', 'DECRYPT_ONLY')) ORDER BY number",
        tenant,
    )
    return [_version(row) for row in rows]


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


def _key(row: Row) -> CustomerKey:
    return CustomerKey(
        tenant_id=row["tenant_id"],
        key_id=row["key_id"],
        provider=KeyProvider(row["provider"]),
        key_uri=row["key_uri"],
        state=KeyState(row["state"]),
        rotate_every_days=row["rotate_every_days"],
        created_at=row["created_at"],
        last_rotated_at=row["last_rotated_at"],
    )


def _version(row: Row) -> KeyVersion:
    return KeyVersion(
        tenant_id=row["tenant_id"],
        number=row["number"],
        version_id=row["version_id"],
        provider=KeyProvider(row["provider"]),
        key_uri=row["key_uri"],
        provider_version=row["provider_version"],
        state=KeyVersionState(row["state"]),
        origin=row["origin"],
        protection_level=row["protection_level"],
        region=row["region"],
        created_at=row["created_at"],
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
