"""Opaque public ids that carry their type and tenant.

A loader binds the tenant from the id without asking the database. An id is not a capability: it
grants nothing, and one that was made up loads nothing.
"""

from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

_VERSION = 1
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_LONGEST = 128
_TENANT_AT = 18
"""Where the tenant begins: behind the version, the kind and the 16 bytes of the key."""


class IdKind(Enum):
    """The type in an id. Numbers are never reused."""

    DATASET = 1
    DATASET_SOURCE = 2
    LEDGER_EVENT = 3
    BREAK_GLASS = 4
    KEY_DESTRUCTION = 5
    BUDGET_OVERRIDE = 6
    CUSTOMER_KEY = 7
    KEY_VERSION = 8
    KEY_JOB = 9
    PROTECTED_RECORD = 10
    PRIVACY_BUDGET = 16
    DP_SPEND = 17
    DP_TICKET = 18


@dataclass(frozen=True, slots=True)
class EntityId:
    """What an id says."""

    kind: IdKind
    tenant: str
    key: UUID


def encode(kind: IdKind, tenant: str, key: UUID) -> str:
    """The public form: unpadded base64url of version, kind, key and tenant."""
    return _text(bytes((_VERSION, kind.value)) + key.bytes + tenant.encode())


def decode(kind: IdKind, text: str) -> EntityId | None:
    """The id in `text`, or None when this service never made it or it is of another kind."""
    if len(text) > _LONGEST or not text.isascii():
        return None
    try:
        raw = a2b_base64(text.encode().translate(_FROM_URL) + b"=" * (-len(text) % 4))
        tenant = raw[_TENANT_AT:].decode()
    except ValueError:
        return None
    if not tenant or raw[0] != _VERSION or raw[1] != kind.value or not tenant.isprintable():
        return None
    # One object has one id: no spare bits, no skipped characters.
    if _text(raw) != text:
        return None
    return EntityId(kind, tenant, UUID(int=int.from_bytes(raw[2:_TENANT_AT], "big")))


def _text(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=").decode()
