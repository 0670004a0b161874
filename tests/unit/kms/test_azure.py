"""Azure Key Vault: the contract, that the vault does the work, and what its answers stand for."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity import CredentialUnavailableError
from cryptography.hazmat.primitives import keywrap
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from subgraph.kms.azure import AzureWrap
from subgraph.kms.contract import WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from tests.unit.kms.azure_rig import DENIED, OPERATIONS, AzureRig, Credential, HsmRig, options
from tests.unit.kms.azure_server import (
    CREATED,
    OAEP,
    TOKEN,
    AzureServer,
    Key,
    Refusal,
    azure_server,
    decoded,
)
from tests.unit.kms.wrap_conformance import CONTEXT, WrapConformance
from tests.unit.kms.wrap_conformance import KEY as DATA_KEY


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AzureServer]:
    async with azure_server(tmp_path) as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.ca_file))
        yield running


@pytest.fixture
async def rig(server: AzureServer, request: pytest.FixtureRequest) -> AsyncIterator[AzureRig]:
    kind: type[AzureRig] = getattr(request.cls, "kind", AzureRig)
    made = kind(server)
    yield made
    for wrapper in made.opened:
        await wrapper.close()


class TestContract(WrapConformance):
    """A key vault with an RSA key keeps the contract of `Wrap`."""


class TestHsmContract(WrapConformance):
    """A managed HSM with an AES key keeps the contract of `Wrap`."""

    kind = HsmRig


@pytest.fixture
async def wrapper(rig: AzureRig) -> AzureWrap:
    return await rig.open()


async def error(call: Any) -> KeyProviderError:
    with pytest.raises(KeyProviderError) as caught:
        await call
    return caught.value


async def test_a_key_with_a_version_is_not_one_to_wrap_with(server: AzureServer) -> None:
    uri = f"{server.uri()}/{server.keys['tenants'].versions[0].name}"
    assert (await error(AzureWrap.open(uri, options(server)))).fault is KeyFault.CONFIG


def opened_by_server(key: Key, ciphertext: bytes) -> bytes:
    version = key.versions[0]
    if key.kty == "oct-HSM":
        return keywrap.aes_key_unwrap(version.aes, ciphertext)
    return version.rsa.decrypt(ciphertext, OAEP)


@pytest.mark.parametrize("kty", ["RSA", "RSA-HSM", "oct-HSM"])
async def test_every_wrap_and_unwrap_is_the_vaults_work(
    server: AzureServer, rig: AzureRig, wrapper: AzureWrap, kty: str
) -> None:
    rig.key.kty = kty
    for number in range(1, 4):
        wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
        assert await wrapper.unwrap(wrapped, CONTEXT) == DATA_KEY
        assert (server.calls("wrapkey"), server.calls("unwrapkey")) == (number, number)
        assert opened_by_server(rig.key, wrapped.ciphertext)[:32] == DATA_KEY


async def test_a_disabled_rsa_key_cannot_wrap_though_azure_would(
    server: AzureServer, rig: AzureRig, wrapper: AzureWrap
) -> None:
    await wrapper.wrap(DATA_KEY, CONTEXT)
    await rig.disable()
    assert (await error(wrapper.wrap(DATA_KEY, CONTEXT))).fault is KeyFault.KEY_DISABLED
    assert (await error(wrapper.describe())).fault is KeyFault.KEY_DISABLED
    assert server.calls("wrapkey") == 1


async def test_the_exact_version_is_asked_to_unwrap(
    server: AzureServer, rig: AzureRig, wrapper: AzureWrap
) -> None:
    old = await wrapper.wrap(DATA_KEY, CONTEXT)
    await rig.rotate()
    await wrapper.unwrap(old, CONTEXT)
    _, path, body = server.requests[-1]
    assert path == f"/keys/tenants/{old.provider_version}/unwrapkey"
    assert json.loads(body)["alg"] == "RSA-OAEP-256"
    assert decoded(json.loads(body)["value"]) == old.ciphertext


@pytest.mark.parametrize("version", ["0" * 32, "", "latest", "../../deletedkeys/tenants", "A" * 32])
async def test_another_version_does_not_unwrap(
    server: AzureServer, wrapper: AzureWrap, version: str
) -> None:
    wrapped = replace(await wrapper.wrap(DATA_KEY, CONTEXT), provider_version=version)
    assert (await error(wrapper.unwrap(wrapped, CONTEXT))).fault is KeyFault.INTEGRITY
    assert all(path.startswith("/keys/tenants/") for _, path, _ in server.requests)


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "https://localhost/keys/tenants/" + "0" * 32,
        "{uri}",
        "{uri}/" + "0" * 32,
        "{other}/" + "0" * 32,
    ],
)
@pytest.mark.parametrize("operation", ["wrapkey", "unwrapkey"])
async def test_an_answer_for_another_key_is_refused(
    server: AzureServer, wrapper: AzureWrap, operation: str, kid: str
) -> None:
    wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
    kid = kid.format(uri=server.uri(), other=server.uri("others"))
    server.alter[operation] = {"kid": kid}
    call = wrapper.wrap(DATA_KEY, CONTEXT)
    if operation == "unwrapkey":
        call.close()
        failed = await error(wrapper.unwrap(wrapped, CONTEXT))
    else:
        failed = await error(call)
    assert failed.fault is KeyFault.UNAVAILABLE


REFUSALS: dict[tuple[int, str, str | None], tuple[KeyFault, KeyFault]] = {
    (400, "BadParameter", None): (KeyFault.CONFIG, KeyFault.INTEGRITY),
    (401, "Unauthorized", None): (KeyFault.ACCESS_DENIED, KeyFault.ACCESS_DENIED),
    (403, "Forbidden", "KeyDisabled"): (KeyFault.KEY_DISABLED, KeyFault.KEY_DISABLED),
    (403, "KeyDisabled", None): (KeyFault.KEY_DISABLED, KeyFault.KEY_DISABLED),
    (403, "Forbidden", "ForbiddenByPolicy"): (KeyFault.ACCESS_DENIED, KeyFault.ACCESS_DENIED),
    (403, "Forbidden", "ForbiddenByFirewall"): (KeyFault.ACCESS_DENIED, KeyFault.ACCESS_DENIED),
    (403, "Forbidden", "AccessDenied"): (KeyFault.ACCESS_DENIED, KeyFault.ACCESS_DENIED),
    (403, "Forbidden", None): (KeyFault.ACCESS_DENIED, KeyFault.ACCESS_DENIED),
    (403, "Forbidden", "KeyOperationForbidden"): (KeyFault.CONFIG, KeyFault.CONFIG),
    (403, "Forbidden", "KeyExpired"): (KeyFault.CONFIG, KeyFault.CONFIG),
    (409, "Conflict", "ObjectIsDeletedButRecoverable"): (
        KeyFault.KEY_PENDING_DELETION, KeyFault.KEY_PENDING_DELETION,
    ),
    (409, "Conflict", "ObjectIsBeingRecovered"): (KeyFault.UNAVAILABLE, KeyFault.UNAVAILABLE),
    (429, "Throttled", None): (KeyFault.THROTTLED, KeyFault.THROTTLED),
    (500, "InternalServerError", None): (KeyFault.UNAVAILABLE, KeyFault.UNAVAILABLE),
    (503, "ServiceUnavailable", None): (KeyFault.UNAVAILABLE, KeyFault.UNAVAILABLE),
}  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refusal_has_one_meaning_and_is_asked_for_once(
    server: AzureServer, wrapper: AzureWrap, refusal: tuple[int, str, str | None]
) -> None:
    wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
    server.requests.clear()
    headers = {"Retry-After": "1"} if refusal[0] in (429, 503) else None
    server.refuse = dict.fromkeys(("wrapkey", "unwrapkey"), Refusal(*refusal, headers))
    on_wrap = await error(wrapper.wrap(DATA_KEY, CONTEXT))
    on_unwrap = await error(wrapper.unwrap(wrapped, CONTEXT))
    assert (on_wrap.fault, on_unwrap.fault) == REFUSALS[refusal]
    assert (server.calls("wrapkey"), server.calls("unwrapkey")) == (1, 1)


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 407, 500, 502])
@pytest.mark.parametrize("kind", [HTMLResponse, JSONResponse])
async def test_what_no_vault_says_is_no_denial(
    server: AzureServer, wrapper: AzureWrap, status: int, kind: type[Response]
) -> None:
    wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
    content = None if status == 204 else ["blocked"] if kind is JSONResponse else "<h1>blocked</h1>"
    answer = Response(status_code=204) if status == 204 else kind(content, status)
    server.raw = dict.fromkeys(OPERATIONS, answer)
    failed = await error(wrapper.unwrap(wrapped, CONTEXT))
    assert failed.fault is KeyFault.UNAVAILABLE


@pytest.mark.parametrize(
    "answer",
    [{}, {"kid": 1, "value": "AA"}, {"value": "AA"}, {"value": "%"}, {"value": None}],
    ids=str,
)
async def test_a_damaged_answer_is_refused(
    server: AzureServer, wrapper: AzureWrap, answer: dict[str, Any]
) -> None:
    wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
    kid = f"{server.uri()}/{wrapped.provider_version}"
    complete = {"kid": kid, **answer} if answer.get("value") in ("%", None) else answer
    server.raw = {"unwrapkey": JSONResponse(complete), "get": JSONResponse(answer)}
    assert (await error(wrapper.unwrap(wrapped, CONTEXT))).fault is KeyFault.UNAVAILABLE
    assert (await error(wrapper.describe())).fault is KeyFault.UNAVAILABLE


async def test_a_redirect_is_not_followed(server: AzureServer, wrapper: AzureWrap) -> None:
    server.raw["get"] = RedirectResponse(f"{server.uri('others')}/", 307)
    assert (await error(wrapper.describe())).fault is KeyFault.UNAVAILABLE
    assert [path for _, path, _ in server.requests] == ["/keys/tenants/"]


async def test_a_token_goes_to_no_other_domain_than_the_vaults_own(
    server: AzureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subgraph.kms.azure_vault.is_protected", lambda _: False)
    credential = Credential()
    wrapper = await AzureWrap.open(server.uri(), options(server), credential)
    assert (await error(wrapper.describe())).fault is KeyFault.UNAVAILABLE
    assert (credential.asked, server.requests) == (0, [])
    await wrapper.close()


async def test_a_certificate_that_nobody_signed_is_refused(
    server: AzureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    credential = Credential()
    wrapper = await AzureWrap.open(server.uri(), options(server), credential)
    assert (await error(wrapper.describe())).fault is KeyFault.UNAVAILABLE
    assert (credential.asked, server.challenges) == (0, 0)
    await wrapper.close()


class Answer:
    status_code = 401
    reason = "Unauthorized"
    headers: ClassVar[dict[str, str]] = {}

    def text(self) -> str:
        return "AADSTS7000215: invalid client secret"


def refused() -> ClientAuthenticationError:
    failure = ClientAuthenticationError("AADSTS7000215")
    failure.response = Answer()  # type: ignore[assignment]
    return failure


@pytest.mark.parametrize(
    ("failure", "fault"),
    [
        (refused(), KeyFault.ACCESS_DENIED),
        (ClientAuthenticationError("no credential worked"), KeyFault.UNAVAILABLE),
        (CredentialUnavailableError("no identity endpoint"), KeyFault.UNAVAILABLE),
        (ServiceRequestError("no network"), KeyFault.UNAVAILABLE),
    ],
)
async def test_without_a_token_the_key_is_not_blamed(
    server: AzureServer, failure: Exception, fault: KeyFault
) -> None:
    wrapper = await AzureWrap.open(server.uri(), options(server), Credential(failure))
    assert (await error(wrapper.describe())).fault is fault
    await wrapper.close()


async def test_a_wrong_token_is_a_denial(
    server: AzureServer, wrapper: AzureWrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.kms.azure_server.TOKEN", "another")
    assert (await error(wrapper.describe())).fault is KeyFault.ACCESS_DENIED


async def test_a_credential_that_was_given_stays_open(server: AzureServer) -> None:
    credential = Credential()
    wrapper = await AzureWrap.open(server.uri(), options(server), credential)
    await wrapper.close()
    assert not credential.closed


async def test_a_soft_deleted_key_is_gone_when_we_may_not_look(
    server: AzureServer, rig: AzureRig, wrapper: AzureWrap
) -> None:
    await rig.schedule_deletion()
    server.refuse["deleted"] = DENIED
    assert (await error(wrapper.describe())).fault is KeyFault.KEY_NOT_FOUND


async def test_the_description_is_what_the_vault_says(rig: AzureRig, wrapper: AzureWrap) -> None:
    described = await wrapper.describe()
    assert described.provider_version == rig.key.versions[0].name
    assert (described.origin, described.protection_level) == ("UNKNOWN", "SOFTWARE")
    assert (described.region, described.created_at) == (None, CREATED)
    rig.key.kty = "RSA-HSM"
    rig.key.versions[0].attributes["exportable"] = True
    described = await wrapper.describe()
    assert (described.origin, described.protection_level) == ("EXPORTABLE", "HSM")


async def test_a_key_of_another_type_is_refused(rig: AzureRig, wrapper: AzureWrap) -> None:
    rig.key.kty = "EC"
    assert (await error(wrapper.describe())).fault is KeyFault.CONFIG
    assert (await error(wrapper.wrap(DATA_KEY, CONTEXT))).fault is KeyFault.CONFIG


async def test_the_service_rotates(rig: AzureRig, wrapper: AzureWrap) -> None:
    rotated = await wrapper.rotate()
    assert rotated.provider_version == rig.key.versions[1].name
    assert (await wrapper.wrap(DATA_KEY, CONTEXT)).provider_version == rotated.provider_version


async def test_no_more_calls_than_allowed_are_under_way(server: AzureServer) -> None:
    allowed = options(server, concurrency=3, seconds=10.0)
    wrapper = await AzureWrap.open(server.uri(), allowed, Credential())
    await asyncio.gather(*(wrapper.wrap(DATA_KEY, CONTEXT) for _ in range(20)))
    assert server.most_under_way <= 3
    await wrapper.close()


async def test_nothing_secret_is_logged_even_when_asked_to(
    wrapper: AzureWrap, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
    assert await wrapper.unwrap(wrapped, CONTEXT) == DATA_KEY
    said = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert TOKEN not in said and DATA_KEY.hex() not in said and repr(DATA_KEY)[2:-1] not in said


async def test_a_wrap_of_another_vault_is_refused_here(
    server: AzureServer, wrapper: AzureWrap
) -> None:
    wrapped = WrappedKey(b"x" * 256, "https://acme.vault.azure.net/keys/tenants", "0" * 32)
    assert (await error(wrapper.unwrap(wrapped, CONTEXT))).fault is KeyFault.WRONG_KEY
    assert server.requests == []
