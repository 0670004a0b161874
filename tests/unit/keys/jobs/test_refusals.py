"""Damage, keys that are missing, and providers that refuse."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from subgraph.keys.custody.wrapping import Opener
from subgraph.keys.jobs import store
from subgraph.keys.jobs.model import KeyJobKind, KeyJobState
from subgraph.kms.contract import KeyProvider, Wrap
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions
from subgraph.kms.providers import open_wrap
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch
from tests.unit.keys.jobs.rig import KEY, Process, process


class Storm:
    """A provider that throttles the next `left` calls."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self.left = 0

    async def __call__(
        self, provider: KeyProvider, key_uri: str, tenant: str, *, create: bool = False
    ) -> Wrap:
        wrapper: Any = await self._opener(provider, key_uri, tenant, create=create)
        return Throttled(wrapper, self)  # type: ignore[return-value]


class Throttled:
    def __init__(self, wrapper: Any, storm: Storm) -> None:
        self._wrapper = wrapper
        self._storm = storm

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any) -> Any:
            if self._storm.left > 0 and name != "close":
                self._storm.left -= 1
                raise KeyProviderError(KeyFault.THROTTLED)
            return await getattr(self._wrapper, name)(*args)

        return call


@pytest.fixture
async def storm(settings: Settings, folder: Path) -> Storm:
    import functools

    import msgspec

    options = KmsOptions.of(msgspec.structs.replace(settings, data_dir=str(folder)))
    return Storm(functools.partial(open_wrap, options=options))


@pytest.fixture
async def fresh(
    scratch: Scratch, settings: Settings, folder: Path, storm: Storm
) -> AsyncIterator[Process]:
    """Another process, which holds no keys yet."""
    async with process(scratch, settings, folder, opener=storm) as opened:
        yield opened


async def test_a_damaged_record_is_quarantined_and_stays_as_it_is(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 30)
    hurt = next(iter(written))
    await here.damage(tenant, hurt)
    row = "SELECT fields, data_key_id FROM protected_record WHERE tenant_id = $1 AND record_id = $2"
    before = await here.ask(row, tenant, hurt)
    finished = await here.done(tenant, KeyJobKind.REENCRYPT)
    assert (finished.done, finished.quarantined) == (29, 1)
    assert await here.ask(row, tenant, hurt) == before
    listed = await store.quarantine_page(
        here.database, tenant, finished.job_id, first=10, after=None
    )
    assert [(entry.record_id, entry.code) for entry in listed] == [(hurt, "INTEGRITY")]
    rest = [record_id for record_id in written if record_id != hurt]
    assert await here.read(tenant, rest) == {key: written[key] for key in rest}
    await here.exact(tenant)


async def test_what_is_quarantined_keeps_its_key(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 2)
    await here.damage(tenant, next(iter(written)))
    await here.done(tenant, KeyJobKind.REENCRYPT)
    assert await here.data_keys(tenant) == [(1, "DECRYPT_ONLY", 1), (2, "ACTIVE", 1)]
    await here.done(tenant, KeyJobKind.ROTATE)
    assert (await here.data_keys(tenant))[0] == (1, "DECRYPT_ONLY", 2)


async def test_a_record_that_was_repaired_is_moved_by_the_next_job(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 2)
    hurt = next(iter(written))
    await here.damage(tenant, hurt)
    await here.done(tenant, KeyJobKind.REENCRYPT)
    await here.damage(tenant, hurt)
    again = await here.done(tenant, KeyJobKind.REENCRYPT)
    assert (again.done, again.quarantined) == (2, 0)
    assert await here.read(tenant, list(written)) == written
    states = [state for _, state, _ in await here.data_keys(tenant)]
    assert states == ["RETIRED", "RETIRED", "ACTIVE"]


async def test_a_record_swapped_with_another_is_quarantined(here: Process) -> None:
    tenant = await here.make_tenant()
    first, second = await here.fill(tenant, 2)
    await here.ask(
        "UPDATE protected_record SET fields = (SELECT fields FROM protected_record"
        "  WHERE tenant_id = $1 AND record_id = $2) WHERE tenant_id = $1 AND record_id = $3",
        tenant,
        first,
        second,
    )
    finished = await here.done(tenant, KeyJobKind.REENCRYPT)
    assert (finished.done, finished.quarantined) == (1, 1)


