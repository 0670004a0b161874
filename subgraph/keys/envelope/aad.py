"""What a message is bound to, as bytes that no other place gives.

The associated data is the list domain, tenant, object type, object id, field, schema version, data
key id: each behind its length (4 bytes, big endian), so that no two lists read alike.
docs/envelope-format.md is the specification.
"""

from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.envelope.datakey import DataKey


class Domain(Enum):
    """Which kind of message is meant; one kind never passes for another."""

    FIELD = b"cmk/field/v1"
    STREAM = b"cmk/stream/v1"


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """The object that messages belong to; `schema_version` says how their plaintext is read."""

    tenant: str
    object_type: str
    object_id: UUID
    schema_version: int


@dataclass(frozen=True, slots=True)
class Place:
    """The one field of one object that a message belongs to."""

    record: RecordPlace
    field: str


@dataclass(frozen=True, slots=True)
class BoundRecord:
    """The associated data of one record's fields, but for the field's name."""

    before: bytes
    after: bytes

    @classmethod
    def of(cls, domain: Domain, record: RecordPlace, data_key: DataKey) -> "BoundRecord":
        """The parts for messages under this data key; INVALID_INPUT for texts not in Unicode."""
        # Written out: it runs twice for every record that a job moves.
        before = (
            _DOMAINS[domain]
            + _prefixed(_utf8(record.tenant))
            + _prefixed(_utf8(record.object_type))
            + _PREFIX_OF_16
            + record.object_id.bytes
        )
        version = record.schema_version.to_bytes(4)
        return cls(before, _PREFIX_OF_4 + version + _PREFIX_OF_16 + data_key.id_bytes)

    def field(self, name: str) -> bytes:
        """The associated data of the field; INVALID_INPUT for a name that is not Unicode."""
        return self.before + _prefixed(_utf8(name)) + self.after


def of_place(domain: Domain, place: Place, data_key: DataKey) -> bytes:
    """The associated data of one message."""
    return BoundRecord.of(domain, place.record, data_key).field(place.field)


def _prefixed(part: bytes) -> bytes:
    return len(part).to_bytes(4) + part


_DOMAINS = {domain: _prefixed(domain.value) for domain in Domain}
_PREFIX_OF_4, _PREFIX_OF_16 = (length.to_bytes(4) for length in (4, 16))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        message = "a name holds a lone surrogate; it is not Unicode text"
        raise SubgraphError(ErrorCode.INVALID_INPUT, message) from None
