"""A PKCS#11 library in this process: its one thread, its sessions, and its errors in our words."""

import contextlib
import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.calls import CallThreads
from subgraph.kms.pkcs11_uri import Pkcs11Uri, TokenSelector
from subgraph.kms.private_file import read_private

if TYPE_CHECKING:
    import pkcs11
    from pkcs11 import _pkcs11

# By name, so that the library is imported only by those who have an HSM.
_DENIED: Final = frozenset(
    {
        "PinExpired", "PinIncorrect", "PinInvalid", "PinLenRange", "PinLocked",
        "UserPinNotInitialized",
    }
)  # fmt: skip
_UNUSABLE: Final = frozenset(
    {
        "AttributeSensitive", "AttributeTypeInvalid", "FunctionNotSupported", "KeySizeRange",
        "KeyTypeInconsistent", "MechanismInvalid", "MechanismParamInvalid",
        "MultipleObjectsReturned", "MultipleTokensReturned",
    }
)  # fmt: skip


class Pkcs11Module:
    """A loaded library. Everything but `thread` MUST be used on that thread only.

    python-pkcs11 initialises libraries without asking them to lock, so calls from two threads
    corrupt them, even with a session each.
    """

    def __init__(self, path: Path) -> None:
        self.thread = CallThreads(f"PKCS11/{path.name}", 1)
        self.generation = 0
        self._path = path
        self._library: _pkcs11.lib | None = None
        self._sessions: dict[TokenSelector, pkcs11.Session] = {}
        self._refused_pins: dict[TokenSelector, bytes] = {}

    def session(self, uri: Pkcs11Uri) -> "pkcs11.Session":
        """The session with the token of `uri`, opened and logged in if there is none.

        All keys of a token share it: logging in a second time is an error in PKCS#11, and logging
        out ends the login of all.
        """
        known = self._sessions.get(uri.token)
        if known is not None:
            return known
        if self._library is None:
            self._library = self._load()
        session = self._log_in(self._find(self._library, uri.token), uri)
        self._sessions[uri.token] = session
        return session

    @contextlib.contextmanager
    def writing_session(self, uri: Pkcs11Uri) -> "Iterator[pkcs11.Session]":
        """A session that may change the token of `uri`; it shares the other session's login."""
        self.session(uri)
        assert self._library is not None
        session = self._find(self._library, uri.token).open(rw=True)
        try:
            yield session
        finally:
            session.close()

    def reset(self, generation: int) -> None:
        """Begin anew with the library, unless that was done since `generation`.

        Clients of network HSMs connect again only after C_Finalize and C_Initialize, and SoftHSM
        looks for tokens only then.
        """
        import pkcs11

        if generation != self.generation:
            return
        self.generation += 1
        self._sessions.clear()
        if self._library is not None:
            with contextlib.suppress(pkcs11.PKCS11Error):
                self._library.finalize()
            self._library.initialize()

    def _log_in(self, token: "pkcs11.Token", uri: Pkcs11Uri) -> "pkcs11.Session":
        import pkcs11

        if uri.pin_file is None:
            return token.open()
        pin = _pin(uri.pin_file)
        digest = hashlib.sha256(pin.encode()).digest()
        if self._refused_pins.get(uri.token) == digest:
            # Presented again by every key of the token, it would lock the token.
            raise pkcs11.PinIncorrect
        try:
            return token.open(user_pin=pin)
        except pkcs11.PinIncorrect:
            self._refused_pins[uri.token] = digest
            raise

    def _load(self) -> "_pkcs11.lib":
        try:
            import pkcs11
        except ImportError:
            message = "keys in an HSM need the extra `pkcs11`, which is not installed"
            raise SubgraphError(ErrorCode.SETTINGS_INVALID, message) from None
        try:
            return pkcs11.lib(str(self._path))
        except pkcs11.PKCS11Error as error:
            # The base class itself stands for a file that is not there or is no such library.
            if type(error) is not pkcs11.PKCS11Error:
                raise
            message = f"{self._path} cannot be loaded as a PKCS#11 library: {error}"
            raise SubgraphError(ErrorCode.SETTINGS_INVALID, message) from None

    @staticmethod
    def _find(library: "_pkcs11.lib", wanted: TokenSelector) -> "pkcs11.Token":
        import pkcs11

        present = [slot.get_token() for slot in library.get_slots(token_present=True)]
        fitting = [token for token in present if _fits(token, wanted)]
        if not fitting:
            raise pkcs11.NoSuchToken
        if len(fitting) > 1:
            raise pkcs11.MultipleTokensReturned
        return fitting[0]


def module(path: Path) -> Pkcs11Module:
    """The library at `path`, as this process has it: one object, and one thread, for all keys."""
    return _module(path.resolve(), os.getpid())


@functools.cache
def _module(path: Path, _process: int) -> Pkcs11Module:
    # C_Initialize counts for the whole process, so its one thread has to be found by all.
    return Pkcs11Module(path)


def is_final(error: "pkcs11.PKCS11Error") -> bool:
    """Whether a new session would change nothing, or trying again could lock the PIN."""
    return type(error).__name__ in _DENIED | _UNUSABLE


def translate(error: "pkcs11.PKCS11Error", uri: Pkcs11Uri) -> SubgraphError:
    """Our error for one of the library; it never holds the PIN."""
    name = type(error).__name__
    if name in _DENIED:
        return SubgraphError(
            ErrorCode.KEY_ACCESS_DENIED, f"the token of {uri.place} refused the PIN ({name})"
        )
    if name in _UNUSABLE:
        return SubgraphError(ErrorCode.KEY_UNUSABLE, f"{uri.place} cannot be used ({name})")
    if name == "NoSuchKey":
        return SubgraphError(
            ErrorCode.KEY_NOT_FOUND, f"{uri.place}: no elliptic-curve key with its public key"
        )
    return SubgraphError(ErrorCode.KEY_UNAVAILABLE, f"{uri.place} cannot be reached ({name})")


def _fits(token: "pkcs11.Token", wanted: TokenSelector) -> bool:
    pairs = (
        (wanted.label, token.label),
        (wanted.serial, token.serial.rstrip(b" \0").decode("utf-8", "replace")),
        (wanted.manufacturer, token.manufacturer_id),
        (wanted.model, token.model),
        (wanted.slot_id, token.slot.slot_id),
    )
    return all(wish is None or wish == value for wish, value in pairs)


def _pin(path: Path) -> str:
    try:
        return read_private(path).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SubgraphError(ErrorCode.KEY_UNUSABLE, f"{path}: the PIN is not UTF-8") from None
