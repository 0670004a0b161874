"""The root and the witness sign with keys of a provider that the settings name."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from subgraph.ledger.note import open_note
from subgraph.ledger.publickey import PublicKey
from subgraph.ledger.runtime import open_root
from subgraph.settings import Settings
from tests.unit.kms.bao import Bao, bao
from tests.unit.kms.gcp_server import SIGNING_KEY, gcp_server
from tests.unit.ledger.witness.logs import Log, WitnessProcess

__all__ = ["bao"]


@pytest.fixture
async def token_file(bao: Bao, tmp_path: Path) -> AsyncIterator[Path]:
    """The token for a transit engine of the same name as its file, which has a key `own`."""
    mount = "transit-" + secrets.token_hex(4)
    await bao.do("POST", f"sys/mounts/{mount}", type="transit")
    await bao.do("POST", f"{mount}/keys/own", type="ecdsa-p256")
    await bao.allow(f"policy-{mount}", f"{mount}/*")
    file = tmp_path / mount
    file.touch(mode=0o600)
    file.write_text(await bao.token(f"policy-{mount}"))
    yield file
    await bao.do("DELETE", f"sys/mounts/{mount}")


async def test_the_root_may_be_a_key_of_openbao(
    bao: Bao, token_file: Path, settings: Settings
) -> None:
    root = await open_root(
        msgspec.structs.replace(
            settings,
            ledger_root_key=f"openbao:{token_file.name}/own",
            openbao_url=f"http://127.0.0.1:{bao.port}",
            openbao_token_file=str(token_file),
        )
    )
    PublicKey.from_pem(root.public_key_pem).verify(b"text", await root.sign(b"text"))
    await root.close()


async def test_the_root_may_be_a_key_of_google(settings: Settings) -> None:
    async with gcp_server() as server:
        root = await open_root(
            msgspec.structs.replace(
                settings,
                ledger_root_key=f"gcp:{SIGNING_KEY}/cryptoKeyVersions/1",
                gcp_kms_endpoint=server.endpoint,
            )
        )
        PublicKey.from_pem(root.public_key_pem).verify(b"text", await root.sign(b"text"))
        await root.close()


async def test_the_witness_may_cosign_with_a_key_of_openbao(
    bao: Bao, token_file: Path, tmp_path: Path
) -> None:
    log = Log.of(3)
    witness = WitnessProcess(
        tmp_path,
        [log],
        key=f"openbao:{token_file.name}/own",
        environment={
            "IG_OPENBAO_URL": f"http://127.0.0.1:{bao.port}",
            "IG_OPENBAO_TOKEN_FILE": str(token_file),
        },
    )
    await witness.start()
    lines = await witness.cosigned(log, 3)
    witness.stop()
    assert open_note(log.note(3) + lines, witness.verifiers).signed_by == witness.verifiers


async def test_the_witness_says_that_it_reaches_no_openbao(tmp_path: Path) -> None:
    witness = await WitnessProcess(tmp_path, [Log.of(1)], key="openbao:transit/own").start()
    assert "reaches no OpenBao" in witness.refusal()
