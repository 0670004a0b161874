"""The columns of a relation as SQL expressions that cannot fail, whatever a row holds."""

from dataclasses import dataclass, field

from subgraph.tenants.model import Column, ColumnKind, Source

_COLLATED = ("text", "character varying")


@dataclass(slots=True)
class Parameters:
    """The values that go with a statement; `$1` is the tenant, so they are numbered from `$2`."""

    values: list[object] = field(default_factory=list)

    def add(self, value: object, sql_type: str) -> str:
        """The placeholder of `value`."""
        self.values.append(value)
        return f"${len(self.values) + 1}::{sql_type}"


def quoted(identifier: str) -> str:
    """A name from the catalogue as an SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def relation_of(source: Source) -> str:
    """The relation of a source, quoted."""
    return ".".join(quoted(part) for part in source.relation.split("."))


def value_of(column: Column, source: Source) -> str:
    """The value of a column: numeric, text or a point in time; NULL for what is not a number.

    Floats are read with the digits that PostgreSQL makes of them, 15 of a double and 6 of a
    real; both casts are total. Texts are compared byte by byte, whatever collation the column
    has: were two spellings equal, one row could move the rows of the other to its cell.
    """
    name = quoted(column.name)
    match column.kind:
        case ColumnKind.NUMBER if source.columns[column.name] in ("smallint", "integer", "bigint"):
            return f"{name}::numeric"
        case ColumnKind.NUMBER:
            return f"nullif({name}::numeric, 'NaN')"
        case ColumnKind.CATEGORY:
            return f'{name}::text COLLATE "C"'
        case ColumnKind.TIMESTAMP:
            return name


def identity_of(unit: str, columns: tuple[Column, ...], source: Source) -> str:
    """What identifies a row: its unit and the columns that may be queried, as one record.

    Rows that are equal in all of them are interchangeable in every query. The unit is in it so that
    units with equal rows do not all count the same one.
    """
    held = (_distinguished(name, source) for name in (unit, *(column.name for column in columns)))
    return f"ROW({', '.join(held)})"


def _distinguished(column: str, source: Source) -> str:
    collated = source.columns[column] in _COLLATED
    return f'{quoted(column)} COLLATE "C"' if collated else quoted(column)
