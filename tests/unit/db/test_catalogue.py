"""Every relation keeps tenants apart, by what PostgreSQL's own catalogue says."""

from collections.abc import AsyncIterator, Mapping

import asyncpg
import msgspec
import pytest

from subgraph.db import tables
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.settings import Settings
from subgraph.tenants import demo
from tests.unit.db.scratch import Scratch, scratch_database
from tests.unit.ledger.deployment import recording_on

QUEUE = {
    "work.pgqueuer", "work.pgqueuer_log", "work.pgqueuer_schedules", "work.pgqueuer_statistics",
}  # fmt: skip
"""What waits here names a tenant and a job; the service puts it in and cannot read it."""

WITHOUT_TENANT = {"public.alembic_version"} | QUEUE

PRIVILEGES: Mapping[str, Mapping[str, set[str]]] = {
    "public.alembic_version": {"ig_service": {"SELECT"}, "ig_system": {"SELECT"}},
    "public.tenant": {"ig_service": {"SELECT", "INSERT"}, "ig_system": {"SELECT", "INSERT"}},
    "public.dataset_source": {"ig_service": {"SELECT"}, "ig_system": {"SELECT", "INSERT"}},
    "public.dataset": {"ig_service": {"SELECT", "INSERT", "UPDATE of a column"}},
    "public.ledger_log": {
        "ig_service": {"SELECT", "INSERT", "UPDATE of a column"}, "ig_system": {"SELECT"},
    },
    "public.ledger_event": {"ig_service": {"SELECT", "INSERT"}, "ig_system": {"SELECT"}},
    "public.ledger_node": {"ig_service": {"SELECT", "INSERT"}, "ig_system": {"SELECT"}},
    "public.ledger_checkpoint": {"ig_service": {"SELECT", "INSERT"}, "ig_system": {"SELECT"}},
    "public.ledger_personal": {
        "ig_service": {"SELECT", "INSERT", "DELETE"}, "ig_system": {"SELECT"},
    },
    "public.signing_key": {
        "ig_service": {"SELECT", "INSERT", "UPDATE of a column"}, "ig_system": {"SELECT"},
    },
    "public.tenant_cmk": {
        "ig_service": {"SELECT", "INSERT", "UPDATE of a column"}, "ig_system": {"SELECT"},
    },
    "public.key_version": {"ig_service": {"SELECT", "INSERT", "UPDATE of a column"}},
    "public.data_key": {"ig_service": {"SELECT", "INSERT", "UPDATE of a column"}},
    "public.data_key_count": {"ig_service": {"SELECT", "INSERT", "UPDATE of a column"}},
    "public.protected_record": {
        "ig_service": {"SELECT", "INSERT", "DELETE", "UPDATE of a column"},
    },
    "public.key_job": {"ig_service": {"SELECT", "INSERT", "UPDATE"}, "ig_system": {"SELECT"}},
    "public.key_job_quarantine": {"ig_service": {"SELECT", "INSERT"}},
    "public.key_verdict": {"ig_service": {"SELECT", "INSERT", "UPDATE"}, "ig_system": {"SELECT"}},
    "public.idempotency": {"ig_service": {"SELECT", "INSERT"}},
    "public.ledger_subject": {"ig_service": {"SELECT", "INSERT"}},
    "public.lease": {"ig_service": {"SELECT", "INSERT", "UPDATE of a column"}},
    "public.approval_request": {
        "ig_service": {"SELECT", "INSERT", "UPDATE of a column"},
        "ig_system": {"SELECT of a column"},
    },
    "public.approval": {"ig_service": {"SELECT", "INSERT"}},
    "public.break_glass_justification": {"ig_service": {"SELECT", "INSERT", "DELETE"}},
    "public.break_glass_session": {
        "ig_service": {"SELECT", "INSERT", "UPDATE of a column"},
        "ig_system": {"SELECT of a column"},
    },
    "work.pgqueuer": {
        "ig_service": {"INSERT", "SELECT of a column"},
        "ig_system": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    },
    "work.pgqueuer_log": {
        "ig_service": {"INSERT"}, "ig_system": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    },
    "work.pgqueuer_schedules": {"ig_system": {"SELECT", "INSERT", "UPDATE", "DELETE"}},
    "work.pgqueuer_statistics": {"ig_system": {"SELECT", "INSERT", "UPDATE", "DELETE"}},
    "public.dataset_version": {"ig_service": {"SELECT", "INSERT"}},
    "public.dp_policy": {"ig_service": {"SELECT", "INSERT"}, "ig_system": {"SELECT"}},
    "public.dp_budget": {
        "ig_service": {"SELECT", "INSERT", "UPDATE of a column"},
        "ig_system": {"SELECT", "UPDATE of a column"},
    },
    "public.dp_reservation": {
        "ig_service": {"SELECT", "INSERT", "UPDATE of a column"},
        "ig_system": {"SELECT", "UPDATE of a column"},
    },
    "public.dp_spend": {
        "ig_service": {"SELECT", "INSERT", "UPDATE of a column"},
        "ig_system": {"SELECT", "UPDATE of a column"},
    },
    "public.dp_release": {"ig_service": {"SELECT", "INSERT"}},
    "public.dp_override": {"ig_service": {"SELECT", "INSERT"}},
    "public.dp_ticket": {
        "ig_service": {"SELECT", "INSERT", "UPDATE of a column"},
        "ig_system": {"SELECT", "UPDATE of a column"},
    },
    "tenant_data.rand_health_insurance": {"ig_service": {"SELECT"}},
}  # fmt: skip

