"""Tenants, their sources and their data sets."""

from dataclasses import dataclass, replace
from enum import Enum
from uuid import UUID

import msgspec


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
    encoded_columns: str
    """The columns as JSON; few readers ask for them, so they are decoded when asked for."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that may be queried."""
        return msgspec.json.decode(self.encoded_columns, type=tuple[Column, ...])

    def describes_the_same(self, other: "Dataset") -> bool:
        """Whether both are one registration: all but the id and the version are equal."""
        aligned = replace(
            self,
            dataset_id=other.dataset_id,
            version=other.version,
            encoded_columns=other.encoded_columns,
        )
        return aligned == other and self.columns == other.columns


def encode_columns(columns: tuple[Column, ...]) -> str:
    """The columns as `Dataset.encoded_columns` holds them."""
    return msgspec.json.encode(columns).decode()


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
