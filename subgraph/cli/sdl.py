"""`ig sdl`: prints the schema, writes `schema.graphql`, or checks it against the rules."""

import argparse
import sys
from pathlib import Path

from subgraph import schema
from subgraph.deprecations import policy_file
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation import lint
from subgraph.federation.sdl import contract_document


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--dialect",
        choices=("federation", "contract"),
        default="federation",
        help="federation composes; contract says @deprecated(reason:, until:) literally",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write it to FILE")
    parser.add_argument(
        "--check",
        type=Path,
        metavar="FILE",
        help="compare FILE with the code and hold the schema against the rules of the house",
    )
    parser.set_defaults(run=_run, asynchronous=False)


def _run(parsed: argparse.Namespace) -> int:
    built = schema.build(policy_file.load(policy_file.default_path()))
    document = built.sdl if parsed.dialect == "federation" else contract_document(built.sdl)
    try:
        if parsed.check is not None:
            return _check(parsed.check, document, lint.findings(built))
        if parsed.write is not None:
            parsed.write.write_text(document, encoding="utf-8")
            return 0
    except (OSError, UnicodeDecodeError) as error:
        raise SubgraphError(ErrorCode.INVALID_INPUT, f"the file cannot be used: {error}") from error
    sys.stdout.write(document)
    return 0


def _check(path: Path, document: str, findings: list[str]) -> int:
    if not path.exists() or path.read_text(encoding="utf-8") != document:
        findings = [*findings, f"{path} differs from the code: run `ig sdl --write {path}`"]
    for finding in findings:
        print(finding, file=sys.stderr)
    return 1 if findings else 0
