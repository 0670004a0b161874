import hashlib
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from uuid import UUID

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.tenants import demo_data
from subgraph.tenants.demo_data import DATASET, TENANTS, DemoColumn, Value
from subgraph.tenants.model import ColumnKind, DatasetRegistration, Source, TenantRegistration
from subgraph.tenants.regions import RegionRegistry
from subgraph.tenants.registration import check_columns, check_dataset, check_tenant

PYTHON_TYPES = {
    "integer": int,
    "smallint": int,
    "numeric": Decimal,
    "boolean": bool,
    "text": str,
}
NAMES = [column.name for column in DATASET.columns]


@pytest.fixture(scope="module")
def rows() -> list[tuple[Value, ...]]:
    return list(demo_data.rows())


@pytest.fixture(scope="module")
def regions() -> RegionRegistry:
    return RegionRegistry.load()


def test_the_whole_experiment_is_read(rows: list[tuple[Value, ...]]) -> None:
    assert len(rows) == 20_190


def test_the_order_of_the_rows_is_stable(rows: list[tuple[Value, ...]]) -> None:
    assert list(demo_data.rows()) == rows


def test_the_key_identifies_a_row(rows: list[tuple[Value, ...]]) -> None:
    places = [NAMES.index(name) for name in DATASET.key]
    assert len({tuple(row[place] for place in places) for row in rows}) == len(rows)


def test_no_privacy_unit_contributes_more_than_the_bound(rows: list[tuple[Value, ...]]) -> None:
    place = NAMES.index(DATASET.privacy_unit)
    contributions = Counter(row[place] for row in rows)
    assert max(contributions.values()) <= DATASET.max_contributions


@pytest.mark.parametrize("column", DATASET.columns, ids=NAMES)
def test_every_value_has_the_type_of_its_column(
    rows: list[tuple[Value, ...]], column: DemoColumn
) -> None:
    place = NAMES.index(column.name)
    assert {type(row[place]) for row in rows} == {PYTHON_TYPES[column.sql_type]}


@pytest.mark.parametrize(
    "column",
    [column for column in DATASET.columns if column.kind is ColumnKind.NUMBER],
    ids=lambda column: column.name,
)
def test_the_bounds_hold_every_number(rows: list[tuple[Value, ...]], column: DemoColumn) -> None:
    place = NAMES.index(column.name)
    numbers = [Decimal(str(row[place])) for row in rows]
    assert column.lower is not None
    assert column.upper is not None
    assert column.lower <= min(numbers)
    assert max(numbers) <= column.upper


@pytest.mark.parametrize(
    "column",
    [column for column in DATASET.columns if column.kind is ColumnKind.CATEGORY],
    ids=lambda column: column.name,
)
def test_the_public_values_hold_every_category(
    rows: list[tuple[Value, ...]], column: DemoColumn
) -> None:
    place = NAMES.index(column.name)
    assert column.values is not None
    assert {str(row[place]).lower() for row in rows} <= set(column.values)


@pytest.mark.parametrize("column", DATASET.columns, ids=NAMES)
def test_a_queryable_column_says_where_its_bounds_come_from(column: DemoColumn) -> None:
    assert (column.kind is None) == (column.bounds_from is None)


def test_smallint_columns_fit(rows: list[tuple[Value, ...]]) -> None:
    for place, column in enumerate(DATASET.columns):
        if column.sql_type == "smallint":
            assert all(abs(int(row[place])) < 2**15 for row in rows)


def test_the_parts_of_medical_expense_do_not_exceed_it(rows: list[tuple[Value, ...]]) -> None:
    parts = [NAMES.index(f"{part}_expense") for part in ("outpatient", "drug", "inpatient")]
    whole = NAMES.index("medical_expense")
    for row in rows:
        assert sum(Decimal(str(row[part])) for part in parts) <= Decimal(str(row[whole])) + Decimal(
            "0.01"
        )


def test_the_description_passes_registration(regions: RegionRegistry) -> None:
    wanted = DatasetRegistration(
        slug=DATASET.slug,
        name=DATASET.name,
        source="source",
        region=DATASET.region,
        license=DATASET.license,
        license_text_digest=DATASET.license_text_digest,
        privacy_unit=DATASET.privacy_unit,
        max_contributions=DATASET.max_contributions,
        columns=DATASET.queryable,
    )
    relation = Source(
        tenant_id=DATASET.tenant_id,
        source_id=UUID(int=1),
        relation="demo",
        columns={column.name: column.sql_type for column in DATASET.columns},
    )
    assert check_dataset(wanted, regions) == DATASET.license
    check_columns(wanted, relation)


def test_the_privacy_unit_is_not_queryable() -> None:
    assert DATASET.privacy_unit not in {column.name for column in DATASET.queryable}


def test_the_license_text_is_that_of_the_package() -> None:
    distribution = metadata.distribution(DATASET.package)
    text = distribution.read_text("licenses/LICENSE.txt")
    assert text is not None
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert DATASET.license_text_digest == f"sha256:{digest}"
    assert distribution.metadata["License-Expression"] == DATASET.license


@pytest.mark.parametrize("tenant", TENANTS, ids=lambda tenant: tenant.tenant_id)
def test_a_demo_tenant_passes_registration(
    tenant: TenantRegistration, regions: RegionRegistry
) -> None:
    check_tenant(tenant, regions)


def test_the_home_regions_stand_in_three_jurisdictions(regions: RegionRegistry) -> None:
    homes = [regions.get(tenant.home_region) for tenant in TENANTS]
    assert len({home.jurisdiction for home in homes if home is not None}) == 3


def test_the_first_tenant_holds_the_data_set_in_its_home_region() -> None:
    first = TENANTS[0]
    assert (DATASET.tenant_id, DATASET.region) == (first.tenant_id, first.home_region)


def test_a_changed_file_is_refused_before_any_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _installed(tmp_path, monkeypatch)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"zper,year\n1,1\n")
    with pytest.raises(SubgraphError, match=r"randhie\.csv") as caught:
        demo_data.rows()
    assert caught.value.code is ErrorCode.DEMO_DATA_UNAVAILABLE


def test_a_missing_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(tmp_path, monkeypatch)
    with pytest.raises(SubgraphError, match="statsmodels") as caught:
        demo_data.rows()
    assert caught.value.code is ErrorCode.DEMO_DATA_UNAVAILABLE


def test_a_missing_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(SubgraphError) as caught:
        demo_data.rows()
    assert caught.value.code is ErrorCode.DEMO_DATA_UNAVAILABLE


def test_reading_imports_no_statsmodels() -> None:
    script = (
        "import sys; from subgraph.tenants import demo_data; list(demo_data.rows());"
        "sys.exit('statsmodels' in sys.modules)"
    )
    root = Path(demo_data.__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", script], cwd=root, check=False)
    assert result.returncode == 0


def _installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let `folder` be the only place of packages, with a statsmodels in it; returns its file."""
    info = folder / "statsmodels-0.15.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: statsmodels\nVersion: 0.15.0\n")
    monkeypatch.setattr(sys, "path", [str(folder)])
    return folder / "statsmodels" / "datasets" / "randhie" / "src" / "randhie.csv"
