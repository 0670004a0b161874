"""Revisions whose statements stand in files of SQL."""

import re
from pathlib import Path

from alembic import op

_FOLDER = Path(__file__).parent / "sql"
_BETWEEN = re.compile(r";\n+(?=CREATE |COMMENT )")
"""A statement begins at the left edge, with one of these words; nothing else in a file does."""


def run(name: str) -> None:
    """Execute the statements of the file `name`, one by one."""
    for statement in _BETWEEN.split((_FOLDER / name).read_text(encoding="utf-8")):
        op.execute(statement.strip().rstrip(";"))
