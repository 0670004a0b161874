"""The scalars of the contract."""

import re
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

Digest = NewType("Digest", str)
"""A SHA-256 digest as text: `sha256:` and 64 lower-case hexadecimal digits."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
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


SCALARS: Mapping[object, ScalarDefinition] = MappingProxyType(
    {
        date: strawberry.scalar(
            name="Date",
            description="A calendar date in UTC, ISO 8601: `YYYY-MM-DD`.",
            specified_by_url="https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
            serialize=date.isoformat,
            parse_value=_parse_date,
        ),
        Digest: strawberry.scalar(
            name="Digest",
            description="A SHA-256 digest: `sha256:` and 64 lower-case hexadecimal digits.",
            serialize=str,
            parse_value=_parse_digest,
        ),
    }
)
