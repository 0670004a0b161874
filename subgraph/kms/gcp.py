"""Data keys wrapped by a symmetric key of Google Cloud KMS."""

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final, Self

from subgraph.kms.bound_key import KEY_BYTES
from subgraph.kms.calls import BoundedCalls, calls_to
from subgraph.kms.contract import KeyDescription, KeyProvider, WrapContext, WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.gcp_client import (
    DamagedError,
    FailedPreconditionError,
    InvalidArgumentError,
    ask,
    close_client,
    open_client,
    repeated,
    state_error,
)
from subgraph.kms.gcp_crc32c import crc32c
from subgraph.kms.options import KmsOptions

if TYPE_CHECKING:
    from google.cloud.kms_v1 import KeyManagementServiceAsyncClient

KEY_NAME: Final = re.compile(
    r"projects/(?P<project>[a-z0-9.:-]{1,63})/locations/(?P<location>[a-z0-9-]{1,63})"
    r"/keyRings/[A-Za-z0-9_-]{1,63}/cryptoKeys/[A-Za-z0-9_-]{1,63}"
)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,18}")
_POLL_SECONDS: Final = 0.05


class GcpWrap:
    """Wraps with the primary version of a CryptoKey, bound to the context as AAD; see `Wrap`.

    `provider_version` is the number of the CryptoKeyVersion. It needs the permissions
    cryptoKeyVersions.useToEncrypt, .useToDecrypt and .get and cryptoKeys.get; to rotate, also
    cryptoKeyVersions.create and cryptoKeys.update.
    """

    provider: Final = KeyProvider.GCP_KMS

    def __init__(
        self,
        client: "KeyManagementServiceAsyncClient",
        key_uri: str,
        calls: BoundedCalls,
        seconds: float,
    ) -> None:
        self._client: KeyManagementServiceAsyncClient | None = client
        self._key_uri = key_uri
        self._calls = calls
        self._seconds = seconds

    @classmethod
    async def open(cls, key_uri: str, options: KmsOptions) -> Self:
        """Make a client for `projects/P/locations/L/keyRings/R/cryptoKeys/K`; calls nobody.

        Raises `KeyProviderError` with CONFIG for any other address, or without credentials.
        """
        named = KEY_NAME.fullmatch(key_uri)
        if named is None:
            raise KeyProviderError(
                KeyFault.CONFIG,
                "a key of Google Cloud KMS is named "
                "projects/P/locations/L/keyRings/R/cryptoKeys/K, without a version",
            )
        # Quotas are counted by project and location.
        endpoint = f"{cls.provider.name}/{named['project']}/{named['location']}"
        client = await open_client(options.gcp_endpoint)
        return cls(client, key_uri, calls_to(endpoint, options), options.seconds)

    async def describe(self) -> KeyDescription:
        """See `Wrap.describe`; raises as a wrap would when the primary version is not enabled."""
        return await self._calls.run(self._describe)

    async def wrap(self, key: bytes, context: WrapContext) -> WrappedKey:
        """See `Wrap.wrap`."""
        assert len(key) == KEY_BYTES
        return await self._calls.run(lambda: repeated(lambda: self._wrap(key, context)))

    async def unwrap(self, wrapped: WrappedKey, context: WrapContext) -> bytes:
        """See `Wrap.unwrap`; the ciphertext itself names its version to Google."""
        if wrapped.key_uri != self._key_uri:
            raise KeyProviderError(KeyFault.WRONG_KEY, "the data key was wrapped by another key")
        try:
            return await self._calls.run(lambda: repeated(lambda: self._unwrap(wrapped, context)))
        except InvalidArgumentError as error:
            raise _does_not_fit() from error

    async def rotate(self) -> KeyDescription:
        """See `Wrap.rotate`: make a version, wait until it is enabled, make it the primary one.

        Raises CONFIG for keys whose material comes from elsewhere. After UNAVAILABLE a version
        MAY be left that is not the primary one; it does no harm.
        """
        return await self._calls.run(self._rotate)

    async def close(self) -> None:
        """See `Wrap.close`."""
        client, self._client = self._client, None
        if client is not None:
            await close_client(client)

    async def _wrap(self, key: bytes, context: WrapContext) -> WrappedKey:
        from google.cloud.kms_v1 import EncryptRequest

        request = EncryptRequest(
            name=self._key_uri,
            plaintext=key,
            plaintext_crc32c=crc32c(key),
            additional_authenticated_data=context.aad,
            additional_authenticated_data_crc32c=crc32c(context.aad),
        )
        try:
            answer = await ask(self._open_client.encrypt, request, self._seconds)
        except FailedPreconditionError as error:
            raise await self._explained(error) from error
        if not (
            answer.verified_plaintext_crc32c
            and answer.verified_additional_authenticated_data_crc32c
        ):
            raise DamagedError("a key to be wrapped")
        if crc32c(answer.ciphertext) != answer.ciphertext_crc32c:
            raise DamagedError("a wrapped key")
        return WrappedKey(answer.ciphertext, self._key_uri, self._number(answer.name))

    async def _unwrap(self, wrapped: WrappedKey, context: WrapContext) -> bytes:
        from google.cloud.kms_v1 import DecryptRequest

        request = DecryptRequest(
            name=self._key_uri,
            ciphertext=wrapped.ciphertext,
            ciphertext_crc32c=crc32c(wrapped.ciphertext),
            additional_authenticated_data=context.aad,
            additional_authenticated_data_crc32c=crc32c(context.aad),
        )
        try:
            answer = await ask(self._open_client.decrypt, request, self._seconds)
        except FailedPreconditionError as error:
            raise await self._explained(error, wrapped.provider_version) from error
        if crc32c(answer.plaintext) != answer.plaintext_crc32c:
            raise DamagedError("an unwrapped key")
        if len(answer.plaintext) != KEY_BYTES:
            raise _does_not_fit()
        return bytes(answer.plaintext)

    async def _describe(self) -> KeyDescription:
        return self._description(await self._crypto_key())

    async def _rotate(self) -> KeyDescription:
        from google.cloud.kms_v1 import (
            CreateCryptoKeyVersionRequest,
            UpdateCryptoKeyPrimaryVersionRequest,
        )

        crypto_key = await self._crypto_key()
        if crypto_key.import_only or _origin(crypto_key.primary) != "GENERATED":
            raise KeyProviderError(
                KeyFault.CONFIG, "the key's material is not Google's: its owner has to rotate it"
            )
        made = await ask(
            self._open_client.create_crypto_key_version,
            CreateCryptoKeyVersionRequest(parent=self._key_uri),
            self._seconds,
        )
        number = self._number(made.name)
        while (error := state_error(made)) is not None:
            if error.fault is not KeyFault.UNAVAILABLE:
                raise error
            await asyncio.sleep(_POLL_SECONDS)
            made = await self._version(number)
        request = UpdateCryptoKeyPrimaryVersionRequest(
            name=self._key_uri, crypto_key_version_id=number
        )
        crypto_key = await ask(
            self._open_client.update_crypto_key_primary_version, request, self._seconds
        )
        # The change spreads in its own time: whoever describes the key next should see it.
        while crypto_key.primary.name != made.name:
            await asyncio.sleep(_POLL_SECONDS)
            crypto_key = await self._crypto_key()
        return self._description(crypto_key)

    async def _explained(
        self, error: FailedPreconditionError, number: str | None = None
    ) -> KeyProviderError:
        """What the state of the version (of the primary one) says, if we may ask for it."""
        try:
            version = (
                (await self._crypto_key()).primary
                if number is None
                else await self._version(number)
            )
        except KeyProviderError:
            return error
        # An enabled version that cannot be used: the project, an external key, or old news.
        return state_error(version) or error

    async def _crypto_key(self) -> Any:
        from google.cloud.kms_v1 import GetCryptoKeyRequest

        request = GetCryptoKeyRequest(name=self._key_uri)
        return await ask(self._open_client.get_crypto_key, request, self._seconds)

    async def _version(self, number: str) -> Any:
        from google.cloud.kms_v1 import GetCryptoKeyVersionRequest

        if not _NUMBER.fullmatch(number):
            raise _does_not_fit()
        request = GetCryptoKeyVersionRequest(name=f"{self._key_uri}/cryptoKeyVersions/{number}")
        return await ask(self._open_client.get_crypto_key_version, request, self._seconds)

    def _description(self, crypto_key: Any) -> KeyDescription:
        if crypto_key.purpose.name != "ENCRYPT_DECRYPT":
            raise KeyProviderError(
                KeyFault.CONFIG,
                f"the purpose of the key is {crypto_key.purpose.name}, not ENCRYPT_DECRYPT",
            )
        primary = crypto_key.primary
        if (error := state_error(primary)) is not None:
            raise error
        return KeyDescription(
            provider=self.provider,
            key_uri=self._key_uri,
            provider_version=self._number(primary.name),
            origin=_origin(primary),
            protection_level=primary.protection_level.name,
            region=self._key_uri.split("/")[3],
            created_at=crypto_key.create_time,
        )

    def _number(self, version_name: str) -> str:
        """The number in the name of a version, which must be one of this key."""
        prefix = f"{self._key_uri}/cryptoKeyVersions/"
        number = version_name.removeprefix(prefix)
        if not version_name.startswith(prefix) or not _NUMBER.fullmatch(number):
            raise KeyProviderError(
                KeyFault.UNAVAILABLE, "Google Cloud KMS answered for another key than it was asked"
            )
        return number

    @property
    def _open_client(self) -> "KeyManagementServiceAsyncClient":
        if self._client is None:
            raise KeyProviderError(KeyFault.UNAVAILABLE, "the key was given back")
        return self._client


def _origin(version: Any) -> str:
    if version.protection_level.name.startswith("EXTERNAL"):
        return "EXTERNAL"
    return "IMPORTED" if version.import_job else "GENERATED"


def _does_not_fit() -> KeyProviderError:
    return KeyProviderError(
        KeyFault.INTEGRITY, "the wrapped key, its version and its context do not fit each other"
    )
