"""What the README shows is what a reader gets."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Demo
from tests.integration.stack import Stack, whole_stack
from tests.unit.cli.processes import bare_environment

README = Path(__file__).parent.parent.parent / "README.md"


@pytest.fixture(scope="module")
def stack(served: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with whole_stack(served, tmp_path_factory.mktemp("readme")) as started:
        yield started


def test_the_query_of_the_readme_has_the_answer_of_the_readme(stack: Stack, served: Demo) -> None:
    text = README.read_text()
    (request,) = re.findall(r"-d '(\{.*\})'", text)
    (answer,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    asked = json.loads(request)["query"]
    assert stack.ask(asked, token=served.tokens["viewer"]) == json.loads(answer)


def test_the_readme_shows_how_to_verify_the_ledger(served: Demo, tmp_path: Path) -> None:
    section = README.read_text().split("## The ledger, verified by you")[1].split("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    environment = {
        **bare_environment(),
        "IG_DATA_DIR": str(served.folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    commands = block.splitlines()
    said = [
        subprocess.run(
            shlex.split(command.replace(".venv/bin/ig", "ig")),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[-1]
        for command in commands
    ]
    assert said == ["cosign.pub", "verified", "Verified OK"]


def test_every_folder_that_the_readme_names_is_there() -> None:
    table = README.read_text().split("## Where things are")[1].split("## Deploy")[0]
    named = [name for row in table.splitlines() for name in re.findall(r"`([a-z_/]+/)`", row)]
    missing = [name for name in named if not (README.parent / name).is_dir()]
    assert named
    assert missing == []