async def test_a_missing_key_blocks_the_job_and_accuses_no_record(
    here: Process, fresh: Process
) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 3)
    path = here.settings.data_path / "local-keys" / tenant / KEY.partition(":")[2]
    content = json.loads(path.read_text())
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    await here.slice(job)
    path.write_text(json.dumps({**content, "versions": [{**content["versions"][0], "number": 2}]}))
    blocked = await fresh.finish(job)
    assert (blocked.state, blocked.blocked_code) == (KeyJobState.BLOCKED, "KEY_NOT_FOUND")
    assert (blocked.done, blocked.quarantined) == (0, 0)
    path.write_text(json.dumps(content))
    fresh.keys.keyring.admit(tenant)
    finished = await fresh.finish(job)
    assert (finished.state, finished.done) == (KeyJobState.DONE, 3)
    assert await fresh.read(tenant, list(written)) == written


async def test_a_damaged_wrap_blocks_the_job_and_accuses_no_record(
    here: Process, fresh: Process
) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 3)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    await here.slice(job)
    await here.ask(
        "UPDATE data_key SET wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1)"
        " WHERE tenant_id = $1 AND generation = 1",
        tenant,
    )
    blocked = await fresh.finish(job)
    assert (blocked.state, blocked.blocked_code) == (KeyJobState.BLOCKED, "INTEGRITY")
    assert blocked.quarantined == 0


@pytest.mark.parametrize("kind", list(KeyJobKind))
async def test_a_revocation_blocks_a_job_which_then_goes_on(
    here: Process, fresh: Process, kind: KeyJobKind
) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 5)
    job = await here.plan(tenant, kind)
    here.turn_key(tenant, "DISABLED")
    blocked = await fresh.finish(job)
    assert (blocked.state, blocked.blocked_code) == (KeyJobState.BLOCKED, "KEY_DISABLED")
    assert (await here.delays(job))[-1] == 7.0
    here.turn_key(tenant, "ENABLED")
    assert (await fresh.finish(job)).state is KeyJobState.DONE
    assert await fresh.read(tenant, list(written)) == written
    told = await here.told(tenant)
    assert (told.count("key.job.blocked"), told.count("key.job.continued")) == (1, 1)


async def test_a_revocation_in_mid_job_blocks_it_where_it_is(here: Process, fresh: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 50)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT, throttle_per_second=10)
    for _ in range(3):
        await here.slice(job)
    here.turn_key(tenant, "DISABLED")
    blocked = await fresh.finish(job)
    assert (blocked.blocked_code, blocked.done) == ("KEY_DISABLED", 20)
    again = await fresh.slice(job)
    assert again.epoch == blocked.epoch + 1
    here.turn_key(tenant, "ENABLED")
    fresh.keys.keyring.admit(tenant)
    finished = await fresh.finish(job)
    assert (finished.state, finished.done, finished.blocked_code) == (KeyJobState.DONE, 50, None)
    assert await fresh.read(tenant, list(written)) == written
    assert (await here.told(tenant)).count("key.job.blocked") == 1


async def test_a_suspension_blocks_a_job_at_once(here: Process) -> None:
    tenant = await here.make_tenant()
    await here.fill(tenant, 30)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT, throttle_per_second=10)
    for _ in range(2):
        await here.slice(job)
    await here.keys.custody.suspend(tenant, "an incident", by="test")
    blocked = await here.slice(job)
    assert (blocked.blocked_code, blocked.done) == ("KEY_DISABLED", 10)
    await here.keys.custody.resume(tenant, "it is over", by="test")
    assert (await here.finish(job)).done == 30


async def test_a_throttling_storm_is_sat_out(fresh: Process, storm: Storm) -> None:
    tenant = await fresh.make_tenant()
    written = await fresh.fill(tenant, 5)
    job = await fresh.plan(tenant, KeyJobKind.ROTATE)
    storm.left = 6
    throttled = 0
    while not (await fresh.job(job)).state.final:
        standing = await fresh.slice(job)
        throttled += standing.blocked_code == "THROTTLED"
    assert throttled == 6
    assert (await fresh.job(job)).state is KeyJobState.DONE
    assert (await fresh.delays(job)).count(3.0) == 6
    assert await fresh.read(tenant, list(written)) == written


async def test_a_record_damaged_after_it_was_moved_keeps_the_old_key(here: Process) -> None:
    tenant = await here.make_tenant()
    written = await here.fill(tenant, 5)
    job = await here.plan(tenant, KeyJobKind.REENCRYPT)
    while (await here.job(job)).state is not KeyJobState.VERIFYING:
        await here.slice(job)
    await here.damage(tenant, next(iter(written)))
    blocked = await here.finish(job)
    assert (blocked.state, blocked.blocked_code) == (KeyJobState.BLOCKED, "INTEGRITY")
    assert [state for _, state, _ in await here.data_keys(tenant)] == ["DECRYPT_ONLY", "ACTIVE"]
