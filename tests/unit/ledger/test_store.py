"""What the database is asked, and how often."""

import pytest

from subgraph.db.service import StatementCount, statement_count
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.merkle import Node
from subgraph.ledger.service import Ledger
from tests.unit.ledger.deployment import Deployment, event, new_tenant


async def counted(process: Deployment, tenant: str, number: int) -> int:
    count = StatementCount()
    token = statement_count.set(count)
    try:
        assert await process.reader.inclusion(tenant, number) is not None
    finally:
        statement_count.reset(token)
    return count.sent


async def test_a_proof_takes_two_statements_whatever_the_size(process: Deployment) -> None:
    tenant = new_tenant()
    for _ in range(4):
        await process.record(*(event(tenant, number) for number in range(250)))
    await process.checkpoints.require(tenant)
    assert {await counted(process, tenant, number) for number in (0, 511, 998, 999)} == {2}


async def test_an_append_is_two_statements_beside_the_callers(process: Deployment) -> None:
    tenant = new_tenant()
    await process.record(event(tenant))
    async with process.database.transaction(tenant) as transaction:
        count = StatementCount()
        token = statement_count.set(count)
        await process.ledger.append_many(transaction, [event(tenant, n) for n in range(50)])
        statement_count.reset(token)
    assert count.sent == 2


async def test_a_missing_node_is_named(process: Deployment) -> None:
    tenant = new_tenant()
    await process.record(event(tenant))
    with pytest.raises(VerificationFailed) as failed:
        await process.reader.nodes(tenant, [Node(0, 0), Node(3, 7)])
    assert (failed.value.finding, failed.value.where) == (Finding.ENTRY_MISSING, "node 3/7")


async def test_a_log_keeps_the_origin_that_it_began_with(process: Deployment) -> None:
    tenant = new_tenant()
    await process.record(event(tenant))
    moved = Ledger("elsewhere.test", process.keys)
    with pytest.raises(SubgraphError) as refused:
        async with process.database.transaction(tenant) as transaction:
            await moved.append(transaction, event(tenant))
    assert refused.value.code is ErrorCode.SETTINGS_INVALID
