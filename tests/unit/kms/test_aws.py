"""AWS KMS as the holder of tenants' keys: the contract, its own traps, and what it is sent."""

import asyncio
import logging
import subprocess
import sys

import pytest

from subgraph.kms.aws import AwsWrap
from subgraph.kms.contract import WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from tests.unit.kms.aws_proxy import REGION, KmsProxy, material_id
from tests.unit.kms.aws_rig import ACCESS_KEY, AwsRig, credentials, kms, kms_server, options
from tests.unit.kms.wrap_conformance import CONTEXT, KEY, WrapConformance, fault, leaks

__all__ = ["credentials", "kms", "kms_server"]


@pytest.fixture
def rig(kms: KmsProxy) -> AwsRig:
    return AwsRig(kms)


class TestContract(WrapConformance):
    """With the module's `rig`."""


async def test_every_call_names_the_key_and_the_context(rig: AwsRig) -> None:
    wrapper = await rig.open()
    await wrapper.unwrap(await wrapper.wrap(KEY, CONTEXT), CONTEXT)
    sent = [
        (each.operation, each.body["KeyId"], each.body["EncryptionContext"])
        for each in rig.kms.requests
    ]
    context = {
        "tenant": "acme",
        "dataKeyId": "00000000-0000-0000-0000-000000000007",
        "purpose": "data-key",
    }
    assert sent == [(name, rig.arn, context) for name in ("Encrypt", "Decrypt", "Decrypt")]


async def test_requests_are_signed_for_the_region_of_the_key(rig: AwsRig) -> None:
    await (await rig.open()).describe()
    signed = rig.kms.requests[0].headers["authorization"]
    assert f"Credential={ACCESS_KEY}/" in signed and f"/{REGION}/kms/" in signed


async def test_opening_asks_nothing_of_the_key(rig: AwsRig) -> None:
    await rig.deny()
    await rig.open()
    assert rig.kms.requests == []


