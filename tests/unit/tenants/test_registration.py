"""The rules of a registration, each with the field that it names."""

import math
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from subgraph.tenants.registration import check_columns, check_dataset, check_tenant

REGIONS = RegionRegistry.load()
HOME, AWAY = "aws:eu-central-1", "aws:us-east-1"
DIGEST = "sha256:" + "0" * 64

TENANT = TenantRegistration("acme", "Acme", HOME, (HOME, AWAY))
AGE = Column("age", ColumnKind.NUMBER, 0, 120)
WARD = Column("ward", ColumnKind.CATEGORY, values=("east", "west"))
SEEN = Column("seen", ColumnKind.TIMESTAMP)
DATASET = DatasetRegistration(
    "visits", "Visits", "source", HOME, "MIT", DIGEST, "person", 1, (AGE, WARD, SEEN)
)
SOURCE = Source(
    "acme",
    UUID(int=1),
    "tenant_data.visits",
    {"person": "bigint", "age": "integer", "ward": "text", "seen": "date", "scan": "bytea"},
)


def check(wanted: TenantRegistration | DatasetRegistration) -> None:
    if isinstance(wanted, TenantRegistration):
        check_tenant(wanted, REGIONS)
    else:
        check_dataset(wanted, REGIONS)


def broken(wanted: TenantRegistration | DatasetRegistration) -> tuple[str, ...]:
    """The field of the first rule that is broken."""
    with pytest.raises(InvalidRegistration) as caught:
        check(wanted)
    assert caught.value.code is ErrorCode.INVALID_INPUT
    return caught.value.field


def with_column(column: Column) -> DatasetRegistration:
    return replace(DATASET, columns=(AGE, column))


def test_valid_tenant_passes() -> None:
    check_tenant(TENANT, REGIONS)


def test_valid_data_set_passes() -> None:
    check_dataset(DATASET, REGIONS)


BAD_TEXTS = {
    "empty": "",
    "a space": " ",
    "a space before": " Acme",
    "a space behind": "Acme\u00a0",
    "too long": "x" * 201,
    "a line break": "Ac\nme",
    "a tab": "Ac\tme",
    "NUL": "Ac\0me",
    "an escape": "\x1b[31mAcme",
    "delete": "Ac\x7fme",
    "a C1 control": "Ac\x85me",
    "a right-to-left override": "Ac\u202eme",
    "a left-to-right embedding": "\u202aAcme",
    "an isolate": "Acme\u2066",
    "a right-to-left mark": "Acme\u200f",
    "an Arabic letter mark": "Acme\u061c",
    "a zero-width space": "Ac\u200bme",
    "a soft hyphen": "Ac\u00adme",
    "a byte order mark": "\ufeffAcme",
    "a line separator": "Ac\u2028me",
    "a paragraph separator": "Ac\u2029me",
    "a tag": "Acme\U000e0041",
    "a lone surrogate": "Ac\ud800me",
    "a private character": "Acme\ue000",
    "a noncharacter": "Acme\uffff",
    "decomposed": "Cafe\u0301",
    "a compatibility hangul": "\u1100\u1161",
}
GOOD_TEXTS = {
    "one character": "A",
    "two hundred": "x" * 200,
    "spaces inside": "Acme and sons",
    "composed": "Caf\u00e9",
    "Hebrew": "\u05e9\u05dc\u05d5\u05dd",
    "Arabic": "\u0645\u0631\u062d\u0628\u0627",
    "Persian with a joiner": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "a family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "Japanese": "\u682a\u5f0f\u4f1a\u793e",
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_name_that_nobody_can_read_is_refused(text: str) -> None:
    found = broken(replace(TENANT, name=text)), broken(replace(DATASET, name=text))
    assert found == (("input", "name"), ("input", "name"))


@pytest.mark.parametrize("text", GOOD_TEXTS.values(), ids=GOOD_TEXTS)
def test_name_in_any_script_passes(text: str) -> None:
    check_tenant(replace(TENANT, name=text), REGIONS)


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_value_that_nobody_can_read_is_refused(text: str) -> None:
    column = replace(WARD, values=("east", text))
    assert broken(with_column(column)) == ("input", "columns", "1", "values")


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_column_that_nobody_can_read_is_refused(text: str) -> None:
    column = replace(WARD, name=text)
    assert broken(with_column(column)) == ("input", "columns", "1", "name")


@pytest.mark.parametrize(
    "identity",
    ["", "a", "Acme", "1acme", "-acme", "acme corp", "acme_corp", "acme:x", "a" * 64, "acme\n",
     "acm\u00e9", "acme\0", "\u0430cme", "acme.", "acme/", "acme'"],
)  # fmt: skip
def test_tenant_id_outside_its_grammar_is_refused(identity: str) -> None:
    assert broken(replace(TENANT, tenant_id=identity)) == ("input", "id")


@pytest.mark.parametrize("identity", ["ab", "a1", "a-", "a--b", "a" * 63])
def test_tenant_id_within_its_grammar_passes(identity: str) -> None:
    check_tenant(replace(TENANT, tenant_id=identity), REGIONS)


@pytest.mark.parametrize(
    ("allowed", "home"),
    [((), HOME), ((AWAY,), HOME), (tuple(code for code in REGIONS.codes[:101]), REGIONS.codes[0])],
    ids=["none", "not the home region", "too many"],
)
def test_allowed_regions_are_some_and_hold_the_home_region(
    allowed: tuple[str, ...], home: str
) -> None:
    wanted = replace(TENANT, allowed_regions=allowed, home_region=home)
    assert broken(wanted) == ("input", "allowedRegions")


@pytest.mark.parametrize("code", ["", "eu-central-1", "AWS:eu-central-1", "aws:nowhere", "aws:\0"])
@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda code: replace(TENANT, home_region=code), "homeRegion"),
        (lambda code: replace(TENANT, allowed_regions=(HOME, code)), "allowedRegions"),
        (lambda code: replace(DATASET, region=code), "region"),
    ],
    ids=["home", "allowed", "data set"],
)
def test_unknown_region_has_a_code_of_its_own(change, field: str, code: str) -> None:
    wanted = change(code)
    with pytest.raises(InvalidRegistration) as caught:
        check(wanted)
    assert (caught.value.code, caught.value.field) == (ErrorCode.UNKNOWN_REGION, ("input", field))


