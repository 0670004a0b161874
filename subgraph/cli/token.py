"""`ig token`: mints a development token with the key of the data folder."""

import argparse
import os
import sys
from datetime import timedelta

from subgraph import settings
from subgraph.cli.arguments import hours
from subgraph.http import development_tokens


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--subject", required=True, help="pseudonymous id of the caller")
    parser.add_argument(
        "--tenant", help="tenant that the caller acts for; none for a platform caller"
    )
    parser.add_argument("--scope", action="append", default=[], help="a scope; may be repeated")
    parser.add_argument(
        "--hours", type=hours, default=timedelta(hours=1), help="lifetime in hours (default: 1)"
    )
    parser.set_defaults(run=_run, asynchronous=False)


def _run(parsed: argparse.Namespace) -> int:
    configured = settings.load(os.environ)
    key = development_tokens.load_or_create(configured)
    token = development_tokens.mint(
        key,
        subject=parsed.subject,
        tenant=parsed.tenant,
        scopes=parsed.scope,
        lifetime=parsed.hours,
        audience=configured.jwt_audience,
        issuer=configured.jwt_issuer,
    )
    print(development_tokens.WARNING, file=sys.stderr)
    print(token)
    return 0