OF_THE_TENANT = "(tenant_id = current_setting('ig.tenant'::text, true))"

_OURS = (
    "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' AND NOT EXISTS ("
    " SELECT FROM pg_depend d WHERE d.deptype = 'e' AND d.objid = {oid})"
)

_RELATIONS = f"""
SELECT n.nspname || '.' || c.relname AS name, c.oid, c.relkind::text AS kind,
       c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
       pg_get_userbyid(c.relowner)::text AS owner,
       (SELECT a.attname::text FROM pg_index i
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
         WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnotnull) AS first_of_key,
       (SELECT array_agg(i.indexrelid::regclass::text) FROM pg_index i
         WHERE i.indrelid = c.oid AND i.indisunique AND NOT EXISTS (
               SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
                  AND a.attnum = i.indkey[0] AND a.attname = 'tenant_id')) AS unique_elsewhere
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind NOT IN ('i', 'I', 't')
   AND NOT (c.relkind = 'S' AND n.nspname = 'work') AND {_OURS.format(oid="c.oid")}
 ORDER BY 1
"""
_POLICIES = """
SELECT polname::text AS name, polcmd::text AS command, polpermissive AS permissive,
       polroles = '{0}' AS for_public,
       (SELECT array_agg(rolname::text) FROM pg_roles WHERE oid = ANY (polroles)) AS roles,
       pg_get_expr(polqual, polrelid) AS visible, pg_get_expr(polwithcheck, polrelid) AS accepted
  FROM pg_policy WHERE polrelid = $1
"""
_GRANTS = """
SELECT CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee)::text END AS role,
       g.privilege_type AS privilege
  FROM pg_class c, LATERAL aclexplode(c.relacl) AS g
 WHERE c.oid = $1 AND g.grantee <> c.relowner
UNION ALL
SELECT CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee)::text END,
       g.privilege_type || ' of a column'
  FROM pg_attribute a, LATERAL aclexplode(a.attacl) AS g WHERE a.attrelid = $1
"""
_FUNCTIONS = f"""
SELECT n.nspname || '.' || p.proname AS name FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE p.prosecdef AND {_OURS.format(oid="p.oid")}
"""
_SCHEMAS = f"""
SELECT n.nspname::text AS name, g.grantee = 0 AS for_public,
       pg_get_userbyid(g.grantee)::text AS role, g.privilege_type AS privilege
  FROM pg_namespace n, LATERAL aclexplode(n.nspacl) AS g
 WHERE g.grantee <> n.nspowner AND {_OURS.format(oid="n.oid")}
"""


