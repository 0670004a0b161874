"""Keys in OpenBao, against a real server behind a proxy: the contract, and the server's traps."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from subgraph.kms.contract import KeyProvider, Wrap
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.openbao import OpenBaoWrap
from subgraph.kms.options import KmsOptions
from tests.unit.kms.bao import Bao
from tests.unit.kms.tcp_proxy import TcpProxy
from tests.unit.kms.wrap_conformance import CONTEXT, KEY, KeyRig, WrapConformance, fault

pytestmark = pytest.mark.xdist_group("openbao")


class OpenBaoRig(KeyRig):
    """A fresh transit engine with two keys, a token for it, and a proxy on the way."""

    provider = KeyProvider.OPENBAO
    cannot: ClassVar = {
        "schedule_deletion": "a key that is softly deleted stays until somebody deletes it",
    }

    def __init__(self, server: Bao, folder: Path) -> None:
        self.server = server
        self.mount = "transit-" + secrets.token_hex(4)
        self.policy = "policy-" + self.mount
        self.proxy = TcpProxy(server.port)
        self.token_file = folder / "token"
        self.opened: list[Wrap] = []
        self.options = KmsOptions(production=True, seconds=2.0, concurrency=8, local_keys=folder)

    async def start(self) -> None:
        await self.proxy.start()
        await self.server.do("POST", f"sys/mounts/{self.mount}", type="transit")
        await self.server.do("POST", f"{self.mount}/keys/main")
        await self.server.do("POST", f"{self.mount}/keys/other")
        await self.allow()
        token = await self.server.token(self.policy)
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(token + "\n")
        self.credentials = (token,)
        self.options = replace(
            self.options,
            openbao_url=f"http://127.0.0.1:{self.proxy.port}",
            openbao_token_file=self.token_file,
        )

    async def stop(self) -> None:
        for wrapper in self.opened:
            await wrapper.close()
        await self.proxy.stop()
        await self.server.do("DELETE", f"sys/quotas/rate-limit/{self.mount}")
        await self.server.do("DELETE", f"sys/mounts/{self.mount}")

    async def open(self) -> Wrap:
        return await self.open_key("main")

    async def open_other(self) -> Wrap:
        return await self.open_key("other")

    async def open_key(self, name: str) -> Wrap:
        wrapper = await OpenBaoWrap.open(f"openbao:{self.mount}/{name}", self.options)
        self.opened.append(wrapper)
        return wrapper

    async def disable(self) -> None:
        await self.server.do("DELETE", f"{self.mount}/keys/main/soft-delete")

    async def enable(self) -> None:
        await self.server.do("POST", f"{self.mount}/keys/main/soft-delete-restore")

    async def delete(self) -> None:
        await self.server.do("POST", f"{self.mount}/keys/main/config", deletion_allowed=True)
        await self.server.do("DELETE", f"{self.mount}/keys/main")

    async def deny(self) -> None:
        await self.server.allow(self.policy, "nothing/*")

    async def allow(self) -> None:
        await self.server.allow(self.policy, f"{self.mount}/*")

    async def throttle(self) -> None:
        await self.server.do(
            "POST", f"sys/quotas/rate-limit/{self.mount}",
            path=f"{self.mount}/", rate=0.001, interval="100s",
        )  # fmt: skip
        # The quota lets one call through.
        await self.server.do("GET", f"{self.mount}/keys/other")

    async def hang(self) -> None:
        self.proxy.hang()

    async def outage(self) -> None:
        await self.proxy.stop()

    async def restore(self) -> None:
        await self.proxy.restore()
        await self.server.do("DELETE", f"sys/quotas/rate-limit/{self.mount}")


@pytest.fixture
async def rig(bao: Bao, tmp_path: Path) -> AsyncIterator[OpenBaoRig]:
    rig = OpenBaoRig(bao, tmp_path)
    await rig.start()
    yield rig
    await rig.stop()


class TestContract(WrapConformance):
    """With the module's `rig`."""


async def refusal(options: KmsOptions, uri: str = "openbao:transit/k") -> KeyProviderError:
    with pytest.raises(KeyProviderError) as caught:
        await OpenBaoWrap.open(uri, options)
    return caught.value


@pytest.mark.parametrize(
    "uri",
    [
        "openbao:", "openbao:main", "openbao:/main", "openbao:transit/", "openbao:../sys/main",
        "openbao:transit/../../sys/seal", "openbao:transit/main?x=1", "openbao:transit/a#b",
        "openbao:transit/%2e%2e", "openbao://evil.example/transit/main", "transit/main",
        "openbao:a/b/c/d/e/f/g",
    ],
)  # fmt: skip
async def test_an_address_that_leads_elsewhere_is_refused(rig: OpenBaoRig, uri: str) -> None:
    assert (await refusal(rig.options, uri)).fault is KeyFault.CONFIG


