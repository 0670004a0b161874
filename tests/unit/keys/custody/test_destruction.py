"""Wraps are destroyed by three people together, and never while a record needs them."""

import asyncio
from uuid import UUID

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.custody.destruction import Destruction
from subgraph.keys.jobs.model import KeyJobKind
from tests.unit.keys.jobs.rig import Process


async def retired(here: Process) -> tuple[str, UUID, UUID]:
    """A tenant whose first version was left by every record; the version, and a record."""
    tenant = await here.make_tenant()
    record = await here.put(tenant, "a value")
    await here.done(tenant, KeyJobKind.ROTATE)
    await here.done(tenant, KeyJobKind.REENCRYPT)
    (first, *_) = await here.ask(
        "SELECT version_id FROM key_version WHERE tenant_id = $1 ORDER BY number", tenant
    )
    return tenant, first["version_id"], record


async def request(here: Process, tenant: str, version_id: UUID) -> Destruction:
    return await here.keys.destructions.request(
        tenant, version_id, "its owner asked", idempotency_key="d", by="ann"
    )


async def approve(here: Process, tenant: str, asked: Destruction, by: str) -> Destruction:
    return await here.keys.destructions.approve(
        tenant,
        asked.approval.key.request_id,
        digest=asked.approval.digest,
        by=by,
        token_id=f"t-{by}",
    )


async def wraps(here: Process, tenant: str, version_id: UUID) -> list[bytes | None]:
    rows = await here.ask(
        "SELECT d.wrapped FROM data_key d JOIN key_version v"
        " ON v.tenant_id = d.tenant_id AND v.number = d.key_version"
        " WHERE d.tenant_id = $1 AND v.version_id = $2",
        tenant,
        version_id,
    )
    return [row["wrapped"] for row in rows]


async def test_the_second_approval_destroys(here: Process) -> None:
    tenant, version_id, record = await retired(here)
    asked = await request(here, tenant, version_id)
    await approve(here, tenant, asked, "ben")
    assert (await here.versions(tenant))[0] == (1, "DISABLED")
    done = await approve(here, tenant, asked, "cleo")
    assert done.approval.state.name == "APPLIED"
    assert (await here.versions(tenant))[0] == (1, "DESTROYED")
    assert set(await wraps(here, tenant, version_id)) <= {None}
    assert (await here.told(tenant))[-1] == "key.version.destroyed"
    assert await here.read(tenant, [record]) == {record: "a value"}


async def test_repeated_and_simultaneous_approvals_destroy_once(here: Process) -> None:
    tenant, version_id, _ = await retired(here)
    asked = await request(here, tenant, version_id)
    await asyncio.gather(
        *(approve(here, tenant, asked, by) for by in ("ben", "cleo")), return_exceptions=True
    )
    await approve(here, tenant, asked, "cleo")
    assert (await here.told(tenant)).count("key.version.destroyed") == 1


async def test_a_version_in_use_is_not_destroyed(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.put(tenant, "a value")
    (row,) = await here.ask("SELECT version_id FROM key_version WHERE tenant_id = $1", tenant)
    with pytest.raises(SubgraphError) as caught:
        await request(here, tenant, row["version_id"])
    assert caught.value.code is ErrorCode.KEY_IN_USE


async def test_another_tenants_version_is_unknown(here: Process) -> None:
    _, version_id, _ = await retired(here)
    with pytest.raises(SubgraphError) as caught:
        await request(here, await here.make_tenant(), version_id)
    assert caught.value.code is ErrorCode.UNKNOWN_OBJECT


async def test_the_requester_does_not_approve(here: Process) -> None:
    tenant, version_id, _ = await retired(here)
    asked = await request(here, tenant, version_id)
    with pytest.raises(SubgraphError) as caught:
        await approve(here, tenant, asked, "ann")
    assert caught.value.code is ErrorCode.APPROVER_NOT_DISTINCT


async def test_a_repeat_after_the_destruction_answers_the_request(here: Process) -> None:
    tenant, version_id, _ = await retired(here)
    asked = await request(here, tenant, version_id)
    for by in ("ben", "cleo"):
        await approve(here, tenant, asked, by)
    again = await request(here, tenant, version_id)
    assert again.approval.key == asked.approval.key
    assert again.approval.state.name == "APPLIED"
