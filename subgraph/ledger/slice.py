"""The file that `ig ledger export` writes: part of a log, with all that proves it.

Its form is described, for whoever writes a verifier, in `docs/ledger.md`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from subgraph.errors import JSONValue
from subgraph.ledger import canonical
from subgraph.ledger.errors import Finding, VerificationFailed, placed
from subgraph.ledger.merkle import HASH_BYTES
from subgraph.ledger.publickey import read_base64, write_base64

MEDIA_TYPE = "application/vnd.intelgraph.ledger-slice.v1+json"

_PURPOSES = ("ROOT", "PROVER", "WITNESS")
_FIELDS = frozenset(
    {
        "mediaType",
        "origin",
        "older",
        "newer",
        "consistency",
        "complete",
        "keys",
        "delegations",
        "revocations",
        "entries",
    }
)


@dataclass(frozen=True, slots=True)
class SliceEntry:
    """An entry as it was hashed, its index, and the signature (DER) over its DSSE encoding.

    `inclusion` is its path in the tree of the newer checkpoint; None in a complete slice.
    """

    index: int
    entry: bytes
    signature: bytes
    inclusion: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class KeyStatement:
    """A delegation or a revocation: an entry of the deployment log, signed by the root.

    `proof` is the tlog-proof that the deployment log holds it.
    """

    entry: bytes
    signature: bytes
    proof: str


@dataclass(frozen=True, slots=True)
class SliceKey:
    """A public key and its purpose (ROOT, PROVER or WITNESS): to look up, never to trust."""

    key_id: str
    purpose: str
    public_key_pem: str


@dataclass(frozen=True, slots=True)
class Completeness:
    """All entries from `start` up to the newer checkpoint are given; the frontier is at `start`."""

    start: int
    frontier: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of the log `origin`, between and up to two checkpoints (signed notes).

    `complete` is None when single entries are given, each with its inclusion path.
    """

    origin: str
    older: str
    newer: str
    consistency: tuple[bytes, ...]
    complete: Completeness | None
    entries: tuple[SliceEntry, ...]
    delegations: tuple[KeyStatement, ...]
    revocations: tuple[KeyStatement, ...]
    keys: tuple[SliceKey, ...]


def write_slice(content: Slice) -> bytes:
    """The text of the file, with one entry a line."""
    document: dict[str, JSONValue] = {
        "mediaType": MEDIA_TYPE,
        "origin": content.origin,
        "older": content.older,
        "newer": content.newer,
        "consistency": _write_hashes(content.consistency),
        "complete": None
        if content.complete is None
        else {
            "from": content.complete.start,
            "frontier": _write_hashes(content.complete.frontier),
        },
        "keys": [
            {"keyId": key.key_id, "purpose": key.purpose, "publicKeyPem": key.public_key_pem}
            for key in content.keys
        ],
        "delegations": [_write_statement(statement) for statement in content.delegations],
        "revocations": [_write_statement(statement) for statement in content.revocations],
    }
    members = [f'"{name}":{_json(value)}' for name, value in document.items()]
    entries = ",\n".join(_json(_write_entry(entry)) for entry in content.entries)
    return ("{" + ",\n".join([*members, f'"entries":[\n{entries}\n]']) + "}\n").encode()


def read_slice(content: bytes) -> Slice:
    """The parts of a slice, nothing verified; VerificationFailed for any other file."""
    with placed("slice"):
        fields = _members(canonical.load(content), _FIELDS)
    if fields["mediaType"] != MEDIA_TYPE:
        raise VerificationFailed(Finding.SLICE_MALFORMED, "the media type is unknown", "mediaType")
    complete = fields["complete"]
    return Slice(
        origin=_text(fields, "origin"),
        older=_text(fields, "older"),
        newer=_text(fields, "newer"),
        consistency=_read_hashes(fields, "consistency"),
        complete=None if complete is None else _read_completeness(complete),
        entries=tuple(
            _read_entry(item, f"entries[{place}]") for place, item in _items(fields, "entries")
        ),
        delegations=_read_statements(fields, "delegations"),
        revocations=_read_statements(fields, "revocations"),
        keys=tuple(_read_key(item, f"keys[{place}]") for place, item in _items(fields, "keys")),
    )


