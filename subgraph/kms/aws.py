"""Data keys wrapped by a key of AWS KMS.

Needs kms:Encrypt, kms:Decrypt and kms:DescribeKey on the key, all of which its owner can grant
across accounts; to rotate, kms:GetKeyRotationStatus and kms:RotateKeyOnDemand, which AWS allows
within the key's own account only. https://docs.aws.amazon.com/kms/latest/APIReference/
"""

import asyncio
import hmac
from types import MappingProxyType
from typing import Any, Final, Self

from subgraph.kms import aws_faults
from subgraph.kms.aws_arn import AwsKeyArn
from subgraph.kms.aws_client import AwsKey, blob, text, text_map
from subgraph.kms.bound_key import KEY_BYTES
from subgraph.kms.calls import threads_for
from subgraph.kms.contract import KeyDescription, KeyProvider, WrapContext, WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions

# What Decrypt takes, by its documentation.
_CIPHERTEXT_BYTES: Final = range(1, 6144 + 1)
# Keys in custom key stores have one material for life, and AWS gives it no id.
_ONLY_VERSION: Final = "current"
# AWS keeps material that it made, or that was imported, in HSMs of its own; it calls the others
# by where they are.
_PROTECTION: Final = MappingProxyType({"AWS_KMS": "HSM", "EXTERNAL": "HSM"})
_POLL_SECONDS: Final = 0.2
_ROTATING: Final = "ConflictException"


