"""A signing key in the transit engine of OpenBao or Vault."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.faults import KeyProviderError
from subgraph.kms.openbao_client import OpenBaoClient, TransitKey
from subgraph.kms.options import KmsOptions
from subgraph.kms.public_key import P256PublicKey
from subgraph.kms.remote_signer import RemoteSigner, in_words_of_sign


class OpenBaoSigner(RemoteSigner):
    """Signs with one version of a transit key (ecdsa-p256); see `Sign`.

    The version is the one that was newest at the opening: a rotation at the server changes nothing
    here.
    """

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
            signing = _Version(client, key, version)
            signer = cls(public, signing.sign, client.close, name=f"the key {key.name}")
            await signer.prove()
        except KeyProviderError as error:
            await client.close()
            raise in_words_of_sign(error) from None
        except BaseException:
            await client.close()
            raise
        return signer


@dataclass(frozen=True, slots=True)
class _Version:
    client: OpenBaoClient
    key: TransitKey
    number: int

    async def sign(self, digest: bytes) -> bytes:
        answer = await self.client.post(
            f"{self.key.mount}/sign/{self.key.name}/sha2-256",
            {
                "input": base64.b64encode(digest).decode("ascii"),
                "prehashed": True,
                "marshaling_algorithm": "asn1",
                "key_version": self.number,
            },
        )
        return _signature(answer, self.number)


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
