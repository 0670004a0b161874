"""The SQL of verdicts and of the leases to probe, by the database's clock."""

import math
from collections.abc import Collection, Mapping
from uuid import UUID

from subgraph.db.binding import tenant_read_many
from subgraph.db.service import Database
from subgraph.keys.custody import events, store
from subgraph.keys.custody.model import KeyState
from subgraph.keys.keyring.verdicts import Verdict
from subgraph.kms.faults import KeyFault
from subgraph.ledger.model import EventType
from subgraph.ledger.service import Ledger
from subgraph.ledger.subjects import append_about

_ACTOR = "deployment"

_VERDICTS = tenant_read_many(
    "SELECT k.tenant_id, v.fault, k.state = 'SUSPENDED' AS suspended,"
    " extract(epoch FROM clock_timestamp() - v.checked_at)::float8 AS age,"
    " CASE WHEN v.lease_until > clock_timestamp() THEN v.holder END AS holder"
    " FROM tenant_cmk k LEFT JOIN key_verdict v ON v.tenant_id = k.tenant_id"
    " WHERE k.tenant_id = bound.tenant",
    key_type="text",
)


class SharedVerdicts:
    """Verdicts in PostgreSQL; see `subgraph.keys.keyring.verdicts.VerdictStore`."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def read(self, tenants: Collection[str]) -> Mapping[str, Verdict]:
        """See `VerdictStore.read`; a suspended key reads as disabled."""
        rows = await self._database.read_many(_VERDICTS, [(name, name) for name in tenants])
        return {
            row["tenant_id"]: Verdict(
                fault=KeyFault.KEY_DISABLED
                if row["suspended"]
                else KeyFault[row["fault"]]
                if row["fault"]
                else None,
                # A suspension stands now, whenever the last probe was.
                age_seconds=0.0
                if row["suspended"]
                else math.inf
                if row["age"] is None
                else row["age"],
                holder=row["holder"],
            )
            for row in rows
        }

    async def claim(self, tenant: str, holder: UUID, seconds: float) -> bool:
        """See `VerdictStore.claim`."""
        async with self._database.transaction(tenant) as transaction:
            row = await transaction.row(
                "INSERT INTO key_verdict (tenant_id, holder, lease_until)"
                " SELECT $1, $2, clock_timestamp() + make_interval(secs => $3)"
                " FROM tenant_cmk WHERE tenant_id = $1"
                " ON CONFLICT (tenant_id) DO UPDATE"
                " SET holder = excluded.holder, lease_until = excluded.lease_until"
                " WHERE key_verdict.holder = $2 OR key_verdict.lease_until IS NULL"
                " OR key_verdict.lease_until <= clock_timestamp() RETURNING holder",
                tenant,
                holder,
                seconds,
            )
        return row is not None

    async def record(
        self, tenant: str, holder: UUID, fault: KeyFault | None, took_seconds: float
    ) -> bool:
        """See `VerdictStore.record`; nothing is recorded of a key that its owner suspended here."""
        found = None if fault is None else fault.name
        async with self._database.transaction(tenant) as transaction:
            # Before the verdict, as those do who suspend: in another order they would deadlock.
            key = await store.lock_key(transaction, tenant)
            if key is None or key.state is KeyState.SUSPENDED:
                return False
            row = await transaction.row(
                "WITH before AS (SELECT fault FROM key_verdict WHERE tenant_id = $1 FOR UPDATE)"
                " UPDATE key_verdict v SET fault = $3,"
                " checked_at = clock_timestamp() - make_interval(secs => $4)"
                " FROM before WHERE v.tenant_id = $1 AND v.holder = $2"
                " AND v.lease_until > clock_timestamp() AND (v.checked_at IS NULL"
                " OR v.checked_at <= clock_timestamp() - make_interval(secs => $4))"
                " RETURNING before.fault AS before",
                tenant,
                holder,
                found,
                took_seconds,
            )
            if row is None:
                return False
            if row["before"] != found:
                kind = EventType.KEY_RESTORED if fault is None else EventType.KEY_REFUSED
                said = {} if found is None else {"fault": found}
                event = events.about_key(kind, key, by=_ACTOR, **said)
                await append_about(transaction, self._ledger, event, key.key_id)
        return True
