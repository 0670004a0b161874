"""The proxy does what moto does not; seen by the AWS SDK itself."""

import hashlib
from collections.abc import Callable
from typing import Any

import boto3.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tests.unit.kms.aws_proxy import OPERATIONS, REGION, KmsProxy, errors_of, material_id
from tests.unit.kms.aws_rig import credentials, kms, kms_server

__all__ = ["credentials", "kms", "kms_server"]

CONTEXT = {"tenant": "acme", "purpose": "test"}


@pytest.fixture
def sdk(kms: KmsProxy) -> Any:
    once = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=0.2)
    return boto3.session.Session().client("kms", REGION, endpoint_url=kms.url, config=once)


@pytest.fixture
def arn(kms: KmsProxy) -> str:
    return kms.create_key()


@pytest.fixture
def signing_arn(kms: KmsProxy) -> str:
    return kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")


def code(call: Callable[..., Any], **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    answered: str = caught.value.response["Error"]["Code"]
    # The SDK makes a class of its own of every code that its model has.
    if answered in errors_of(caught.value.operation_name) and type(caught.value) is not ClientError:
        assert type(caught.value).__name__ == answered
    return answered


def encrypt(sdk: Any, arn: str, context: dict[str, str] = CONTEXT) -> bytes:
    blob: bytes = sdk.encrypt(KeyId=arn, Plaintext=b"x", EncryptionContext=context)[
        "CiphertextBlob"
    ]
    return blob


@pytest.mark.parametrize("operation", OPERATIONS)
def test_it_cannot_answer_what_aws_never_answers(kms: KmsProxy, operation: str) -> None:
    with pytest.raises(AssertionError, match="never answers"):
        kms.fail(operation, "KeyIsDisabledException")


def test_it_knows_the_errors_of_an_operation() -> None:
    assert "IncorrectKeyException" in errors_of("Decrypt") - errors_of("Encrypt")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("Disabled", "DisabledException"),
        ("PendingDeletion", "KMSInvalidStateException"),
        ("PendingImport", "KMSInvalidStateException"),
        ("Unavailable", "KMSInvalidStateException"),
    ],
)
def test_states_are_enforced(kms: KmsProxy, sdk: Any, arn: str, state: str, expected: str) -> None:
    blob = encrypt(sdk, arn)
    kms.set_state(arn, state)
    assert code(sdk.encrypt, KeyId=arn, Plaintext=b"x") == expected
    assert code(sdk.decrypt, CiphertextBlob=blob, EncryptionContext=CONTEXT) == expected
    assert code(sdk.rotate_key_on_demand, KeyId=arn) == expected
    assert sdk.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == state


def test_policies_are_enforced_by_operation(kms: KmsProxy, sdk: Any, arn: str) -> None:
    kms.key(arn).denied.add("Decrypt")
    blob = encrypt(sdk, arn)
    denied = code(sdk.decrypt, CiphertextBlob=blob, EncryptionContext=CONTEXT)
    assert denied == "AccessDeniedException"


def test_a_deleted_key_is_not_found(kms: KmsProxy, sdk: Any, arn: str) -> None:
    kms.key(arn).deleted = True
    assert code(sdk.describe_key, KeyId=arn) == "NotFoundException"


def test_a_key_is_in_one_region(kms: KmsProxy, arn: str) -> None:
    elsewhere = boto3.session.Session().client("kms", "us-east-1", endpoint_url=kms.url)
    assert code(elsewhere.describe_key, KeyId=arn) == "NotFoundException"


def test_a_ciphertext_of_another_key_is_told(kms: KmsProxy, sdk: Any, arn: str) -> None:
    blob = encrypt(sdk, kms.create_key())
    refused = code(sdk.decrypt, KeyId=arn, CiphertextBlob=blob, EncryptionContext=CONTEXT)
    assert refused == "IncorrectKeyException"


def test_without_a_key_id_the_ciphertext_names_it(sdk: Any, arn: str) -> None:
    opened = sdk.decrypt(CiphertextBlob=encrypt(sdk, arn), EncryptionContext=CONTEXT)
    assert (opened["KeyId"], opened["Plaintext"]) == (arn, b"x")


