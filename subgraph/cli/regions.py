"""`ig regions`: lists the region registry."""

import argparse

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.tenants.regions import RegionRegistry


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--jurisdiction", metavar="CC", help="only regions of this jurisdiction")
    parser.set_defaults(run=_run, asynchronous=False)


def _run(parsed: argparse.Namespace) -> int:
    regions = list(RegionRegistry.load())
    known = sorted({region.jurisdiction for region in regions})
    if parsed.jurisdiction not in (None, *known):
        message = f"no region is in {parsed.jurisdiction}; there are {', '.join(known)}"
        raise SubgraphError(ErrorCode.INVALID_INPUT, message)
    for region in regions:
        if parsed.jurisdiction in (None, region.jurisdiction):
            print(f"{region.code:32} {region.jurisdiction:8} {region.display_name}")
    return 0
