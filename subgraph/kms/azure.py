"""Data keys wrapped by a key of Azure Key Vault or Managed HSM."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

from subgraph.kms.azure_vault import KeyAddress, Vault, decoded, encoded, is_version
from subgraph.kms.bound_key import BOUND_BYTES, KEY_BYTES, bind, unbind
from subgraph.kms.calls import BoundedCalls, calls_to
from subgraph.kms.contract import KeyDescription, KeyProvider, WrapContext, WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

_RSA: Final = "RSA-OAEP-256"
_AES: Final = "A256KW"
_ALGORITHMS: Final = {"RSA": _RSA, "RSA-HSM": _RSA, "oct-HSM": _AES}
# RFC 3394 adds eight bytes; the smallest RSA key of Azure makes 256.
_AES_BYTES: Final = BOUND_BYTES + 8


class AzureWrap:
    """Wraps with the newest version of a key; see `Wrap`.

    Azure binds to no context, so the context goes into what is wrapped (`bound_key`); and its
    ciphertexts name no version, so `provider_version` alone says which one unwraps. It needs the
    permissions get, wrapKey and unwrapKey on keys; to rotate, also rotate.
    """

    provider: Final = KeyProvider.AZURE_KEY_VAULT

    def __init__(
        self, vault: Vault, key_uri: str, address: KeyAddress, calls: BoundedCalls
    ) -> None:
        self._vault = vault
        self._key_uri = key_uri
        self._address = address
        self._calls = calls

    @classmethod
    async def open(
        cls,
        key_uri: str,
        options: KmsOptions,
        credential: "AsyncTokenCredential | None" = None,
    ) -> Self:
        """Make a client for `https://HOST/keys/NAME`; calls nobody.

        Raises `KeyProviderError` with CONFIG for another address, or a host that is not below
        one of `options.azure_hosts`. A `credential` that is given stays open.
        """
        address = KeyAddress.parse(key_uri, options.azure_hosts)
        if address.version is not None:
            raise KeyProviderError(
                KeyFault.CONFIG, "a key of Azure is named without a version: the newest one wraps"
            )
        vault = await Vault.open(address.host, options, credential)
        endpoint = f"{cls.provider.name}/{address.host}"
        return cls(vault, key_uri, address, calls_to(endpoint, options))

    async def describe(self) -> KeyDescription:
        """See `Wrap.describe`; KEY_DISABLED when the newest version is disabled.

        Azure tells neither the region nor where key material was made.
        """
        return self._description(await self._calls.run(self._newest))

    async def wrap(self, key: bytes, context: WrapContext) -> WrappedKey:
        """See `Wrap.wrap`.

        The version is asked for first: Azure itself goes on wrapping with an RSA key that is
        disabled, which it regards as an operation of the public key.
        """
        assert len(key) == KEY_BYTES
        return await self._calls.run(lambda: self._wrap(bind(key, context)))

    async def unwrap(self, wrapped: WrappedKey, context: WrapContext) -> bytes:
        """See `Wrap.unwrap`."""
        if wrapped.key_uri != self._key_uri:
            raise KeyProviderError(KeyFault.WRONG_KEY, "the data key was wrapped by another key")
        if not is_version(wrapped.provider_version):
            raise _does_not_fit()
        return unbind(await self._calls.run(lambda: self._unwrap(wrapped)), context)

    async def rotate(self) -> KeyDescription:
        """See `Wrap.rotate`; the new version is of the type and size of the one before it."""
        return self._description(await self._calls.run(self._rotate))

    async def close(self) -> None:
        """See `Wrap.close`."""
        await self._vault.close()

    async def _wrap(self, bound: bytes) -> WrappedKey:
        newest = await self._newest()
        version = self._description(newest).provider_version
        answer = await self._ask(
            "POST",
            f"{self._path}/{version}/wrapkey",
            {"alg": _algorithm(newest), "value": encoded(bound)},
        )
        if self._address.version_in(answer.get("kid")) != version:
            raise KeyProviderError(KeyFault.UNAVAILABLE, "the vault wrapped with another version")
        return WrappedKey(decoded(answer.get("value")), self._key_uri, version)

    async def _unwrap(self, wrapped: WrappedKey) -> bytes:
        algorithm = _AES if len(wrapped.ciphertext) == _AES_BYTES else _RSA
        try:
            answer = await self._ask(
                "POST",
                f"{self._path}/{wrapped.provider_version}/unwrapkey",
                {"alg": algorithm, "value": encoded(wrapped.ciphertext)},
            )
        except KeyProviderError as error:
            if (
                error.fault is KeyFault.CONFIG
                and error.details.get("status") == HTTPStatus.BAD_REQUEST
            ):
                raise _does_not_fit() from error
            raise
        if self._address.version_in(answer.get("kid")) != wrapped.provider_version:
            raise KeyProviderError(KeyFault.UNAVAILABLE, "the vault unwrapped with another version")
        return decoded(answer.get("value"))

    async def _newest(self) -> dict[str, Any]:
        return await self._ask("GET", f"{self._path}/")

    async def _rotate(self) -> dict[str, Any]:
        return await self._ask("POST", f"{self._path}/rotate")

    @property
    def _path(self) -> str:
        return f"/keys/{self._address.name}"

    async def _ask(
        self, method: str, path: str, body: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        try:
            return await self._vault.ask(method, path, body)
        except KeyProviderError as error:
            if error.fault is not KeyFault.KEY_NOT_FOUND:
                raise
            raise await self._missing(error, path) from error

    async def _missing(self, error: KeyProviderError, path: str) -> KeyProviderError:
        """Which of the things is missing that 404 stands for: a version, the key, or all of it."""
        if path != f"{self._path}/":
            try:
                await self._newest()
            except KeyProviderError as asked:
                return asked
            return _does_not_fit()
        try:
            await self._vault.ask("GET", f"/deletedkeys/{self._address.name}")
        except KeyProviderError:
            return error
        return KeyProviderError(
            KeyFault.KEY_PENDING_DELETION, "the key is deleted, and can still be recovered"
        )

    def _description(self, bundle: Mapping[str, Any]) -> KeyDescription:
        key, attributes = _part(bundle, "key"), _part(bundle, "attributes")
        version = self._address.version_in(key.get("kid"))
        if attributes.get("enabled") is False:
            raise KeyProviderError(KeyFault.KEY_DISABLED, "the newest version is disabled")
        _algorithm(bundle)
        return KeyDescription(
            provider=self.provider,
            key_uri=self._key_uri,
            provider_version=version,
            origin=_origin(bundle),
            protection_level="HSM" if str(key["kty"]).endswith("-HSM") else "SOFTWARE",
            region=None,
            created_at=_time(attributes.get("created")),
        )


def _algorithm(bundle: Mapping[str, Any]) -> str:
    kind = _part(bundle, "key").get("kty")
    if kind not in _ALGORITHMS:
        raise KeyProviderError(
            KeyFault.CONFIG, f"keys wrap that are one of {', '.join(_ALGORITHMS)}, not {kind}"
        )
    return _ALGORITHMS[kind]


def _origin(bundle: Mapping[str, Any]) -> str:
    if bundle.get("managed") is True:
        return "CERTIFICATE"
    if _part(bundle, "attributes").get("exportable") is True:
        return "EXPORTABLE"
    return "UNKNOWN"


def _part(bundle: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = bundle.get(name)
    if not isinstance(part, dict):
        raise KeyProviderError(KeyFault.UNAVAILABLE, "the vault's answer is damaged")
    return part


def _time(seconds: object) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) else None


def _does_not_fit() -> KeyProviderError:
    return KeyProviderError(
        KeyFault.INTEGRITY, "the wrapped key, its version and its context do not fit each other"
    )
