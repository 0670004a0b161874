"""A data key while it is in memory."""

from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.hmac import HMAC

from subgraph.kms.faults import KeyFault, KeyProviderError

KEY_BYTES: Final = 32


class DataKey:
    """32 uniform bytes that other keys are derived from; it encrypts nothing itself.

    Only the state of HMAC-SHA512 under the key is kept, not the key. Python cannot promise that
    memory is overwritten: forgetting a key means that nothing refers to it any more. Core dumps
    are to be disabled where that matters.
    """

    __slots__ = ("__weakref__", "_fault", "_mac", "id", "id_bytes")

    def __init__(self, data_key_id: UUID, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise KeyProviderError(KeyFault.INTEGRITY, "what was unwrapped is not a data key")
        self.id = data_key_id
        self.id_bytes = data_key_id.bytes
        self._mac: HMAC | None = HMAC(key, SHA512())
        self._fault = KeyFault.UNAVAILABLE

    def __repr__(self) -> str:
        return f"DataKey({self.id})"

    def derive(self, info: bytes) -> bytes:
        """Return 32 bytes: HKDF-Expand of RFC 5869 with SHA-512.

        There is no extract step: the key is uniform already. Raises `KeyProviderError` with the
        fault for which the key was revoked.
        """
        self.check()
        assert self._mac is not None
        mac = self._mac.copy()
        mac.update(info + b"\x01")
        return mac.finalize()[:32]

    def check(self) -> None:
        """Raise `KeyProviderError` when the key was revoked."""
        if self._mac is None:
            raise KeyProviderError(self._fault)

    def revoke(self, fault: KeyFault) -> None:
        """Forget the key: whoever still holds the object can do nothing with it from now on."""
        self._mac = None
        self._fault = fault
