"""Writes the documents that are derived from the code, or checks that they are up to date."""

import argparse
import sys
from pathlib import Path

from subgraph import settings
from subgraph.errors import ErrorCode

DOCS = Path(__file__).resolve().parent.parent / "docs"


def errors() -> str:
    """Every stable code, with its HTTP status, meaning and remedy."""
    lines = [
        "# Error codes",
        "",
        "Made from `subgraph/errors.py` by `make derive`. A code is never renamed or reused.",
        "The status is that of a response which refuses the whole request; a GraphQL error of",
        "one field comes with status 200.",
        "",
        "| code | status | meaning | what to do |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{code.name}` | {code.status} | {code.meaning} | {code.remedy} |" for code in ErrorCode
    ]
    return "\n".join(lines) + "\n"


def settings_table() -> str:
    """Every setting, with its default."""
    lines = [
        "# Settings",
        "",
        "Made from `subgraph/settings.py` by `make derive`. All are environment variables, read",
        "once at the start; an unknown `IG_` variable is refused.",
        "",
        "| variable | default | what it does |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {f'`{default}`' if default else ''} | {description} |"
        for name, default, description in settings.describe()
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write, or with `--check` compare; 1 when a document differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name, text in (("errors.md", errors()), ("settings.md", settings_table())):
        path = DOCS / name
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    for name in stale:
        print(f"docs/{name} differs from the code: run `make derive`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
