"""Records as they are asked for, stored and shown."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class NewRecord:
    """What a caller wants stored; `record_id` only to replace a record that exists."""

    object_type: str
    fields: tuple[tuple[str, str], ...]
    external_id: str | None = None
    record_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as the database holds it: `fields` is a container of envelopes.

    `suspended` says that the tenant's key was suspended when the record was read.
    """

    tenant_id: str
    record_id: UUID
    external_id: str | None
    object_type: str
    data_key_id: UUID
    key_version: int
    row_version: int
    fields: bytes
    created_at: datetime
    updated_at: datetime
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class RecordPage:
    """The `first` records behind `after`, by id; of one type, or of all."""

    first: int
    after: UUID | None
    object_type: str | None