class AwsWrap:
    """Encrypts and decrypts data keys with one symmetric key of AWS KMS; see `Wrap`.

    The encryption context is `WrapContext.fields`: it shows in the owner's CloudTrail, and the
    owner's key policy may ask for it (kms:EncryptionContext:tenant). A version is a
    `KeyMaterialId`.
    """

    provider: Final = KeyProvider.AWS_KMS

    def __init__(self, key: AwsKey) -> None:
        self._key = key
        self._rotated_from: str | None = None

    @classmethod
    async def open(cls, key_uri: str, options: KmsOptions) -> Self:
        """Get ready for the key of an ARN, with the credentials that the AWS SDK finds.

        Asks nothing of the key. Raises `KeyProviderError`: CONFIG for anything but a key's ARN, and
        without the SDK or credentials.
        """
        arn = AwsKeyArn.parse(key_uri)
        threads = threads_for(f"{cls.provider.name}/{arn.account}/{arn.region}", options)
        return cls(
            await AwsKey.open(arn, threads, seconds=options.seconds, endpoint=options.aws_endpoint)
        )

    async def describe(self) -> KeyDescription:
        """See `Wrap.describe`; raises the fault of a key whose state does not let it be used.

        CONFIG also for keys that are not symmetric encryption keys, or that AWS manages itself:
        their policy cannot be the owner's.
        """
        return await self._key.run(_describe)

    async def wrap(self, key: bytes, context: WrapContext) -> WrappedKey:
        """See `Wrap.wrap`; takes two calls, for only Decrypt names the material that was used."""
        assert len(key) == KEY_BYTES
        return await self._key.run(lambda kms: _wrap(kms, key, context))

    async def unwrap(self, wrapped: WrappedKey, context: WrapContext) -> bytes:
        """See `Wrap.unwrap`."""
        return await self._key.run(lambda kms: _unwrap(kms, wrapped, context))

    async def rotate(self) -> KeyDescription:
        """See `Wrap.rotate`; AWS does it in the background, and 25 times in a key's life.

        UNAVAILABLE when the new material does not show within the deadline: the rotation goes on,
        and the next call waits for it instead of beginning another one. CONFIG where the owner has
        to rotate: for keys of other accounts or custom key stores, and for imported material.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._key.seconds
        described = await self._key.run(_describe)
        # Else a rotation that was given up on has ended since.
        if self._rotated_from in (None, described.provider_version):
            self._rotated_from = described.provider_version
            await self._begin_rotation(deadline - loop.time())
        while described.provider_version == self._rotated_from:
            left = deadline - loop.time() - _POLL_SECONDS
            if left <= 0:
                message = f"the rotation of {self._key.arn.text} does not show yet"
                raise KeyProviderError(KeyFault.UNAVAILABLE, message)
            await asyncio.sleep(_POLL_SECONDS)
            described = await self._key.run(_describe, seconds=left)
        self._rotated_from = None
        return described

    async def close(self) -> None:
        """See `Wrap.close`."""
        self._key.close()

    async def _begin_rotation(self, seconds: float) -> None:
        try:
            await self._key.run(_begin_rotation, seconds=seconds)
        except KeyProviderError as error:
            # After UNAVAILABLE it may have begun.
            if error.fault is not KeyFault.UNAVAILABLE:
                self._rotated_from = None
            raise


def _describe(kms: AwsKey) -> KeyDescription:
    said = text_map(kms.ask("describe_key"), "KeyMetadata")
    _require_own(kms, text(said, "Arn"))
    state = text(said, "KeyState")
    if not aws_faults.is_usable(state):
        raise aws_faults.of_state(state, kms.arn.text)
    kind = (text(said, "KeyManager"), text(said, "KeyUsage"), text(said, "KeySpec"))
    if kind != ("CUSTOMER", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT"):
        message = f"{kms.arn.text} is not a symmetric encryption key that its owner manages"
        raise KeyProviderError(KeyFault.CONFIG, message)
    origin = text(said, "Origin")
    return KeyDescription(
        provider=KeyProvider.AWS_KMS,
        key_uri=kms.arn.text,
        provider_version=said.get("CurrentKeyMaterialId", _ONLY_VERSION),
        origin=origin,
        protection_level=_PROTECTION.get(origin, origin),
        region=kms.arn.region,
        created_at=said.get("CreationDate"),
    )


def _wrap(kms: AwsKey, key: bytes, context: WrapContext) -> WrappedKey:
    encrypted = kms.ask("encrypt", Plaintext=key, EncryptionContext=context.fields)
    _require_own(kms, text(encrypted, "KeyId"))
    ciphertext = blob(encrypted, "CiphertextBlob")
    opened = _decrypt(kms, ciphertext, context)
    if not hmac.compare_digest(blob(opened, "Plaintext"), key):
        raise KeyProviderError(KeyFault.UNAVAILABLE, "AWS KMS gave another key back")
    version = opened.get("KeyMaterialId", _ONLY_VERSION)
    return WrappedKey(ciphertext, kms.arn.text, version)


def _unwrap(kms: AwsKey, wrapped: WrappedKey, context: WrapContext) -> bytes:
    if wrapped.key_uri != kms.arn.text:
        message = f"this was wrapped by {wrapped.key_uri}, not by {kms.arn.text}"
        raise KeyProviderError(KeyFault.WRONG_KEY, message)
    if len(wrapped.ciphertext) not in _CIPHERTEXT_BYTES:
        raise KeyProviderError(KeyFault.INTEGRITY, "no ciphertext of AWS KMS has this length")
    opened = _decrypt(kms, wrapped.ciphertext, context)
    key = blob(opened, "Plaintext")
    material = opened.get("KeyMaterialId", _ONLY_VERSION)
    # A wrap from before AWS named the material has no other proof than the ciphertext's own.
    if wrapped.provider_version not in (material, _ONLY_VERSION):
        raise KeyProviderError(KeyFault.INTEGRITY, "this was wrapped by another key material")
    if len(key) != KEY_BYTES:
        raise KeyProviderError(KeyFault.INTEGRITY, "what was wrapped is no data key")
    return key


def _decrypt(kms: AwsKey, ciphertext: bytes, context: WrapContext) -> dict[str, Any]:
    # Without KeyId, AWS would use whatever key the ciphertext names.
    opened = kms.ask("decrypt", CiphertextBlob=ciphertext, EncryptionContext=context.fields)
    _require_own(kms, text(opened, "KeyId"))
    return opened


def _begin_rotation(kms: AwsKey) -> None:
    try:
        status = kms.ask("get_key_rotation_status")
        if "OnDemandRotationStartDate" not in status:
            # Not repeated by the SDK: each rotation is one of 25.
            kms.ask("rotate_key_on_demand", once=True)
    except KeyProviderError as error:
        code = aws_faults.code_of(error)
        if code == _ROTATING:
            return
        # To be kept from rotating is no denial of the key, nor is material that waits for import.
        if error.fault is KeyFault.ACCESS_DENIED or code == aws_faults.INVALID_STATE:
            message = f"the owner of {kms.arn.text} has to rotate it: {error.message}"
            raise KeyProviderError(KeyFault.CONFIG, message) from error
        raise


def _require_own(kms: AwsKey, arn: str) -> None:
    if arn != kms.arn.text:
        raise KeyProviderError(KeyFault.WRONG_KEY, f"AWS KMS answered for {arn}")
