import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from subgraph.tenants import regions
from subgraph.tenants.regions import Region, RegionRegistry

ROOT = Path(__file__).parents[3]
COMMITTED = Path(regions.__file__).with_name("regions.json")

# ISO 3166-1 alpha-2, without the user-assigned and reserved codes.
COUNTRIES = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR
BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ
EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW
GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY
KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV
MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY
QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG
TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""


@pytest.fixture(scope="module")
def registry() -> RegionRegistry:
    return RegionRegistry.load()


def test_every_region_has_a_country_of_iso_3166(registry: RegionRegistry) -> None:
    assert {region.jurisdiction for region in registry} <= set(COUNTRIES.split())


def test_a_code_is_the_provider_and_its_own_region_id(registry: RegionRegistry) -> None:
    for region in registry:
        assert re.fullmatch(re.escape(region.provider) + ":[a-z0-9-]+", region.code)


def test_regions_come_in_the_order_of_their_codes(registry: RegionRegistry) -> None:
    assert [region.code for region in registry] == sorted(registry.codes) == list(registry.codes)


def test_every_provider_is_listed(registry: RegionRegistry) -> None:
    assert {region.provider for region in registry} == {"aws", "gcp", "azure"}


@pytest.mark.parametrize(
    ("code", "jurisdiction"),
    [
        ("aws:eu-central-1", "DE"),
        ("aws:eusc-de-east-1", "DE"),
        ("aws:us-gov-west-1", "US"),
        ("aws:eu-west-2", "GB"),
        ("gcp:europe-west3", "DE"),
        ("gcp:europe-west6", "CH"),
        ("gcp:asia-east2", "HK"),
        ("azure:westeurope", "NL"),
        ("azure:northeurope", "IE"),
        ("azure:eastasia", "HK"),
        ("azure:southeastasia", "SG"),
        ("azure:germanywestcentral", "DE"),
    ],
)
def test_jurisdiction_is_the_country_of_the_site(
    registry: RegionRegistry, code: str, jurisdiction: str
) -> None:
    region = registry.get(code)
    assert region is not None
    assert region.jurisdiction == jurisdiction


@pytest.mark.parametrize(
    "code",
    ["", "eu-central-1", "AWS:EU-CENTRAL-1", "aws:eu-central-1 ", "aws:eu-central-1a", "aws:\0"],
)
def test_only_the_exact_code_finds_a_region(registry: RegionRegistry, code: str) -> None:
    assert registry.get(code) is None


@pytest.mark.parametrize(
    "code", ["aws:aws-global", "aws:us-iso-east-1", "azure:usseceast", "azure:eastus2euap"]
)
def test_what_no_tenant_could_use_is_left_out(registry: RegionRegistry, code: str) -> None:
    assert registry.get(code) is None


def test_a_region_cannot_be_changed(registry: RegionRegistry) -> None:
    region = next(iter(registry))
    with pytest.raises(dataclasses.FrozenInstanceError):
        region.jurisdiction = "XX"  # type: ignore[misc]


def test_a_code_listed_twice_is_refused() -> None:
    region = Region("aws:eu-west-1", "aws", "IE", "Europe (Ireland)")
    with pytest.raises(ValueError, match="aws:eu-west-1"):
        RegionRegistry([region, dataclasses.replace(region, jurisdiction="GB")])


def test_every_source_is_pinned_by_version_and_digest() -> None:
    for source in json.loads(COMMITTED.read_text("utf-8"))["sources"]:
        assert source["version"]
        assert re.fullmatch("[0-9a-f]{64}", source["sha256"])


# ---- the build, on small packages that are laid out as the real ones


AZURE_PAIRS = "azure/cli/command_modules/backup/custom.py"
AZURE_ZONES = "checkov/terraform/checks/resource/azure/EventHubNamespaceZoneRedundant.py"
AWS_LIST = "botocore/data/partitions.json"
GCP_LIST = "c7n_gcp/regions.json"