def _write_entry(entry: SliceEntry) -> dict[str, JSONValue]:
    document: dict[str, JSONValue] = {
        "index": entry.index,
        "entry": entry.entry.decode(),
        "signature": write_base64(entry.signature),
    }
    if entry.inclusion is not None:
        document["inclusion"] = _write_hashes(entry.inclusion)
    return document


def _write_statement(statement: KeyStatement) -> dict[str, JSONValue]:
    return {
        "entry": statement.entry.decode(),
        "signature": write_base64(statement.signature),
        "proof": statement.proof,
    }


def _write_hashes(hashes: Sequence[bytes]) -> list[JSONValue]:
    return [write_base64(hashed) for hashed in hashes]


def _json(value: JSONValue) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _read_entry(item: object, where: str) -> SliceEntry:
    with placed(where):
        fields = _members(item, frozenset({"index", "entry", "signature"}), "inclusion")
        return SliceEntry(
            index=_count(fields, "index"),
            entry=_bytes(fields, "entry"),
            signature=_base64(fields, "signature"),
            inclusion=_read_hashes(fields, "inclusion") if "inclusion" in fields else None,
        )


def _read_statements(fields: dict[str, Any], name: str) -> tuple[KeyStatement, ...]:
    statements = []
    for place, item in _items(fields, name):
        with placed(f"{name}[{place}]"):
            members = _members(item, frozenset({"entry", "signature", "proof"}))
            statement = KeyStatement(
                _bytes(members, "entry"), _base64(members, "signature"), _text(members, "proof")
            )
        statements.append(statement)
    return tuple(statements)


def _read_key(item: object, where: str) -> SliceKey:
    with placed(where):
        fields = _members(item, frozenset({"keyId", "purpose", "publicKeyPem"}))
        if fields["purpose"] not in _PURPOSES:
            raise VerificationFailed(Finding.SLICE_MALFORMED, "the purpose is unknown", "purpose")
        return SliceKey(*(_text(fields, name) for name in ("keyId", "purpose", "publicKeyPem")))


def _read_completeness(item: object) -> Completeness:
    with placed("complete"):
        fields = _members(item, frozenset({"from", "frontier"}))
        return Completeness(_count(fields, "from"), _read_hashes(fields, "frontier"))


def _read_hashes(fields: dict[str, Any], name: str) -> tuple[bytes, ...]:
    return tuple(_hash(item, f"{name}[{place}]") for place, item in _items(fields, name))


def _hash(item: object, where: str) -> bytes:
    if not isinstance(item, str):
        raise VerificationFailed(Finding.SLICE_MALFORMED, "not a text", where)
    with placed(where):
        hashed = read_base64(item)
    if len(hashed) != HASH_BYTES:
        raise VerificationFailed(Finding.PROOF_LENGTH_WRONG, "not 32 bytes", where)
    return hashed


def _members(item: object, required: frozenset[str], optional: str = "") -> dict[str, Any]:
    if not isinstance(item, dict) or not required <= item.keys() <= required | {optional}:
        message = f"not an object of {', '.join(sorted(required))}"
        raise VerificationFailed(Finding.SLICE_MALFORMED, message)
    return item


def _items(fields: dict[str, Any], name: str) -> list[tuple[int, object]]:
    items = fields[name]
    if not isinstance(items, list):
        raise VerificationFailed(Finding.SLICE_MALFORMED, "not a list", name)
    return list(enumerate(items))


def _text(fields: dict[str, Any], name: str) -> str:
    text = fields[name]
    if not isinstance(text, str):
        raise VerificationFailed(Finding.SLICE_MALFORMED, "not a text", name)
    return text


def _bytes(fields: dict[str, Any], name: str) -> bytes:
    try:
        return _text(fields, name).encode()
    except UnicodeEncodeError:
        raise VerificationFailed(Finding.TEXT_NOT_UNICODE, where=name) from None


def _base64(fields: dict[str, Any], name: str) -> bytes:
    with placed(name):
        return read_base64(_text(fields, name))


def _count(fields: dict[str, Any], name: str) -> int:
    count = fields[name]
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise VerificationFailed(Finding.SLICE_MALFORMED, "not a count", name)
    return count
