"""The scalars of the contract."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from subgraph.budgets.epsilon import format_epsilon, parse_epsilon
from subgraph.errors import SubgraphError

Digest = NewType("Digest", str)
"""A SHA-256 digest as text: `sha256:` and 64 lower-case hexadecimal digits."""

UInt64 = NewType("UInt64", int)
"""An unsigned number that outgrows `Int`: a decimal string to clients."""

Epsilon = NewType("Epsilon", Decimal)
"""An amount of epsilon: a decimal string of nine places to clients."""

JSON = NewType("JSON", object)
"""A JSON value."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_UINT64 = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _parse_digest(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        message = "a digest is `sha256:` and 64 lower-case hexadecimal digits"
        raise ValueError(message)
    return value


def _parse_date(value: object) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        message = "a date is YYYY-MM-DD"
        raise ValueError(message)
    return date.fromisoformat(value)


def _parse_uint64(value: object) -> int:
    if not isinstance(value, str) or not _UINT64.fullmatch(value) or int(value) >= 1 << 63:
        message = "a UInt64 is a string of decimal digits, below 2^63"
        raise ValueError(message)
    return int(value)


def _parse_epsilon(value: object) -> Decimal:
    try:
        return parse_epsilon(value)
    except SubgraphError as error:
        raise ValueError(error.message) from None


def _write_moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parse_moment(value: object) -> datetime:
    message = "a DateTime is RFC 3339 with an offset"
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        # Its own message repeats the value.
        raise ValueError(message) from None
    if moment is None or moment.tzinfo is None:
        raise ValueError(message)
    return moment.astimezone(UTC)


SCALARS: Mapping[object, ScalarDefinition] = MappingProxyType(
    {
        date: strawberry.scalar(
            name="Date",
            description="A calendar date in UTC, ISO 8601: `YYYY-MM-DD`.",
            specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
            serialize=date.isoformat,
            parse_value=_parse_date,
        ),
        datetime: strawberry.scalar(
            name="DateTime",
            description="A moment in UTC, RFC 3339.",
            specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
            serialize=_write_moment,
            parse_value=_parse_moment,
        ),
        UInt64: strawberry.scalar(
            name="UInt64",
            description="An unsigned number as a string of decimal digits.",
            serialize=str,
            parse_value=_parse_uint64,
        ),
        Epsilon: strawberry.scalar(
            name="Epsilon",
            description=(
                "An amount of epsilon, as a decimal string with at most nine places; never a"
                " float. Inputs are more than zero."
            ),
            serialize=format_epsilon,
            parse_value=_parse_epsilon,
        ),
        JSON: strawberry.scalar(
            name="JSON",
            description="A JSON value.",
            specified_by_url="https://www.rfc-editor.org/rfc/rfc8259",
            serialize=lambda value: value,
            parse_value=lambda value: value,
        ),
        Digest: strawberry.scalar(
            name="Digest",
            description="A SHA-256 digest: `sha256:` and 64 lower-case hexadecimal digits.",
            serialize=str,
            parse_value=_parse_digest,
        ),
    }
)