@pytest.fixture
def packages(tmp_path: Path, registry: RegionRegistry) -> dict[str, Path]:
    """Unpacked packages that list what the committed registry and the tables hold."""
    document = json.loads(COMMITTED.read_text("utf-8"))
    tables = _tables()
    listed: dict[str, dict[str, str]] = {"aws": {}, "gcp": {}, "azure": {}}
    for region in registry:
        listed[region.provider][region.code.partition(":")[2]] = region.display_name
    for provider, names in listed.items():
        names.update(dict.fromkeys(tables[provider], "unused"))
    aws = {name: {"description": text} for name, text in listed["aws"].items()}
    pairs = dict.fromkeys(listed["azure"], "westus")
    contents = {
        "botocore": json.dumps({"partitions": [{"id": "aws", "regions": aws}]}),
        "c7n_gcp": json.dumps(list(listed["gcp"])),
        "azure-cli": f"raise SystemExit\nsecondary_region_map = {pairs!r}\n",
        "checkov": "LOCATIONS_W_REDUNDANCY = ['West US', 'westus']\n",
    }
    folders = {}
    for source in document["sources"]:
        folder = tmp_path / source["package"]
        file = folder / source["file"]
        file.parent.mkdir(parents=True)
        file.write_text(contents[source["package"]], "utf-8")
        info = folder / f"{source['package'].replace('-', '_')}-{source['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {source['package']}\nVersion: {source['version']}\n"
        )
        folders[source["package"]] = folder
    return folders


def test_the_build_gives_the_committed_regions(packages: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "regions.json"
    assert _build(packages, "--output", str(output)).returncode == 0
    built = json.loads(output.read_text("utf-8"))["regions"]
    assert built == json.loads(COMMITTED.read_text("utf-8"))["regions"]


def test_the_build_is_deterministic(packages: dict[str, Path], tmp_path: Path) -> None:
    outputs = [tmp_path / "first.json", tmp_path / "second.json"]
    for output in outputs:
        _build(packages, "--output", str(output))
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_check_notices_a_changed_source_file(packages: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "regions.json"
    _build(packages, "--output", str(output))
    assert _build(packages, "--check", "--output", str(output)).returncode == 0
    file = packages["c7n_gcp"] / GCP_LIST
    file.write_text(file.read_text("utf-8") + "\n", "utf-8")
    before = output.read_bytes()
    assert _build(packages, "--check", "--output", str(output)).returncode == 1
    assert output.read_bytes() == before


def test_an_unknown_region_fails_the_build(packages: dict[str, Path], tmp_path: Path) -> None:
    file = packages["c7n_gcp"] / GCP_LIST
    file.write_text(json.dumps([*json.loads(file.read_text("utf-8")), "moon-north1"]), "utf-8")
    result = _build(packages, "--output", str(tmp_path / "regions.json"))
    assert result.returncode == 1
    assert "gcp: no reviewed country for moon-north1" in result.stderr
    assert not (tmp_path / "regions.json").exists()


def test_a_changed_description_fails_the_build(packages: dict[str, Path], tmp_path: Path) -> None:
    file = packages["botocore"] / AWS_LIST
    file.write_text(file.read_text("utf-8").replace("(Frankfurt)", "(Atlantis)"), "utf-8")
    result = _build(packages, "--output", str(tmp_path / "regions.json"))
    assert result.returncode == 1
    assert "no reviewed country for eu-central-1 (Europe (Atlantis))" in result.stderr


def test_a_region_that_vanished_fails_the_build(packages: dict[str, Path], tmp_path: Path) -> None:
    file = packages["azure-cli"] / AZURE_PAIRS
    file.write_text(file.read_text("utf-8").replace("'uksouth'", "'ukwest'"), "utf-8")
    result = _build(packages, "--output", str(tmp_path / "regions.json"))
    assert result.returncode == 1
    assert "no package lists uksouth any more" in result.stderr


def test_a_package_of_another_version_is_refused(packages: dict[str, Path], tmp_path: Path) -> None:
    (metadata,) = packages["checkov"].glob("*.dist-info/METADATA")
    metadata.write_text("Metadata-Version: 2.1\nName: checkov\nVersion: 0.0.1\n")
    result = _build(packages, "--output", str(tmp_path / "regions.json"))
    assert result.returncode == 1
    assert "does not hold checkov" in result.stderr


def _build(packages: dict[str, Path], *arguments: str) -> "subprocess.CompletedProcess[str]":
    unpacked = [f"--unpacked={package}={folder}" for package, folder in packages.items()]
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "build_regions.py"), *unpacked, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def _tables() -> dict[str, list[str]]:
    """The ids that the reviewed tables leave out, by provider."""
    script = "import json, region_places; print(json.dumps(region_places.LEFT_OUT))"
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT / "tools",
        capture_output=True,
        text=True,
        check=True,
    )
    return {provider: list(left_out) for provider, left_out in json.loads(result.stdout).items()}
