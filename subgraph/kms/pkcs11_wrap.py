"""A tenant's key in an HSM, reached through PKCS#11: CKM_AES_KEY_WRAP_PAD (RFC 5649).

The mechanism takes no associated data, so what is wrapped is a bound key. The versions of a key
are the AES keys with its label; CKA_ID tells them apart. Those made here have 8 bytes: a counter
(4 bytes, big-endian) and 4 random bytes, for PKCS#11 cannot keep two processes from making one at
once. The highest counter wraps; a key that came with another CKA_ID counts by its value if it has
at most 4 bytes, and as 0 otherwise.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast
from urllib.parse import quote

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms import pkcs11_uri
from subgraph.kms.bound_key import BOUND_BYTES, bind, unbind
from subgraph.kms.contract import KeyDescription, KeyProvider, WrapContext, WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions
from subgraph.kms.pkcs11_module import Pkcs11Module, is_final, module, translate
from subgraph.kms.pkcs11_uri import Pkcs11Uri, TokenSelector

if TYPE_CHECKING:
    from pkcs11 import Session

T = TypeVar("T")

_WRAPPED_BYTES: Final = BOUND_BYTES + 8
_COUNTER_BYTES: Final = 4
_ID_BYTES: Final = 8
_AES_BITS: Final = 256
_DAMAGE: Final = frozenset(
    {"EncryptedDataInvalid", "EncryptedDataLenRange", "WrappedKeyInvalid", "WrappedKeyLenRange"}
)
# SoftHSM says this of a damaged ciphertext, and any device of its own troubles.
_UNCLEAR: Final = frozenset({"FunctionFailed", "GeneralError"})
_WRITE_PROTECTED: Final = frozenset({"SessionReadOnly", "TokenWriteProtected"})


@dataclass(frozen=True, slots=True)
class _Version:
    identity: bytes
    key: Any

    @property
    def counter(self) -> int:
        if len(self.identity) in (_ID_BYTES, *range(_COUNTER_BYTES + 1)):
            return int.from_bytes(self.identity[:_COUNTER_BYTES])
        return 0


class Pkcs11Wrap:
    """Wraps on the thread of the library; the key is looked for in every call. See `Wrap`."""

    provider: Final = KeyProvider.PKCS11

    def __init__(self, device: Pkcs11Module, uri: Pkcs11Uri, key_uri: str, seconds: float) -> None:
        self._device = device
        self._uri = uri
        self._key_uri = key_uri
        self._seconds = seconds
        self._closed = False

    @classmethod
    async def open(cls, key_uri: str, options: KmsOptions) -> Self:
        """Return a wrapper for `pkcs11:token=LABEL;object=LABEL`, without asking the device.

        Raises `KeyProviderError` with CONFIG for another address, or when the operator has named
        no library or no folder with PINs.
        """
        uri = _address(key_uri, options)
        return cls(module(uri.module_path), uri, key_uri, options.seconds)

    async def describe(self) -> KeyDescription:
        """See `Wrap.describe`."""
        return await self._on_device(self._describe)

    async def wrap(self, key: bytes, context: WrapContext) -> WrappedKey:
        """See `Wrap.wrap`."""
        return await self._on_device(lambda session: self._wrap(session, bind(key, context)))

    async def unwrap(self, wrapped: WrappedKey, context: WrapContext) -> bytes:
        """See `Wrap.unwrap`."""
        if wrapped.key_uri != self._key_uri:
            raise KeyProviderError(KeyFault.WRONG_KEY)
        bound = await self._on_device(lambda session: self._unwrap(session, wrapped))
        return unbind(bound, context)

    async def rotate(self) -> KeyDescription:
        """See `Wrap.rotate`; the new key is sensitive and cannot be extracted."""
        return await self._on_device(self._rotate)

    async def close(self) -> None:
        """See `Wrap.close`; the token's session stays, for other keys share it."""
        self._closed = True

    async def _on_device(self, work: "Callable[[Session], T]") -> T:
        if self._closed:
            raise KeyProviderError(KeyFault.UNAVAILABLE, "the key was given back")
        try:
            return await self._device.thread.run(lambda: self._twice(work), self._seconds)
        except KeyProviderError:
            raise
        except SubgraphError as error:
            # There is no PIN file, which says nothing of the key.
            missing = error.code is ErrorCode.KEY_NOT_FOUND
            fault = KeyFault.CONFIG if missing else KeyProviderError.of(error).fault
            raise KeyProviderError(fault, error.message) from None

    def _twice(self, work: "Callable[[Session], T]") -> T:
        import pkcs11

        generation = self._device.generation
        try:
            return work(self._device.session(self._uri))
        except pkcs11.PKCS11Error as first:
            if is_final(first):
                raise self._translated(first) from first
        try:
            self._device.reset(generation)
            return work(self._device.session(self._uri))
        except pkcs11.PKCS11Error as second:
            raise self._translated(second) from second

    def _translated(self, error: Exception) -> KeyProviderError:
        name = type(error).__name__
        if name == "NoSuchKey":
            message = f"{self._uri.place}: no AES key with this label"
            return KeyProviderError(KeyFault.KEY_NOT_FOUND, message)
        if name in _WRITE_PROTECTED:
            message = f"{self._uri.place} is write-protected: rotate the key at the device"
            return KeyProviderError(KeyFault.CONFIG, message)
        return KeyProviderError.of(translate(cast("Any", error), self._uri))

    def _describe(self, session: "Session") -> KeyDescription:
        from pkcs11 import Attribute, SlotFlag

        newest = self._versions(session)[-1]
        hardware = SlotFlag.HW_SLOT in session.token.slot.flags
        return KeyDescription(
            provider=self.provider,
            key_uri=self._key_uri,
            provider_version=newest.identity.hex(),
            origin="GENERATED" if newest.key[Attribute.LOCAL] else "IMPORTED",
            protection_level="HSM" if hardware else "SOFTWARE",
            region=None,
            created_at=None,
        )

    def _wrap(self, session: "Session", bound: bytes) -> WrappedKey:
        newest = self._versions(session)[-1]
        self._check_usable(newest)
        return WrappedKey(_seal(session, newest.key, bound), self._key_uri, newest.identity.hex())

    def _unwrap(self, session: "Session", wrapped: WrappedKey) -> bytes:
        for version in self._versions(session):
            if version.identity.hex() == wrapped.provider_version:
                self._check_usable(version)
                return _unseal_surely(session, version.key, wrapped.ciphertext)
        raise KeyProviderError(
            KeyFault.KEY_NOT_FOUND, f"{self._uri.place} has no version {wrapped.provider_version}"
        )

    def _rotate(self, session: "Session") -> KeyDescription:
        from pkcs11 import Attribute, KeyType, MechanismFlag

        newest = self._versions(session)[-1]
        # A new version would undo what the owner did to this one.
        self._check_usable(newest)
        if newest.counter + 1 >= 1 << 8 * _COUNTER_BYTES:
            raise KeyProviderError(KeyFault.CONFIG, f"{self._uri.place} has no further version")
        counter = (newest.counter + 1).to_bytes(_COUNTER_BYTES)
        with self._device.writing_session(self._uri) as writing:
            writing.generate_key(
                KeyType.AES,
                _AES_BITS,
                id=counter + secrets.token_bytes(_ID_BYTES - _COUNTER_BYTES),
                label=self._uri.object_label,
                store=True,
                capabilities=MechanismFlag.WRAP | MechanismFlag.UNWRAP,
                template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
            )
        return self._describe(session)

    def _versions(self, session: "Session") -> list[_Version]:
        import pkcs11
        from pkcs11 import Attribute, KeyType, ObjectClass

        wanted: dict[Attribute, object] = {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.LABEL: self._uri.object_label,
        }
        # Fails if the session is lost, of which a search would complain a second time by itself.
        session.generate_random(8)
        # Searched to the end: a search that is left open disturbs the session's next one.
        found = [
            _Version(bytes(key[Attribute.ID]), key) for key in list(session.get_objects(wanted))
        ]
        if not found:
            raise pkcs11.NoSuchKey
        identities = {version.identity for version in found}
        if len(identities) < len(found) or b"" in identities:
            message = f"{self._uri.place}: every version needs a CKA_ID of its own"
            raise KeyProviderError(KeyFault.CONFIG, message)
        return sorted(found, key=lambda version: (version.counter, version.identity))

    def _check_usable(self, version: _Version) -> None:
        from pkcs11 import Attribute

        if not (version.key[Attribute.WRAP] and version.key[Attribute.UNWRAP]):
            message = f"{self._uri.place} may not wrap and unwrap (CKA_WRAP, CKA_UNWRAP)"
            raise KeyProviderError(KeyFault.KEY_DISABLED, message)


