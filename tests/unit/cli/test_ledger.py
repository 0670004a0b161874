"""`ig ledger verify` as a stranger runs it: another process, with the base install only."""

import subprocess
import sys
from pathlib import Path

import pytest

from subgraph.ledger.slice import write_slice
from tests.unit.ledger.logs import ROOT, STRANGER, complete_slice, tenant_log

PROJECT = Path(__file__).parents[3]
SLICE = write_slice(complete_slice(tenant_log(9), 0, 4))
ALLOWED = {"subgraph", "cryptography", "_openssl", "_cffi_backend", "cffi"}

# Whatever is neither of the standard library nor allowed is not there to be imported.
BASE_INSTALL = f"""
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in {ALLOWED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
before = set(sys.modules)
from subgraph.cli.main import main
code = main(sys.argv[1:])
foreign = sorted(
    {{name.partition(".")[0] for name in set(sys.modules) - before}}
    - sys.stdlib_module_names - {ALLOWED!r}
)
loaded = sorted(
    name for name in sys.modules
    if name.startswith("subgraph.") and name.split(".")[1] not in ("cli", "ledger", "errors")
)
print(foreign, loaded)
sys.exit(code)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "slice.json").write_bytes(SLICE)
    (tmp_path / "cosign.pub").write_text(ROOT.public.pem)
    (tmp_path / "stranger.pub").write_text(STRANGER.public.pem)
    return tmp_path


def verify(folder, *arguments, file="slice.json", key="cosign.pub"):
    return subprocess.run(
        [sys.executable, "-c", BASE_INSTALL, "ledger", "verify", file, "--key", key, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_slice_verifies_with_the_base_install_alone(folder):
    done = verify(folder)
    assert (done.returncode, done.stderr) == (0, "")
    *lines, modules = done.stdout.splitlines()
    assert lines[-1] == "verified"
    assert f"root key    {ROOT.public.key_id}" in lines
    assert "entries     9 (0 to 8; no entry is left out)" in lines
    assert modules == "[] []"


def test_a_flipped_byte_is_named_and_the_exit_code_says_so(folder):
    (folder / "slice.json").write_bytes(SLICE.replace(b'\\"number\\":3', b'\\"number\\":4'))
    done = verify(folder)
    assert done.returncode == 1
    assert done.stderr.startswith("ig: SIGNATURE_INVALID: entries[3]: ")
    assert "verified" not in done.stdout


def test_another_key_does_not_verify_it(folder):
    done = verify(folder, key="stranger.pub")
    assert done.returncode == 1
    assert done.stderr.startswith("ig: NOTE_SIGNATURE_MISSING: older: ")


def test_a_witness_can_be_demanded(folder):
    vkey = "w.example+8a2eb3b3+BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    done = verify(folder, "--witness", vkey)
    assert done.returncode == 1
    assert done.stderr.startswith("ig: KEY_ID_MISMATCH: ")


@pytest.mark.parametrize("arguments", [{"file": "absent"}, {"key": "absent"}])
def test_a_file_that_is_not_there_is_named(folder, arguments):
    done = verify(folder, **arguments)
    assert (done.returncode, done.stderr) == (
        1,
        "ig: INVALID_INPUT: absent: No such file or directory\n",
    )


def test_a_file_that_holds_no_key_is_refused(folder):
    done = verify(folder, key="slice.json")
    assert done.returncode == 1
    assert done.stderr.startswith("ig: KEY_INVALID: ")
