"""A tenant's key in the transit engine of OpenBao or Vault."""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any, Final, Self

from subgraph.kms.bound_key import KEY_BYTES
from subgraph.kms.contract import KeyDescription, KeyProvider, WrapContext, WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.openbao_client import OpenBaoClient, TransitKey
from subgraph.kms.options import KmsOptions

# With associated data; of AES only the long key.
_AEAD: Final = frozenset({"aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"})
_CIPHERTEXT: Final = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]+={0,2})")


class OpenBaoWrap:
    """Encrypts and decrypts at the server, with the context as `associated_data`; see `Wrap`."""

    provider: Final = KeyProvider.OPENBAO

    def __init__(self, client: OpenBaoClient, key: TransitKey, key_uri: str) -> None:
        self._client = client
        self._key = key
        self._key_uri = key_uri

    @classmethod
    async def open(cls, key_uri: str, options: KmsOptions) -> Self:
        """Return a wrapper for `openbao:MOUNT/KEY`, without asking the server.

        Raises `KeyProviderError` with CONFIG for another address, or when the operator has named
        no server or no token.
        """
        return cls(OpenBaoClient.open(options, "wrap"), TransitKey.parse(key_uri), key_uri)

    async def describe(self) -> KeyDescription:
        """See `Wrap.describe`."""
        return self._description(await self._read())

    async def wrap(self, key: bytes, context: WrapContext) -> WrappedKey:
        """See `Wrap.wrap`.

        The key is looked at first: the server makes a key that is missing when it is asked to
        encrypt, if the token may create one.
        """
        before = self._description(await self._read())
        answer = await self._client.post(
            self._path("encrypt"),
            {"plaintext": _base64(key), "associated_data": _base64(context.aad)},
        )
        ciphertext = answer.get("ciphertext")
        found = _CIPHERTEXT.fullmatch(ciphertext) if isinstance(ciphertext, str) else None
        if found is None:
            raise _misunderstood()
        if int(found[1]) < int(before.provider_version):
            raise KeyProviderError(KeyFault.KEY_NOT_FOUND, "the key was replaced by another one")
        return WrappedKey(found[0].encode(), self._key_uri, found[1])

    async def unwrap(self, wrapped: WrappedKey, context: WrapContext) -> bytes:
        """See `Wrap.unwrap`."""
        if wrapped.key_uri != self._key_uri:
            raise KeyProviderError(KeyFault.WRONG_KEY)
        answer = await self._client.post(
            self._path("decrypt"),
            {"ciphertext": _canonical(wrapped), "associated_data": _base64(context.aad)},
        )
        plaintext = answer.get("plaintext")
        try:
            key = base64.b64decode(plaintext, validate=True) if isinstance(plaintext, str) else None
        except binascii.Error:
            key = None
        if key is None:
            raise _misunderstood()
        if len(key) != KEY_BYTES:
            raise KeyProviderError(KeyFault.INTEGRITY, "what was unwrapped is no data key")
        return key

    async def rotate(self) -> KeyDescription:
        """See `Wrap.rotate`."""
        await self._client.post(f"{self._path('keys')}/rotate", {})
        return await self.describe()

    async def close(self) -> None:
        """See `Wrap.close`."""
        await self._client.close()

    def _path(self, verb: str) -> str:
        return f"{self._key.mount}/{verb}/{self._key.name}"

    async def _read(self) -> dict[str, Any]:
        data = await self._client.get(self._path("keys"))
        if data.get("soft_deleted") is True:
            raise KeyProviderError(KeyFault.KEY_DISABLED, "the key is deleted, but can be restored")
        if "type" not in data:
            raise _misunderstood()
        if data["type"] not in _AEAD or data.get("derived") is True:
            message = f"a key of one of the types {', '.join(sorted(_AEAD))} is needed, not derived"
            raise KeyProviderError(KeyFault.CONFIG, message)
        return data

    def _description(self, data: dict[str, Any]) -> KeyDescription:
        try:
            latest = int(data["latest_version"])
            created_at = datetime.fromtimestamp(int(data["keys"][str(latest)]), UTC)
        except (LookupError, TypeError, ValueError, OverflowError, OSError):
            raise _misunderstood() from None
        may_leave = data.get("exportable") is True or data.get("allow_plaintext_backup") is True
        return KeyDescription(
            provider=self.provider,
            key_uri=self._key_uri,
            provider_version=str(latest),
            origin="IMPORTED" if data.get("imported_key") is True else "GENERATED",
            protection_level="SOFTWARE_EXPORTABLE" if may_leave else "SOFTWARE",
            region=None,
            created_at=created_at,
        )


def _canonical(wrapped: WrappedKey) -> str:
    """The ciphertext as text; the server also takes spellings that it never wrote itself.

    It reads `v0` as `v1` and passes over unused bits of base64, neither of which its tag covers.
    """
    found = _CIPHERTEXT.fullmatch(wrapped.ciphertext.decode("ascii", "replace"))
    if found is not None and found[1] == wrapped.provider_version:
        try:
            if _base64(base64.b64decode(found[2], validate=True)) == found[2]:
                return found[0]
        except binascii.Error:
            pass
    raise KeyProviderError(KeyFault.INTEGRITY, "the wrapped key is not as the server wrote it")


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _misunderstood() -> KeyProviderError:
    return KeyProviderError(KeyFault.UNAVAILABLE, "OpenBao's answer is not understood")