@pytest.mark.parametrize(
    "other",
    [{}, {"tenant": "acme"}, {"tenantacme": "purposetest"}, {"tenant": "acmepurposetest"}],
)
def test_encryption_contexts_are_not_confused(sdk: Any, arn: str, other: dict[str, str]) -> None:
    blob = encrypt(sdk, arn)
    refused = code(sdk.decrypt, KeyId=arn, CiphertextBlob=blob, EncryptionContext=other)
    assert refused == "InvalidCiphertextException"


def test_the_order_of_a_context_does_not_matter(sdk: Any, arn: str) -> None:
    blob = encrypt(sdk, arn, dict(reversed(CONTEXT.items())))
    sdk.decrypt(KeyId=arn, CiphertextBlob=blob, EncryptionContext=CONTEXT)


def test_a_rotation_makes_new_material_behind_the_same_arn(
    kms: KmsProxy, sdk: Any, arn: str
) -> None:
    old = encrypt(sdk, arn)
    sdk.rotate_key_on_demand(KeyId=arn)
    listed = sdk.list_key_rotations(KeyId=arn, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    new = encrypt(sdk, arn)
    used = [
        sdk.decrypt(KeyId=arn, CiphertextBlob=blob, EncryptionContext=CONTEXT)["KeyMaterialId"]
        for blob in (new, old)
    ]
    assert used == [each["KeyMaterialId"] for each in listed]
    assert [each["KeyMaterialState"] for each in listed] == ["CURRENT", "NON_CURRENT"]
    assert used == [material_id(each) for each in reversed(kms.key(arn).materials)]
    described = sdk.describe_key(KeyId=arn)["KeyMetadata"]
    assert described["CurrentKeyMaterialId"] == used[0]


def test_a_rotation_can_take_its_time(kms: KmsProxy, sdk: Any, arn: str) -> None:
    kms.key(arn).rotation_reads = 1
    sdk.rotate_key_on_demand(KeyId=arn)
    assert code(sdk.rotate_key_on_demand, KeyId=arn) == "ConflictException"
    assert "OnDemandRotationStartDate" in sdk.get_key_rotation_status(KeyId=arn)
    assert "OnDemandRotationStartDate" not in sdk.get_key_rotation_status(KeyId=arn)


def test_there_are_25_rotations_on_demand(kms: KmsProxy, sdk: Any, arn: str) -> None:
    kms.key(arn).rotations = 24
    sdk.rotate_key_on_demand(KeyId=arn)
    sdk.describe_key(KeyId=arn)
    assert code(sdk.rotate_key_on_demand, KeyId=arn) == "LimitExceededException"


def test_signing_keys_are_not_rotated(sdk: Any, signing_arn: str) -> None:
    assert code(sdk.rotate_key_on_demand, KeyId=signing_arn) == "UnsupportedOperationException"


@pytest.mark.parametrize("kind", ["DIGEST", "RAW"])
def test_a_digest_is_not_hashed_again(sdk: Any, signing_arn: str, kind: str) -> None:
    message = b"message"
    signed = sdk.sign(
        KeyId=signing_arn,
        Message=message if kind == "RAW" else hashlib.sha256(message).digest(),
        MessageType=kind,
        SigningAlgorithm="ECDSA_SHA_256",
    )
    public = load_der_public_key(sdk.get_public_key(KeyId=signing_arn)["PublicKey"])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signed["Signature"], message, ec.ECDSA(hashes.SHA256()))


def test_throttling_lasts_until_it_is_over(kms: KmsProxy, sdk: Any, arn: str) -> None:
    kms.throttle()
    assert code(sdk.describe_key, KeyId=arn) == "ThrottlingException"
    kms.restore()
    sdk.describe_key(KeyId=arn)


@pytest.mark.parametrize("what", ["hang", "outage"])
def test_it_can_be_silent(kms: KmsProxy, sdk: Any, arn: str, what: str) -> None:
    sdk.describe_key(KeyId=arn)
    getattr(kms, what)()
    with pytest.raises(HTTPClientError):
        sdk.describe_key(KeyId=arn)
    kms.restore()
    sdk.describe_key(KeyId=arn)
