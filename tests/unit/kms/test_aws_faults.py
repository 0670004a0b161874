"""Every answer of AWS KMS, and every way to get none, has its fault; seen through the real SDK."""

import json
import socket
from pathlib import Path

import pytest

from subgraph.kms.aws import AwsWrap
from subgraph.kms.contract import WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions
from tests.unit.kms.aws_proxy import COMMON_ERRORS, KmsProxy, errors_of
from tests.unit.kms.aws_rig import AwsRig, credentials, kms, kms_server
from tests.unit.kms.wrap_conformance import CONTEXT, KEY, fault

__all__ = ["credentials", "kms", "kms_server"]

FAULTS = {
    "AccessDeniedException": KeyFault.ACCESS_DENIED,
    "DependencyTimeoutException": KeyFault.UNAVAILABLE,
    "DisabledException": KeyFault.KEY_DISABLED,
    "DryRunOperationException": KeyFault.UNAVAILABLE,
    "ExpiredTokenException": KeyFault.ACCESS_DENIED,
    "IncompleteSignature": KeyFault.ACCESS_DENIED,
    "IncorrectKeyException": KeyFault.WRONG_KEY,
    "InternalFailure": KeyFault.UNAVAILABLE,
    "InvalidCiphertextException": KeyFault.INTEGRITY,
    "InvalidClientTokenId": KeyFault.ACCESS_DENIED,
    "InvalidGrantTokenException": KeyFault.CONFIG,
    "InvalidKeyUsageException": KeyFault.CONFIG,
    "InvalidSignatureException": KeyFault.ACCESS_DENIED,
    "KMSInternalException": KeyFault.UNAVAILABLE,
    # While the key is enabled: old news, or a custom key store that cannot be reached.
    "KMSInvalidStateException": KeyFault.UNAVAILABLE,
    "KeyUnavailableException": KeyFault.UNAVAILABLE,
    "MalformedHttpRequestException": KeyFault.UNAVAILABLE,
    "MissingAuthenticationTokenException": KeyFault.ACCESS_DENIED,
    "NotAuthorized": KeyFault.ACCESS_DENIED,
    "NotFoundException": KeyFault.KEY_NOT_FOUND,
    "OptInRequired": KeyFault.ACCESS_DENIED,
    "RequestAbortedException": KeyFault.UNAVAILABLE,
    "RequestExpired": KeyFault.ACCESS_DENIED,
    "RequestTimeoutException": KeyFault.UNAVAILABLE,
    "SerializationException": KeyFault.CONFIG,
    "ServiceUnavailable": KeyFault.UNAVAILABLE,
    "ThrottlingException": KeyFault.THROTTLED,
    "UnknownOperationException": KeyFault.CONFIG,
    "UnrecognizedClientException": KeyFault.ACCESS_DENIED,
    "ValidationException": KeyFault.CONFIG,
}
# What AWS's platform and STS answer besides.
PLATFORM = {
    "ExpiredToken": KeyFault.ACCESS_DENIED,
    "InvalidIdentityToken": KeyFault.ACCESS_DENIED,
    "RequestLimitExceeded": KeyFault.THROTTLED,
    "SignatureDoesNotMatch": KeyFault.ACCESS_DENIED,
    "SlowDown": KeyFault.THROTTLED,
    "TooManyRequestsException": KeyFault.THROTTLED,
    "com.amazonaws.kms#DisabledException": KeyFault.KEY_DISABLED,
    "NobodyHasHeardOfThisException": KeyFault.UNAVAILABLE,
}
STATES = {
    "Creating": KeyFault.UNAVAILABLE,
    "Disabled": KeyFault.KEY_DISABLED,
    "PendingDeletion": KeyFault.KEY_PENDING_DELETION,
    "PendingImport": KeyFault.KEY_DISABLED,
    "PendingReplicaDeletion": KeyFault.KEY_PENDING_DELETION,
    "Unavailable": KeyFault.UNAVAILABLE,
}
WRAPPED = b"\1" * 152


@pytest.fixture
def rig(kms: KmsProxy) -> AwsRig:
    return AwsRig(kms)


async def unwrap_fault(rig: AwsRig) -> KeyFault:
    wrapped = WrappedKey(WRAPPED, rig.arn, "current")
    return await fault(rig, (await rig.open(seconds=10.0)).unwrap(wrapped, CONTEXT))


def test_the_table_is_complete() -> None:
    assert set(FAULTS) == {*errors_of("Encrypt"), *errors_of("Decrypt"), *COMMON_ERRORS}


@pytest.mark.parametrize("code", sorted(errors_of("Decrypt")))
async def test_what_decrypt_refuses_with(rig: AwsRig, code: str) -> None:
    rig.kms.fail("Decrypt", code)
    assert await unwrap_fault(rig) is FAULTS[code]


@pytest.mark.parametrize("code", PLATFORM)
async def test_what_others_answer_in_its_place(rig: AwsRig, code: str) -> None:
    rig.kms.answer("Decrypt", 400, json.dumps({"__type": code}).encode())
    assert await unwrap_fault(rig) is PLATFORM[code]


