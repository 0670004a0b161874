"""Whatever is changed in the database is found by deriving the tree again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.errors import SubgraphError
from subgraph.ledger import merkle
from subgraph.ledger.errors import VerificationFailed
from subgraph.ledger.fsck import Damage, Result, fsck
from subgraph.ledger.model import DEPLOYMENT
from subgraph.ledger.publickey import PublicKey
from subgraph.settings import Settings
from tests.unit.db.scratch import scratch_database
from tests.unit.ledger.deployment import Deployment, deployment, event

TENANT = "victim"
SIZE = 11


@pytest.fixture
async def victim(postgres: EmbeddedServer, settings: Settings) -> AsyncIterator[Deployment]:
    async with (
        scratch_database(postgres) as scratch,
        deployment(scratch, settings, pool_size=2) as process,
    ):
        personal = event(TENANT, payload=None, personal={"name": "ada"})
        await process.record(*(event(TENANT, n) for n in range(6)), personal)
        await process.checkpoints.require(TENANT)
        await process.record(*(event(TENANT, n) for n in range(7, SIZE)))
        await process.checkpoints.require(TENANT)
        await process.checkpoints.require(None)
        yield process


@asynccontextmanager
async def tampering(process: Deployment) -> AsyncIterator[asyncpg.Connection]:
    """The administrator of the database, with every guard of it out of the way."""
    connection = await asyncpg.connect(process.scratch.url(Role.ADMIN))
    try:
        await connection.execute("SET session_replication_role = replica")
        yield connection
    finally:
        await connection.close()


async def check(process: Deployment) -> Result:
    roots = [PublicKey.from_pem(process.root.public_key_pem)]
    return await fsck(process.scratch.url(Role.SYSTEM), roots)


async def test_an_untouched_ledger_is_whole(victim: Deployment) -> None:
    result = await check(victim)
    assert result.faults == ()
    assert (result.logs, result.entries) == (2, SIZE + 4)


TAMPERED = {
    "edited body": (
        ("UPDATE ledger_event SET entry = replace(encode(entry, 'escape'), '\"number\":3',"
        " '\"number\":4')::bytea WHERE tenant_id = 'victim' AND index = 3"),
        {(Damage.LEAF_WRONG, "3"), (Damage.SIGNATURE_INVALID, "3"), (Damage.ROOT_WRONG, None)},
    ),
    "edited leaf": (
        "UPDATE ledger_event SET leaf = sha256('x') WHERE tenant_id = 'victim' AND index = 3",
        {(Damage.LEAF_WRONG, "3")},
    ),
    "edited node": (
        ("UPDATE ledger_node SET hash = sha256('x')"
        " WHERE tenant_id = 'victim' AND level = 2 AND index = 1"),
        {(Damage.NODE_WRONG, "2/1")},
    ),
    "deleted node": (
        "DELETE FROM ledger_node WHERE tenant_id = 'victim' AND level = 1 AND index = 0",
        {(Damage.NODE_MISSING, "1/0")},
    ),
    "added node": (
        "INSERT INTO ledger_node VALUES ('victim', 1, 5, sha256('x'))",
        {(Damage.NODE_EXTRA, "1/5")},
    ),
    "edited root": (
        "UPDATE ledger_log SET root = sha256('x') WHERE tenant_id = 'victim'",
        {(Damage.ROOT_WRONG, None)},
    ),
    "edited frontier": (
        "UPDATE ledger_log SET frontier[2] = sha256('x') WHERE tenant_id = 'victim'",
        {(Damage.ROOT_WRONG, None)},
    ),
    "deleted last event": (
        "DELETE FROM ledger_event WHERE tenant_id = 'victim' AND index = 10",
        {(Damage.ENTRY_MISSING, "10")},
    ),
    "deleted event in the middle": (
        "DELETE FROM ledger_event WHERE tenant_id = 'victim' AND index = 5",
        {(Damage.ENTRY_MISSING, "5")},
    ),
    "swapped events": (
        ("UPDATE ledger_event SET index = 99 WHERE tenant_id = 'victim' AND index = 2;"
        "UPDATE ledger_event SET index = 2 WHERE tenant_id = 'victim' AND index = 3;"
        "UPDATE ledger_event SET index = 3 WHERE tenant_id = 'victim' AND index = 99"),
        {(Damage.ROOT_WRONG, None), (Damage.NODE_WRONG, "1/1")},
    ),
    "other type": (
        ("UPDATE ledger_event SET type = 'tenant.registered'"
        " WHERE tenant_id = 'victim' AND index = 3"),
        {(Damage.ENTRY_INVALID, "3")},
    ),
    "other event id": (
        ("UPDATE ledger_event SET event_id = gen_random_uuid()"
        " WHERE tenant_id = 'victim' AND index = 3"),
        {(Damage.ENTRY_INVALID, "3")},
    ),
    "other signature": (
        ("UPDATE ledger_event a SET signature = b.signature FROM ledger_event b"
        " WHERE a.tenant_id = 'victim' AND a.index = 3"
        " AND b.tenant_id = 'victim' AND b.index = 4"),
        {(Damage.SIGNATURE_INVALID, "3")},
    ),
    "head without its entries": (
        "DELETE FROM ledger_event WHERE tenant_id = 'victim'",
        {(Damage.ENTRY_MISSING, "0")},
    ),
    "log without its head": (
        "DELETE FROM ledger_log WHERE tenant_id = 'victim'",
        {(Damage.LOG_MISSING, None)},
    ),
    "edited checkpoint": (
        ("UPDATE ledger_checkpoint SET note = replace(note, E'\\n7\\n', E'\\n8\\n')"
        " WHERE tenant_id = 'victim' AND size = 7"),
        {(Damage.CHECKPOINT_WRONG, "7")},
    ),
    "edited personal payload": (
        "UPDATE ledger_personal SET payload = '{\"name\":\"eve\"}'",
        {(Damage.PERSONAL_WRONG, "6")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", TAMPERED)
async def test_tampering_is_found_where_it_was_done(victim: Deployment, attack: str) -> None:
    statement, expected = TAMPERED[attack]
    async with tampering(victim) as connection:
        assert not (await connection.execute(statement)).endswith(" 0")
    found = {(fault.damage, fault.place) for fault in (await check(victim)).faults}
    assert found >= expected
    assert {fault.tenant for fault in (await check(victim)).faults} == {TENANT}


async def rebuild(process: Deployment, keep: str) -> None:
    """Make the log over from those entries, with everything that can be made to fit."""
    async with tampering(process) as connection:
        entries = await connection.fetch(
            f"SELECT * FROM ledger_event WHERE tenant_id = 'victim' AND {keep} ORDER BY index"
        )
        tree, nodes = merkle.Frontier(), []
        await connection.execute("DELETE FROM ledger_event WHERE tenant_id = 'victim'")
        for row in entries:
            await connection.execute(
                "INSERT INTO ledger_event VALUES ('victim', $1, $2, $3, $4, $5, $6)",
                tree.size, *list(row)[2:],
            )  # fmt: skip
            nodes += tree.append(row["leaf"])
        await connection.execute("DELETE FROM ledger_node WHERE tenant_id = 'victim'")
        await connection.executemany(
            "INSERT INTO ledger_node VALUES ('victim', $1, $2, $3)",
            [(node.level, node.index, hashed) for node, hashed in nodes],
        )
        await connection.execute(
            "UPDATE ledger_log SET size = $1, frontier = $2, root = $3 WHERE tenant_id = 'victim'",
            tree.size, tree.hashes, tree.root(),
        )  # fmt: skip
        await connection.execute(
            "DELETE FROM ledger_checkpoint WHERE tenant_id = 'victim' AND size > $1", tree.size
        )


async def test_a_truncated_log_contradicts_the_deployment_log(victim: Deployment) -> None:
    await rebuild(victim, "index < 9")
    faults = (await check(victim)).faults
    assert {(f.damage, f.place) for f in faults} == {(Damage.ANCHOR_WRONG, "11")}


async def test_a_replaced_log_contradicts_the_deployment_log(victim: Deployment) -> None:
    await rebuild(victim, "index NOT IN (2, 6)")
    async with tampering(victim) as connection:
        await connection.execute("DELETE FROM ledger_checkpoint WHERE tenant_id = 'victim'")
    faults = (await check(victim)).faults
    assert {(f.damage, f.place) for f in faults} >= {(Damage.ANCHOR_WRONG, "7")}


async def test_a_log_that_vanished_is_known_to_the_deployment_log(victim: Deployment) -> None:
    async with tampering(victim) as connection:
        for table in ("ledger_event", "ledger_node", "ledger_checkpoint", "ledger_log"):
            await connection.execute(f"DELETE FROM {table} WHERE tenant_id = 'victim'")
    faults = (await check(victim)).faults
    assert [(f.damage, f.tenant) for f in faults] == [(Damage.LOG_MISSING, TENANT)]


async def test_an_inserted_event_has_no_signature_that_counts(victim: Deployment) -> None:
    async with tampering(victim) as connection:
        await connection.execute(
            "INSERT INTO ledger_event SELECT tenant_id, 11, $1::uuid, type,"
            " replace(encode(entry, 'escape'), event_id::text, $1::uuid::text)::bytea, leaf, signature"
            " FROM ledger_event WHERE tenant_id = 'victim' AND index = 3",
            uuid4(),
        )
    found = {(fault.damage, fault.place) for fault in (await check(victim)).faults}
    assert found >= {(Damage.SIGNATURE_INVALID, "11"), (Damage.ENTRY_EXTRA, "11")}


async def test_a_revoked_key_signs_nothing_from_the_index_on(victim: Deployment) -> None:
    (key,) = [k for k in await victim.reader.keys() if k.purpose.value == "PROCESS"]
    await victim.keys.revoke(key.key_id, tenant=TENANT, from_index=9, reason="lost", by="operator")
    found = {(fault.damage, fault.place) for fault in (await check(victim)).faults}
    assert found == {(Damage.SIGNATURE_INVALID, "9"), (Damage.SIGNATURE_INVALID, "10")}


async def test_an_untrusted_root_proves_nothing(victim: Deployment) -> None:
    other = await fsck(victim.scratch.url(Role.SYSTEM), [])
    assert {fault.damage for fault in other.faults} >= {
        Damage.SIGNATURE_INVALID, Damage.CHECKPOINT_WRONG,
    }  # fmt: skip


async def test_no_checkpoint_is_signed_over_a_tampered_tree(victim: Deployment) -> None:
    await victim.record(event(TENANT, 12))
    async with tampering(victim) as connection:
        await connection.execute(
            "UPDATE ledger_log SET root = sha256('x') WHERE tenant_id = 'victim'"
        )
    with pytest.raises(VerificationFailed):
        await victim.checkpoints.require(TENANT)


async def test_the_service_may_not_change_what_it_appended(victim: Deployment) -> None:
    for table in ("ledger_event", "ledger_node", "ledger_checkpoint"):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET tenant_id = tenant_id",
                          f"TRUNCATE {table}"):  # fmt: skip
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with victim.database.transaction(TENANT) as transaction:
                    await transaction.run(statement)


async def test_not_even_the_owner_changes_it_by_mistake(victim: Deployment) -> None:
    for table in ("ledger_event", "ledger_node", "ledger_checkpoint"):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET tenant_id = tenant_id",
                          f"TRUNCATE {table} CASCADE"):  # fmt: skip
            with pytest.raises(asyncpg.RestrictViolationError):
                await victim.scratch.run(statement)
    with pytest.raises(asyncpg.RestrictViolationError):
        await victim.scratch.run("UPDATE ledger_log SET size = size - 1")


async def test_a_database_that_is_away_is_no_finding(victim: Deployment) -> None:
    with pytest.raises(SubgraphError):
        await fsck("postgresql://ig_system:x@127.0.0.1:1/none", [])


async def test_the_deployment_log_is_checked_first(victim: Deployment) -> None:
    async with tampering(victim) as connection:
        await connection.execute("UPDATE ledger_event SET leaf = sha256('x') WHERE index = 0")
    faults = (await check(victim)).faults
    assert [fault.tenant for fault in faults] == [DEPLOYMENT, TENANT]
