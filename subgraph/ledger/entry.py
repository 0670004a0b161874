"""The entry of a ledger: what an event is, as the bytes that are hashed and handed out."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from subgraph.errors import JSONValue
from subgraph.ledger import canonical, origin
from subgraph.ledger.errors import EntryInvalid, Finding

SCHEMA_VERSION = 1
MAX_ENTRY_BYTES = 65_535  # c2sp.org/tlog-tiles gives the length of an entry 16 bits
SALT_BYTES = 32
PAYLOAD_TYPE = "application/vnd.intelgraph.ledger-entry+json"

_TIME_PATTERN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_TYPE_PATTERN = re.compile(r"[a-z][a-zA-Z0-9]*(\.[a-z][a-zA-Z0-9]*){1,7}", re.ASCII)
_KEY_ID_PATTERN = re.compile(r"[0-9a-f]{64}", re.ASCII)
_COMMITMENT_PATTERN = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_LONGEST_TYPE = 100
_LONGEST_ACTOR = 255
_FIELDS = frozenset(
    {"actor", "at", "eventId", "keyId", "origin", "schemaVersion", "tenant", "type"}
)
_OPTIONAL_FIELDS = frozenset({"payload", "payloadCommitment"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the log `origin`, by the key `key_id` (hex SHA-256 of its SPKI DER).

    `tenant` is the one that the origin names; an entry of the deployment log has none. `at` is a
    UTC time of microseconds. `actor` is a pseudonym. `payload` is what everybody may read; what may
    have to be erased is only committed to (see `commitment`). An entry has one of the two, or both.
    The constructor raises `EntryInvalid` for values that break these rules.
    """

    origin: str
    event_id: UUID
    tenant: str | None
    type: str
    at: datetime
    actor: str
    key_id: str
    payload: Mapping[str, JSONValue] | None = None
    payload_commitment: str | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION or isinstance(self.schema_version, bool):
            message = f"schema version {self.schema_version!r} is not known"
            raise EntryInvalid(Finding.ENTRY_VERSION_UNKNOWN, message)
        if origin.tenant_of(self.origin) != self.tenant:
            raise _malformed("tenant")
        if not is_type(self.type):
            raise _malformed("type")
        _match(_KEY_ID_PATTERN, self.key_id, "keyId")
        if not (0 < len(self.actor) <= _LONGEST_ACTOR and self.actor.isprintable()):
            raise _malformed("actor")
        if self.at.utcoffset() != timedelta(0):
            raise _malformed("at")
        if self.payload is None and self.payload_commitment is None:
            raise _malformed("payload")
        if self.payload_commitment is not None:
            _match(_COMMITMENT_PATTERN, self.payload_commitment, "payloadCommitment")

    def encode(self) -> bytes:
        """The bytes that are hashed, signed and stored; EntryInvalid when they are too many."""
        fields: dict[str, Any] = {
            "schemaVersion": self.schema_version,
            "origin": self.origin,
            "eventId": str(self.event_id),
            "tenant": self.tenant,
            "type": self.type,
            "at": write_time(self.at),
            "actor": self.actor,
            "keyId": self.key_id,
        }
        if self.payload is not None:
            fields["payload"] = self.payload
        if self.payload_commitment is not None:
            fields["payloadCommitment"] = self.payload_commitment
        content = canonical.encode(fields)
        check_length(content)
        return content


def is_type(text: str) -> bool:
    """Whether an entry can be of this type."""
    return len(text) <= _LONGEST_TYPE and _TYPE_PATTERN.fullmatch(text) is not None


def decode(content: bytes) -> Entry:
    """The entry that these bytes are; EntryInvalid when they are not what `encode` would give."""
    check_length(content)
    fields = canonical.parse(content)
    if not isinstance(fields, dict):
        raise EntryInvalid(Finding.ENTRY_MALFORMED, "the entry is not an object")
    version = fields.get("schemaVersion")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise EntryInvalid(Finding.ENTRY_VERSION_UNKNOWN)
    if not fields.keys() >= _FIELDS or fields.keys() - _FIELDS - _OPTIONAL_FIELDS:
        raise EntryInvalid(Finding.ENTRY_MALFORMED, "a field is missing or unknown")
    payload, tenant = fields.get("payload"), fields["tenant"]
    if "payload" in fields and not isinstance(payload, dict):
        raise _malformed("payload")
    return Entry(
        origin=_string(fields, "origin"),
        event_id=_uuid(_string(fields, "eventId")),
        tenant=None if tenant is None else _string(fields, "tenant"),
        type=_string(fields, "type"),
        at=read_time(_string(fields, "at")),
        actor=_string(fields, "actor"),
        key_id=_string(fields, "keyId"),
        payload=payload if isinstance(payload, dict) else None,
        payload_commitment=(
            _string(fields, "payloadCommitment") if "payloadCommitment" in fields else None
        ),
    )


def commitment(salt: bytes, payload: bytes) -> str:
    """The commitment to a payload that may have to be erased: `sha256:` and 64 hex digits.

    The salt is 32 random bytes kept beside the payload; erasing both leaves nothing to guess
    against. The payload is the canonical text of its JSON value.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    return f"sha256:{hashlib.sha256(salt + payload).hexdigest()}"


def write_time(at: datetime) -> str:
    """The text of a UTC time, which always names microseconds and ends in Z."""
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def read_time(text: str) -> datetime:
    """The UTC time of a text that `write_time` could give; EntryInvalid for any other."""
    try:
        if _TIME_PATTERN.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:  # a thirtieth of February
        pass
    raise _malformed("at")


def check_length(content: bytes) -> None:
    """Raise EntryInvalid for an entry of too many bytes."""
    if len(content) > MAX_ENTRY_BYTES:
        message = f"the entry has {len(content)} bytes; {MAX_ENTRY_BYTES} are allowed"
        raise EntryInvalid(Finding.ENTRY_TOO_LARGE, message)


def _match(pattern: re.Pattern[str], text: str, field: str) -> None:
    if not pattern.fullmatch(text):
        raise _malformed(field)


def _string(fields: Mapping[str, JSONValue], name: str) -> str:
    text = fields[name]
    if not isinstance(text, str):
        raise _malformed(name)
    return text


def _uuid(text: str) -> UUID:
    try:
        value = UUID(text)
    except ValueError:
        raise _malformed("eventId") from None
    if str(value) != text:
        raise _malformed("eventId")
    return value


def _malformed(field: str) -> EntryInvalid:
    return EntryInvalid(Finding.ENTRY_MALFORMED, f"`{field}` is not of the form that it must have")