@pytest.mark.parametrize(
    "slug", ["", "Visits", "1visits", "-visits", "a b", "a|b", "a" * 64, "a\n"]
)
def test_slug_outside_its_grammar_is_refused(slug: str) -> None:
    assert broken(replace(DATASET, slug=slug)) == ("input", "slug")


@pytest.mark.parametrize(
    "digest",
    ["", "0" * 64, "sha256:" + "0" * 63, "sha256:" + "A" * 64, "sha512:" + "0" * 64, DIGEST + "\n"],
)
def test_digest_outside_its_grammar_is_refused(digest: str) -> None:
    assert broken(replace(DATASET, license_text_digest=digest)) == ("input", "licenseTextDigest")


@pytest.mark.parametrize("count", [0, -1, 1_000_001, 2**31 - 1])
def test_contributions_outside_their_bounds_are_refused(count: int) -> None:
    assert broken(replace(DATASET, max_contributions=count)) == ("input", "maxContributions")


@pytest.mark.parametrize(
    "columns",
    [
        (),
        tuple(replace(AGE, name=f"c{number}") for number in range(201)),
        (AGE, replace(WARD, name="age")),
    ],
    ids=["none", "too many", "one twice"],
)
def test_columns_are_some_and_each_once(columns: tuple[Column, ...]) -> None:
    assert broken(replace(DATASET, columns=columns)) == ("input", "columns")


BAD_COLUMNS = {
    "a number without bounds": (Column("age", ColumnKind.NUMBER), "lower"),
    "a number with one bound": (replace(AGE, lower=None), "upper"),
    "a number with the other bound": (replace(AGE, upper=None), "upper"),
    "bounds the wrong way round": (replace(AGE, lower=120.0, upper=0.0), "lower"),
    "equal bounds": (replace(AGE, lower=1.0, upper=1.0), "lower"),
    "a lower bound of minus infinity": (replace(AGE, lower=-math.inf), "lower"),
    "an upper bound of infinity": (replace(AGE, upper=math.inf), "upper"),
    "a lower bound that is no number": (replace(AGE, lower=math.nan), "lower"),
    "an upper bound that is no number": (replace(AGE, upper=math.nan), "upper"),
    "a number with values": (replace(AGE, values=("1",)), "values"),
    "a moment with values": (replace(SEEN, values=("1",)), "values"),
    "a moment with one bound": (replace(SEEN, lower=1.0), "upper"),
    "a moment with infinite bounds": (replace(SEEN, lower=-math.inf, upper=math.inf), "lower"),
    "a category with a bound": (replace(WARD, lower=1.0), "lower"),
    "a category with the other bound": (replace(WARD, upper=1.0), "lower"),
    "a category without values": (replace(WARD, values=None), "values"),
    "a category of nothing": (replace(WARD, values=()), "values"),
    "a value twice": (replace(WARD, values=("east", "east")), "values"),
    "too many values": (replace(WARD, values=tuple(str(n) for n in range(101))), "values"),
}