@pytest.mark.parametrize(
    ("operation", "code", "expected"),
    [
        ("DescribeKey", "InvalidArnException", KeyFault.CONFIG),
        ("RotateKeyOnDemand", "UnsupportedOperationException", KeyFault.CONFIG),
        ("RotateKeyOnDemand", "LimitExceededException", KeyFault.CONFIG),
        ("RotateKeyOnDemand", "DisabledException", KeyFault.KEY_DISABLED),
        ("RotateKeyOnDemand", "KMSInternalException", KeyFault.UNAVAILABLE),
    ],
)
async def test_what_rotating_is_refused_with(
    rig: AwsRig, operation: str, code: str, expected: KeyFault
) -> None:
    rig.kms.fail(operation, code)
    assert await fault(rig, (await rig.open()).rotate()) is expected


@pytest.mark.parametrize("state", STATES)
async def test_a_state_that_forbids_use_is_told_by_all_calls(rig: AwsRig, state: str) -> None:
    wrapper = await rig.open(seconds=10.0)
    wrapped = await wrapper.wrap(KEY, CONTEXT)
    rig.kms.set_state(rig.arn, state)
    faults = [
        await fault(rig, wrapper.unwrap(wrapped, CONTEXT)),
        await fault(rig, wrapper.wrap(KEY, CONTEXT)),
        await fault(rig, wrapper.describe()),
        await fault(rig, wrapper.rotate()),
    ]
    assert set(faults) == {STATES[state]}


async def test_a_key_that_is_being_updated_works(rig: AwsRig) -> None:
    rig.kms.set_state(rig.arn, "Updating")
    wrapper = await rig.open()
    assert await wrapper.unwrap(await wrapper.wrap(KEY, CONTEXT), CONTEXT) == KEY


async def test_a_state_that_may_not_be_asked_for_is_no_denial(rig: AwsRig) -> None:
    wrapper = await rig.open()
    wrapped = await wrapper.wrap(KEY, CONTEXT)
    rig.kms.set_state(rig.arn, "PendingDeletion")
    rig.kms.key(rig.arn).denied.add("DescribeKey")
    assert await fault(rig, wrapper.unwrap(wrapped, CONTEXT)) is KeyFault.UNAVAILABLE


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 500, 503])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Sign in to the network</html>",
        b"{}",
        b"[]",
        b'{"Plaintext": 7, "KeyId": 7}',
        b'{"Plaintext": "AAAAA", "KeyId": "arn"}',
        b'{"Plaintext": "AAAA"}',
    ],
)
async def test_an_answer_that_is_not_understood_is_no_denial_and_no_damage(
    rig: AwsRig, status: int, body: bytes
) -> None:
    rig.kms.answer("Decrypt", status, body)
    assert await unwrap_fault(rig) is KeyFault.UNAVAILABLE


async def test_too_many_requests_are_told_by_the_status_alone(rig: AwsRig) -> None:
    rig.kms.answer("Decrypt", 429, b"")
    assert await unwrap_fault(rig) is KeyFault.THROTTLED


async def test_an_answer_for_another_key_is_refused(rig: AwsRig) -> None:
    other = rig.arn.replace("123456789012", "210987654321")
    answer = {"KeyId": other, "Plaintext": "A" * 43 + "="}
    rig.kms.answer("Decrypt", 200, json.dumps(answer).encode())
    assert await unwrap_fault(rig) is KeyFault.WRONG_KEY


async def test_a_provider_that_gives_another_key_back_has_wrapped_nothing(rig: AwsRig) -> None:
    answer = {"KeyId": rig.arn, "Plaintext": "A" * 43 + "="}
    rig.kms.answer("Decrypt", 200, json.dumps(answer).encode())
    assert await fault(rig, (await rig.open()).wrap(KEY, CONTEXT)) is KeyFault.UNAVAILABLE


async def test_what_was_wrapped_elsewhere_and_is_no_data_key_is_refused(rig: AwsRig) -> None:
    answer = {"KeyId": rig.arn, "Plaintext": "AAAA"}
    rig.kms.answer("Decrypt", 200, json.dumps(answer).encode())
    assert await unwrap_fault(rig) is KeyFault.INTEGRITY


async def test_nobody_listening_is_unavailable(rig: AwsRig) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        options = KmsOptions(
            production=False,
            seconds=10.0,
            concurrency=2,
            local_keys=Path("/"),
            aws_endpoint=address,
        )
        wrapper = await AwsWrap.open(rig.arn, options)
        assert await fault(rig, wrapper.describe()) is KeyFault.UNAVAILABLE


async def test_a_configuration_that_cannot_be_read_is_to_blame(
    rig: AwsRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody-made-this")
    opening = rig.open(aws_endpoint="http://127.0.0.1:1")
    assert await fault(rig, opening) is KeyFault.CONFIG


async def test_a_message_names_the_request_and_not_the_services_identity(rig: AwsRig) -> None:
    await rig.deny()
    with pytest.raises(KeyProviderError) as caught:
        await (await rig.open()).describe()
    assert caught.value.message == (
        "AWS KMS answered AccessDeniedException to DescribeKey, "
        "request 00000000-0000-0000-0000-000000000000"
    )
    assert caught.value.details["providerCode"] == "AccessDeniedException"
