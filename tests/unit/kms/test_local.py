"""Local keys: the contract, the file, and processes that race."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from subgraph.kms.contract import KeyProvider, Wrap
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.local import LocalWrap
from subgraph.kms.options import KmsOptions
from tests.unit.kms.wrap_conformance import CONTEXT, KEY, KeyRig, WrapConformance, fault


class LocalRig(KeyRig):
    provider = KeyProvider.LOCAL
    cannot: ClassVar = {
        "deny": "whoever may read the file may use the key",
        "throttle": "a file does not count its readers",
        "hang": "a file of this machine answers or fails",
        "outage": "a file of this machine is there or is not",
    }

    def __init__(self, folder: Path) -> None:
        self.options = KmsOptions(
            production=False, seconds=5.0, concurrency=4, local_keys=folder / "keys"
        )
        self.path = folder / "keys" / "acme" / "main"

    async def open(self) -> Wrap:
        create = not self.path.exists()
        return await LocalWrap.open("local:main", "acme", self.options, create=create)

    async def open_other(self) -> Wrap:
        return await LocalWrap.open("local:other", "acme", self.options, create=True)

    async def disable(self) -> None:
        self.edit(lambda file: file.update(state="DISABLED"))

    async def enable(self) -> None:
        self.edit(lambda file: file.update(state="ENABLED"))

    async def schedule_deletion(self) -> None:
        self.edit(lambda file: file.update(state="PENDING_DELETION"))

    async def delete(self) -> None:
        self.path.unlink()

    def edit(self, change: Callable[[dict[str, object]], object]) -> None:
        file = json.loads(self.path.read_bytes())
        change(file)
        self.path.write_text(json.dumps(file))


@pytest.fixture
def rig(tmp_path: Path) -> LocalRig:
    return LocalRig(tmp_path)


class TestContract(WrapConformance):
    """With the module's `rig`."""


async def refusal(options: KmsOptions, uri: str, tenant: str = "acme") -> KeyProviderError:
    with pytest.raises(KeyProviderError) as caught:
        await LocalWrap.open(uri, tenant, options, create=True)
    return caught.value


async def test_production_mode_refuses_it(rig: LocalRig) -> None:
    error = await refusal(replace(rig.options, production=True), "local:main")
    assert error.fault is KeyFault.CONFIG and not rig.options.local_keys.exists()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc/x", "a\0b", ".key", "a b", "é", "a" * 101, "a\n"]
)
async def test_a_name_that_leads_elsewhere_is_refused(rig: LocalRig, name: str) -> None:
    for uri, tenant in ((f"local:{name}", "acme"), ("local:main", name)):
        assert (await refusal(rig.options, uri, tenant)).fault is KeyFault.CONFIG
    assert not rig.options.local_keys.exists()


async def test_a_key_is_made_for_its_owner_only(rig: LocalRig) -> None:
    await rig.open()
    assert rig.path.stat().st_mode & 0o777 == 0o600
    assert rig.path.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in rig.path.parent.iterdir()] == ["main"]


async def test_a_missing_key_is_not_made_unless_asked_for(rig: LocalRig) -> None:
    wrapper = await LocalWrap.open("local:main", "acme", rig.options, create=False)
    assert await fault(rig, wrapper.wrap(KEY, CONTEXT)) is KeyFault.KEY_NOT_FOUND
    assert await fault(rig, wrapper.rotate()) is KeyFault.KEY_NOT_FOUND
    assert not rig.options.local_keys.exists()


async def test_opening_again_keeps_the_key(rig: LocalRig) -> None:
    wrapped = await (await rig.open()).wrap(KEY, CONTEXT)
    again = await LocalWrap.open("local:main", "acme", rig.options, create=True)
    assert await again.unwrap(wrapped, CONTEXT) == KEY


async def test_tenants_with_keys_of_one_name_have_two_keys(rig: LocalRig) -> None:
    wrapped = await (await rig.open()).wrap(KEY, CONTEXT)
    other = await LocalWrap.open("local:main", "globex", rig.options, create=True)
    assert await fault(rig, other.unwrap(wrapped, CONTEXT)) is KeyFault.INTEGRITY


async def test_a_file_that_others_can_open_is_refused(rig: LocalRig) -> None:
    wrapper = await rig.open()
    rig.path.chmod(0o640)
    assert await fault(rig, wrapper.wrap(KEY, CONTEXT)) is KeyFault.CONFIG


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.update(state="enabled"),
        lambda file: file.update(versions=[]),
        lambda file: file.update(more=1),
        lambda file: file["versions"][0].update(key="AAAA"),
        lambda file: file["versions"][0].update(key="no base64"),
        lambda file: file.update(versions=file["versions"] * 2),
    ],
    ids=["state", "no version", "unknown field", "short key", "no base64", "twice"],
)
async def test_a_damaged_file_is_refused(
    rig: LocalRig, change: Callable[[dict[str, object]], object]
) -> None:
    wrapper = await rig.open()
    rig.edit(change)
    assert await fault(rig, wrapper.wrap(KEY, CONTEXT)) is KeyFault.CONFIG


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"state": "ENABLED"'])
async def test_noise_is_refused(rig: LocalRig, content: bytes) -> None:
    wrapper = await rig.open()
    rig.path.write_bytes(content)
    assert await fault(rig, wrapper.wrap(KEY, CONTEXT)) is KeyFault.CONFIG


async def test_a_disabled_key_is_not_rotated(rig: LocalRig) -> None:
    wrapper = await rig.open()
    await rig.disable()
    assert await fault(rig, wrapper.rotate()) is KeyFault.KEY_DISABLED
    assert len(json.loads(rig.path.read_bytes())["versions"]) == 1


async def test_a_version_that_is_gone_is_not_found(rig: LocalRig) -> None:
    wrapper = await rig.open()
    old = await wrapper.wrap(KEY, CONTEXT)
    await wrapper.rotate()
    rig.edit(lambda file: file["versions"].pop(0))  # type: ignore[attr-defined]
    assert await fault(rig, wrapper.unwrap(old, CONTEXT)) is KeyFault.KEY_NOT_FOUND


ROTATE = """
import asyncio, sys
from pathlib import Path
from subgraph.kms.local import LocalWrap
from subgraph.kms.options import KmsOptions
async def main():
    options = KmsOptions(False, 60.0, 4, Path(sys.argv[1]))
    wrapper = await LocalWrap.open("local:main", "acme", options, create=True)
    for _ in range(20):
        await wrapper.rotate()
asyncio.run(main())
"""


async def test_processes_that_rotate_at_once_lose_no_version(rig: LocalRig) -> None:
    wrapped = await (await rig.open()).wrap(KEY, CONTEXT)
    command = [sys.executable, "-c", ROTATE, str(rig.options.local_keys)]
    racing = [asyncio.to_thread(subprocess.run, command, check=True, stderr=-3) for _ in range(3)]
    await asyncio.gather(*racing)
    versions = json.loads(rig.path.read_bytes())["versions"]
    assert [version["number"] for version in versions] == list(range(1, 62))
    assert await (await rig.open()).unwrap(wrapped, CONTEXT) == KEY


async def test_it_warns_each_time_that_it_is_a_software_key(
    rig: LocalRig, caplog: pytest.LogCaptureFixture
) -> None:
    await rig.open()
    await rig.open()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert caplog.text.count("SOFTWARE KEY") == 2
