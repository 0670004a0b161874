"""A signing key in AWS KMS. Needs kms:GetPublicKey and kms:Sign on the key."""

import hashlib
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

_KEY_SPEC: Final = "ECC_NIST_P256"
_KEY_USAGE: Final = "SIGN_VERIFY"
_THREADS: Final = 4
_PROBE: Final = b"governance-subgraph: does the private key fit the public key?"
# What `Sign` knows of; any other fault means a key that may not sign.
_CODES: Final = frozenset(
    {ErrorCode.KEY_UNAVAILABLE, ErrorCode.KEY_ACCESS_DENIED, ErrorCode.KEY_NOT_FOUND}
)


class AwsSigner:
    """Signs our own SHA-256 digest with one P-256 key of AWS KMS; see `Sign`.

    Every signature is verified before it is handed out. After a refusal of the credentials, or a
    signature that does not hold, the key is not asked again.
    """

    local: Final = False

    def __init__(self, key: AwsKey, public: P256PublicKey) -> None:
        self._key = key
        self._public = public
        self._refused: SubgraphError | None = None

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
            raise _in_words_of_sign(error) from error
        signer = cls(key, public)
        await signer.sign(_PROBE)
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
            signature = await self._key.run(lambda kms: _sign(kms, digest))
        except KeyProviderError as error:
            refusal = _in_words_of_sign(error)
            if refusal.code is ErrorCode.KEY_ACCESS_DENIED:
                self._refuse(refusal)
            raise refusal from error
        if not self._public.verifies(signature, message):
            wrong = f"{self._key.arn.text} made a signature that its public key refuses"
            raise self._refuse(SubgraphError(ErrorCode.KEY_UNUSABLE, wrong))
        return signature

    async def close(self) -> None:
        """See `Sign.close`."""
        self._key.close()
        self._refused = SubgraphError(ErrorCode.KEY_CLOSED)

    def _refuse(self, error: SubgraphError) -> SubgraphError:
        # Closing comes first: it may have happened while the key was asked.
        self._refused = self._refused or error
        return error


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


def _in_words_of_sign(error: KeyProviderError) -> SubgraphError:
    code = ErrorCode.KEY_UNAVAILABLE if error.fault.retryable else error.code
    return SubgraphError(code if code in _CODES else ErrorCode.KEY_UNUSABLE, error.message)
