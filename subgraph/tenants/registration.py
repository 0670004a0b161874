"""The rules that a registration must keep, checked before the database is asked."""

import math
import re
import unicodedata

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from subgraph.errors import ErrorCode
from subgraph.tenants.errors import InvalidRegistration
from subgraph.tenants.model import (
    Column,
    ColumnKind,
    DatasetRegistration,
    Source,
    TenantRegistration,
)
from subgraph.tenants.regions import RegionRegistry

_TENANT_ID = re.compile(r"[a-z][a-z0-9-]{1,62}")
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,62}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST_TEXT = 200
_LONGEST_LICENSE = 1_000
_MOST_REGIONS = 100
_MOST_CONTRIBUTIONS = 1_000_000
_MOST_COLUMNS = 200
_MOST_VALUES = 100

_UNPRINTABLE = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"
"""Of the invisible characters these two belong to words; the others reorder or hide text."""

_SQL_TYPES = {
    ColumnKind.NUMBER: {"smallint", "integer", "bigint", "numeric", "real", "double precision"},
    ColumnKind.CATEGORY: {"text", "character varying", "boolean", "smallint", "integer"},
    ColumnKind.TIMESTAMP: {"date", "timestamp with time zone"},
}


def check_tenant(wanted: TenantRegistration, regions: RegionRegistry) -> None:
    """Raise `InvalidRegistration` for the first rule that `wanted` breaks."""
    if not _TENANT_ID.fullmatch(wanted.tenant_id):
        message = "2 to 63 characters: a lower-case letter, then letters, digits and hyphens"
        raise InvalidRegistration(message, ("input", "id"))
    _check_text(wanted.name, ("input", "name"))
    if not 1 <= len(wanted.allowed_regions) <= _MOST_REGIONS:
        raise InvalidRegistration(f"1 to {_MOST_REGIONS} regions", ("input", "allowedRegions"))
    for code in wanted.allowed_regions:
        _check_region(code, regions, ("input", "allowedRegions"))
    _check_region(wanted.home_region, regions, ("input", "homeRegion"))
    if wanted.home_region not in wanted.allowed_regions:
        message = "the home region is one of the allowed regions"
        raise InvalidRegistration(message, ("input", "allowedRegions"))


def check_dataset(wanted: DatasetRegistration, regions: RegionRegistry) -> str:
    """Raise for the first rule that `wanted` breaks on its own; returns its license, canonical."""
    if not _SLUG.fullmatch(wanted.slug):
        message = "1 to 63 characters: a lower-case letter, then letters, digits and hyphens"
        raise InvalidRegistration(message, ("input", "slug"))
    _check_text(wanted.name, ("input", "name"))
    _check_region(wanted.region, regions, ("input", "region"))
    if not _DIGEST.fullmatch(wanted.license_text_digest):
        message = "sha256: and 64 lower-case hexadecimal digits"
        raise InvalidRegistration(message, ("input", "licenseTextDigest"))
    if not 1 <= wanted.max_contributions <= _MOST_CONTRIBUTIONS:
        raise InvalidRegistration(f"1 to {_MOST_CONTRIBUTIONS:,}", ("input", "maxContributions"))
    if not 1 <= len(wanted.columns) <= _MOST_COLUMNS:
        raise InvalidRegistration(f"1 to {_MOST_COLUMNS} columns", ("input", "columns"))
    names = [column.name for column in wanted.columns]
    if len(set(names)) < len(names):
        raise InvalidRegistration("a column is named twice", ("input", "columns"))
    for index, column in enumerate(wanted.columns):
        _check_column(column, ("input", "columns", str(index)))
    if len(wanted.license) > _LONGEST_LICENSE:
        message = f"at most {_LONGEST_LICENSE:,} characters"
        raise InvalidRegistration(message, ("input", "license"))
    try:
        return str(canonicalize_license_expression(wanted.license))
    except InvalidLicenseExpression:
        raise InvalidRegistration("not an SPDX license expression", ("input", "license")) from None


def check_columns(wanted: DatasetRegistration, source: Source) -> None:
    """Raise unless the source has the privacy unit and every column, with a fitting type."""
    if wanted.privacy_unit not in source.columns:
        raise InvalidRegistration("not a column of the source", ("input", "privacyUnit"))
    for index, column in enumerate(wanted.columns):
        field = ("input", "columns", str(index))
        sql_type = source.columns.get(column.name)
        if sql_type is None:
            raise InvalidRegistration("not a column of the source", (*field, "name"))
        if sql_type not in _SQL_TYPES[column.kind]:
            message = f"a {sql_type} column cannot be a {column.kind.value}"
            raise InvalidRegistration(message, (*field, "kind"))


def _check_column(column: Column, field: tuple[str, ...]) -> None:
    _check_text(column.name, (*field, "name"))
    if column.kind is ColumnKind.CATEGORY:
        _check_category(column, field)
    else:
        _check_bounds(column, field)


def _check_category(column: Column, field: tuple[str, ...]) -> None:
    if column.lower is not None or column.upper is not None:
        raise InvalidRegistration("a CATEGORY has values, not bounds", (*field, "lower"))
    values = column.values or ()
    if not 1 <= len(values) <= _MOST_VALUES or len(set(values)) < len(values):
        message = f"1 to {_MOST_VALUES} values, each once"
        raise InvalidRegistration(message, (*field, "values"))
    for value in values:
        _check_text(value, (*field, "values"))


def _check_bounds(column: Column, field: tuple[str, ...]) -> None:
    if column.values is not None:
        raise InvalidRegistration("only a CATEGORY has values", (*field, "values"))
    if (column.lower is None) != (column.upper is None):
        raise InvalidRegistration("both bounds or none", (*field, "upper"))
    if column.lower is None or column.upper is None:
        if column.kind is ColumnKind.NUMBER:
            message = "a NUMBER needs bounds that do not come from the data"
            raise InvalidRegistration(message, (*field, "lower"))
        return
    for name, bound in (("lower", column.lower), ("upper", column.upper)):
        if not math.isfinite(bound):
            raise InvalidRegistration("a bound is a finite number", (*field, name))
    if column.lower >= column.upper:
        raise InvalidRegistration("the lower bound is below the upper", (*field, "lower"))


def _check_region(code: str, regions: RegionRegistry, field: tuple[str, ...]) -> None:
    if regions.get(code) is None:
        message = "not a region of the registry"
        raise InvalidRegistration(message, field, ErrorCode.UNKNOWN_REGION)


def _check_text(text: str, field: tuple[str, ...]) -> None:
    if not 1 <= len(text) <= _LONGEST_TEXT or text != text.strip():
        raise InvalidRegistration(f"1 to {_LONGEST_TEXT} characters, no space at the ends", field)
    if any(
        unicodedata.category(character) in _UNPRINTABLE and character not in _JOINERS
        for character in text
    ):
        raise InvalidRegistration("printable characters only", field)
    if unicodedata.normalize("NFC", text) != text:
        raise InvalidRegistration("Unicode in normalisation form C", field)
