"""What signers have in common whose key a service on the network holds."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.public_key import P256PublicKey

_PROBE: Final = b"governance-subgraph: does the private key fit the public key?"
_CODES: Final = {
    KeyFault.THROTTLED: ErrorCode.KEY_UNAVAILABLE,
    KeyFault.UNAVAILABLE: ErrorCode.KEY_UNAVAILABLE,
    KeyFault.KEY_NOT_FOUND: ErrorCode.KEY_NOT_FOUND,
    KeyFault.ACCESS_DENIED: ErrorCode.KEY_ACCESS_DENIED,
}


class RemoteSigner:
    """Signs our own SHA-256 digest with one version of a key; see `Sign`.

    `make` takes a digest and returns a signature (DER), within its deadline, or raises
    `KeyProviderError`; `release` gives the connections back; `name` is the key in messages.
    Every signature is verified before it is handed out. After a refusal of the credentials, or a
    signature that does not hold, the key is not asked again.
    """

    local: Final = False

    def __init__(
        self,
        public: P256PublicKey,
        make: Callable[[bytes], Awaitable[bytes]],
        release: Callable[[], Awaitable[None]],
        *,
        name: str = "the key",
    ) -> None:
        self._public = public
        self._make = make
        self._release = release
        self._name = name
        self._refused: SubgraphError | None = None

    @property
    def key_id(self) -> str:
        """See `Sign.key_id`."""
        return self._public.key_id

    @property
    def public_key_pem(self) -> str:
        """See `Sign.public_key_pem`."""
        return self._public.pem

    async def prove(self) -> None:
        """Let the key sign once, so that one that cannot is noticed at a start."""
        await self.sign(_PROBE)

    async def sign(self, message: bytes) -> bytes:
        """See `Sign.sign`."""
        if self._refused is not None:
            raise SubgraphError(self._refused.code, self._refused.message)
        digest = hashlib.sha256(message).digest()
        try:
            signature = await self._make(digest)
        except KeyProviderError as error:
            refusal = in_words_of_sign(error)
            if refusal.code is ErrorCode.KEY_ACCESS_DENIED:
                self._refuse(refusal)
            raise refusal from error
        if not self._public.verifies(signature, message):
            said = f"{self._name} made a signature that its public key refuses"
            raise self._refuse(SubgraphError(ErrorCode.KEY_UNUSABLE, said))
        return signature

    async def close(self) -> None:
        """See `Sign.close`."""
        self._refused = SubgraphError(ErrorCode.KEY_CLOSED)
        await self._release()

    def _refuse(self, error: SubgraphError) -> SubgraphError:
        # Closing comes first: it may have happened while the key was asked.
        self._refused = self._refused or error
        return error


def in_words_of_sign(error: KeyProviderError) -> SubgraphError:
    """The failure as `Sign.sign` names it; every other fault means a key that may not sign."""
    return SubgraphError(_CODES.get(error.fault, ErrorCode.KEY_UNUSABLE), error.message)
