"""A signing key in AWS KMS: the contract, other keys, and refusals."""

import base64
import hashlib
import json
from pathlib import Path

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.contract import Sign
from subgraph.kms.signers import open_signer
from tests.unit.kms.aws_proxy import KmsProxy
from tests.unit.kms.aws_rig import SECRET, TOKEN, credentials, kms, kms_server, options
from tests.unit.kms.conformance import SignConformance, refusal, verify

__all__ = ["credentials", "kms", "kms_server"]

P256 = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}


@pytest.fixture
def arn(kms: KmsProxy) -> str:
    return kms.create_key(**P256)


async def opened(kms: KmsProxy, arn: str, seconds: float = 20.0) -> Sign:
    return await open_signer(f"aws:{arn}", deadline_seconds=seconds, options=options(kms))


@pytest.fixture
async def signer(kms: KmsProxy, arn: str) -> Sign:
    return await opened(kms, arn)


class TestContract(SignConformance):
    """With the module's `signer`."""


async def test_it_is_not_local(signer: Sign) -> None:
    assert not signer.local


async def test_only_the_digest_leaves_this_process(kms: KmsProxy, signer: Sign) -> None:
    kms.requests.clear()
    await signer.sign(b"message")
    (sent,) = kms.requests
    digest = base64.b64encode(hashlib.sha256(b"message").digest()).decode()
    assert (sent.body["Message"], sent.body["MessageType"]) == (digest, "DIGEST")


@pytest.mark.parametrize("uri", ["aws:", "aws:alias/root", "aws:arn:aws:kms:eu-central-1:1:key/x"])
async def test_an_address_that_names_no_key_is_a_wrong_setting(kms: KmsProxy, uri: str) -> None:
    with pytest.raises(SubgraphError) as caught:
        await open_signer(uri, options=options(kms))
    assert caught.value.code is ErrorCode.SETTINGS_INVALID


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {**P256, "KeySpec": "ECC_NIST_P384"},
        {**P256, "KeySpec": "ECC_SECG_P256K1"},
        {**P256, "KeySpec": "RSA_2048"},
    ],
)
async def test_a_key_of_another_kind_is_refused(kms: KmsProxy, parameters: dict[str, str]) -> None:
    with pytest.raises(SubgraphError) as caught:
        await opened(kms, kms.create_key(**parameters))
    assert caught.value.code is ErrorCode.KEY_UNUSABLE


async def test_a_public_key_that_does_not_fit_is_noticed(kms: KmsProxy, arn: str) -> None:
    other = await opened(kms, kms.create_key(**P256))
    spki = "".join(other.public_key_pem.splitlines()[1:-1])
    answer = {**P256, "KeyId": arn, "PublicKey": spki}
    kms.answer("GetPublicKey", 200, json.dumps(answer).encode())
    with pytest.raises(SubgraphError) as caught:
        await opened(kms, arn)
    assert caught.value.code is ErrorCode.KEY_UNUSABLE
    assert "its public key refuses" in caught.value.message


@pytest.mark.parametrize("public_key", ["", "AAAA"])
async def test_a_damaged_public_key_is_refused(kms: KmsProxy, arn: str, public_key: str) -> None:
    answer = {**P256, "KeyId": arn, "PublicKey": public_key}
    kms.answer("GetPublicKey", 200, json.dumps(answer).encode())
    with pytest.raises(SubgraphError) as caught:
        await opened(kms, arn)
    assert caught.value.code in (ErrorCode.KEY_UNUSABLE, ErrorCode.KEY_UNAVAILABLE)


async def test_another_key_under_the_same_name_is_refused_for_good(
    kms: KmsProxy, arn: str, signer: Sign
) -> None:
    before = list(kms.key(arn).materials)
    kms.key(arn).materials[:] = kms.key(kms.create_key(**P256)).materials
    assert (await refusal(signer)).code is ErrorCode.KEY_UNUSABLE
    kms.key(arn).materials[:] = before
    assert (await refusal(signer)).code is ErrorCode.KEY_UNUSABLE


async def test_refused_credentials_are_presented_once(
    kms: KmsProxy, arn: str, signer: Sign
) -> None:
    kms.key(arn).denied.add("Sign")
    kms.requests.clear()
    first, second = await refusal(signer), await refusal(signer)
    assert first.code is second.code is ErrorCode.KEY_ACCESS_DENIED
    assert len(kms.requests) == 1
    assert SECRET not in str(first) and TOKEN not in str(first)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("ThrottlingException", ErrorCode.KEY_UNAVAILABLE),
        ("KMSInternalException", ErrorCode.KEY_UNAVAILABLE),
        ("NotFoundException", ErrorCode.KEY_NOT_FOUND),
    ],
)
async def test_what_passes_is_tried_again(
    kms: KmsProxy, signer: Sign, fault: str, code: ErrorCode
) -> None:
    kms.fail("Sign", fault)
    assert (await refusal(signer)).code is code
    kms.restore()
    verify(signer, await signer.sign(b"message"), b"message")


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion"])
async def test_a_key_in_another_state_may_not_sign(
    kms: KmsProxy, arn: str, signer: Sign, state: str
) -> None:
    kms.set_state(arn, state)
    assert (await refusal(signer)).code is ErrorCode.KEY_UNUSABLE
    kms.set_state(arn, "Enabled")
    verify(signer, await signer.sign(b"message"), b"message")


async def test_a_provider_that_hangs_does_not_outlast_the_deadline(kms: KmsProxy, arn: str) -> None:
    signer = await opened(kms, arn, seconds=1.0)
    kms.hang()
    assert (await refusal(signer)).code is ErrorCode.KEY_UNAVAILABLE
    kms.restore()
    verify(signer, await signer.sign(b"message"), b"message")


async def test_it_starts_only_with_a_key_that_signs(kms: KmsProxy, arn: str) -> None:
    kms.key(arn).denied.add("Sign")
    with pytest.raises(SubgraphError) as caught:
        await opened(kms, arn)
    assert caught.value.code is ErrorCode.KEY_ACCESS_DENIED


async def test_the_address_can_come_from_the_sdks_own_configuration(
    kms: KmsProxy, arn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configuration = tmp_path / "config"
    configuration.write_text(f"[default]\nendpoint_url = {kms.url}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(configuration))
    signer = await open_signer(f"aws:{arn}", deadline_seconds=19.0)
    verify(signer, await signer.sign(b"message"), b"message")
