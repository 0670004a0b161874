"""A signing key in AWS KMS. Needs kms:GetPublicKey and kms:Sign on the key."""

from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.aws_arn import AwsKeyArn
from subgraph.kms.aws_client import AwsKey, blob, text
from subgraph.kms.calls import CallThreads
from subgraph.kms.faults import KeyProviderError
from subgraph.kms.public_key import P256PublicKey
from subgraph.kms.remote_signer import RemoteSigner, in_words_of_sign

_KEY_SPEC: Final = "ECC_NIST_P256"
_KEY_USAGE: Final = "SIGN_VERIFY"
_THREADS: Final = 4


class AwsSigner(RemoteSigner):
    """Signs with one P-256 key of AWS KMS; see `Sign`."""

    @classmethod
    async def open(cls, key_uri: str, *, seconds: float, endpoint: str | None = None) -> Self:
        """Fetch the public key of an ARN, and let the key sign once; `seconds` bounds each call.

        `endpoint` is AWS's own address if None, or what the SDK's configuration names.
        Raises `SubgraphError` as `Sign.sign` does, and SETTINGS_INVALID for anything but an ARN.
        """
        try:
            arn = AwsKeyArn.parse(key_uri)
        except KeyProviderError as error:
            raise SubgraphError(ErrorCode.SETTINGS_INVALID, error.message) from None
        try:
            # Threads of its own: tenants of the same account take none of them.
            threads = CallThreads(f"AWS_KMS/{arn.account}/{arn.region}/sign", _THREADS)
            key = await AwsKey.open(arn, threads, seconds=seconds, endpoint=endpoint)
            public = await key.run(_public_key)
        except KeyProviderError as error:
            raise in_words_of_sign(error) from error

        async def make(digest: bytes) -> bytes:
            return await key.run(lambda kms: _sign(kms, digest))

        async def release() -> None:
            key.close()

        signer = cls(public, make, release, name=arn.text)
        await signer.prove()
        return signer


def _sign(kms: AwsKey, digest: bytes) -> bytes:
    signed = kms.ask("sign", Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
    return blob(signed, "Signature")


def _public_key(kms: AwsKey) -> P256PublicKey:
    said = kms.ask("get_public_key")
    if (text(said, "KeySpec"), text(said, "KeyUsage")) == (_KEY_SPEC, _KEY_USAGE):
        try:
            key = load_der_public_key(blob(said, "PublicKey"))
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
            return P256PublicKey.of(key)
    message = f"{kms.arn.text} is not a key of {_KEY_SPEC} for {_KEY_USAGE}"
    raise SubgraphError(ErrorCode.KEY_UNUSABLE, message)
