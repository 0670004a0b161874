"""Which rows a query is about: a small typed grammar, and its parameterised SQL.

A row counts when it meets every predicate. A row whose column is NULL, or not a number, meets no
predicate on it, NE included. Numbers are compared as they are stored, before any clamping.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum

from subgraph.budgets.columns import Parameters, value_of
from subgraph.budgets.decimals import MOST_DIGITS, bounds, plain
from subgraph.budgets.refusals import invalid
from subgraph.errors import JSONValue
from subgraph.tenants.model import Column, ColumnKind, Dataset, Source

_MOST_PREDICATES = 20
_MOST_VALUES = 100
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Operator(Enum):
    """A comparison, and its SQL."""

    EQ = "="
    NE = "<>"
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    IN = "= ANY"


_WITHOUT_ORDER = (Operator.EQ, Operator.NE, Operator.IN)


@dataclass(frozen=True, slots=True)
class Predicate:
    """A comparison of a column with one value, or with several for IN."""

    column: str
    operator: Operator
    values: tuple[str, ...]

    def described(self) -> JSONValue:
        """The predicate as the release key holds it."""
        return [self.column, self.operator.name, list(self.values)]


def column_of(dataset: Dataset, name: str, field: str) -> Column:
    """The column `name`; `INVALID_INPUT` when it cannot be queried, or does not exist."""
    for column in dataset.columns:
        if column.name == name:
            return column
    raise invalid(field, "not a column that may be queried")


def normalised_predicates(
    predicates: Iterable[Predicate], dataset: Dataset
) -> tuple[Predicate, ...]:
    """The predicates in their one order, each once, with values in their one spelling.

    Raises `INVALID_INPUT`: an unknown column, an operator that the kind of the column has not,
    or a value that is not of its kind, not within its bounds, or not one of its public values.
    """
    normal = {_normalised(predicate, dataset) for predicate in predicates}
    if len(normal) > _MOST_PREDICATES:
        raise invalid("where", f"at most {_MOST_PREDICATES} predicates")
    return tuple(sorted(normal, key=lambda one: (one.column, one.operator.name, one.values)))


def condition(
    predicates: Iterable[Predicate], dataset: Dataset, source: Source, parameters: Parameters
) -> str:
    """The SQL condition of normalised predicates; values go to `parameters`, never into text."""
    conditions = [_compared(predicate, dataset, source, parameters) for predicate in predicates]
    return " AND ".join(conditions) or "true"


def _compared(
    predicate: Predicate, dataset: Dataset, source: Source, parameters: Parameters
) -> str:
    column = column_of(dataset, predicate.column, "where")
    values = [_bound(column, source, value) for value in predicate.values]
    sql_type = _sql_type(column, source)
    left = value_of(column, source)
    if predicate.operator is Operator.IN:
        return f"{left} = ANY ({parameters.add(values, f'{sql_type}[]')})"
    return f"{left} {predicate.operator.value} {parameters.add(values[0], sql_type)}"


def _sql_type(column: Column, source: Source) -> str:
    match column.kind:
        case ColumnKind.NUMBER:
            return "numeric"
        case ColumnKind.CATEGORY:
            return "text"
        case ColumnKind.TIMESTAMP:
            # A date is its midnight in UTC; PostgreSQL compares the two types without a cast,
            # so a date that is outside the range of timestamps fails nothing.
            return "timestamp" if source.columns[column.name] == "date" else "timestamptz"


def _bound(column: Column, source: Source, value: str) -> Decimal | str | datetime:
    match column.kind:
        case ColumnKind.NUMBER:
            return Decimal(value)
        case ColumnKind.CATEGORY:
            return value
        case ColumnKind.TIMESTAMP:
            instant = datetime.fromisoformat(value)
            if _sql_type(column, source) == "timestamp":
                return instant.replace(tzinfo=None)
            return instant


def _normalised(predicate: Predicate, dataset: Dataset) -> Predicate:
    column = column_of(dataset, predicate.column, "where")
    operator = predicate.operator
    if column.kind is ColumnKind.CATEGORY and operator not in _WITHOUT_ORDER:
        raise invalid("where", "a CATEGORY has no order: EQ, NE or IN")
    if operator is Operator.IN:
        if not 1 <= len(predicate.values) <= _MOST_VALUES:
            raise invalid("where", f"IN takes 1 to {_MOST_VALUES} values")
    elif len(predicate.values) != 1:
        raise invalid("where", f"{operator.name} takes one value")
    values = tuple(sorted({_spelled(column, value) for value in predicate.values}))
    if operator is Operator.IN and len(values) == 1:
        operator = Operator.EQ
    return Predicate(column.name, operator, values)


def _spelled(column: Column, value: str) -> str:
    match column.kind:
        case ColumnKind.NUMBER:
            return str(_number(column, value))
        case ColumnKind.CATEGORY:
            if value not in (column.values or ()):
                raise invalid("where", "not one of the public values of the column")
            return value
        case ColumnKind.TIMESTAMP:
            return _instant(value).isoformat()


def _number(column: Column, text: str) -> Decimal:
    if len(text) > MOST_DIGITS or not _NUMBER.fullmatch(text):
        raise invalid("where", f"a decimal number of at most {MOST_DIGITS} characters")
    number = plain(Decimal(text))
    lower, upper = bounds(column)
    if not lower <= number <= upper:
        raise invalid("where", "not within the bounds of the column")
    return number


def _instant(text: str) -> datetime:
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise ValueError  # noqa: TRY301 - refused with the others
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid("where", "a date, or a time with its offset (RFC 3339)") from None