async def findings(connection: asyncpg.Connection) -> list[str]:
    """What the catalogue of the connected database has that lets tenants meet."""
    found = []
    for relation in await connection.fetch(_RELATIONS):
        name, kind = relation["name"], relation["kind"]
        if kind not in ("r", "p"):
            found.append(f"{name} is no table but of kind {kind}")
            continue
        found += [f"{name}: {what}" for what in await _grants(connection, relation["oid"], name)]
        if name not in WITHOUT_TENANT:
            found += [f"{name}: {what}" for what in await _isolation(connection, relation)]
    found += [f"{row['name']} is SECURITY DEFINER" for row in await connection.fetch(_FUNCTIONS)]
    for row in await connection.fetch(_SCHEMAS):
        if row["for_public"] or row["privilege"] != "USAGE":
            found.append(f"schema {row['name']}: {row['role']} has {row['privilege']}")
    return found


async def _isolation(connection: asyncpg.Connection, relation: asyncpg.Record) -> list[str]:
    checks = {
        "the primary key does not start with tenant_id": relation["first_of_key"] == "tenant_id",
        "a unique index spans tenants": relation["unique_elsewhere"] is None,
        "row security is not enabled": relation["enabled"],
        "row security is not forced": relation["forced"],
        "it does not belong to ig_owner": relation["owner"] == "ig_owner",
    }
    policies = await connection.fetch(_POLICIES, relation["oid"])
    serving = [policy for policy in policies if "ig_service" in (policy["roles"] or [])]
    checks["a policy is for PUBLIC"] = not any(policy["for_public"] for policy in policies)
    checks["the service has another policy than tenant_isolation"] = [
        (policy["name"], policy["command"], policy["permissive"], policy["visible"])
        for policy in serving
    ] == [("tenant_isolation", "*", True, OF_THE_TENANT)]
    checks["the service may write rows that it may not see"] = all(
        policy["accepted"] in (None, OF_THE_TENANT) for policy in serving
    )
    return [what for what, holds in checks.items() if not holds]


async def _grants(connection: asyncpg.Connection, oid: int, name: str) -> list[str]:
    granted: dict[str, set[str]] = {}
    for row in await connection.fetch(_GRANTS, oid):
        granted.setdefault(row["role"], set()).add(row["privilege"])
    expected = PRIVILEGES.get(name, {})
    return [] if granted == expected else [f"the privileges are {granted}"]


async def findings_of(scratch: Scratch) -> list[str]:
    connection = await asyncpg.connect(scratch.url(Role.ADMIN))
    try:
        return await findings(connection)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer, settings: Settings) -> AsyncIterator[Scratch]:
    """The migrated tables, and what the demonstration adds."""
    async with scratch_database(postgres) as made:
        url = made.url(Role.SERVICE)
        database = Database.for_service(
            url, msgspec.structs.replace(settings, database_url=url, pool_size=2)
        )
        await database.open()
        await demo.load(
            database,
            await recording_on(database),
            owner_dsn=made.url(Role.OWNER),
            system_dsn=made.url(Role.SYSTEM),
        )
        await database.close()
        yield made


async def test_every_relation_keeps_tenants_apart(scratch: Scratch) -> None:
    assert await findings_of(scratch) == []


async def test_the_listed_relations_are_all_there(scratch: Scratch) -> None:
    rows = await scratch.ask(_RELATIONS)
    assert {row["name"] for row in rows} == set(PRIVILEGES)


def test_foreign_keys_stay_within_a_tenant() -> None:
    pairs = [
        {element.parent.name: element.column.name for element in constraint.elements}
        for table in tables.metadata.tables.values()
        for constraint in table.foreign_key_constraints
    ]
    assert pairs
    assert all(pair.get("tenant_id") == "tenant_id" for pair in pairs)


