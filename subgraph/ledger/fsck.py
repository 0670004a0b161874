"""Derives every tree again from the entries in the database, and compares all that is stored."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from subgraph.db.operator import operator_transaction
from subgraph.db.service import Row, Transaction
from subgraph.ledger.delegation import (
    SigningRight,
    read_delegation,
    read_revocation,
    verify_entry_signature,
)
from subgraph.ledger.entry import Entry, commitment, decode
from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.merkle import Frontier, Node, leaf_hash
from subgraph.ledger.model import DEPLOYMENT, EventType
from subgraph.ledger.note import EcdsaNoteVerifier, open_note
from subgraph.ledger.publickey import PublicKey

_BATCH = 5_000


class Damage(Enum):
    """What is wrong; a name is never renamed or reused."""

    LOG_MISSING = "There are entries, nodes or checkpoints, and no head of their log."
    ENTRY_MISSING = "An index below the size of the log has no entry."
    ENTRY_EXTRA = "There is an entry at or beyond the size of the log."
    ENTRY_INVALID = "The bytes are not an entry of this log with this event id and type."
    LEAF_WRONG = "The stored leaf hash is not that of the entry."
    NODE_MISSING = "A complete node is not stored."
    NODE_WRONG = "A stored node is not what the entries make of it."
    NODE_EXTRA = "A node is stored that is not complete yet."
    ROOT_WRONG = "The head's root or frontier is not what the entries make of it."
    SIGNATURE_INVALID = "The entry's signature does not hold, or its key might not sign it."
    CHECKPOINT_WRONG = (
        "A signed checkpoint does not fit the entries, or its signature the root key."
    )
    ANCHOR_MISSING = "A checkpoint of a tenant is not in the deployment log."
    ANCHOR_WRONG = "The deployment log knows another state of a tenant's log."
    PERSONAL_WRONG = "An erasable payload is not what the entry commits to."


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, in the log of `tenant` (`_deployment` for the deployment's).

    `place` is an index, a node `level/index`, or a size, as the damage says; None for the log.
    """

    damage: Damage
    tenant: str
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What was looked at, and all that is wrong with it."""

    logs: int
    entries: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class _Keys:
    """Who might sign entries, and where each revocation takes effect."""

    rights: dict[str, SigningRight] = field(default_factory=dict)
    revoked: dict[tuple[str, str], int] = field(default_factory=dict)

    def learn(self, entry: Entry) -> None:
        if entry.type == EventType.KEY_DELEGATED:
            right = read_delegation(entry)
            self.rights[right.key.key_id] = right
        elif entry.type == EventType.KEY_REVOKED:
            revocation = read_revocation(entry)
            place = (revocation.key_id, revocation.origin)
            self.revoked[place] = min(
                revocation.from_index, self.revoked.get(place, revocation.from_index)
            )


async def fsck(system_dsn: str, roots: Sequence[PublicKey]) -> Result:
    """Check every log as it stood at one moment; `roots` are the keys that the caller trusts.

    Raises `DATABASE_UNAVAILABLE`. What is committed while it runs is not looked at.
    """
    async with operator_transaction(system_dsn, snapshot=True) as transaction:
        check = _Check(transaction, roots)
        await check.learn_keys()
        rows = await transaction.rows(
            "SELECT coalesce(l.tenant_id, e.tenant_id) AS tenant_id, origin, size, frontier, root"
            " FROM ledger_log l FULL JOIN (SELECT DISTINCT tenant_id FROM ledger_event"
            " UNION SELECT tenant_id FROM ledger_node"
            " UNION SELECT tenant_id FROM ledger_checkpoint) e USING (tenant_id)"
            " ORDER BY (coalesce(l.tenant_id, e.tenant_id) <> $1), 1",
            DEPLOYMENT,
        )
        # The deployment's log comes first: it names the keys, and the states of the others.
        for row in rows:
            await check.log(row)
        await check.anchors({row["tenant_id"] for row in rows})
        return Result(len(rows), check.entries, tuple(check.faults))


class _Check:
    def __init__(self, transaction: Transaction, roots: Sequence[PublicKey]) -> None:
        self._transaction = transaction
        self._roots = {root.key_id: root for root in roots}
        self._keys = _Keys()
        self._anchored: dict[str, dict[int, str]] = {}
        self.faults: list[Fault] = []
        self.entries = 0

    async def learn_keys(self) -> None:
        """Learn who might sign what; a revocation also counts for what stands before it."""
        rows = await self._transaction.rows(
            "SELECT entry, signature FROM ledger_event WHERE tenant_id = $1"
            " AND type = ANY ($2::text[]) ORDER BY index",
            DEPLOYMENT,
            [EventType.KEY_DELEGATED.value, EventType.KEY_REVOKED.value],
        )
        for row in rows:
            try:
                entry = decode(row["entry"])
                if entry.key_id in self._roots:
                    root = self._roots[entry.key_id]
                    verify_entry_signature(row["entry"], row["signature"], root)
                    self._keys.learn(entry)
            except VerificationFailed:
                # The entry itself is reported where it stands in its log.
                continue

    async def log(self, head: Row) -> None:
        """Check one log."""
        tenant = head["tenant_id"]
        if head["origin"] is None:
            self._found(Damage.LOG_MISSING, tenant)
            return
        checkpoints = {
            row["size"]: row
            for row in await self._transaction.rows(
                "SELECT size, root, note FROM ledger_checkpoint WHERE tenant_id = $1", tenant
            )
        }
        anchored = self._anchored.get(head["origin"], {})
        watched = {*checkpoints, *anchored}
        tree, roots = Frontier(), dict[int, bytes]()
        if 0 in watched:
            roots[0] = tree.root()
        async for rows in self._batches(tenant):
            start, nodes = tree.size, dict[Node, bytes]()
            for row in rows:
                if row["index"] != tree.size:
                    self._found(Damage.ENTRY_MISSING, tenant, tree.size)
                    return
                self._entry(row, tenant, head["origin"])
                nodes.update(tree.append(leaf_hash(row["entry"])))
                if tree.size in watched:
                    roots[tree.size] = tree.root()
            await self._nodes(tenant, start, tree.size, nodes)
        await self._end(head, tree)
        self._checkpoints(tenant, head["origin"], checkpoints, roots, anchored)
        await self._personal(tenant)

    async def anchors(self, known: set[str]) -> None:
        """Find logs that the deployment log knows and the database has lost."""
        origins = {
            row["origin"] for row in await self._transaction.rows("SELECT origin FROM ledger_log")
        }
        for origin, sizes in self._anchored.items():
            if origin not in origins and any(sizes):
                tenant = origin.rpartition("/")[2]
                if tenant not in known:
                    self._found(Damage.LOG_MISSING, tenant)

    async def _batches(self, tenant: str) -> AsyncIterator[list[Row]]:
        after = -1
        while True:
            rows = await self._transaction.rows(
                "SELECT index, event_id, type, entry, leaf, signature FROM ledger_event"
                " WHERE tenant_id = $1 AND index > $2 ORDER BY index LIMIT $3",
                tenant,
                after,
                _BATCH,
            )
            if not rows:
                return
            yield rows
            after = rows[-1]["index"]

    def _entry(self, row: Row, tenant: str, origin: str) -> None:
        self.entries += 1
        place = row["index"]
        if row["leaf"] != leaf_hash(row["entry"]):
            self._found(Damage.LEAF_WRONG, tenant, place)
        try:
            entry = decode(row["entry"])
        except VerificationFailed:
            self._found(Damage.ENTRY_INVALID, tenant, place)
            return
        said = (entry.origin, entry.event_id, entry.type, entry.tenant or DEPLOYMENT)
        if said != (origin, row["event_id"], row["type"], tenant):
            self._found(Damage.ENTRY_INVALID, tenant, place)
        try:
            self._signature(entry, row)
        except VerificationFailed:
            self._found(Damage.SIGNATURE_INVALID, tenant, place)
            return
        if tenant == DEPLOYMENT:
            self._learn_state(entry)

    def _signature(self, entry: Entry, row: Row) -> None:
        key = self._roots.get(entry.key_id)
        if key is None:
            right = self._keys.rights.get(entry.key_id)
            if right is None or not right.covers(entry.at):
                raise VerificationFailed(Finding.KEY_NOT_DELEGATED)
            key = right.key
        revoked = self._keys.revoked.get((entry.key_id, entry.origin))
        if revoked is not None and row["index"] >= revoked:
            raise VerificationFailed(Finding.KEY_REVOKED)
        verify_entry_signature(row["entry"], row["signature"], key)

    def _learn_state(self, entry: Entry) -> None:
        if entry.type == EventType.CHECKPOINT_SIGNED and entry.payload is not None:
            origin, size, root = (entry.payload.get(n) for n in ("origin", "size", "rootHash"))
            if isinstance(origin, str) and isinstance(size, int) and isinstance(root, str):
                self._anchored.setdefault(origin, {})[size] = root

    async def _nodes(self, tenant: str, start: int, end: int, wanted: Mapping[Node, bytes]) -> None:
        rows = await self._transaction.rows(
            "SELECT n.level, n.index, n.hash FROM generate_series(1, 62) AS l(level)"
            " CROSS JOIN LATERAL (SELECT level, index, hash FROM ledger_node"
            "  WHERE tenant_id = $1 AND level = l.level"
            "  AND index >= $2::int8 >> l.level AND index < $3::int8 >> l.level) AS n",
            tenant,
            start,
            end,
        )
        stored = {Node(row["level"], row["index"]): row["hash"] for row in rows}
        for node, hashed in wanted.items():
            place = f"{node.level}/{node.index}"
            if node not in stored:
                self._found(Damage.NODE_MISSING, tenant, place)
            elif stored[node] != hashed:
                self._found(Damage.NODE_WRONG, tenant, place)

    async def _end(self, head: Row, tree: Frontier) -> None:
        tenant = head["tenant_id"]
        if tree.size < head["size"]:
            self._found(Damage.ENTRY_MISSING, tenant, tree.size)
        elif tree.size > head["size"]:
            self._found(Damage.ENTRY_EXTRA, tenant, head["size"])
        elif (tuple(head["frontier"]), head["root"]) != (tree.hashes, tree.root()):
            self._found(Damage.ROOT_WRONG, tenant)
        rows = await self._transaction.rows(
            "SELECT level, index FROM generate_series(1, 62) AS l(level)"
            " CROSS JOIN LATERAL (SELECT index FROM ledger_node WHERE tenant_id = $1"
            "  AND level = l.level AND index >= $2::int8 >> l.level) AS n",
            tenant,
            tree.size,
        )
        for row in rows:
            self._found(Damage.NODE_EXTRA, tenant, f"{row['level']}/{row['index']}")

    def _checkpoints(
        self,
        tenant: str,
        origin: str,
        stored: Mapping[int, Row],
        roots: Mapping[int, bytes],
        anchored: Mapping[int, str],
    ) -> None:
        verifiers = [EcdsaNoteVerifier(origin, root) for root in self._roots.values()]
        for size, row in stored.items():
            try:
                signed = open_note(row["note"], verifiers).checkpoint
            except VerificationFailed:
                self._found(Damage.CHECKPOINT_WRONG, tenant, size)
                continue
            if (signed.origin, signed.size) != (origin, size) or not (
                signed.root == row["root"] == roots.get(size)
            ):
                self._found(Damage.CHECKPOINT_WRONG, tenant, size)
            if tenant != DEPLOYMENT and size not in anchored:
                self._found(Damage.ANCHOR_MISSING, tenant, size)
        for size, root in anchored.items():
            known = roots.get(size)
            if known is None or f"sha256:{known.hex()}" != root:
                self._found(Damage.ANCHOR_WRONG, tenant, size)

    async def _personal(self, tenant: str) -> None:
        rows = await self._transaction.rows(
            "SELECT e.index, e.entry, p.salt, p.payload FROM ledger_personal p"
            " JOIN ledger_event e USING (tenant_id, event_id) WHERE tenant_id = $1",
            tenant,
        )
        for row in rows:
            try:
                committed = decode(row["entry"]).payload_commitment
                holds = committed == commitment(row["salt"], row["payload"])
            except (VerificationFailed, ValueError):
                holds = False
            if not holds:
                self._found(Damage.PERSONAL_WRONG, tenant, row["index"])

    def _found(self, damage: Damage, tenant: str, place: int | str | None = None) -> None:
        self.faults.append(Fault(damage, tenant, None if place is None else str(place)))
