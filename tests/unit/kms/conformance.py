"""What every signer has to do, whoever holds its key; see `subgraph.kms.contract.Sign`."""

import asyncio
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.contract import Sign


def public_key(signer: Sign) -> ec.EllipticCurvePublicKey:
    key = load_pem_public_key(signer.public_key_pem.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def verify(signer: Sign, signature: bytes, message: bytes) -> None:
    """Raises InvalidSignature unless the signature holds."""
    public_key(signer).verify(signature, message, ec.ECDSA(hashes.SHA256()))


async def refusal(signer: Sign) -> SubgraphError:
    """The error that signing raises."""
    with pytest.raises(SubgraphError) as caught:
        await signer.sign(b"message")
    return caught.value


class SignConformance:
    """Subclasses offer the fixture `signer`, an open one."""

    async def test_the_signature_holds(self, signer: Sign) -> None:
        verify(signer, await signer.sign(b"message"), b"message")

    async def test_openssl_accepts_the_signature(self, signer: Sign, tmp_path: Path) -> None:
        for name, content in {
            "message": b"message",
            "signature": await signer.sign(b"message"),
            "cosign.pub": signer.public_key_pem.encode(),
        }.items():
            (tmp_path / name).write_bytes(content)
        command = ["openssl", "dgst", "-sha256", "-verify", "cosign.pub", "-signature", "signature"]
        checked = await asyncio.create_subprocess_exec(
            *command, "message", cwd=tmp_path, stdout=subprocess.PIPE
        )
        said, _ = await checked.communicate()
        assert (checked.returncode, said) == (0, b"Verified OK\n")

    async def test_the_signature_is_of_this_message_only(self, signer: Sign) -> None:
        signature = await signer.sign(b"message")
        with pytest.raises(InvalidSignature):
            verify(signer, signature, b"messagf")

    async def test_the_signature_is_strict_der(self, signer: Sign) -> None:
        for number in range(20):
            signature = await signer.sign(b"%d" % number)
            assert encode_dss_signature(*decode_dss_signature(signature)) == signature

    @pytest.mark.parametrize("size", [0, 1, 32, 1_000_000])
    async def test_messages_of_any_size_are_hashed_by_the_signer(
        self, signer: Sign, size: int
    ) -> None:
        verify(signer, await signer.sign(b"m" * size), b"m" * size)

    async def test_the_key_is_p256_and_named_by_its_digest(self, signer: Sign) -> None:
        key = public_key(signer)
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert (key.curve.name, signer.key_id) == ("secp256r1", hashlib.sha256(der).hexdigest())

    async def test_many_tasks_sign_at_once(self, signer: Sign) -> None:
        messages = [b"%d" % number for number in range(200)]
        signatures = await asyncio.gather(*map(signer.sign, messages))
        for message, signature in zip(messages, signatures, strict=True):
            verify(signer, signature, message)

    async def test_cancelled_callers_leave_the_others_alone(self, signer: Sign) -> None:
        tasks = [asyncio.create_task(signer.sign(b"%d" % number)) for number in range(40)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for number in range(1, 40, 2):
            verify(signer, tasks[number].result(), b"%d" % number)
        verify(signer, await signer.sign(b"afterwards"), b"afterwards")

    async def test_a_closed_signer_refuses(self, signer: Sign) -> None:
        await signer.close()
        await signer.close()
        assert (await refusal(signer)).code is ErrorCode.KEY_CLOSED
