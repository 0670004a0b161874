"""Reads ledgers: heads, events, proofs, checkpoints and keys."""

from collections.abc import Collection, Sequence
from uuid import UUID

from subgraph.db.binding import tenant_read, tenant_read_many
from subgraph.db.service import Database, Row
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.merkle import EMPTY_ROOT, Node, consistency_path, inclusion_path
from subgraph.ledger.model import (
    DEPLOYMENT,
    Consistency,
    Head,
    Inclusion,
    KeyPurpose,
    RecordedEvent,
    SignedCheckpoint,
    VerificationKey,
    log_origin,
)
from subgraph.ledger.store import recorded_event

_EVENT = "tenant_id, index, event_id, type, entry, leaf, signature"

_HEAD = tenant_read("SELECT origin, size, root FROM ledger_log WHERE tenant_id = bound.tenant")
_EVENTS = tenant_read(
    f"SELECT {_EVENT} FROM ledger_event WHERE tenant_id = bound.tenant AND index > $2"
    " ORDER BY index LIMIT $3"
)
_EVENTS_OF_TYPE = tenant_read(
    f"SELECT {_EVENT} FROM ledger_event WHERE tenant_id = bound.tenant AND index > $2"
    " AND type = $4 ORDER BY index LIMIT $3"
)
_NEWEST_OF_TYPE = tenant_read(
    f"SELECT {_EVENT} FROM ledger_event WHERE tenant_id = bound.tenant AND type = $2"
    " ORDER BY index DESC LIMIT 1"
)
_EVENTS_BY_ID = tenant_read_many(
    f"SELECT {_EVENT} FROM ledger_event"
    " WHERE tenant_id = bound.tenant AND event_id = ANY (asked.keys)",
    key_type="uuid",
)
_CHECKPOINT_AT = tenant_read(
    "SELECT size, root, note, signed_at FROM ledger_checkpoint"
    " WHERE tenant_id = bound.tenant AND size = $2"
)
_NEWEST_CHECKPOINT = tenant_read(
    "SELECT size, root, note, signed_at FROM ledger_checkpoint"
    " WHERE tenant_id = bound.tenant ORDER BY size DESC LIMIT 1"
)
_CHECKPOINT_UP_TO = tenant_read(
    "SELECT size, root, note, signed_at FROM ledger_checkpoint"
    " WHERE tenant_id = bound.tenant AND size <= $2 ORDER BY size DESC LIMIT 1"
)
_NODES = tenant_read(
    # Scalar subqueries: each node is one look-up by key, whatever the planner thinks of arrays.
    "SELECT asked.level, asked.index, CASE WHEN asked.level = 0"
    " THEN (SELECT leaf FROM ledger_event"
    "        WHERE tenant_id = bound.tenant AND index = asked.index)"
    " ELSE (SELECT hash FROM ledger_node"
    "        WHERE tenant_id = bound.tenant AND level = asked.level AND index = asked.index)"
    " END AS hash FROM unnest($2::int2[], $3::int8[]) AS asked(level, index)"
)
_KEYS = tenant_read(
    "SELECT key_id, purpose, public_key_pem, origin, valid_from, valid_until, event_id,"
    " revoked_at, revoked_at_index FROM signing_key WHERE tenant_id = bound.tenant"
    " ORDER BY valid_from, key_id"
)


