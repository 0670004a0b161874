"""`ig budgets`: verifies spend logs, in a file or in the database.

A file needs neither database nor network, and only the base install: what the other way needs is
imported when it is called.
"""

import argparse
import sys
from datetime import datetime
from pathlib import Path

from subgraph.budgets.epsilon import format_epsilon
from subgraph.budgets.errors import SpendLogInvalid
from subgraph.budgets.verify import SpendReport, read_log, verify_log
from subgraph.errors import ErrorCode, SubgraphError


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the commands and their options."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    summary = "recompute the chains and the sums of spend logs"
    verify = commands.add_parser("verify", help=summary, description=summary.capitalize() + ".")
    which = verify.add_mutually_exclusive_group(required=True)
    which.add_argument("--file", type=Path, metavar="FILE", help="the spend log of one window")
    which.add_argument("--tenant", help="the spend logs of this tenant, in the database")
    verify.add_argument(
        "--window",
        type=_instant,
        metavar="START",
        help="only the tenant's window that starts then (RFC 3339)",
    )
    verify.add_argument("--data-dir", type=Path, help="data folder of a running `ig demo`")
    verify.set_defaults(run=_verify, asynchronous=True)


async def _verify(parsed: argparse.Namespace) -> int:
    try:
        reports = await _reports(parsed)
    except SpendLogInvalid as failure:
        print(f"ig: {failure.finding.name}: {failure.message}", file=sys.stderr)
        return 1
    for report in reports:
        print(
            f"{report.tenant} {report.window_start} to {report.window_end}:"
            f" {report.spends} spends, epsilon {format_epsilon(report.spent)}, head {report.head}"
        )
    print("verified")
    return 0


async def _reports(parsed: argparse.Namespace) -> list[SpendReport]:
    if parsed.file is not None:
        if parsed.window is not None:
            raise SubgraphError(ErrorCode.INVALID_INPUT, "--window is for --tenant only")
        return [verify_log(read_log(_read(parsed.file)))]
    from subgraph.cli import auditing

    return await auditing.verify(parsed.data_dir, parsed.tenant, parsed.window)


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"an instant needs its offset from UTC: {text}")
    return at


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SubgraphError(ErrorCode.INVALID_INPUT, f"{path}: {error.strerror}") from None
