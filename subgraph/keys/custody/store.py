"""The SQL of keys and their versions."""

from collections.abc import Sequence
from uuid import UUID

from subgraph.db.binding import tenant_read, tenant_read_many
from subgraph.db.service import Database, Row, Transaction
from subgraph.keys.custody.model import CustomerKey, KeyState, KeyVersion, KeyVersionState
from subgraph.kms.contract import KeyProvider

_KEY = "tenant_id, key_id, provider, key_uri, state, rotate_every_days, created_at, last_rotated_at"
_VERSION = (
    "tenant_id, number, version_id, provider, key_uri, provider_version, state, origin,"
    " protection_level, region, created_at"
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
