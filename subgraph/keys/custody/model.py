"""A tenant's key, its versions, and the data keys that they wrap."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from subgraph.kms.contract import KeyProvider, WrapContext, WrappedKey

PURPOSE = "records"
"""What data keys are wrapped for; part of every wrap's context."""


class KeyState(Enum):
    """Whether the tenant's key may be used."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"


class KeyVersionState(Enum):
    """What a version of the key still does."""

    ACTIVE = "ACTIVE"
    DECRYPT_ONLY = "DECRYPT_ONLY"
    DISABLED = "DISABLED"
    DESTROYED = "DESTROYED"


class DataKeyState(Enum):
    """What a data key still does; a RETIRED one encrypts no record any more."""

    ACTIVE = "ACTIVE"
    DECRYPT_ONLY = "DECRYPT_ONLY"
    RETIRED = "RETIRED"
    DESTROYED = "DESTROYED"


@dataclass(frozen=True, slots=True)
class CustomerKey:
    """The key of a tenant; `key_uri` is its address at the provider, without a version."""

    tenant_id: str
    key_id: UUID
    provider: KeyProvider
    key_uri: str
    state: KeyState
    rotate_every_days: int | None
    created_at: datetime
    last_rotated_at: datetime


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """A version of a tenant's key, numbered by us; provider and address are those of its time."""

    tenant_id: str
    number: int
    version_id: UUID
    provider: KeyProvider
    key_uri: str
    provider_version: str
    state: KeyVersionState
    origin: str
    protection_level: str
    region: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredDataKey:
    """A data key as the database holds it, with the address of the version that wrapped it."""

    tenant_id: str
    data_key_id: UUID
    object_type: str
    generation: int
    state: DataKeyState
    key_version: int
    wrapped: bytes
    provider: KeyProvider
    key_uri: str
    provider_version: str

    @property
    def context(self) -> WrapContext:
        """What its wrap is bound to."""
        return WrapContext(self.tenant_id, self.data_key_id, PURPOSE)

    @property
    def wrapped_key(self) -> WrappedKey:
        """Its wrap, as the provider takes it back."""
        return WrappedKey(self.wrapped, self.key_uri, self.provider_version)
