"""A signing key in Google Cloud KMS. Needs cryptoKeyVersions.viewPublicKey and .useToSign."""

import re
from typing import TYPE_CHECKING, Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.calls import BoundedCalls
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.gcp import KEY_NAME
from subgraph.kms.gcp_client import DamagedError, ask, close_client, open_client, repeated
from subgraph.kms.gcp_crc32c import crc32c
from subgraph.kms.options import KmsOptions
from subgraph.kms.public_key import P256PublicKey
from subgraph.kms.remote_signer import RemoteSigner, in_words_of_sign

if TYPE_CHECKING:
    from google.cloud.kms_v1 import KeyManagementServiceAsyncClient

_VERSION_NAME: Final = re.compile(KEY_NAME.pattern + r"/cryptoKeyVersions/[1-9][0-9]{0,18}")
_ALGORITHM: Final = "EC_SIGN_P256_SHA256"


class GcpSigner(RemoteSigner):
    """Signs with one CryptoKeyVersion of the algorithm EC_SIGN_P256_SHA256; see `Sign`."""

    @classmethod
    async def open(cls, name: str, options: KmsOptions) -> Self:
        """Fetch the public key of `projects/P/.../cryptoKeyVersions/N`, and let it sign once.

        Raises `SubgraphError` as `Sign.sign` does, and SETTINGS_INVALID for another name or
        without credentials.
        """
        if not _VERSION_NAME.fullmatch(name):
            raise SubgraphError(
                ErrorCode.SETTINGS_INVALID,
                "a signing key of Google Cloud KMS is named by one of its versions: "
                "projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N",
            )
        try:
            client = await open_client(options.gcp_endpoint)
        except KeyProviderError as error:
            raise SubgraphError(ErrorCode.SETTINGS_INVALID, error.message) from error
        version = _Version(client, name, options.seconds)
        try:
            # Slots of its own: tenants of the same project take none of them.
            calls = BoundedCalls(f"GCP_KMS/{name}/sign", options.concurrency, options.seconds)
            public = await calls.run(lambda: repeated(version.public_key))
            signer = cls(
                public, lambda digest: calls.run(lambda: version.sign(digest)), version.close
            )
            await signer.prove()
        except KeyProviderError as error:
            await version.close()
            raise in_words_of_sign(error) from error
        except BaseException:
            await version.close()
            raise
        return signer


class _Version:
    """The requests about one version, with their checksums."""

    def __init__(
        self, client: "KeyManagementServiceAsyncClient", name: str, seconds: float
    ) -> None:
        self._client = client
        self._name = name
        self._seconds = seconds

    async def close(self) -> None:
        await close_client(self._client)

    async def public_key(self) -> P256PublicKey:
        from google.cloud.kms_v1 import GetPublicKeyRequest

        request = GetPublicKeyRequest(name=self._name)
        answer = await ask(self._client.get_public_key, request, self._seconds)
        self._check_name(answer.name)
        pem = answer.pem.encode()
        if crc32c(pem) != answer.pem_crc32c:
            raise DamagedError("a public key")
        if answer.algorithm.name == _ALGORITHM:
            try:
                key = load_pem_public_key(pem)
            except (ValueError, UnsupportedAlgorithm):
                key = None
            if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
                return P256PublicKey.of(key)
        raise KeyProviderError(KeyFault.CONFIG, f"{self._name} is not a key of {_ALGORITHM}")

    async def sign(self, digest: bytes) -> bytes:
        return await repeated(lambda: self._sign(digest))

    async def _sign(self, digest: bytes) -> bytes:
        from google.cloud.kms_v1 import AsymmetricSignRequest, Digest

        request = AsymmetricSignRequest(
            name=self._name, digest=Digest(sha256=digest), digest_crc32c=crc32c(digest)
        )
        answer = await ask(self._client.asymmetric_sign, request, self._seconds)
        self._check_name(answer.name)
        if not answer.verified_digest_crc32c:
            raise DamagedError("a digest")
        if crc32c(answer.signature) != answer.signature_crc32c:
            raise DamagedError("a signature")
        return bytes(answer.signature)

    def _check_name(self, name: str) -> None:
        if name != self._name:
            raise KeyProviderError(
                KeyFault.UNAVAILABLE, "Google Cloud KMS answered for another key than it was asked"
            )