@pytest.mark.parametrize(
    "key_uri",
    [
        "",
        "alias/customer",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:eu-central-1:123456789012:alias/customer",
        "arn:aws:kms:eu-central-1:123456789012:key/../x",
        "arn:aws:kms:eu-central-1:123456789012:key/1234ABCD-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:eu-central-1:12345678901:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:evil.example/:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:s3:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab\n",
        "arn:aws:kms:eu-central-1:१२३४५६७८९०१२:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        # Of the right form, but of no such place.
        "arn:aws-cn:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:kms:xx-evil-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    ],
)
async def test_anything_but_the_arn_of_a_key_is_refused(kms: KmsProxy, key_uri: str) -> None:
    with pytest.raises(KeyProviderError) as caught:
        await AwsWrap.open(key_uri, options(kms))
    assert caught.value.fault is KeyFault.CONFIG


@pytest.mark.parametrize(
    ("partition", "region"),
    [("aws", "us-east-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")],
)
@pytest.mark.parametrize("key", ["1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-" + "0a" * 16])
async def test_keys_of_every_partition_are_known(
    kms: KmsProxy, partition: str, region: str, key: str
) -> None:
    await AwsWrap.open(f"arn:{partition}:kms:{region}:123456789012:key/{key}", options(kms))


@pytest.mark.parametrize(
    ("origin", "level"),
    [
        ("AWS_KMS", "HSM"),
        ("EXTERNAL", "HSM"),
        ("AWS_CLOUDHSM", "AWS_CLOUDHSM"),
        ("EXTERNAL_KEY_STORE", "EXTERNAL_KEY_STORE"),
    ],
)
async def test_the_origin_is_told(rig: AwsRig, origin: str, level: str) -> None:
    rig.kms.key(rig.arn).metadata["Origin"] = origin
    described = await (await rig.open()).describe()
    assert (described.origin, described.protection_level) == (origin, level)
    assert described.region == REGION and described.created_at is not None


async def test_the_version_is_the_key_material_of_the_answer(rig: AwsRig) -> None:
    wrapper = await rig.open()
    wrapped = await wrapper.wrap(KEY, CONTEXT)
    await rig.rotate()
    newer = await wrapper.wrap(KEY, CONTEXT)
    materials = [material_id(material) for material in rig.kms.key(rig.arn).materials]
    assert [wrapped.provider_version, newer.provider_version] == materials


async def test_a_wrap_under_another_version_than_the_stored_one_is_noticed(rig: AwsRig) -> None:
    wrapper = await rig.open()
    old = await wrapper.wrap(KEY, CONTEXT)
    await rig.rotate()
    new = await wrapper.wrap(KEY, CONTEXT)
    swapped = WrappedKey(old.ciphertext, rig.arn, new.provider_version)
    assert await fault(rig, wrapper.unwrap(swapped, CONTEXT)) is KeyFault.INTEGRITY


@pytest.mark.parametrize(
    "unfit",
    [
        {"KeyManager": "AWS"},
        {"KeyUsage": "SIGN_VERIFY", "KeySpec": "ECC_NIST_P256"},
        {"KeySpec": "RSA_2048"},
    ],
)
async def test_a_key_that_cannot_be_a_tenants_key_is_refused(
    rig: AwsRig, unfit: dict[str, str]
) -> None:
    rig.kms.key(rig.arn).metadata.update(unfit)
    assert await fault(rig, (await rig.open()).describe()) is KeyFault.CONFIG


async def test_a_rotation_that_shows_late_is_waited_for(rig: AwsRig) -> None:
    rig.kms.key(rig.arn).rotation_reads = 3
    wrapper = await rig.open(seconds=10.0)
    before = await wrapper.describe()
    assert (await wrapper.rotate()).provider_version != before.provider_version


async def test_a_rotation_that_was_given_up_on_is_not_begun_again(rig: AwsRig) -> None:
    key = rig.kms.key(rig.arn)
    key.rotation_reads = 10_000
    wrapper = await rig.open(seconds=0.8)
    before = await wrapper.describe()
    assert await fault(rig, wrapper.rotate()) is KeyFault.UNAVAILABLE
    assert await fault(rig, wrapper.rotate()) is KeyFault.UNAVAILABLE
    key.reads_left = 0
    assert (await wrapper.rotate()).provider_version != before.provider_version
    assert key.rotations == 1


async def test_a_rotation_that_somebody_else_began_is_waited_for(rig: AwsRig) -> None:
    key = rig.kms.key(rig.arn)
    rig.kms.fail("RotateKeyOnDemand", "ConflictException")
    wrapper = await rig.open(seconds=10.0)
    before = await wrapper.describe()
    waiting = asyncio.create_task(wrapper.rotate())
    while not any(each.operation == "RotateKeyOnDemand" for each in rig.kms.requests):
        await asyncio.sleep(0.01)
    key.coming = rig.kms.key(rig.kms.create_key()).materials[0]
    assert (await waiting).provider_version != before.provider_version


async def test_the_limit_of_rotations_is_the_owners_matter(rig: AwsRig) -> None:
    rig.kms.key(rig.arn).rotations = 25
    assert await fault(rig, (await rig.open()).rotate()) is KeyFault.CONFIG
    asked = [each.operation for each in rig.kms.requests]
    assert asked.count("RotateKeyOnDemand") == 1


@pytest.mark.parametrize("operation", ["GetKeyRotationStatus", "RotateKeyOnDemand"])
async def test_not_to_be_let_rotate_is_no_denial_of_the_key(rig: AwsRig, operation: str) -> None:
    rig.kms.key(rig.arn).denied.add(operation)
    assert await fault(rig, (await rig.open()).rotate()) is KeyFault.CONFIG


@pytest.mark.parametrize("origin", ["EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"])
async def test_material_from_elsewhere_is_rotated_by_its_owner(rig: AwsRig, origin: str) -> None:
    rig.kms.key(rig.arn).metadata["Origin"] = origin
    assert await fault(rig, (await rig.open()).rotate()) is KeyFault.CONFIG


async def test_a_throttling_storm_is_not_fed(rig: AwsRig) -> None:
    wrapper = await rig.open(seconds=10.0)
    wrapped = await wrapper.wrap(KEY, CONTEXT)
    await rig.throttle()
    rig.kms.requests.clear()
    calls = 40
    faults = await asyncio.gather(
        *(fault(rig, wrapper.unwrap(wrapped, CONTEXT)) for _ in range(calls))
    )
    assert set(faults) == {KeyFault.THROTTLED}
    assert len(rig.kms.requests) <= 2 * calls
    await rig.restore()
    assert await wrapper.unwrap(wrapped, CONTEXT) == KEY


async def test_a_stuck_account_leaves_other_accounts_their_threads(rig: AwsRig) -> None:
    stuck = await rig.open(seconds=1.0, concurrency=2)
    wrapped = await stuck.wrap(KEY, CONTEXT)
    elsewhere = rig.arn.replace("123456789012", "210987654321")
    other = await AwsWrap.open(elsewhere, options(rig.kms, concurrency=2, seconds=10.0))
    await rig.hang()
    faults = await asyncio.gather(*(fault(rig, stuck.unwrap(wrapped, CONTEXT)) for _ in range(4)))
    rig.kms.requests.clear()
    waiting = asyncio.create_task(fault(rig, other.describe()))
    while not any(each.body["KeyId"] == elsewhere for each in rig.kms.requests):
        await asyncio.sleep(0.01)
    await rig.restore()
    assert set(faults) == {KeyFault.UNAVAILABLE} and await waiting is KeyFault.KEY_NOT_FOUND


STUCK = """
import asyncio, sys
from pathlib import Path
from subgraph.kms.aws import AwsWrap
from subgraph.kms.faults import KeyProviderError
from subgraph.kms.options import KmsOptions

async def main():
    options = KmsOptions(production=False, seconds=0.2, concurrency=2,
                         local_keys=Path("/nowhere"), aws_endpoint=sys.argv[1])
    try:
        await (await AwsWrap.open(sys.argv[2], options)).describe()
    except KeyProviderError as error:
        print(error.fault.name)

asyncio.run(main())
"""


async def test_a_stuck_provider_does_not_keep_the_process_alive(rig: AwsRig) -> None:
    await rig.hang()
    command = [sys.executable, "-c", STUCK, rig.kms.url, rig.arn]
    said = await asyncio.to_thread(subprocess.check_output, command, text=True, timeout=60)
    assert said == "UNAVAILABLE\n"


async def test_the_sdk_logs_no_secret_at_any_level(
    rig: AwsRig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrapper = await rig.open()
    wrapped = await wrapper.wrap(KEY, CONTEXT)
    await wrapper.unwrap(wrapped, CONTEXT)
    assert not leaks(rig, caplog.text) and ACCESS_KEY not in caplog.text


async def test_without_credentials_the_deployment_is_to_blame(
    kms: KmsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = AwsRig(kms)
    elsewhere = options(kms, aws_endpoint=kms.url.replace("127.0.0.1", "localhost"))
    with monkeypatch.context() as without:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            without.delenv(name)
        assert await fault(rig, AwsWrap.open(rig.arn, elsewhere)) is KeyFault.CONFIG
    # Found later, they are used.
    assert (await (await AwsWrap.open(rig.arn, elsewhere)).describe()).key_uri == rig.arn
