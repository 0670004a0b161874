"""`ig`: the command line. One module a command group; each is imported when it is called."""

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Mapping, Sequence

from subgraph.errors import SubgraphError

GROUPS: Mapping[str, str] = {
    "demo": "run everything on this machine, with demonstration data",
    "serve": "run the server",
    "budgets": "verify the spend logs of privacy budgets",
    "db": "migrate the database and make its roles",
    "datasets": "provision the relations that data sets are registered from",
    "keys": "rotate, rewrap and re-encrypt; say how far that is; read markers",
    "ledger": "export a ledger, verify an export, or check what the database holds",
    "regions": "list the region registry",
    "sdl": "print the schema, or check it",
    "token": "mint a development token",
    "worker": "run background jobs",
    "witness": "cosign the checkpoints of a log that does not forget",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did its work, 1 with the code and the reason on stderr if not."""
    parser = argparse.ArgumentParser(prog="ig", description="The governance subgraph.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = list(sys.argv[1:] if arguments is None else arguments)
    for name, summary in GROUPS.items():
        group = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        if chosen[:1] == [name]:
            importlib.import_module(f"subgraph.cli.{name}").declare(group)
    parsed = parser.parse_args(chosen)
    try:
        outcome = asyncio.run(parsed.run(parsed)) if parsed.asynchronous else parsed.run(parsed)
    except SubgraphError as error:
        print(f"ig: {error.code.name}: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(outcome or 0)


if __name__ == "__main__":
    sys.exit(main())
