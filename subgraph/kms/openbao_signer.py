"""A signing key in the transit engine of OpenBao or Vault."""

import base64
import binascii
import hashlib
from typing import Any, Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.openbao_client import OpenBaoClient, TransitKey
from subgraph.kms.options import KmsOptions
from subgraph.kms.public_key import P256PublicKey

_PROBE: Final = b"governance-subgraph: does the private key fit the public key?"
_CODES: Final = {
    KeyFault.THROTTLED: ErrorCode.KEY_UNAVAILABLE,
    KeyFault.UNAVAILABLE: ErrorCode.KEY_UNAVAILABLE,
    KeyFault.KEY_NOT_FOUND: ErrorCode.KEY_NOT_FOUND,
    KeyFault.ACCESS_DENIED: ErrorCode.KEY_ACCESS_DENIED,
}


class OpenBaoSigner:
    """Signs our own SHA-256 digest with one version of a transit key (ecdsa-p256); see `Sign`.

    The version is the one that was newest at the opening: a rotation at the server changes nothing
    here. Every signature is verified before it is handed out.
    """

    local: Final = False

    def __init__(
        self, client: OpenBaoClient, key: TransitKey, version: int, public: P256PublicKey
    ) -> None:
        self._client = client
        self._key = key
        self._version = version
        self._public = public
        self._refused: SubgraphError | None = None

    @classmethod
    async def open(cls, uri: str, options: KmsOptions) -> Self:
        """Look at the key of `openbao:MOUNT/KEY`, and let it sign once.

        Raises `SubgraphError` as `Sign.sign` does, and SETTINGS_INVALID for another address, or
        when the operator has named no server or no token.
        """
        try:
            key, client = TransitKey.parse(uri), OpenBaoClient.open(options, "sign")
        except KeyProviderError as error:
            raise SubgraphError(ErrorCode.SETTINGS_INVALID, error.message) from None
        try:
            version, public = _newest(await client.get(f"{key.mount}/keys/{key.name}"))
            signer = cls(client, key, version, public)
            await signer.sign(_PROBE)
        except KeyProviderError as error:
            await client.close()
            raise _translated(error) from None
        except BaseException:
            await client.close()
            raise
        return signer

    @property
    def key_id(self) -> str:
        """See `Sign.key_id`."""
        return self._public.key_id

    @property
    def public_key_pem(self) -> str:
        """See `Sign.public_key_pem`."""
        return self._public.pem

    async def sign(self, message: bytes) -> bytes:
        """See `Sign.sign`."""
        if self._refused is not None:
            raise SubgraphError(self._refused.code, self._refused.message)
        digest = hashlib.sha256(message).digest()
        try:
            answer = await self._client.post(
                f"{self._key.mount}/sign/{self._key.name}/sha2-256",
                {
                    "input": base64.b64encode(digest).decode("ascii"),
                    "prehashed": True,
                    "marshaling_algorithm": "asn1",
                    "key_version": self._version,
                },
            )
        except KeyProviderError as error:
            translated = _translated(error)
            if translated.code is ErrorCode.KEY_ACCESS_DENIED:
                self._refused = translated
            raise translated from None
        return self._checked(answer, message)

    async def close(self) -> None:
        """See `Sign.close`."""
        self._refused = SubgraphError(ErrorCode.KEY_CLOSED)
        await self._client.close()

    def _checked(self, answer: dict[str, Any], message: bytes) -> bytes:
        signature = _signature(answer, self._version)
        if self._public.verifies(signature, message):
            return signature
        said = f"the key {self._key.name} made a signature that its public key refuses"
        self._refused = SubgraphError(ErrorCode.KEY_UNUSABLE, said)
        raise self._refused


def _newest(data: dict[str, Any]) -> tuple[int, P256PublicKey]:
    if data.get("type") != "ecdsa-p256":
        raise SubgraphError(
            ErrorCode.KEY_UNUSABLE, "a transit key of the type ecdsa-p256 is needed"
        )
    try:
        version = int(data["latest_version"])
        found = load_pem_public_key(data["keys"][str(version)]["public_key"].encode())
        if isinstance(found, ec.EllipticCurvePublicKey):
            return version, P256PublicKey.of(found)
    except (AttributeError, LookupError, TypeError, ValueError, UnsupportedAlgorithm):
        pass
    raise SubgraphError(ErrorCode.KEY_UNUSABLE, "the transit key is damaged")


def _signature(answer: dict[str, Any], version: int) -> bytes:
    prefix, said = f"vault:v{version}:", answer.get("signature")
    try:
        if isinstance(said, str) and said.startswith(prefix):
            return base64.b64decode(said.removeprefix(prefix), validate=True)
    except binascii.Error:
        pass
    raise SubgraphError(ErrorCode.KEY_UNAVAILABLE, "OpenBao's answer is not understood")


def _translated(error: KeyProviderError) -> SubgraphError:
    return SubgraphError(_CODES.get(error.fault, ErrorCode.KEY_UNUSABLE), error.message)