class LedgerReader:
    """What a ledger says; `tenant` is None for the log of the deployment throughout."""

    def __init__(self, database: Database, base: str) -> None:
        self._database = database
        self._base = base

    async def head(self, tenant: str | None) -> Head:
        """The newest state; a log that holds nothing yet is empty."""
        rows = await self._database.read(_HEAD, _log(tenant))
        if not rows:
            return Head(tenant, log_origin(self._base, tenant), 0, EMPTY_ROOT)
        return Head(tenant, rows[0]["origin"], rows[0]["size"], rows[0]["root"])

    async def events(
        self, tenant: str | None, *, first: int, after: int | None = None, type: str | None = None
    ) -> list[RecordedEvent]:
        """At most `first` events behind the index `after`, by index; of one type if named."""
        arguments = (-1 if after is None else after, first)
        if type is None:
            rows = await self._database.read(_EVENTS, _log(tenant), *arguments)
        else:
            rows = await self._database.read(_EVENTS_OF_TYPE, _log(tenant), *arguments, type)
        return [recorded_event(row, tenant) for row in rows]

    async def newest(self, tenant: str | None, type: str) -> RecordedEvent | None:
        """The newest event of a type."""
        rows = await self._database.read(_NEWEST_OF_TYPE, _log(tenant), type)
        return recorded_event(rows[0], tenant) if rows else None

    async def event(self, tenant: str | None, event_id: UUID) -> RecordedEvent | None:
        """The event with this id."""
        return (await self.events_by_id([(tenant, event_id)])).get((tenant, event_id))

    async def events_by_id(
        self, keys: Sequence[tuple[str | None, UUID]]
    ) -> dict[tuple[str | None, UUID], RecordedEvent]:
        """The events that there are, by tenant and id; one statement."""
        asked = [(_log(tenant), event_id) for tenant, event_id in keys]
        found: dict[tuple[str | None, UUID], RecordedEvent] = {}
        for row in await self._database.read_many(_EVENTS_BY_ID, asked):
            tenant = None if row["tenant_id"] == DEPLOYMENT else row["tenant_id"]
            found[tenant, row["event_id"]] = recorded_event(row, tenant)
        return found

    async def checkpoint(
        self, tenant: str | None, size: int | None = None
    ) -> SignedCheckpoint | None:
        """The newest checkpoint, or the one at `size`."""
        if size is None:
            rows = await self._database.read(_NEWEST_CHECKPOINT, _log(tenant))
        else:
            rows = await self._database.read(_CHECKPOINT_AT, _log(tenant), size)
        return _checkpoint(rows[0]) if rows else None

    async def checkpoint_up_to(self, tenant: str | None, size: int) -> SignedCheckpoint | None:
        """The newest checkpoint of at most that size."""
        rows = await self._database.read(_CHECKPOINT_UP_TO, _log(tenant), size)
        return _checkpoint(rows[0]) if rows else None

    async def inclusions(
        self, tenant: str | None, indices: Collection[int], size: int | None = None
    ) -> dict[int, Inclusion]:
        """Proofs for the leaves at `indices`; two statements, however many they are.

        They are for the newest checkpoint, or the one at `size`. A leaf that no such checkpoint
        covers is left out. Raises `VerificationFailed` when a node of the tree is missing.
        """
        checkpoint = await self.checkpoint(tenant, size)
        covered = [index for index in indices if checkpoint and 0 <= index < checkpoint.size]
        if checkpoint is None or not covered:
            return {}
        plans = {index: inclusion_path(index, checkpoint.size) for index in covered}
        wanted = {Node(0, index) for index in covered}
        wanted.update(node for plan in plans.values() for node in plan.nodes)
        hashes = await self.nodes(tenant, wanted)
        return {
            index: Inclusion(index, hashes[Node(0, index)], plan.assemble(hashes), checkpoint)
            for index, plan in plans.items()
        }

    async def inclusion(
        self, tenant: str | None, index: int, size: int | None = None
    ) -> Inclusion | None:
        """The proof for one leaf; see `inclusions`. None until a checkpoint covers it."""
        return (await self.inclusions(tenant, [index], size)).get(index)

    async def consistency(self, tenant: str | None, from_size: int, to_size: int) -> Consistency:
        """The proof between two sizes; two statements.

        Raises `INVALID_INPUT` unless `0 <= from_size <= to_size <= size of the log`.
        """
        head = await self.head(tenant)
        if not 0 <= from_size <= to_size <= head.size:
            message = f"sizes are in order and at most {head.size}, the size of the log"
            raise SubgraphError(ErrorCode.INVALID_INPUT, message)
        return Consistency(
            from_size, to_size, await self.consistency_hashes(tenant, from_size, to_size)
        )

    async def consistency_hashes(
        self, tenant: str | None, from_size: int, to_size: int
    ) -> tuple[bytes, ...]:
        """The proof between two sizes that the log is known to have had; one statement."""
        plan = consistency_path(from_size, to_size)
        return plan.assemble(await self.nodes(tenant, plan.nodes))

    async def nodes(self, tenant: str | None, wanted: Collection[Node]) -> dict[Node, bytes]:
        """The hashes of complete subtrees, leaves included; one statement.

        Raises `VerificationFailed` when one is missing.
        """
        nodes = list(wanted)
        if not nodes:
            return {}
        rows = await self._database.read(
            _NODES, _log(tenant), [node.level for node in nodes], [node.index for node in nodes]
        )
        for row in rows:
            if row["hash"] is None:
                where = f"node {row['level']}/{row['index']}"
                raise VerificationFailed(Finding.ENTRY_MISSING, "a node is missing", where)
        return {Node(row["level"], row["index"]): row["hash"] for row in rows}

    async def keys(self, *purposes: KeyPurpose) -> list[VerificationKey]:
        """The published keys, oldest first; those of `purposes` if any are named."""
        rows = await self._database.read(_KEYS, DEPLOYMENT)
        keys = [_key(row) for row in rows]
        return [key for key in keys if not purposes or key.purpose in purposes]


def _log(tenant: str | None) -> str:
    if tenant == DEPLOYMENT:
        raise ValueError("the deployment log is named by None")
    return DEPLOYMENT if tenant is None else tenant


def _checkpoint(row: Row) -> SignedCheckpoint:
    return SignedCheckpoint(row["size"], row["root"], row["note"], row["signed_at"])


def _key(row: Row) -> VerificationKey:
    return VerificationKey(
        key_id=row["key_id"],
        purpose=KeyPurpose(row["purpose"]),
        public_key_pem=row["public_key_pem"],
        origin=row["origin"],
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
        event_id=row["event_id"],
        revoked_at=row["revoked_at"],
        revoked_at_index=row["revoked_at_index"],
    )
