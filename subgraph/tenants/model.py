"""Tenants, their sources and their data sets."""

from dataclasses import dataclass
from enum import Enum
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer of the SaaS; `allowed_regions` is sorted and contains `home_region`."""

    tenant_id: str
    name: str
    home_region: str
    allowed_regions: tuple[str, ...]


class ColumnKind(Enum):
    """What a column of a data set holds."""

    NUMBER = "NUMBER"
    CATEGORY = "CATEGORY"
    TIMESTAMP = "TIMESTAMP"


@dataclass(frozen=True, slots=True)
class Column:
    """A column that may be queried: bounds for numbers, the public values for categories."""

    name: str
    kind: ColumnKind
    lower: float | None = None
    upper: float | None = None
    values: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A relation that the operator provisioned; `columns` maps column name to SQL type."""

    tenant_id: str
    source_id: UUID
    relation: str
    columns: dict[str, str]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Metadata of a data set."""

    tenant_id: str
    dataset_id: UUID
    slug: str
    name: str
    source_id: UUID
    region: str
    license: str
    license_text_digest: str
    version: str
    privacy_unit: str
    max_contributions: int
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class TenantRegistration:
    """What `registerTenant` asks for."""

    tenant_id: str
    name: str
    home_region: str
    allowed_regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatasetRegistration:
    """What `registerDataset` asks for; `source` is the public id of a provisioned source."""

    slug: str
    name: str
    source: str
    region: str
    license: str
    license_text_digest: str
    privacy_unit: str
    max_contributions: int
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: at most `first` items behind the keyset value `after`."""

    first: int
    after: str | None = None
