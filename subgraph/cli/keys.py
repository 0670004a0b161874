"""`ig keys`: rotates, rewraps and re-encrypts, now or regularly, and reads markers.

The work is done by `ig worker`; what is planned here goes on when the command is interrupted.
"""

import argparse
import sys
from pathlib import Path

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.jobs.model import KeyJobKind

_SUMMARIES = {
    KeyJobKind.ROTATE: "make a new version of the key, give writers new data keys, rewrap the rest",
    KeyJobKind.REWRAP: "wrap all data keys under the key's newest version; no record is touched",
    KeyJobKind.REENCRYPT: "move records to new data keys",
}
_MOST_CHARACTERS = 1_000_000
_MOST_DAYS = 3650


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the commands and their options."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for kind, summary in _SUMMARIES.items():
        command = _command(commands, kind.value.lower(), summary)
        command.add_argument(
            "--throttle", type=int, metavar="N", help="at most so many a second (default: no limit)"
        )
        command.add_argument("--detach", action="store_true", help="do not wait until it has ended")
        if kind is KeyJobKind.REENCRYPT:
            command.add_argument("--object-type", help="records of this type (default: all)")
        command.set_defaults(run=_plan, kind=kind)
    status = _command(commands, "status", "show a tenant's key, its versions and its job")
    status.add_argument("--follow", action="store_true", help="wait until the job has ended")
    status.set_defaults(run=_status)
    schedule = _command(commands, "schedule", "have a tenant's key rotated regularly")
    schedule.add_argument(
        "--days", type=_days, help="how often, 1 to 3650 days (default: only when asked)"
    )
    schedule.set_defaults(run=_schedule)
    summary = "find who read what, by the markers that break-glass leaves in values"
    attribute = _command(commands, "attribute", summary)
    attribute.add_argument("file", metavar="FILE", help="a text that leaked, or - for stdin")
    attribute.set_defaults(run=_attribute)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
    command.add_argument("--tenant", required=True, help="whose key")
    command.add_argument("--data-dir", type=Path, help="data folder of a running `ig demo`")
    command.set_defaults(asynchronous=True)
    return command


async def _plan(parsed: argparse.Namespace) -> int:
    from subgraph.cli import custody
    from subgraph.keys.jobs.model import NewJob

    object_type = getattr(parsed, "object_type", None)
    wanted = NewJob(parsed.kind, object_type, parsed.throttle)
    return await custody.plan(parsed.data_dir, parsed.tenant, wanted, wait=not parsed.detach)


async def _status(parsed: argparse.Namespace) -> int:
    from subgraph.cli import custody

    return await custody.status(parsed.data_dir, parsed.tenant, follow=parsed.follow)


async def _schedule(parsed: argparse.Namespace) -> int:
    from subgraph.cli import custody

    return await custody.schedule(parsed.data_dir, parsed.tenant, parsed.days)


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _MOST_DAYS):
        raise argparse.ArgumentTypeError(f"1 to {_MOST_DAYS} days")
    return int(text)


async def _attribute(parsed: argparse.Namespace) -> int:
    from subgraph.cli import custody

    found = await custody.attribute(parsed.data_dir, parsed.tenant, _read(parsed.file))
    print("\n".join(found) or "no markers of this tenant")
    return 0 if found else 1


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read(_MOST_CHARACTERS + 1)
    try:
        with Path(file).open(encoding="utf-8", errors="replace") as text:
            return text.read(_MOST_CHARACTERS + 1)
    except OSError as error:
        raise SubgraphError(ErrorCode.INVALID_INPUT, f"{file}: {error.strerror}") from None
