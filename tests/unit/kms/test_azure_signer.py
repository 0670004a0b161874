"""Signing with Azure Key Vault: the contract, and keys and answers that are refused."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.azure_signer import AzureSigner
from subgraph.kms.contract import Sign
from subgraph.kms.options import KmsOptions
from subgraph.kms.signers import open_signer
from tests.unit.kms.azure_rig import Credential
from tests.unit.kms.azure_server import AzureServer, Refusal, azure_server
from tests.unit.kms.conformance import SignConformance, refusal, verify


def options(server: AzureServer, seconds: float = 5.0) -> KmsOptions:
    return KmsOptions(
        production=False,
        seconds=seconds,
        concurrency=8,
        local_keys=Path("/nowhere"),
        azure_hosts=(server.host,),
    )


def address(server: AzureServer) -> str:
    return f"{server.uri('ledger')}/{server.keys['ledger'].versions[0].name}"


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AzureServer]:
    async with azure_server(tmp_path) as running:
        running.add_key("ledger", kty="EC-HSM")
        monkeypatch.setenv("SSL_CERT_FILE", str(running.ca_file))
        yield running


@pytest.fixture
async def signer(server: AzureServer) -> AsyncIterator[Sign]:
    made = await AzureSigner.open(address(server), options(server), Credential())
    yield made
    await made.close()


class TestContract(SignConformance):
    """Azure Key Vault keeps the contract of `Sign`."""


async def failure(server: AzureServer, uri: str | None = None, seconds: float = 5.0) -> ErrorCode:
    with pytest.raises(SubgraphError) as caught:
        await AzureSigner.open(uri or address(server), options(server, seconds), Credential())
    return caught.value.code


async def test_it_is_opened_by_its_address_and_closes_what_it_made(
    server: AzureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = Credential()
    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", lambda: credential)
    made = await open_signer(f"azure:{address(server)}", options=options(server))
    verify(made, await made.sign(b"message"), b"message")
    assert not credential.closed
    await made.close()
    assert credential.closed


@pytest.mark.parametrize(
    "uri", ["https://evil.example/keys/ledger/" + "0" * 32, "ledger", "{uri}", "{uri}/latest"]
)
async def test_only_a_version_of_an_allowed_host_is_a_signing_key(
    server: AzureServer, uri: str
) -> None:
    uri = uri.format(uri=server.uri("ledger"))
    assert await failure(server, uri) is ErrorCode.SETTINGS_INVALID
    assert (server.requests, server.challenges) == ([], 0)


@pytest.mark.parametrize("kty", ["RSA", "oct-HSM"])
async def test_a_key_of_another_type_is_refused(server: AzureServer, kty: str) -> None:
    server.keys["ledger"].kty = kty
    assert await failure(server) is ErrorCode.KEY_UNUSABLE


REFUSALS = {
    (403, "Forbidden", "KeyDisabled"): ErrorCode.KEY_UNUSABLE,
    (403, "Forbidden", "ForbiddenByRbac"): ErrorCode.KEY_ACCESS_DENIED,
    (404, "KeyNotFound", None): ErrorCode.KEY_NOT_FOUND,
    (429, "Throttled", None): ErrorCode.KEY_UNAVAILABLE,
    (500, "InternalServerError", None): ErrorCode.KEY_UNAVAILABLE,
    (400, "BadParameter", None): ErrorCode.KEY_UNUSABLE,
}


@pytest.mark.parametrize("said", REFUSALS)
async def test_refusals_are_named_as_the_contract_names_them(
    server: AzureServer, signer: Sign, said: tuple[int, str, str | None]
) -> None:
    server.refuse["sign"] = Refusal(*said)
    assert (await refusal(signer)).code is REFUSALS[said]
    server.refuse["get"] = Refusal(*said)
    assert await failure(server) is REFUSALS[said]


async def test_every_signature_is_made_at_the_vault(server: AzureServer, signer: Sign) -> None:
    before = server.calls("sign")
    await signer.sign(b"message")
    assert server.calls("sign") == before + 1
    assert (
        server.requests[-1][1] == address(server).removeprefix(f"https://{server.host}") + "/sign"
    )


async def test_credentials_that_are_refused_are_not_shown_again(
    server: AzureServer, signer: Sign
) -> None:
    server.refuse["sign"] = Refusal(403, "Forbidden", "ForbiddenByPolicy")
    assert (await refusal(signer)).code is ErrorCode.KEY_ACCESS_DENIED
    before = len(server.requests)
    assert (await refusal(signer)).code is ErrorCode.KEY_ACCESS_DENIED
    assert len(server.requests) == before


async def test_the_deadline_holds(server: AzureServer) -> None:
    server.hang = {"sign"}
    assert await failure(server, seconds=0.5) is ErrorCode.KEY_UNAVAILABLE


@pytest.mark.parametrize("answer", [{"value": "AA"}, {"value": ""}, {"kid": "https://x/keys/y"}])
async def test_damaged_and_mistaken_answers_are_refused(
    server: AzureServer, signer: Sign, answer: dict[str, str]
) -> None:
    server.alter["sign"] = answer
    assert (await refusal(signer)).code is ErrorCode.KEY_UNAVAILABLE


async def test_a_signature_of_another_key_is_never_handed_out(
    server: AzureServer, signer: Sign
) -> None:
    key = server.keys["ledger"]
    key.versions[0].ec = key.add_version().ec
    assert (await refusal(signer)).code is ErrorCode.KEY_UNUSABLE
