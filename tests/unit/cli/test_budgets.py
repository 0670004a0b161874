"""`ig budgets verify`: a file as a stranger checks it, and the database as its operator does."""

import os
import subprocess
import sys

import pytest

from subgraph.budgets.errors import SpendFinding
from subgraph.budgets.verify import write_log
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.settings import Settings
from tests.unit.budgets.accounts import accounts
from tests.unit.budgets.test_verify import GOOD
from tests.unit.cli.test_ledger import BASE_INSTALL, PROJECT
from tests.unit.db.scratch import scratch_database


def run(*arguments: str, code: str = BASE_INSTALL, **environment: str):
    return subprocess.run(
        [sys.executable, "-c", code, "budgets", "verify", *arguments],
        env={"PYTHONPATH": str(PROJECT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "spends.json"
    path.write_bytes(write_log(GOOD))
    return path


def test_a_file_is_verified_with_the_base_install(file) -> None:
    result = run("--file", str(file))
    assert result.returncode == 0, result.stderr
    assert "3 spends, epsilon 0.300000000" in result.stdout
    assert "\nverified\n[] " in result.stdout


def test_a_changed_file_is_named_with_its_first_lie(file) -> None:
    file.write_bytes(file.read_bytes().replace(b"COUNT", b"COUNY", 1))
    result = run("--file", str(file))
    assert result.returncode == 1
    assert result.stderr.startswith("ig: CHAIN_BROKEN: spends[0]: ")


def test_a_file_that_is_not_there_is_told(tmp_path) -> None:
    result = run("--file", str(tmp_path / "none.json"))
    assert (result.returncode, "INVALID_INPUT" in result.stderr) == (1, True)


def test_every_finding_is_documented() -> None:
    documented = (PROJECT / "docs" / "budgets.md").read_text()
    for finding in SpendFinding:
        assert f"| `{finding.name}` | {finding.value} |" in documented


MAIN = "import sys; from subgraph.cli.main import main; sys.exit(main(sys.argv[1:]))"


async def test_a_tenant_is_verified_in_the_database(
    postgres: EmbeddedServer, settings: Settings, tmp_path
) -> None:
    async with scratch_database(postgres) as scratch:
        async with accounts(scratch, settings) as books:
            tenant = await books.open("10")
            made = await books.spend(tenant, "0.1", "0.2")
        where = {
            "DATABASE_URL": scratch.url(Role.SERVICE), "IG_DATA_DIR": str(tmp_path),
            "PATH": os.environ["PATH"],
        }  # fmt: skip
        whole = run("--tenant", tenant, code=MAIN, **where)
        start = made.window_start.isoformat()
        window = run("--tenant", tenant, "--window", start, code=MAIN, **where)
        other = run("--tenant", tenant, "--window", "1999-01-01T00:00Z", code=MAIN, **where)
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout == window.stdout
    assert made.head.hex() in whole.stdout
    assert (other.returncode, "INVALID_INPUT" in other.stderr) == (1, True)