@pytest.mark.parametrize(("column", "field"), BAD_COLUMNS.values(), ids=BAD_COLUMNS)
def test_column_that_breaks_a_rule_is_named_by_its_place(column: Column, field: str) -> None:
    wanted = replace(DATASET, columns=(replace(SEEN, name="first"), column))
    assert broken(wanted) == ("input", "columns", "1", field)


@given(st.floats(), st.floats())
def test_bounds_that_pass_are_finite_and_in_order(lower: float, upper: float) -> None:
    column = replace(AGE, lower=lower, upper=upper)
    if math.isfinite(lower) and math.isfinite(upper) and lower < upper:
        check_dataset(with_column(replace(column, name="other")), REGIONS)
    else:
        assert broken(with_column(replace(column, name="other")))[:3] == ("input", "columns", "1")


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("apache-2.0 or mit", "Apache-2.0 OR MIT"),
        ("  MIT   AND\tISC ", "MIT AND ISC"),
        ("gpl-2.0-only with classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("(mit or isc) and zlib", "(MIT OR ISC) AND Zlib"),
        ("LicenseRef-Our-Terms", "LicenseRef-Our-Terms"),
    ],
)
def test_license_is_written_as_spdx_has_it(written: str, canonical: str) -> None:
    assert check_dataset(replace(DATASET, license=written), REGIONS) == canonical


@pytest.mark.parametrize(
    "expression",
    ["", " ", "Proprietary", "MIT OR", "MIT MIT", "(MIT", "MIT)", "MIT WITH MIT", "NOASSERTION",
     "MIT\0", "print()", "__import__('os')", "MIT or " * 200 + "MIT", "(" * 900 + "MIT" + ")" * 90],
)  # fmt: skip
def test_license_that_is_no_spdx_expression_is_refused(expression: str) -> None:
    assert broken(replace(DATASET, license=expression)) == ("input", "license")


@given(st.text(max_size=60) | st.text("()MITANDORWTH +-.", max_size=60))
def test_any_text_for_a_license_is_answered(expression: str) -> None:
    with suppress(InvalidRegistration):
        canonical = check_dataset(replace(DATASET, license=expression), REGIONS)
        assert check_dataset(replace(DATASET, license=canonical), REGIONS) == canonical


# --- against the source


def unfit(wanted: DatasetRegistration) -> tuple[str, ...]:
    with pytest.raises(InvalidRegistration) as caught:
        check_columns(wanted, SOURCE)
    return caught.value.field


def test_columns_of_the_source_pass() -> None:
    check_columns(DATASET, SOURCE)


def test_privacy_unit_is_a_column_of_the_source() -> None:
    assert unfit(replace(DATASET, privacy_unit="patient")) == ("input", "privacyUnit")


def test_tenant_column_is_no_privacy_unit() -> None:
    assert unfit(replace(DATASET, privacy_unit="tenant_id")) == ("input", "privacyUnit")


def test_column_is_one_of_the_source() -> None:
    wanted = replace(DATASET, columns=(AGE, replace(WARD, name="room")))
    assert unfit(wanted) == ("input", "columns", "1", "name")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ward", ColumnKind.NUMBER),
        ("seen", ColumnKind.NUMBER),
        ("seen", ColumnKind.CATEGORY),
        ("age", ColumnKind.TIMESTAMP),
        ("scan", ColumnKind.CATEGORY),
    ],
)
def test_kind_fits_the_type_in_the_source(name: str, kind: ColumnKind) -> None:
    wanted = replace(DATASET, columns=(Column(name, kind),))
    assert unfit(wanted) == ("input", "columns", "0", "kind")
