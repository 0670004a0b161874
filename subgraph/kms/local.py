"""A tenant's key in a file of this service: for development, and refused in production mode.

The file `<local keys>/<tenant>/<name>` is JSON: `state` (ENABLED, DISABLED, PENDING_DELETION,
DESTROYED) and `versions`, each with its number, its 32-byte key (base64) and when it was made.
It is read for every call, as a provider would look at its key. Ciphertexts are AES-256-GCM: nonce
(12 bytes) || ciphertext and tag, with the context as associated data.
"""

import binascii
import logging
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from subgraph.errors import SubgraphError
from subgraph.kms.bound_key import KEY_BYTES
from subgraph.kms.calls import CallThreads, threads_for
from subgraph.kms.contract import KeyDescription, KeyProvider, WrapContext, WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions
from subgraph.kms.private_file import create_private, read_private, replace_private

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SCHEME: Final = "local:"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_REFUSING: Final = {
    "DISABLED": KeyFault.KEY_DISABLED,
    "PENDING_DELETION": KeyFault.KEY_PENDING_DELETION,
    "DESTROYED": KeyFault.KEY_NOT_FOUND,
}


class _Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    key: bytes
    created_at: datetime


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: str
    versions: list[_Version]


class LocalWrap:
    """Wraps with the newest version in the file; see `Wrap`."""

    provider: Final = KeyProvider.LOCAL

    def __init__(self, path: Path, key_uri: str, threads: CallThreads, seconds: float) -> None:
        self._path = path
        self._key_uri = key_uri
        self._threads = threads
        self._seconds = seconds
        self._closed = False

    @classmethod
    async def open(cls, key_uri: str, tenant: str, options: KmsOptions, *, create: bool) -> Self:
        """Return a wrapper for `local:NAME`; with `create`, a key that is not there is made.

        Processes that race get the same key. Raises `KeyProviderError`: CONFIG in production
        mode, for another address, or for a file that others can open.
        """
        if options.production:
            raise KeyProviderError(
                KeyFault.CONFIG, "local keys are for development: name a key at a provider"
            )
        path = options.local_keys / _checked(tenant) / _checked(key_uri.removeprefix(_SCHEME))
        wrapper = cls(path, key_uri, threads_for("LOCAL", options), options.seconds)
        if create:
            await wrapper._run(lambda: create_private(path, _encode(_fresh())))
        logger.warning(
            "SOFTWARE KEY: %s is a tenant's key in a file; whoever reads it can open everything "
            "that it protects. Production mode refuses it.",
            path,
            extra={"tenant": tenant},
        )
        return wrapper

    async def describe(self) -> KeyDescription:
        """See `Wrap.describe`."""
        return self._description(await self._run(lambda: _read(self._path)))

    async def wrap(self, key: bytes, context: WrapContext) -> WrappedKey:
        """See `Wrap.wrap`."""
        version = (await self._run(lambda: _usable(self._path))).versions[-1]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(version.key).encrypt(nonce, key, context.aad)
        return WrappedKey(nonce + sealed, self._key_uri, str(version.number))

    async def unwrap(self, wrapped: WrappedKey, context: WrapContext) -> bytes:
        """See `Wrap.unwrap`."""
        if wrapped.key_uri != self._key_uri:
            raise KeyProviderError(KeyFault.WRONG_KEY)
        versions = (await self._run(lambda: _usable(self._path))).versions
        for version in versions:
            if str(version.number) == wrapped.provider_version:
                return _unseal(version.key, wrapped.ciphertext, context)
        raise KeyProviderError(
            KeyFault.KEY_NOT_FOUND, f"{self._key_uri} has no version {wrapped.provider_version}"
        )

    async def rotate(self) -> KeyDescription:
        """See `Wrap.rotate`; of processes that race each makes a version."""
        await self._run(lambda: replace_private(self._path, self._with_new_version))
        return await self.describe()

    async def close(self) -> None:
        """See `Wrap.close`."""
        self._closed = True

    async def _run(self, job: Callable[[], T]) -> T:
        if self._closed:
            raise KeyProviderError(KeyFault.UNAVAILABLE, "the key was given back")
        try:
            return await self._threads.run(job, self._seconds)
        except KeyProviderError:
            raise
        except SubgraphError as error:
            raise KeyProviderError.of(error) from None

    def _with_new_version(self, content: bytes) -> bytes:
        file = _enabled(_decode(self._path, content))
        return _encode(
            _KeyFile(file.state, [*file.versions, _version(file.versions[-1].number + 1)])
        )

    def _description(self, file: _KeyFile) -> KeyDescription:
        newest = file.versions[-1]
        return KeyDescription(
            provider=self.provider,
            key_uri=self._key_uri,
            provider_version=str(newest.number),
            origin="GENERATED",
            protection_level="SOFTWARE_FILE",
            region=None,
            created_at=newest.created_at,
        )


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise KeyProviderError(
            KeyFault.CONFIG,
            "a local key is named local:NAME, with up to 100 letters, digits, `-` and `_`",
        )
    return name


def _usable(path: Path) -> _KeyFile:
    return _enabled(_read(path))


def _read(path: Path) -> _KeyFile:
    file = _decode(path, read_private(path))
    if _REFUSING.get(file.state) is KeyFault.KEY_NOT_FOUND:
        raise KeyProviderError(KeyFault.KEY_NOT_FOUND)
    return file


def _enabled(file: _KeyFile) -> _KeyFile:
    if file.state in _REFUSING:
        raise KeyProviderError(_REFUSING[file.state])
    return file


def _decode(path: Path, content: bytes) -> _KeyFile:
    try:
        file = msgspec.json.decode(content, type=_KeyFile)
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError):
        raise _damaged(path) from None
    numbers = [version.number for version in file.versions]
    whole = all(len(version.key) == KEY_BYTES for version in file.versions)
    if not numbers or numbers != sorted(set(numbers)) or not whole:
        raise _damaged(path)
    if file.state != "ENABLED" and file.state not in _REFUSING:
        raise _damaged(path)
    return file


def _damaged(path: Path) -> KeyProviderError:
    return KeyProviderError(KeyFault.CONFIG, f"{path} is damaged, or no local key")


def _encode(file: _KeyFile) -> bytes:
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def _fresh() -> _KeyFile:
    return _KeyFile("ENABLED", [_version(1)])


def _version(number: int) -> _Version:
    return _Version(number, secrets.token_bytes(KEY_BYTES), datetime.now(UTC))


def _unseal(key: bytes, ciphertext: bytes, context: WrapContext) -> bytes:
    nonce, sealed = ciphertext[:_NONCE_BYTES], ciphertext[_NONCE_BYTES:]
    if len(sealed) != KEY_BYTES + _TAG_BYTES:
        raise KeyProviderError(KeyFault.INTEGRITY, "the wrapped key has another length")
    try:
        return AESGCM(key).decrypt(nonce, sealed, context.aad)
    except InvalidTag:
        raise KeyProviderError(KeyFault.INTEGRITY) from None
