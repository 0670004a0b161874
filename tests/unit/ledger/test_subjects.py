"""The events of an object are found by its id, in the order of the log."""

from uuid import UUID, uuid4

import pytest

from subgraph.ledger.subjects import Subjects, append_about, append_all_about
from tests.unit.ledger.deployment import Deployment, event, new_tenant


async def indexes(process: Deployment, tenant: str, subject: object, **page: int) -> list[int]:
    given = {"first": 10, "after": None, **page}
    found = await Subjects(process.database).events_about(tenant, subject, **given)  # type: ignore[arg-type]
    return [recorded.index for recorded in found]


async def test_events_are_found_by_each_of_their_subjects(process: Deployment) -> None:
    tenant, one, two = new_tenant(), uuid4(), uuid4()
    async with process.database.transaction(tenant) as transaction:
        receipt = await append_about(transaction, process.ledger, event(tenant), one, two)
    assert receipt.index == 0
    assert [await indexes(process, tenant, subject) for subject in (one, two)] == [[0], [0]]
    assert await indexes(process, tenant, uuid4()) == []


async def test_several_events_have_subjects_of_their_own(process: Deployment) -> None:
    tenant, one, two = new_tenant(), uuid4(), uuid4()
    told = [(event(tenant, 0), (one,)), (event(tenant, 1), (one, two)), (event(tenant, 2), ())]
    async with process.database.transaction(tenant) as transaction:
        receipts = await append_all_about(transaction, process.ledger, tenant, *told)
    assert [receipt.index for receipt in receipts] == [0, 1, 2]
    assert await indexes(process, tenant, one) == [0, 1]
    assert await indexes(process, tenant, two) == [1]


async def test_a_subject_named_twice_counts_once(process: Deployment) -> None:
    tenant, one = new_tenant(), uuid4()
    async with process.database.transaction(tenant) as transaction:
        await append_about(transaction, process.ledger, event(tenant), one, one)
    assert await indexes(process, tenant, one) == [0]


async def test_an_event_that_is_sent_again_is_found_once(process: Deployment) -> None:
    tenant, one, identity = new_tenant(), uuid4(), uuid4()
    for _ in range(2):
        async with process.database.transaction(tenant) as transaction:
            await append_about(transaction, process.ledger, event(tenant, event_id=identity), one)
    assert await indexes(process, tenant, one) == [0]


async def test_pages_continue_behind_an_index(process: Deployment) -> None:
    tenant, one = new_tenant(), uuid4()
    async with process.database.transaction(tenant) as transaction:
        for number in range(5):
            await append_about(transaction, process.ledger, event(tenant, number), one)
    assert await indexes(process, tenant, one, first=2) == [0, 1]
    assert await indexes(process, tenant, one, first=2, after=1) == [2, 3]
    assert await indexes(process, tenant, one, after=4) == []


async def test_another_tenant_finds_nothing(process: Deployment) -> None:
    tenant, one = new_tenant(), uuid4()
    async with process.database.transaction(tenant) as transaction:
        await append_about(transaction, process.ledger, event(tenant), one)
    assert await indexes(process, new_tenant(), one) == []


async def given_up(process: Deployment, tenant: str, subject: UUID) -> None:
    async with process.database.transaction(tenant) as transaction:
        await append_about(transaction, process.ledger, event(tenant), subject)
        raise ZeroDivisionError


async def test_a_link_falls_with_its_event(process: Deployment) -> None:
    tenant, one = new_tenant(), uuid4()
    with pytest.raises(ZeroDivisionError):
        await given_up(process, tenant, one)
    assert await indexes(process, tenant, one) == []
