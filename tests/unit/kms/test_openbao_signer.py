"""A signing key in OpenBao, against a real server: the contract, other keys, and faults."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.contract import Sign
from subgraph.kms.options import KmsOptions
from subgraph.kms.signers import open_signer
from tests.unit.kms.bao import Bao
from tests.unit.kms.conformance import SignConformance, refusal, verify
from tests.unit.kms.tcp_proxy import TcpProxy

pytestmark = pytest.mark.xdist_group("openbao")


@dataclass
class Engine:
    """A transit engine of one test, behind a proxy, and the deployment's options for it."""

    server: Bao
    mount: str
    proxy: TcpProxy
    options: KmsOptions
    opened: list[Sign]

    @property
    def policy(self) -> str:
        return f"policy-{self.mount}"

    async def open(self, name: str = "root", seconds: float = 30.0) -> Sign:
        signer = await open_signer(
            f"openbao:{self.mount}/{name}", options=self.options, deadline_seconds=seconds
        )
        self.opened.append(signer)
        return signer


@pytest.fixture
async def engine(bao: Bao, tmp_path: Path) -> AsyncIterator[Engine]:
    mount, proxy = "transit-" + secrets.token_hex(4), TcpProxy(bao.port)
    await proxy.start()
    await bao.do("POST", f"sys/mounts/{mount}", type="transit")
    await bao.do("POST", f"{mount}/keys/root", type="ecdsa-p256")
    await bao.allow(f"policy-{mount}", f"{mount}/*")
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(await bao.token(f"policy-{mount}"))
    options = KmsOptions(
        production=True,
        seconds=30.0,
        concurrency=8,
        local_keys=tmp_path,
        openbao_url=f"http://127.0.0.1:{proxy.port}",
        openbao_token_file=token,
    )
    engine = Engine(bao, mount, proxy, options, [])
    yield engine
    for signer in engine.opened:
        await signer.close()
    await proxy.stop()
    await bao.do("DELETE", f"sys/mounts/{mount}")


@pytest.fixture
async def signer(engine: Engine) -> Sign:
    return await engine.open()


class TestContract(SignConformance):
    """With the module's `signer`."""


async def opening(engine: Engine, name: str) -> SubgraphError:
    with pytest.raises(SubgraphError) as caught:
        await engine.open(name)
    return caught.value


async def test_it_is_not_local(signer: Sign) -> None:
    assert not signer.local


@pytest.mark.parametrize("kind", ["aes256-gcm96", "ecdsa-p384", "ed25519", "rsa-2048"])
async def test_a_key_of_another_kind_is_refused(engine: Engine, kind: str) -> None:
    await engine.server.do("POST", f"{engine.mount}/keys/other", type=kind)
    assert (await opening(engine, "other")).code is ErrorCode.KEY_UNUSABLE


async def test_a_key_that_is_not_there_is_not_found(engine: Engine) -> None:
    assert (await opening(engine, "none")).code is ErrorCode.KEY_NOT_FOUND


@pytest.mark.parametrize("name", ["../sys", "", "a b"])
async def test_an_address_that_leads_elsewhere_is_refused(engine: Engine, name: str) -> None:
    assert (await opening(engine, name)).code is ErrorCode.SETTINGS_INVALID


async def test_without_options_there_is_no_server(engine: Engine) -> None:
    with pytest.raises(SubgraphError) as caught:
        await open_signer(f"openbao:{engine.mount}/root")
    assert caught.value.code is ErrorCode.SETTINGS_INVALID


async def test_a_rotation_changes_nothing_under_an_open_signer(engine: Engine) -> None:
    signer = await engine.open()
    await engine.server.do("POST", f"{engine.mount}/keys/root/rotate")
    verify(signer, await signer.sign(b"message"), b"message")
    assert (await engine.open()).key_id != signer.key_id


async def test_another_key_under_the_same_name_is_refused_for_good(engine: Engine) -> None:
    signer = await engine.open()
    await engine.server.do("POST", f"{engine.mount}/keys/root/config", deletion_allowed=True)
    await engine.server.do("DELETE", f"{engine.mount}/keys/root")
    assert (await refusal(signer)).code is ErrorCode.KEY_NOT_FOUND
    await engine.server.do("POST", f"{engine.mount}/keys/root", type="ecdsa-p256")
    for _ in range(2):
        error = await refusal(signer)
        assert error.code is ErrorCode.KEY_UNUSABLE and "public key refuses" in error.message


async def test_a_disabled_key_signs_again_once_it_is_enabled(engine: Engine) -> None:
    signer = await engine.open()
    await engine.server.do("DELETE", f"{engine.mount}/keys/root/soft-delete")
    assert (await refusal(signer)).code is ErrorCode.KEY_UNUSABLE
    await engine.server.do("POST", f"{engine.mount}/keys/root/soft-delete-restore")
    verify(signer, await signer.sign(b"message"), b"message")


async def test_refused_credentials_are_not_presented_again(engine: Engine) -> None:
    signer = await engine.open()
    await engine.server.allow(engine.policy, "nothing/*")
    assert (await refusal(signer)).code is ErrorCode.KEY_ACCESS_DENIED
    await engine.server.allow(engine.policy, f"{engine.mount}/*")
    assert (await refusal(signer)).code is ErrorCode.KEY_ACCESS_DENIED


async def test_a_server_that_hangs_or_is_away_is_unavailable_for_a_while(engine: Engine) -> None:
    signer = await engine.open(seconds=1.0)
    engine.proxy.hang()
    assert (await refusal(signer)).code is ErrorCode.KEY_UNAVAILABLE
    await engine.proxy.stop()
    assert (await refusal(signer)).code is ErrorCode.KEY_UNAVAILABLE
    await engine.proxy.start()
    verify(signer, await signer.sign(b"message"), b"message")
