"""`pkcs11:` URIs (RFC 7512): which module, which token, which key, and where the PIN is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from subgraph.errors import ErrorCode, SubgraphError

_SCHEME: Final = "pkcs11:"
_PATH: Final = frozenset(
    {"token", "serial", "manufacturer", "model", "slot-id", "object", "id", "type"}
)
_QUERY: Final = frozenset({"module-path", "pin-source"})
_WHY_NOT: Final = {
    "pin-value": "a PIN in an address ends in logs; name a file with pin-source",
    "module-name": "name the library with module-path",
}


@dataclass(frozen=True, slots=True)
class TokenSelector:
    """Which token: what is None may be anything."""

    label: str | None
    serial: str | None
    manufacturer: str | None
    model: str | None
    slot_id: int | None


@dataclass(frozen=True, slots=True)
class Pkcs11Uri:
    """A private key on a token, the library that reaches it, and the file with the user's PIN."""

    module_path: Path
    token: TokenSelector
    object_label: str | None
    object_id: bytes | None
    pin_file: Path | None

    @property
    def place(self) -> str:
        """The key in words, for messages."""
        named = [f"object={self.object_label}" if self.object_label is not None else ""]
        named += [f"id={self.object_id.hex()}" if self.object_id is not None else ""]
        named += [f"token={self.token.label}" if self.token.label is not None else ""]
        return "the key " + " ".join(part for part in named if part)


def parse(uri: str) -> Pkcs11Uri:
    """Read a URI such as `pkcs11:token=ledger;object=root?module-path=/x.so&pin-source=file:/pin`.

    Raises `SubgraphError` with SETTINGS_INVALID for an attribute that is unknown, repeated or not
    supported: to pass over one would be to match more keys than were meant.
    """
    if not uri.startswith(_SCHEME):
        raise _refusal("it does not begin with `pkcs11:`")
    path, _, query = uri.removeprefix(_SCHEME).partition("?")
    values = _attributes(path, ";", _PATH)
    options = _attributes(query, "&", _QUERY)
    if "object" not in values and "id" not in values:
        raise _refusal("it names no key: add object= or id=")
    if values.get("type", "private") != "private":
        raise _refusal("type= must be private")
    if "module-path" not in options:
        raise _refusal("it names no library: add module-path=")
    module = Path(unquote(options["module-path"]))
    if not module.is_absolute():
        raise _refusal("module-path must be absolute")
    slot = values.get("slot-id")
    if slot is not None and not (slot.isascii() and slot.isdecimal()):
        raise _refusal("slot-id must be a number")
    return Pkcs11Uri(
        module_path=module,
        token=TokenSelector(
            label=_text(values, "token"),
            serial=_text(values, "serial"),
            manufacturer=_text(values, "manufacturer"),
            model=_text(values, "model"),
            slot_id=None if slot is None else int(slot),
        ),
        object_label=_text(values, "object"),
        object_id=unquote_to_bytes(values["id"]) if "id" in values else None,
        pin_file=_pin_file(options.get("pin-source")),
    )


def _attributes(text: str, separator: str, allowed: frozenset[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if name in _WHY_NOT:
            raise _refusal(f"{name}: {_WHY_NOT[name]}")
        if not equals or name not in allowed:
            raise _refusal(f"the attribute {name!r} is not supported here")
        if name in values:
            raise _refusal(f"the attribute {name!r} stands twice")
        values[name] = value
    return values


def _text(values: dict[str, str], name: str) -> str | None:
    try:
        return unquote(values[name], errors="strict") if name in values else None
    except UnicodeDecodeError:
        raise _refusal(f"{name} is not UTF-8") from None


def _pin_file(source: str | None) -> Path | None:
    if source is None:
        return None
    file = Path(unquote(source).removeprefix("file:").removeprefix("//"))
    if not file.is_absolute():
        raise _refusal("pin-source must be an absolute file: address")
    return file


def _refusal(reason: str) -> SubgraphError:
    return SubgraphError(ErrorCode.SETTINGS_INVALID, f"the pkcs11: address of a key: {reason}")
