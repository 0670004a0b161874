"""A signing key in Azure Key Vault or Managed HSM. Needs the permissions get and sign on keys."""

from typing import TYPE_CHECKING, Any, Final, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.azure_vault import KeyAddress, Vault, decoded, encoded
from subgraph.kms.calls import BoundedCalls
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions
from subgraph.kms.public_key import P256PublicKey
from subgraph.kms.remote_signer import RemoteSigner, in_words_of_sign

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

_ALGORITHM: Final = "ES256"
_TYPES: Final = ("EC", "EC-HSM")
_NUMBER_BYTES: Final = 32


class AzureSigner(RemoteSigner):
    """Signs with one version of a P-256 key (ES256), always at the vault; see `Sign`."""

    @classmethod
    async def open(
        cls, uri: str, options: KmsOptions, credential: "AsyncTokenCredential | None" = None
    ) -> Self:
        """Fetch the public key of `https://HOST/keys/NAME/VERSION`, and let it sign once.

        Raises `SubgraphError` as `Sign.sign` does, and SETTINGS_INVALID for another address. A
        `credential` that is given stays open.
        """
        try:
            address = KeyAddress.parse(uri, options.azure_hosts)
        except KeyProviderError as error:
            raise SubgraphError(ErrorCode.SETTINGS_INVALID, error.message) from None
        if address.version is None:
            raise SubgraphError(
                ErrorCode.SETTINGS_INVALID,
                "a signing key of Azure is named with its version: https://VAULT/keys/NAME/VERSION",
            )
        vault = await Vault.open(address.host, options, credential)
        version = _Version(vault, address)
        try:
            # Slots of its own: tenants of the same vault take none of them.
            calls = BoundedCalls(f"AZURE/{address.host}/sign", options.concurrency, options.seconds)
            public = await calls.run(version.public_key)
            signer = cls(
                public, lambda digest: calls.run(lambda: version.sign(digest)), vault.close
            )
            await signer.prove()
        except KeyProviderError as error:
            await vault.close()
            raise in_words_of_sign(error) from error
        except BaseException:
            await vault.close()
            raise
        return signer


class _Version:
    """The requests about one version."""

    def __init__(self, vault: Vault, address: KeyAddress) -> None:
        self._vault = vault
        self._address = address
        self._path = f"/keys/{address.name}/{address.version}"

    async def public_key(self) -> P256PublicKey:
        answer = await self._vault.ask("GET", self._path)
        key = answer.get("key")
        known: dict[str, Any] = key if isinstance(key, dict) else {}
        self._address.version_in(known.get("kid"))
        if known.get("kty") not in _TYPES or known.get("crv") != "P-256":
            raise KeyProviderError(KeyFault.CONFIG, "the key is not an EC key of the curve P-256")
        x, y = (int.from_bytes(decoded(known.get(name))) for name in ("x", "y"))
        try:
            return P256PublicKey.of(
                ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
            )
        except ValueError:
            raise KeyProviderError(KeyFault.CONFIG, "the public key is damaged") from None

    async def sign(self, digest: bytes) -> bytes:
        body = {"alg": _ALGORITHM, "value": encoded(digest)}
        answer = await self._vault.ask("POST", f"{self._path}/sign", body)
        self._address.version_in(answer.get("kid"))
        raw = decoded(answer.get("value"))
        if len(raw) != 2 * _NUMBER_BYTES:
            raise KeyProviderError(KeyFault.UNAVAILABLE, "the vault's answer is damaged")
        r, s = int.from_bytes(raw[:_NUMBER_BYTES]), int.from_bytes(raw[_NUMBER_BYTES:])
        return encode_dss_signature(r, s)
