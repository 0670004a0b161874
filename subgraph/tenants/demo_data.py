"""What `ig demo` starts with: three invented tenants and one real data set.

The data are the person-years of the RAND Health Insurance Experiment (1974 to 1982) as the
statsmodels package ships them. The package is installed for this file; its code is never run.
The companies are invented.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Final, TypeAlias

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.tenants.model import Column, ColumnKind, TenantRegistration

Value: TypeAlias = int | Decimal | bool | str

_PACKAGE = "statsmodels"
_FILE = "statsmodels/datasets/randhie/src/randhie.csv"
_FILE_SHA256 = "fe64f3c8e987779daa6052dd756d9ce277e025330f5549126c7c2f6a3c9c5541"

_DESIGN = "the experiment's design"
_CODING = "the coding of the variable"
_SCALE = "the scale of the score"
_SET_BY_HAND = "a round figure set by hand; no codebook gives one"


@dataclass(frozen=True, slots=True)
class DemoColumn:
    """A column of the relation.

    `kind` is none for what identifies a row and is not queried. `bounds_from` says where the
    bounds or values come from, which is never the data: a bound computed from the data would
    tell something about a person.
    """

    name: str
    sql_type: str
    meaning: str
    read: Callable[[dict[str, str]], Value]
    kind: ColumnKind | None = None
    lower: int | None = None
    upper: int | None = None
    values: tuple[str, ...] | None = None
    bounds_from: str | None = None


@dataclass(frozen=True, slots=True)
class DemoDataset:
    """A data set that a package ships; `license` is an SPDX expression.

    `license_text_digest` is that of the license text in the package. `key` names the columns that
    together identify a row. `max_contributions` is the largest number of rows of one privacy unit.
    """

    slug: str
    name: str
    tenant_id: str
    region: str
    license: str
    license_text_digest: str
    attribution: str
    package: str
    package_version: str
    privacy_unit: str
    max_contributions: int
    key: tuple[str, ...]
    columns: tuple[DemoColumn, ...]

    @property
    def queryable(self) -> tuple[Column, ...]:
        """The columns that may be queried, as a registration names them."""
        return tuple(
            Column(column.name, column.kind, column.lower, column.upper, column.values)
            for column in self.columns
            if column.kind is not None
        )


def _integer(name: str) -> Callable[[dict[str, str]], int]:
    return lambda record: int(record[name])


def _decimal(name: str) -> Callable[[dict[str, str]], Decimal]:
    return lambda record: Decimal(record[name])


def _flag(name: str) -> Callable[[dict[str, str]], bool]:
    return lambda record: {"0": False, "1": True}[record[name]]


def _self_rated_health(record: dict[str, str]) -> str:
    flags = record["hlthg"], record["hlthf"], record["hlthp"]
    return {
        ("0", "0", "0"): "excellent",
        ("1", "0", "0"): "good",
        ("0", "1", "0"): "fair",
        ("0", "0", "1"): "poor",
    }[flags]


_NUMBER = ColumnKind.NUMBER
_CATEGORY = ColumnKind.CATEGORY
_TRUTH = ("false", "true")
_DOLLARS = "dollars in the year"

TENANTS: Final = (
    TenantRegistration(
        tenant_id="aldermoor-health",
        name="Aldermoor Health",
        home_region="aws:eu-central-1",
        allowed_regions=(
            "aws:eu-central-1",
            "aws:eu-west-1",
            "azure:germanywestcentral",
            "gcp:europe-west3",
        ),
    ),
    TenantRegistration(
        tenant_id="quillhaven-analytics",
        name="Quillhaven Analytics",
        home_region="gcp:us-east4",
        allowed_regions=("aws:us-east-1", "gcp:northamerica-northeast1", "gcp:us-east4"),
    ),
    TenantRegistration(
        tenant_id="sorrelbay-logistics",
        name="Sorrelbay Logistics",
        home_region="azure:japaneast",
        allowed_regions=("aws:ap-northeast-1", "azure:japaneast", "azure:japanwest"),
    ),
)
"""Their home regions stand in Germany, the United States and Japan."""

DATASET: Final = DemoDataset(
    slug="rand-health-insurance",
    name="RAND Health Insurance Experiment, person-years",
    tenant_id=TENANTS[0].tenant_id,
    region=TENANTS[0].home_region,
    # What the package declares for its files. Its authors say that this file is in the public
    # domain, which no SPDX identifier expresses; the license is the stricter reading of the two.
    license="BSD-3-Clause",
    license_text_digest="sha256:1ca78e1dec9dcebc55f3b96a862317f23e76422c5fc943568d955aad1f6b5fad",
    attribution=(
        "Collected by the RAND Corporation in the Health Insurance Experiment, 1974 to 1982;"
        " published with A. C. Cameron and P. K. Trivedi, Microeconometrics: Methods and"
        " Applications (Cambridge, 2005); shipped with statsmodels, whose authors state:"
        ' "This is in the public domain."'
    ),
    package=_PACKAGE,
    package_version="0.15.0",
    privacy_unit="person_id",
    # A person has one row for each study year, and took part for at most five.
    max_contributions=5,
    key=("person_id", "study_year"),
    columns=(
        DemoColumn("person_id", "integer", "number of the participant", _integer("zper")),
        DemoColumn(
            "study_year",
            "smallint",
            "year of the participant's enrolment, from 1",
            _integer("year"),
            _CATEGORY,
            values=("1", "2", "3", "4", "5"),
            bounds_from=f"{_DESIGN}: families enrolled for three or five years",
        ),
        DemoColumn(
            "site",
            "smallint",
            "number of the place where the participant enrolled",
            _integer("site"),
            _CATEGORY,
            values=("1", "2", "3", "4", "5", "6"),
            bounds_from=f"{_DESIGN}: six sites",
        ),
        DemoColumn(
            "coinsurance_percent",
            "smallint",
            "share of a medical bill that the family pays, in percent",
            _integer("coins"),
            _NUMBER,
            0,
            100,
            bounds_from=_CODING,
        ),
        DemoColumn(
            "individual_deductible",
            "boolean",
            "whether the plan has a deductible for each person",
            _flag("idp"),
            _CATEGORY,
            values=_TRUTH,
            bounds_from=_CODING,
        ),
        DemoColumn(
            "eligible_share",
            "numeric",
            "share of the year that the participant was eligible",
            _decimal("time"),
            _NUMBER,
            0,
            1,
            bounds_from=_CODING,
        ),
        DemoColumn(
            "age",
            "numeric",
            "age in that year, in years",
            _decimal("xage"),
            _NUMBER,
            0,
            67,
            bounds_from=f"{_DESIGN}: under 62 at enrolment, five years at most",
        ),
        DemoColumn(
            "female",
            "boolean",
            "whether the participant is female",
            _flag("female"),
            _CATEGORY,
            values=_TRUTH,
            bounds_from=_CODING,
        ),
        DemoColumn(
            "child",
            "boolean",
            "whether the participant is a child",
            _flag("child"),
            _CATEGORY,
            values=_TRUTH,
            bounds_from=_CODING,
        ),
        DemoColumn(
            "family_size",
            "smallint",
            "persons in the family",
            _integer("num"),
            _NUMBER,
            1,
            20,
            bounds_from=_SET_BY_HAND,
        ),
        DemoColumn(
            "family_income",
            "numeric",
            "family income in dollars a year",
            _decimal("income"),
            _NUMBER,
            0,
            50_000,
            bounds_from=_SET_BY_HAND,
        ),
        DemoColumn(
            "self_rated_health",
            "text",
            "self-rated health at the start",
            _self_rated_health,
            _CATEGORY,
            values=("excellent", "good", "fair", "poor"),
            bounds_from=_CODING,
        ),
        DemoColumn(
            "mental_health_index",
            "numeric",
            "score at the start; higher is better",
            _decimal("mhi"),
            _NUMBER,
            0,
            100,
            bounds_from=_SCALE,
        ),
        DemoColumn(
            "physician_visits",
            "smallint",
            "face-to-face visits to physicians in the year",
            _integer("mdvis"),
            _NUMBER,
            0,
            100,
            bounds_from=_SET_BY_HAND,
        ),
        DemoColumn(
            "hospital_admissions",
            "smallint",
            "admissions to hospital in the year",
            _integer("totadm"),
            _NUMBER,
            0,
            12,
            bounds_from=_SET_BY_HAND,
        ),
        DemoColumn(
            "outpatient_expense",
            "numeric",
            f"outpatient care without psychotherapy, drugs and supplies, {_DOLLARS}",
            _decimal("outpdol"),
            _NUMBER,
            0,
            5_000,
            bounds_from=_SET_BY_HAND,
        ),
        DemoColumn(
            "drug_expense",
            "numeric",
            f"drugs bought as an outpatient, {_DOLLARS}",
            _decimal("drugdol"),
            _NUMBER,
            0,
            1_000,
            bounds_from=_SET_BY_HAND,
        ),
        DemoColumn(
            "inpatient_expense",
            "numeric",
            f"facilities and physicians in hospital, {_DOLLARS}",
            _decimal("inpdol"),
            _NUMBER,
            0,
            50_000,
            bounds_from=_SET_BY_HAND,
        ),
        DemoColumn(
            "medical_expense",
            "numeric",
            f"all covered care without outpatient psychotherapy, {_DOLLARS}",
            _decimal("meddol"),
            _NUMBER,
            0,
            50_000,
            bounds_from=_SET_BY_HAND,
        ),
    ),
)


def rows() -> Iterator[tuple[Value, ...]]:
    """The 20,190 rows, each with a value for every column of `DATASET`, in the file's order.

    Raises `SubgraphError(DEMO_DATA_UNAVAILABLE)`, before any row, when the package is not
    installed or its file is not the one that the description above is about.
    """
    content = _content()
    found = hashlib.sha256(content).hexdigest()
    if found != _FILE_SHA256:
        raise SubgraphError(
            ErrorCode.DEMO_DATA_UNAVAILABLE,
            f"{_FILE} is not the file of {_PACKAGE} {DATASET.package_version}:"
            f" its SHA-256 is {found}, not {_FILE_SHA256}",
        )
    readers = [column.read for column in DATASET.columns]
    records = csv.DictReader(io.StringIO(content.decode("ascii"), newline=""))
    return (tuple(read(record) for read in readers) for record in records)


def _content() -> bytes:
    # Importing statsmodels would need numpy, scipy and pandas, which are not installed.
    try:
        path = metadata.distribution(_PACKAGE).locate_file(_FILE)
        return Path(str(path)).read_bytes()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise SubgraphError(
            ErrorCode.DEMO_DATA_UNAVAILABLE,
            f"{_PACKAGE} {DATASET.package_version}, which ships the demonstration data,"
            " is not installed",
        ) from error
