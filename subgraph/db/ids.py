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
_LONGEST = 128
_TENANT_AT = 18
"""Where the tenant begins: behind the version, the kind and the 16 bytes of the key."""


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
    if len(text) > _LONGEST:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        tenant = raw[_TENANT_AT:].decode()
    except (binascii.Error, ValueError):
        return None
    if (
        len(raw) <= _TENANT_AT
        or raw[0] != _VERSION
        or raw[1] != kind.value
        or not tenant.isprintable()
    ):
        return None
    entity = EntityId(kind, tenant, UUID(bytes=raw[2:_TENANT_AT]))
    return entity if encode(kind, tenant, entity.key) == text else None
