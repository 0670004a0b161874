"""Opaque public ids that carry their type and tenant.

A loader binds the tenant from the id without asking the database. An id is not a capability: it
grants nothing, and one that was made up loads nothing.
"""

import base64
import binascii
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

_VERSION = 1


class IdKind(Enum):
    """The type in an id. Numbers are never reused."""

    DATASET = 1
    DATASET_SOURCE = 2


@dataclass(frozen=True, slots=True)
class EntityId:
    """What an id says."""

    kind: IdKind
    tenant: str
    key: UUID


def encode(kind: IdKind, tenant: str, key: UUID) -> str:
    """The public form: unpadded base64url of version, kind, key and tenant."""
    raw = bytes((_VERSION, kind.value)) + key.bytes + tenant.encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(kind: IdKind, text: str) -> EntityId | None:
    """The id in `text`, or None when this service never made it or it is of another kind."""
    if len(text) > 128:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        tenant = raw[18:].decode()
    except (binascii.Error, ValueError):
        return None
    if len(raw) <= 18 or raw[0] != _VERSION or raw[1] != kind.value or not tenant.isprintable():
        return None
    entity = EntityId(kind, tenant, UUID(bytes=raw[2:18]))
    return entity if encode(kind, tenant, entity.key) == text else None