KEY = "tenant_id text NOT NULL, id int, PRIMARY KEY (tenant_id, id)"
ISOLATED = (
    "ALTER TABLE {0} ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE {0} FORCE ROW LEVEL SECURITY",
    (
        "CREATE POLICY tenant_isolation ON {0} TO ig_service"
        " USING (tenant_id = current_setting('ig.tenant', true))"
    ),
)
BAD: Mapping[str, tuple[str, ...]] = {
    "row security is not enabled": (
        f"CREATE TABLE bad ({KEY})", "ALTER TABLE bad FORCE ROW LEVEL SECURITY",
        ISOLATED[2].format("bad"),
    ),
    "row security is not forced": (
        f"CREATE TABLE bad ({KEY})", ISOLATED[0].format("bad"), ISOLATED[2].format("bad"),
    ),
    "the service has another policy": (
        f"CREATE TABLE bad ({KEY})", *(line.format("bad") for line in ISOLATED[:2]),
        "CREATE POLICY tenant_isolation ON bad TO ig_service USING (true)",
    ),
    "the service has another policy than": (
        f"CREATE TABLE bad ({KEY})", *(line.format("bad") for line in ISOLATED),
        "CREATE POLICY more ON bad TO ig_service USING (id = 0)",
    ),
    "a policy is for PUBLIC": (
        f"CREATE TABLE bad ({KEY})", *(line.format("bad") for line in ISOLATED),
        "CREATE POLICY everyone ON bad USING (true)",
    ),
    "the service may write rows": (
        f"CREATE TABLE bad ({KEY})", *(line.format("bad") for line in ISOLATED[:2]),
        ISOLATED[2].format("bad") + " WITH CHECK (true)",
    ),
    "the primary key does not start": (
        "CREATE TABLE bad (tenant_id text NOT NULL, id int, PRIMARY KEY (id, tenant_id))",
        *(line.format("bad") for line in ISOLATED),
    ),
    "a unique index spans tenants": (
        f"CREATE TABLE bad ({KEY}, slug text UNIQUE)", *(line.format("bad") for line in ISOLATED),
    ),
    "the privileges are": (
        f"CREATE TABLE bad ({KEY})", *(line.format("bad") for line in ISOLATED),
        "GRANT UPDATE (id) ON bad TO ig_service",
    ),
    "PUBLIC": (
        f"CREATE TABLE bad ({KEY})", *(line.format("bad") for line in ISOLATED),
        "GRANT SELECT ON bad TO PUBLIC",
    ),
    "of kind v": ("CREATE VIEW bad AS SELECT * FROM tenant",),
    "of kind m": ("CREATE MATERIALIZED VIEW bad AS SELECT * FROM tenant",),
    "SECURITY DEFINER": (
        ("CREATE FUNCTION bad() RETURNS bigint LANGUAGE sql SECURITY DEFINER"
        " AS 'SELECT count(*) FROM tenant'"),
    ),
    "schema public: ": ("GRANT CREATE ON SCHEMA public TO ig_service",),
}  # fmt: skip


@pytest.mark.parametrize("finding", BAD)
async def test_the_check_can_fail(scratch: Scratch, finding: str) -> None:
    connection = await asyncpg.connect(scratch.url(Role.OWNER))
    try:
        transaction = connection.transaction()
        await transaction.start()
        for statement in BAD[finding]:
            await connection.execute(statement)
        found = await findings(connection)
        await transaction.rollback()
    finally:
        await connection.close()
    assert [what for what in found if finding in what]


async def test_a_bad_partition_of_a_good_table_is_found(scratch: Scratch) -> None:
    connection = await asyncpg.connect(scratch.url(Role.OWNER))
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(f"CREATE TABLE good ({KEY}) PARTITION BY LIST (tenant_id)")
        for statement in ISOLATED:
            await connection.execute(statement.format("good"))
        assert await findings(connection) == []
        await connection.execute("CREATE TABLE part PARTITION OF good DEFAULT")
        found = await findings(connection)
        await transaction.rollback()
    finally:
        await connection.close()
    assert "public.part: row security is not enabled" in found
