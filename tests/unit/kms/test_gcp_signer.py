"""Signing with Google Cloud KMS: the contract, checksums, and keys that are refused."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.contract import Sign
from subgraph.kms.options import KmsOptions
from subgraph.kms.signers import open_signer
from tests.unit.kms.conformance import SignConformance, refusal, verify
from tests.unit.kms.gcp_server import KEY, SIGNING_KEY, GcpServer, Refusal, gcp_server

NAME = SIGNING_KEY + "/cryptoKeyVersions/1"
Code = grpc.StatusCode


async def opened(server: GcpServer, name: str = NAME, seconds: float = 5.0) -> Sign:
    options = KmsOptions(
        production=False,
        seconds=1.0,
        concurrency=8,
        local_keys=Path("/nowhere"),
        gcp_endpoint=server.endpoint,
    )
    return await open_signer(f"gcp:{name}", deadline_seconds=seconds, options=options)


@pytest.fixture
async def server() -> AsyncIterator[GcpServer]:
    async with gcp_server() as running:
        yield running


@pytest.fixture
async def signer(server: GcpServer) -> AsyncIterator[Sign]:
    made = await opened(server)
    yield made
    await made.close()


class TestContract(SignConformance):
    """Google Cloud KMS keeps the contract of `Sign`."""


async def failure(server: GcpServer, name: str = NAME, seconds: float = 5.0) -> SubgraphError:
    with pytest.raises(SubgraphError) as caught:
        await opened(server, name, seconds)
    return caught.value


@pytest.mark.parametrize("name", ["", SIGNING_KEY, NAME + "/", NAME + "0x", KEY, NAME[:-1] + "0"])
async def test_only_a_version_is_a_signing_key(server: GcpServer, name: str) -> None:
    assert (await failure(server, name)).code is ErrorCode.SETTINGS_INVALID


@pytest.mark.parametrize("algorithm", ["EC_SIGN_P384_SHA384", "RSA_SIGN_PSS_2048_SHA256"])
async def test_a_key_of_another_algorithm_is_refused(server: GcpServer, algorithm: str) -> None:
    server.keys[SIGNING_KEY].algorithm = algorithm
    assert (await failure(server)).code is ErrorCode.KEY_UNUSABLE


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (Code.NOT_FOUND, ErrorCode.KEY_NOT_FOUND),
        (Code.PERMISSION_DENIED, ErrorCode.KEY_ACCESS_DENIED),
        (Code.RESOURCE_EXHAUSTED, ErrorCode.KEY_UNAVAILABLE),
        (Code.UNAVAILABLE, ErrorCode.KEY_UNAVAILABLE),
        (Code.INVALID_ARGUMENT, ErrorCode.KEY_UNUSABLE),
    ],
)
async def test_refusals_are_named_as_the_contract_names_them(
    server: GcpServer, signer: Sign, code: grpc.StatusCode, expected: ErrorCode
) -> None:
    server.refuse["AsymmetricSign"] = Refusal(code)
    assert (await refusal(signer)).code is expected
    server.refuse["GetPublicKey"] = Refusal(code)
    assert (await failure(server)).code is expected


async def test_a_disabled_version_may_not_sign(server: GcpServer, signer: Sign) -> None:
    server.keys[SIGNING_KEY].versions[0].state = "DISABLED"
    assert (await refusal(signer)).code is ErrorCode.KEY_UNUSABLE


async def test_credentials_that_are_refused_are_not_shown_again(
    server: GcpServer, signer: Sign
) -> None:
    server.refuse["AsymmetricSign"] = Refusal(Code.PERMISSION_DENIED)
    assert (await refusal(signer)).code is ErrorCode.KEY_ACCESS_DENIED
    before = len(server.requests)
    assert (await refusal(signer)).code is ErrorCode.KEY_ACCESS_DENIED
    assert len(server.requests) == before


async def test_the_deadline_holds(server: GcpServer) -> None:
    server.hang = {"AsymmetricSign"}
    assert (await failure(server, seconds=0.5)).code is ErrorCode.KEY_UNAVAILABLE


@pytest.mark.parametrize(
    ("method", "field", "value"),
    [
        ("AsymmetricSign", "signature", b"damaged"),
        ("AsymmetricSign", "verified_digest_crc32c", False),
        ("AsymmetricSign", "name", SIGNING_KEY + "/cryptoKeyVersions/2"),
        ("GetPublicKey", "pem", "damaged"),
        ("GetPublicKey", "name", SIGNING_KEY + "/cryptoKeyVersions/2"),
    ],
)
async def test_damage_and_mistaken_answers_are_noticed(
    server: GcpServer, method: str, field: str, value: object
) -> None:
    def change(answer: Any) -> None:
        setattr(answer, field, value)

    server.alter[method] = change
    assert (await failure(server)).code is ErrorCode.KEY_UNAVAILABLE
    assert server.calls(method) == (1 if field == "name" else 3)


async def test_damage_that_passes_is_repaired(server: GcpServer, signer: Sign) -> None:
    def once(answer: Any) -> None:
        del server.alter["AsymmetricSign"]
        answer.signature = b"damaged"

    server.alter["AsymmetricSign"] = once
    verify(signer, await signer.sign(b"message"), b"message")


async def test_a_signature_of_another_key_is_never_handed_out(
    server: GcpServer, signer: Sign
) -> None:
    version = server.keys[SIGNING_KEY].versions[0]
    version.signer = server.keys[SIGNING_KEY].add_version().signer
    assert (await refusal(signer)).code is ErrorCode.KEY_UNUSABLE
    before = len(server.requests)
    assert (await refusal(signer)).code is ErrorCode.KEY_UNUSABLE
    assert len(server.requests) == before
