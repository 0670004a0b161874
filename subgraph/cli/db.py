"""`ig db`: makes the roles, migrates forward and back."""

import argparse
import os

from subgraph import settings
from subgraph.db import migrate, roles
from subgraph.errors import ErrorCode, SubgraphError


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the commands."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    upgrade = commands.add_parser("upgrade", help="bring the database up to a revision")
    upgrade.add_argument("revision", nargs="?", default="head")
    upgrade.set_defaults(run=_upgrade, asynchronous=True)
    downgrade = commands.add_parser("downgrade", help="take the database back to a revision")
    downgrade.add_argument("revision", help="a revision, or `base` for an empty database")
    downgrade.set_defaults(run=_downgrade, asynchronous=True)
    make_roles = commands.add_parser(
        "roles", help="make the database and the roles that login users are members of"
    )
    make_roles.add_argument(
        "--admin-url", required=True, help="DSN of a role that may create roles"
    )
    make_roles.add_argument("--database", required=True, help="name of the database")
    make_roles.set_defaults(run=_roles, asynchronous=True)


async def _upgrade(parsed: argparse.Namespace) -> None:
    await migrate.upgrade(_owner_url(), parsed.revision)


async def _downgrade(parsed: argparse.Namespace) -> None:
    await migrate.downgrade(_owner_url(), parsed.revision)


async def _roles(parsed: argparse.Namespace) -> None:
    await roles.establish(parsed.admin_url, parsed.database)


def _owner_url() -> str:
    url = settings.load(os.environ).database_owner_url
    if url is None:
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, "IG_DATABASE_OWNER_URL is not set")
    return url
