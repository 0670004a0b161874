"""`ig datasets`: the operator offers relations to tenants."""

import argparse
import os

from subgraph import settings
from subgraph.cli import running
from subgraph.db import ids
from subgraph.db.ids import IdKind
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.tenants import provisioning
from subgraph.tenants.model import Source


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the commands."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    provision = commands.add_parser("provision", help="offer a relation to a tenant")
    provision.add_argument("--tenant", required=True)
    provision.add_argument("--relation", required=True, help="schema-qualified name")
    provision.set_defaults(run=_provision, asynchronous=True)
    sources = commands.add_parser("sources", help="list what is offered to a tenant")
    sources.add_argument("--tenant", required=True)
    sources.set_defaults(run=_sources, asynchronous=True)


async def _provision(parsed: argparse.Namespace) -> None:
    _show(await provisioning.provision(_system_url(), parsed.tenant, parsed.relation))


async def _sources(parsed: argparse.Namespace) -> None:
    for source in await provisioning.sources(_system_url(), parsed.tenant):
        _show(source)


def _show(source: Source) -> None:
    print(ids.encode(IdKind.DATASET_SOURCE, source.tenant_id, source.source_id), source.relation)


def _system_url() -> str:
    url = running.reachable(settings.load(os.environ)).database_system_url
    if url is None:
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, "IG_DATABASE_SYSTEM_URL is not set")
    return url
