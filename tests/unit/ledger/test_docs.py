"""`docs/ledger.md` as a stranger follows it."""

import re
import subprocess
from pathlib import Path

import pytest

from subgraph.ledger.entry import Entry
from subgraph.ledger.errors import Finding
from subgraph.ledger.model import EventType
from subgraph.ledger.slice import write_slice
from tests.unit.ledger.logs import PROCESS, ROOT, complete_slice, note, tenant_log

PAGE = (Path(__file__).parents[3] / "docs" / "ledger.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
LOG = tenant_log(5)


@pytest.fixture
def folder(tmp_path):
    content = write_slice(complete_slice(LOG, 0, 2))
    for name, value in {
        "cosign.pub": ROOT.public.pem.encode(),
        "process.pub": PROCESS.public.pem.encode(),
        "slice.json": content,
        "slice.json.sig": ROOT.sign(content),
        "checkpoint.txt": note(LOG.checkpoint()).encode(),
        "entry.json": LOG.entries[3],
        "entry.sig": LOG.signatures[3],
    }.items():
        (tmp_path / name).write_bytes(value)
    return tmp_path


def run(folder, commands):
    return subprocess.run(
        ["sh", "-eu", "-c", commands], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("commands", "file"),
    list(zip(COMMANDS[:3], ["slice.json", "checkpoint.txt", "entry.json"], strict=True)),
)
def test_the_openssl_commands_verify_and_a_flipped_byte_makes_them_fail(folder, commands, file):
    assert run(folder, commands).stdout.endswith("Verified OK\n")
    content = bytearray((folder / file).read_bytes())
    content[12] ^= 1
    (folder / file).write_bytes(content)
    done = run(folder, commands)
    assert done.returncode != 0
    assert "OK" not in done.stdout


def test_the_openssl_commands_print_the_leaf_hash_and_the_key_id(folder):
    printed = run(folder, COMMANDS[3]).stdout.split()
    leaf = next(node for node in LOG.nodes if (node.level, node.index) == (0, 3))
    assert LOG.nodes[leaf].hex() in printed
    assert PROCESS.public.key_id in printed


def test_every_finding_is_explained():
    table = PAGE.split("## Findings")[1]
    assert re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE) == [
        (finding.name, finding.value) for finding in Finding
    ]


def test_every_member_of_an_entry_is_explained():
    table = PAGE.split("## Entry")[1].split("## Leaf")[0]
    names = set(re.findall(r"^\| `(\w+)` ", table, re.MULTILINE))
    assert len(names) == len(Entry.__dataclass_fields__)


def test_every_type_of_event_is_explained():
    table = PAGE.split("## Events")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (?:tenant|deployment) \| \S.* \|$", table, re.MULTILINE)
    assert rows == list(EventType)
