"""Google Cloud KMS: the contract, its own traps, and what its answers stand for."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from subgraph.kms.contract import WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.gcp import GcpWrap
from tests.unit.kms import gcp_server as double
from tests.unit.kms.gcp_rig import DENIED, OTHER_KEY, GcpRig, options
from tests.unit.kms.gcp_server import CREATED, KEY, GcpServer, Refusal, gcp_server
from tests.unit.kms.wrap_conformance import CONTEXT, WrapConformance
from tests.unit.kms.wrap_conformance import KEY as DATA_KEY

Code = grpc.StatusCode


@pytest.fixture
async def server() -> AsyncIterator[GcpServer]:
    async with gcp_server() as running:
        yield running


@pytest.fixture
async def rig(server: GcpServer) -> AsyncIterator[GcpRig]:
    made = GcpRig(server)
    yield made
    for wrapper in made.opened:
        await wrapper.close()


class TestContract(WrapConformance):
    """Google Cloud KMS keeps the contract of `Wrap`."""


@pytest.fixture
async def wrapper(rig: GcpRig) -> GcpWrap:
    return await rig.open()


async def error(call: Any) -> KeyProviderError:
    with pytest.raises(KeyProviderError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize(
    "uri",
    [
        "",
        KEY.upper(),
        "gcp:" + KEY,
        KEY + "/",
        KEY + "\n",
        KEY + "/cryptoKeyVersions/1",
        KEY.replace("acme", "ac/me"),
        KEY.replace("tenants", ".."),
        KEY.removeprefix("projects/"),
        "//evil.example/" + KEY,
    ],
)
async def test_only_the_name_of_a_crypto_key_is_understood(server: GcpServer, uri: str) -> None:
    assert (await error(GcpWrap.open(uri, options(server)))).fault is KeyFault.CONFIG


async def test_opening_calls_nobody(server: GcpServer, wrapper: GcpWrap) -> None:
    assert server.requests == []


async def test_checksums_and_the_whole_context_are_sent(
    server: GcpServer, wrapper: GcpWrap
) -> None:
    wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
    await wrapper.unwrap(wrapped, CONTEXT)
    (_, encrypt), (_, decrypt) = server.requests
    assert encrypt.name == decrypt.name == KEY
    assert encrypt.plaintext_crc32c == double.crc32c(DATA_KEY)
    assert decrypt.ciphertext_crc32c == double.crc32c(wrapped.ciphertext)
    for request in (encrypt, decrypt):
        assert request.additional_authenticated_data == CONTEXT.aad
        assert request.additional_authenticated_data_crc32c == double.crc32c(CONTEXT.aad)


def flip(name: str) -> Callable[[Any], None]:
    def change(message: Any) -> None:
        content = bytearray(getattr(message, name))
        content[-1] ^= 1
        setattr(message, name, bytes(content))

    return change


def forget(name: str) -> Callable[[Any], None]:
    return lambda message: setattr(message, name, False)


DAMAGES: dict[str, tuple[str, str, Callable[[Any], None], KeyFault]] = {
    "ciphertext on its way here": ("alter", "Encrypt", flip("ciphertext"), KeyFault.UNAVAILABLE),
    "plaintext on its way here": ("alter", "Decrypt", flip("plaintext"), KeyFault.UNAVAILABLE),
    "plaintext not verified": (
        "alter", "Encrypt", forget("verified_plaintext_crc32c"), KeyFault.UNAVAILABLE,
    ),
    "context not verified": (
        "alter", "Encrypt", forget("verified_additional_authenticated_data_crc32c"),
        KeyFault.UNAVAILABLE,
    ),
    "ciphertext on its way there": ("damage", "Decrypt", flip("ciphertext"), KeyFault.INTEGRITY),
    "plaintext on its way there": ("damage", "Encrypt", flip("plaintext"), KeyFault.CONFIG),
}  # fmt: skip


async def wrap_and_unwrap(wrapper: GcpWrap) -> bytes:
    return await wrapper.unwrap(await wrapper.wrap(DATA_KEY, CONTEXT), CONTEXT)


@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_on_the_way_is_noticed(server: GcpServer, wrapper: GcpWrap, name: str) -> None:
    direction, method, change, fault = DAMAGES[name]
    getattr(server, direction)[method] = change
    assert (await error(wrap_and_unwrap(wrapper))).fault is fault
    assert server.calls(method) <= 3


@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_that_passes_is_repaired(
    server: GcpServer, wrapper: GcpWrap, name: str
) -> None:
    direction, method, change, _ = DAMAGES[name]
    table: dict[str, Callable[[Any], None]] = getattr(server, direction)

    def once(message: Any) -> None:
        del table[method]
        change(message)

    table[method] = once
    assert await wrap_and_unwrap(wrapper) == DATA_KEY
    assert server.calls(method) == 2


@pytest.mark.parametrize(
    "name",
    [
        "",
        OTHER_KEY + "/cryptoKeyVersions/1",
        KEY + "/cryptoKeyVersions/",
        KEY + "/cryptoKeyVersions/1/../2",
        KEY + "x/cryptoKeyVersions/1",
    ],
)
async def test_an_answer_for_another_key_is_refused(
    server: GcpServer, wrapper: GcpWrap, name: str
) -> None:
    server.alter["Encrypt"] = lambda answer: setattr(answer, "name", name)
    failed = await error(wrapper.wrap(DATA_KEY, CONTEXT))
    assert failed.fault is KeyFault.UNAVAILABLE and "another key" in failed.message


async def test_the_version_is_the_one_that_the_answer_names(
    server: GcpServer, wrapper: GcpWrap
) -> None:
    key = server.keys[KEY]
    key.add_version()
    key.primary = 1
    assert (await wrapper.wrap(DATA_KEY, CONTEXT)).provider_version == "1"


STATUSES = {
    Code.RESOURCE_EXHAUSTED: KeyFault.THROTTLED,
    Code.PERMISSION_DENIED: KeyFault.ACCESS_DENIED,
    Code.UNAUTHENTICATED: KeyFault.ACCESS_DENIED,
    Code.NOT_FOUND: KeyFault.KEY_NOT_FOUND,
    Code.UNIMPLEMENTED: KeyFault.CONFIG,
    Code.INVALID_ARGUMENT: KeyFault.CONFIG,
    Code.FAILED_PRECONDITION: KeyFault.UNAVAILABLE,
    Code.UNAVAILABLE: KeyFault.UNAVAILABLE,
    Code.DEADLINE_EXCEEDED: KeyFault.UNAVAILABLE,
    Code.INTERNAL: KeyFault.UNAVAILABLE,
    Code.UNKNOWN: KeyFault.UNAVAILABLE,
    Code.ABORTED: KeyFault.UNAVAILABLE,
    Code.CANCELLED: KeyFault.UNAVAILABLE,
    Code.DATA_LOSS: KeyFault.UNAVAILABLE,
    Code.OUT_OF_RANGE: KeyFault.UNAVAILABLE,
    Code.ALREADY_EXISTS: KeyFault.UNAVAILABLE,
}


@pytest.mark.parametrize("code", STATUSES)
async def test_a_status_has_one_meaning_and_is_asked_for_once(
    server: GcpServer, wrapper: GcpWrap, code: grpc.StatusCode
) -> None:
    server.refuse["Encrypt"] = Refusal(code, "refused: internal details")
    failed = await error(wrapper.wrap(DATA_KEY, CONTEXT))
    assert failed.fault is STATUSES[code]
    assert server.calls("Encrypt") == (3 if code is Code.INVALID_ARGUMENT else 1)
    assert "internal details" not in failed.message


STATES = {
    "DISABLED": KeyFault.KEY_DISABLED,
    "DESTROY_SCHEDULED": KeyFault.KEY_PENDING_DELETION,
    "PENDING_EXTERNAL_DESTRUCTION": KeyFault.KEY_PENDING_DELETION,
    "DESTROYED": KeyFault.KEY_NOT_FOUND,
    "EXTERNAL_DESTRUCTION_FAILED": KeyFault.KEY_NOT_FOUND,
    "PENDING_IMPORT": KeyFault.UNAVAILABLE,
    "PENDING_GENERATION": KeyFault.UNAVAILABLE,
    "IMPORT_FAILED": KeyFault.CONFIG,
    "GENERATION_FAILED": KeyFault.CONFIG,
}


@pytest.mark.parametrize("state", STATES)
async def test_the_state_tells_refusals_apart(
    server: GcpServer, wrapper: GcpWrap, state: str
) -> None:
    wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
    server.keys[KEY].versions[0].state = state
    assert (await error(wrapper.wrap(DATA_KEY, CONTEXT))).fault is STATES[state]
    if state != "PENDING_GENERATION":  # asking is what ends that state, at this server
        assert (await error(wrapper.unwrap(wrapped, CONTEXT))).fault is STATES[state]


async def test_a_disabled_old_version_says_nothing_of_the_new_one(
    server: GcpServer, rig: GcpRig, wrapper: GcpWrap
) -> None:
    old = await wrapper.wrap(DATA_KEY, CONTEXT)
    await rig.rotate()
    server.keys[KEY].versions[0].state = "DISABLED"
    assert (await error(wrapper.unwrap(old, CONTEXT))).fault is KeyFault.KEY_DISABLED
    assert await wrap_and_unwrap(wrapper) == DATA_KEY


async def test_a_disabled_key_is_known_without_permission_to_ask(
    server: GcpServer, rig: GcpRig, wrapper: GcpWrap
) -> None:
    wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
    await rig.disable()
    server.refuse = {"GetCryptoKey": DENIED, "GetCryptoKeyVersion": DENIED}
    assert (await error(wrapper.wrap(DATA_KEY, CONTEXT))).fault is KeyFault.KEY_DISABLED
    assert (await error(wrapper.unwrap(wrapped, CONTEXT))).fault is KeyFault.KEY_DISABLED


async def test_a_forged_version_is_not_asked_for(
    server: GcpServer, rig: GcpRig, wrapper: GcpWrap
) -> None:
    wrapped = await wrapper.wrap(DATA_KEY, CONTEXT)
    await rig.disable()
    forged = WrappedKey(wrapped.ciphertext, KEY, "../../other/cryptoKeyVersions/1")
    assert (await error(wrapper.unwrap(forged, CONTEXT))).fault is KeyFault.KEY_DISABLED
    assert server.calls("GetCryptoKeyVersion") == 0


async def test_the_deadline_holds_over_all_calls_together(
    server: GcpServer, wrapper: GcpWrap
) -> None:
    server.keys[KEY].versions[0].state = "DISABLED"
    server.hang = {"GetCryptoKey"}
    assert (await error(wrapper.wrap(DATA_KEY, CONTEXT))).fault is KeyFault.UNAVAILABLE


async def test_no_more_calls_than_allowed_are_under_way(server: GcpServer) -> None:
    wrapper = await GcpWrap.open(KEY, options(server, concurrency=3, seconds=10.0))
    await asyncio.gather(*(wrapper.wrap(DATA_KEY, CONTEXT) for _ in range(40)))
    assert server.most_under_way <= 3
    await wrapper.close()


async def test_the_description_is_what_the_service_says(
    server: GcpServer, wrapper: GcpWrap
) -> None:
    server.keys[KEY].protection_level = "HSM"
    described = await wrapper.describe()
    assert (described.origin, described.protection_level) == ("GENERATED", "HSM")
    assert (described.region, described.provider_version) == ("europe-west3", "1")
    assert described.created_at == CREATED


async def test_imported_and_external_material_is_named_and_not_rotated(
    server: GcpServer, wrapper: GcpWrap
) -> None:
    key = server.keys[KEY]
    key.versions[0].import_job = KEY.rpartition("/cryptoKeys")[0] + "/importJobs/first"
    assert (await wrapper.describe()).origin == "IMPORTED"
    assert (await error(wrapper.rotate())).fault is KeyFault.CONFIG
    key.protection_level = "EXTERNAL_VPC"
    assert (await wrapper.describe()).origin == "EXTERNAL"
    assert (await error(wrapper.rotate())).fault is KeyFault.CONFIG
    assert server.calls("CreateCryptoKeyVersion") == 0


async def test_a_key_for_another_purpose_is_refused(server: GcpServer) -> None:
    wrapper = await GcpWrap.open(double.SIGNING_KEY, options(server))
    assert (await error(wrapper.describe())).fault is KeyFault.CONFIG
    assert (await error(wrapper.wrap(DATA_KEY, CONTEXT))).fault is KeyFault.CONFIG
    await wrapper.close()


async def test_a_rotation_waits_for_the_version_and_for_the_change_to_show(
    server: GcpServer, wrapper: GcpWrap
) -> None:
    server.new_version_looks = server.new_primary_looks = 2
    assert (await wrapper.rotate()).provider_version == "2"
    assert (await wrapper.wrap(DATA_KEY, CONTEXT)).provider_version == "2"


async def test_a_rotation_ends_when_the_version_cannot_be_made(
    server: GcpServer, wrapper: GcpWrap
) -> None:
    def fail(version: Any) -> None:
        version.state = "GENERATION_FAILED"

    server.alter["CreateCryptoKeyVersion"] = fail
    assert (await error(wrapper.rotate())).fault is KeyFault.CONFIG
    assert server.calls("UpdateCryptoKeyPrimaryVersion") == 0


async def test_a_rotation_keeps_its_deadline(server: GcpServer, wrapper: GcpWrap) -> None:
    server.new_version_looks = 1_000_000
    assert (await error(wrapper.rotate())).fault is KeyFault.UNAVAILABLE


async def test_the_library_logs_no_message_even_when_asked_to(rig: GcpRig) -> None:
    records: list[logging.LogRecord] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    loggers = [logging.getLogger(name) for name in ("google", "google.cloud", "grpc")]
    before = [each.level for each in loggers]
    collector = Collector()
    try:
        for each in loggers:
            each.addHandler(collector)
            each.setLevel(logging.DEBUG)
        assert await wrap_and_unwrap(await rig.open()) == DATA_KEY
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.removeHandler(collector)
            each.setLevel(level)
    assert [record for record in records if "request" in vars(record)] == []


@pytest.mark.parametrize(
    "endpoint",
    [None, "kms.example:443", "10.0.0.1:443", "127.0.0.1.example:443", "localhost.example:443"],
)
async def test_other_machines_are_not_reached_without_credentials(
    server: GcpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, endpoint: str | None
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    failed = await error(GcpWrap.open(KEY, options(server, gcp_endpoint=endpoint)))
    assert failed.fault is KeyFault.CONFIG and "credentials" in failed.message