def _address(key_uri: str, options: KmsOptions) -> Pkcs11Uri:
    if options.pkcs11_module is None or options.pkcs11_pins is None:
        raise KeyProviderError(KeyFault.CONFIG, "this deployment reaches no HSM through PKCS#11")
    if "?" in key_uri:
        raise KeyProviderError(KeyFault.CONFIG, "the operator names the library and the PIN")
    try:
        uri = pkcs11_uri.parse(f"{key_uri}?module-path={quote(str(options.pkcs11_module))}")
    except SubgraphError as error:
        raise KeyProviderError.of(error) from None
    label = uri.token.label
    only_labels = replace(uri, token=TokenSelector(label, None, None, None, None), object_id=None)
    if not label or not uri.object_label or uri != only_labels:
        raise KeyProviderError(KeyFault.CONFIG, "a key is named pkcs11:token=LABEL;object=LABEL")
    return replace(uri, pin_file=options.pkcs11_pins / _file_name(label))


def _file_name(label: str) -> str:
    if Path(label).name != label or label.startswith(".") or "\0" in label:
        raise KeyProviderError(KeyFault.CONFIG, "the label of a token is no path")
    return label


def _seal(session: "Session", key: Any, bound: bytes) -> bytes:
    from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

    template = {
        Attribute.CLASS: ObjectClass.SECRET_KEY,
        Attribute.KEY_TYPE: KeyType.GENERIC_SECRET,
        Attribute.VALUE: bound,
        **_transient(),
    }
    with _forgotten(session.create_object(template)) as secret:
        return bytes(key.wrap_key(secret, mechanism=Mechanism.AES_KEY_WRAP_PAD))


