"""The operator offers a relation to a tenant, if its rows are kept apart."""

import json
from collections.abc import AsyncIterator

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.tenants.provisioning import provision, sources
from tests.unit.db.scratch import Scratch, fill, scratch_database

OFFERED = "offers.numbers"


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as made:
        await fill(made, ["t-a", "t-b"], datasets=1)
        await made.run("CREATE SCHEMA offers", "GRANT USAGE ON SCHEMA offers TO ig_service")
        await made.run(*isolated("numbers"))
        yield made


def isolated(name: str, column: str = "tenant_id text", privilege: str = "SELECT") -> list[str]:
    """Make a table as the operator should."""
    return [
        f"CREATE TABLE offers.{name} ({column}, amount numeric, born date)",
        f"ALTER TABLE offers.{name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        (
            f"CREATE POLICY tenant_isolation ON offers.{name} TO ig_service"
            f" USING ({column.split(maxsplit=1)[0]}::text = current_setting('ig.tenant', true))"
        ),
        f"GRANT {privilege} ON offers.{name} TO ig_service",
    ]


async def refusal(scratch: Scratch, tenant: str, relation: str) -> str:
    with pytest.raises(SubgraphError) as caught:
        await provision(scratch.url(Role.SYSTEM), tenant, relation)
    assert caught.value.code is ErrorCode.INVALID_INPUT
    return caught.value.message


async def test_an_offer_says_the_columns_and_their_types(scratch: Scratch) -> None:
    source = await provision(scratch.url(Role.SYSTEM), "t-a", OFFERED)
    assert (source.tenant_id, source.relation, source.columns) == (
        "t-a", OFFERED, {"amount": "numeric", "born": "date"},
    )  # fmt: skip


async def test_a_repeated_offer_is_the_same(scratch: Scratch) -> None:
    first = await provision(scratch.url(Role.SYSTEM), "t-a", OFFERED)
    assert await provision(scratch.url(Role.SYSTEM), "t-a", OFFERED) == first


async def test_an_offer_is_for_one_tenant(scratch: Scratch) -> None:
    ours = await provision(scratch.url(Role.SYSTEM), "t-a", OFFERED)
    offered = await sources(scratch.url(Role.SYSTEM), "t-b")
    assert ours.source_id not in [source.source_id for source in offered]


async def test_the_offers_of_a_tenant_are_listed_by_name(scratch: Scratch) -> None:
    await provision(scratch.url(Role.SYSTEM), "t-a", OFFERED)
    offered = await sources(scratch.url(Role.SYSTEM), "t-a")
    assert [source.relation for source in offered] == [OFFERED, "tenant_data.numbers"]


@pytest.mark.parametrize(
    "relation",
    [
        "numbers", "offers.", ".numbers", "a.b.c", "offers.Numbers", "offers.numbers; DROP TABLE x",
        'offers."numbers"', "offers.numbers\n", "", "pg_catalog.pg_class ", "é.a", "o" * 64 + ".a",
    ],
)  # fmt: skip
async def test_a_name_that_is_no_schema_and_table_is_refused(
    scratch: Scratch, relation: str
) -> None:
    assert "schema.table" in await refusal(scratch, "t-a", relation)


async def test_a_relation_that_there_is_not_is_refused(scratch: Scratch) -> None:
    assert "no relation offers.nothing" in await refusal(scratch, "t-a", "offers.nothing")


@pytest.mark.parametrize("tenant", ["t-unknown", "", "t-a' OR true"])
async def test_a_tenant_that_is_not_registered_gets_no_offer(scratch: Scratch, tenant: str) -> None:
    assert "is registered" in await refusal(scratch, tenant, OFFERED)


async def test_the_offers_of_a_tenant_that_is_not_registered_are_refused(scratch: Scratch) -> None:
    with pytest.raises(SubgraphError) as caught:
        await sources(scratch.url(Role.SYSTEM), "t-unknown")
    assert caught.value.code is ErrorCode.INVALID_INPUT


UNFIT = {
    "unforced": (
        "has no forced row-level security",
        [*isolated("unforced"), "ALTER TABLE offers.unforced NO FORCE ROW LEVEL SECURITY"],
    ),
    "disabled": (
        "has no forced row-level security",
        [*isolated("disabled"), "ALTER TABLE offers.disabled DISABLE ROW LEVEL SECURITY"],
    ),
    "unguarded": (
        "has no forced row-level security",
        [*isolated("unguarded"), "DROP POLICY tenant_isolation ON offers.unguarded"],
    ),
    "unreadable": ("cannot be read by ig_service", isolated("unreadable", privilege="INSERT")),
    "untold": ("has no text column tenant_id", isolated("untold", column="owner text")),
    "numbered": ("has no text column tenant_id", isolated("numbered", column="tenant_id int")),
    "viewed": (
        "has no forced row-level security",
        [
            "CREATE VIEW offers.viewed AS SELECT * FROM offers.numbers",
            "GRANT SELECT ON offers.viewed TO ig_service",
        ],
    ),
    "everyones": (
        "has no forced row-level security",
        [
            *isolated("everyones")[:2],
            "CREATE POLICY tenant_isolation ON offers.everyones TO ig_service USING (true)",
            "GRANT SELECT ON offers.everyones TO ig_service",
        ],
    ),
    "widened": (
        "has no forced row-level security",
        [
            *isolated("widened"),
            "CREATE POLICY more ON offers.widened USING (amount > 0)",
        ],
    ),
}


@pytest.mark.parametrize("name", UNFIT)
async def test_a_relation_that_lets_tenants_meet_is_refused(scratch: Scratch, name: str) -> None:
    reason, statements = UNFIT[name]
    await scratch.run(*statements)
    assert reason in await refusal(scratch, "t-a", f"offers.{name}")


async def test_a_refused_offer_leaves_nothing(scratch: Scratch) -> None:
    await refusal(scratch, "t-b", "offers.nothing")
    async with operator_transaction(scratch.url(Role.SYSTEM)) as transaction:
        rows = await transaction.rows("SELECT columns FROM dataset_source WHERE tenant_id = 't-b'")
    assert [json.loads(row["columns"]) for row in rows] == [{"n": "integer"}]