@pytest.mark.parametrize(
    "url", [None, "http://bao.example", "bao.example", "ftp://127.0.0.1", "http://"]
)
async def test_a_server_that_others_could_overhear_is_refused(
    rig: OpenBaoRig, url: str | None
) -> None:
    assert (await refusal(replace(rig.options, openbao_url=url))).fault is KeyFault.CONFIG


async def test_an_old_version_that_is_disallowed_is_disabled(rig: OpenBaoRig) -> None:
    wrapper = await rig.open()
    old = await wrapper.wrap(KEY, CONTEXT)
    await wrapper.rotate()
    new = await wrapper.wrap(KEY, CONTEXT)
    await rig.server.do("POST", f"{rig.mount}/keys/main/config", min_decryption_version=2)
    assert await fault(rig, wrapper.unwrap(old, CONTEXT)) is KeyFault.KEY_DISABLED
    assert await wrapper.unwrap(new, CONTEXT) == KEY


async def test_wrapping_never_makes_a_key(rig: OpenBaoRig) -> None:
    wrapper = await rig.open_key("none")
    assert await fault(rig, wrapper.wrap(KEY, CONTEXT)) is KeyFault.KEY_NOT_FOUND
    names = await rig.server.do("LIST", f"{rig.mount}/keys")
    assert names["data"]["keys"] == ["main", "other"]


async def test_an_engine_that_is_not_there_is_not_found(rig: OpenBaoRig) -> None:
    await rig.server.allow(rig.policy, "none/*")
    rig.mount, mount = "none", rig.mount
    assert await fault(rig, (await rig.open()).describe()) is KeyFault.KEY_NOT_FOUND
    rig.mount = mount


@pytest.mark.parametrize("spelling", ["vault:v0:", "vault:v01:", "vault:v2:"])
async def test_another_spelling_of_the_version_is_refused(rig: OpenBaoRig, spelling: str) -> None:
    wrapper = await rig.open()
    wrapped = await wrapper.wrap(KEY, CONTEXT)
    assert wrapped.ciphertext.startswith(b"vault:v1:")
    renamed = spelling.encode() + wrapped.ciphertext.removeprefix(b"vault:v1:")
    changed = replace(wrapped, ciphertext=renamed)
    assert await fault(rig, wrapper.unwrap(changed, CONTEXT)) is KeyFault.INTEGRITY


@pytest.mark.parametrize(
    "key",
    [{"type": "ecdsa-p256"}, {"type": "aes128-gcm96"}, {"derived": True}, {"type": "rsa-2048"}],
    ids=["signing", "short", "derived", "RSA"],
)
async def test_a_key_of_another_kind_is_refused(rig: OpenBaoRig, key: dict[str, object]) -> None:
    await rig.server.do("POST", f"{rig.mount}/keys/kind", **key)
    wrapper = await rig.open_key("kind")
    assert await fault(rig, wrapper.wrap(KEY, CONTEXT)) is KeyFault.CONFIG


async def test_a_key_that_may_leave_says_so(rig: OpenBaoRig) -> None:
    await rig.server.do("POST", f"{rig.mount}/keys/leaky", exportable=True)
    wrapper = await rig.open_key("leaky")
    assert (await wrapper.describe()).protection_level == "SOFTWARE_EXPORTABLE"


async def test_a_new_token_is_noticed(rig: OpenBaoRig) -> None:
    wrapper = await rig.open()
    wrapped = await wrapper.wrap(KEY, CONTEXT)
    await rig.server.do("POST", "auth/token/revoke", token=rig.credentials[0])
    assert await fault(rig, wrapper.unwrap(wrapped, CONTEXT)) is KeyFault.ACCESS_DENIED
    fresh = rig.token_file.with_name("fresh")
    fresh.touch(mode=0o600)
    fresh.write_text(await rig.server.token(rig.policy))
    fresh.replace(rig.token_file)
    assert await wrapper.unwrap(wrapped, CONTEXT) == KEY


@pytest.mark.parametrize("content", ["", "two words", "s.tök\u00e9n", "a\nb", "x" * 70_000])
async def test_a_file_without_a_token_is_refused(rig: OpenBaoRig, content: str) -> None:
    rig.token_file.write_text(content)
    assert await fault(rig, (await rig.open()).describe()) is KeyFault.CONFIG


async def test_a_missing_token_says_nothing_of_the_key(rig: OpenBaoRig) -> None:
    rig.token_file.unlink()
    assert await fault(rig, (await rig.open()).describe()) is KeyFault.CONFIG


async def test_a_token_that_others_can_read_is_refused(rig: OpenBaoRig) -> None:
    rig.token_file.chmod(0o644)
    assert await fault(rig, (await rig.open()).describe()) is KeyFault.CONFIG


async def test_the_address_may_have_a_path(rig: OpenBaoRig) -> None:
    rig.options = replace(rig.options, openbao_url=f"{rig.options.openbao_url}/")
    wrapper = await rig.open()
    assert await wrapper.unwrap(await wrapper.wrap(KEY, CONTEXT), CONTEXT) == KEY
