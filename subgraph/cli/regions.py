"""`ig regions`: lists the region registry."""

import argparse

from subgraph.tenants.regions import RegionRegistry


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--jurisdiction", metavar="CC", help="only regions of this jurisdiction")
    parser.set_defaults(run=_run, asynchronous=False)


def _run(parsed: argparse.Namespace) -> int:
    for region in RegionRegistry.load():
        if parsed.jurisdiction in (None, region.jurisdiction):
            print(f"{region.code:32} {region.jurisdiction:8} {region.display_name}")
    return 0
