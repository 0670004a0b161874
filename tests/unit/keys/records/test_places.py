"""Who can write the database cannot move values: each belongs to one place."""

from collections.abc import Callable
from uuid import UUID

import pytest

from subgraph.db.roles import Role
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.records.model import RecordPage
from subgraph.keys.records.store import record_pages, records
from tests.unit.keys.jobs.rig import Process

Swap = Callable[[Process], object]

SWAP = (
    "UPDATE protected_record r SET fields = o.fields FROM protected_record o"
    " WHERE (r.record_id, o.record_id) IN (($1, $2), ($2, $1))"
)
SWAP_WITH_KEYS = (
    "UPDATE protected_record r SET fields = o.fields, data_key_id = o.data_key_id"
    " FROM protected_record o WHERE (r.record_id, o.record_id) IN (($1, $2), ($2, $1))"
)


async def refused(process: Process, tenant: str, record_id: UUID) -> None:
    with pytest.raises(SubgraphError) as caught:
        await process.read(tenant, [record_id])
    assert caught.value.code is ErrorCode.INTEGRITY


async def test_values_of_another_record_are_refused(here: Process) -> None:
    tenant = await here.make_tenant()
    one, two = await here.fill(tenant, 2)
    await here.ask(SWAP, one, two)
    for record_id in (one, two):
        await refused(here, tenant, record_id)


@pytest.mark.parametrize("swap", [SWAP, SWAP_WITH_KEYS])
async def test_values_of_another_type_are_refused(here: Process, swap: str) -> None:
    tenant = await here.make_tenant()
    one = await here.put(tenant, "one", object_type="a")
    two = await here.put(tenant, "two", object_type="b")
    await here.ask(swap, one, two)
    for record_id in (one, two):
        await refused(here, tenant, record_id)


async def test_values_of_another_tenant_are_refused(here: Process) -> None:
    tenant, other = await here.make_tenant(), await here.make_tenant()
    one, two = await here.put(tenant, "one"), await here.put(other, "two")
    await here.ask(SWAP, one, two)
    await refused(here, tenant, one)
    await refused(here, other, two)


async def test_a_record_that_was_given_another_type_is_refused(here: Process) -> None:
    tenant = await here.make_tenant()
    one = await here.put(tenant, "one")
    await here.ask("UPDATE protected_record SET object_type = 'x' WHERE record_id = $1", one)
    await refused(here, tenant, one)


async def test_wraps_of_two_data_keys_cannot_be_swapped(here: Process, there: Process) -> None:
    tenant = await here.make_tenant()
    one = await here.put(tenant, "one", object_type="a")
    await here.put(tenant, "two", object_type="b")
    await here.ask(
        "UPDATE data_key d SET wrapped = o.wrapped FROM data_key o"
        " WHERE d.tenant_id = $1 AND o.tenant_id = $1 AND d.data_key_id <> o.data_key_id",
        tenant,
    )
    await refused(there, tenant, one)


async def test_a_flipped_bit_is_refused(here: Process) -> None:
    tenant = await here.make_tenant()
    one = await here.put(tenant, "one")
    await here.damage(tenant, one)
    await refused(here, tenant, one)


async def test_another_tenant_reads_nothing(here: Process) -> None:
    tenant, other = await here.make_tenant(), await here.make_tenant()
    one = await here.put(tenant, "one")
    assert await records(here.database, [(other, one)]) == {}
    page = RecordPage(10, None, None)
    assert await record_pages(here.database, [(other, page)]) == {(other, page): []}
    async with here.database.transaction(other) as transaction:
        assert await transaction.rows("SELECT FROM protected_record") == []
    seen = await here.scratch.ask("SELECT FROM protected_record", role=Role.SERVICE)
    assert seen == []


async def test_pages_continue_where_the_one_before_ended(here: Process) -> None:
    tenant, other = await here.make_tenant(), await here.make_tenant()
    known = sorted(await here.fill(tenant, 5))
    mixed = await here.put(tenant, "x", object_type="another")
    asked = [
        (tenant, RecordPage(2, None, "person")),
        (tenant, RecordPage(2, known[1], "person")),
        (tenant, RecordPage(10, None, None)),
        (other, RecordPage(10, None, None)),
    ]
    found = await record_pages(here.database, asked)
    assert [[record.record_id for record in found[page]] for page in asked] == [
        known[:2], known[2:4], sorted([*known, mixed]), [],
    ]  # fmt: skip
