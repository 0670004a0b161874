"""`ig ledger`: exports a log and checks it in the database, or verifies what was exported.

Verifying needs neither database nor network, and only the base install: what the other commands
need is imported when they are called.
"""

import argparse
import base64
import sys
from collections.abc import Sequence
from pathlib import Path

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.cosignature import CosignatureVerifier
from subgraph.ledger.errors import VerificationFailed
from subgraph.ledger.publickey import PublicKey
from subgraph.ledger.verification import Report, verify_slice


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the commands and their options."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    summary = "verify a slice that `ig ledger export` wrote"
    verify = commands.add_parser("verify", help=summary, description=summary.capitalize() + ".")
    verify.add_argument("file", type=Path, metavar="FILE", help="the slice")
    verify.add_argument(
        "--key",
        type=Path,
        action="append",
        required=True,
        metavar="PEM",
        help="a root key that you trust, from elsewhere than the slice; may be repeated",
    )
    verify.add_argument(
        "--witness",
        action="append",
        default=[],
        metavar="VKEY",
        help="a witness, one of whom must have cosigned: `name+hint+key`; may be repeated",
    )
    verify.set_defaults(run=_verify, asynchronous=False)
    summary = "write a part of a log with all that proves it, and its signature"
    export = commands.add_parser("export", help=summary, description=summary.capitalize() + ".")
    which = export.add_mutually_exclusive_group(required=True)
    which.add_argument("--tenant", help="the log of this tenant")
    which.add_argument("--deployment", action="store_true", help="the log of the deployment")
    export.add_argument(
        "--from", dest="start", type=int, default=0, help="first index (default: 0)"
    )
    export.add_argument("--to", dest="end", type=int, help="size of a checkpoint (default: newest)")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write it")
    export.set_defaults(run=_export, asynchronous=True)
    summary = "derive every tree anew from the entries in the database"
    fsck = commands.add_parser("fsck", help=summary, description=summary.capitalize() + ".")
    fsck.set_defaults(run=_fsck, asynchronous=True)
    for command in (export, fsck):
        command.add_argument("--data-dir", type=Path, help="data folder of a running `ig demo`")


def _verify(parsed: argparse.Namespace) -> int:
    try:
        roots = [PublicKey.from_pem(_read(path)) for path in parsed.key]
        witnesses = [CosignatureVerifier.from_vkey(text) for text in parsed.witness]
        content = _read(parsed.file)
        _verify_signature(parsed.file, content, roots)
        report = verify_slice(content, roots, witnesses)
    except VerificationFailed as failure:
        print(f"ig: {failure.finding.name}: {failure.message}", file=sys.stderr)
        return 1
    print("\n".join(_lines(report, roots)))
    return 0


def _verify_signature(path: Path, content: bytes, roots: Sequence[PublicKey]) -> None:
    """Check the signature that was exported beside the file, if it is still there.

    It covers every byte; the slice itself also holds lines that nobody here can judge, such as
    those of witnesses who were not named.
    """
    beside = path.with_name(f"{path.name}.sig")
    if not beside.exists():
        return
    signature = _read(beside)
    for number, root in enumerate(roots, 1):
        try:
            root.verify(content, signature)
        except VerificationFailed:
            if number == len(roots):
                raise
        else:
            return


async def _export(parsed: argparse.Namespace) -> int:
    from subgraph.cli import exporting

    tenant = None if parsed.deployment else parsed.tenant
    written = await exporting.export(parsed.data_dir, tenant, parsed.start, parsed.end, parsed.out)
    print("\n".join(str(path) for path in written))
    return 0


async def _fsck(parsed: argparse.Namespace) -> int:
    from subgraph.cli import exporting

    faults, logs = await exporting.check(parsed.data_dir)
    for fault in faults:
        print(f"ig: {fault}", file=sys.stderr)
    print(f"{logs} logs, {len(faults)} faults")
    return 1 if faults else 0


def _lines(report: Report, roots: Sequence[PublicKey]) -> list[str]:
    span = "none" if report.first is None else f"{report.first} to {report.last}"
    extent = "no entry is left out" if report.complete else "a selection"
    heads = [
        f"{name:12}{checkpoint.size} {base64.b64encode(checkpoint.root).decode()}"
        for name, checkpoint in (("older", report.older), ("newer", report.newer))
    ]
    return [
        f"log         {report.origin}",
        *heads,
        f"entries     {report.entries} ({span}; {extent})",
        *(f"root key    {root.key_id}" for root in roots),
        *(f"entry key   {key_id}" for key_id in report.signers),
        *(f"witness     {name}" for name in report.witnesses),
        "verified",
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SubgraphError(ErrorCode.INVALID_INPUT, f"{path}: {error.strerror}") from None