def _unseal(key: Any, ciphertext: bytes) -> bytes:
    from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

    unwrapped = key.unwrap_key(
        ObjectClass.SECRET_KEY,
        KeyType.GENERIC_SECRET,
        ciphertext,
        mechanism=Mechanism.AES_KEY_WRAP_PAD,
        template=_transient(),
    )
    with _forgotten(unwrapped) as secret:
        return bytes(secret[Attribute.VALUE])


def _unseal_surely(session: "Session", key: Any, ciphertext: bytes) -> bytes:
    """What was wrapped; INTEGRITY only once the device has shown that it is well."""
    import pkcs11

    if len(ciphertext) != _WRAPPED_BYTES:
        raise KeyProviderError(KeyFault.INTEGRITY, "the wrapped key has another length")
    try:
        return _unseal(key, ciphertext)
    except pkcs11.PKCS11Error as error:
        if type(error).__name__ not in _DAMAGE | _UNCLEAR:
            raise
    _unseal(key, _seal(session, key, bytes(BOUND_BYTES)))
    try:
        return _unseal(key, ciphertext)
    except pkcs11.PKCS11Error as error:
        if type(error).__name__ not in _DAMAGE | _UNCLEAR:
            raise
        raise KeyProviderError(KeyFault.INTEGRITY) from None


def _transient() -> "dict[Any, object]":
    from pkcs11 import Attribute

    return {Attribute.TOKEN: False, Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}


@contextmanager
def _forgotten(secret: Any) -> Iterator[Any]:
    """The object, until the device has forgotten it again."""
    try:
        yield secret
    finally:
        secret.destroy()
