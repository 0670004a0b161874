"""A key that its owner disables, seen from two server processes."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Demo, free_port
from tests.unit.cli.processes import ig, status

INTERVALS = {"IG_KEY_PROBE_SECONDS": "1", "IG_KEY_VERDICT_SECONDS": "0.2"}
READ = '{ tenant(id: "%s") { records { nodes { field(name: "name") { value } } } } }'
BEHIND = 25


@pytest.fixture(scope="module")
def demo(workspace: Path) -> Iterator[Demo]:
    started = Demo(workspace / "revocation", free_port(), dict(INTERVALS))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def second(demo: Demo, tmp_path: Path) -> Iterator[str]:
    """Another server process on the same database."""
    addresses = json.loads((demo.folder / "private" / "database.json").read_bytes())
    port = free_port()
    environment = {
        "DATABASE_URL": addresses["database_url"],
        "IG_DATA_DIR": str(demo.folder),
        "IG_LEDGER_ORIGIN": addresses["ledger_origin"],
        "IG_WITNESS_URL": addresses["witness_url"],
        "IG_WITNESS_VERIFIERS_FILE": addresses["witness_verifiers_file"],
        "IG_PORT": str(port),
        **INTERVALS,
    }
    with ig(["serve"], tmp_path / "log", environment) as command:
        url = f"http://127.0.0.1:{port}"
        command.until(lambda: status(f"{url}/readyz") == 200)
        yield url


def outcomes(url: str, demo: Demo) -> set[str]:
    """`read` for each value that came, the code of the refusal for each that did not."""
    answer: dict[str, Any] = httpx.post(
        f"{url}/graphql",
        json={"query": READ % demo.tenants[0]},
        headers={"authorization": f"Bearer {demo.tokens['operator']}"},
        timeout=30,
    ).json()
    values = [node["field"]["value"] for node in answer["data"]["tenant"]["records"]["nodes"]]
    refused = {error["extensions"]["code"] for error in answer.get("errors", [])}
    return refused | ({"read"} if any(values) else set())


def wait_for(url: str, demo: Demo, wanted: set[str]) -> None:
    while outcomes(url, demo) != wanted:
        time.sleep(0.05)


def test_no_process_reads_once_it_has_refused(demo: Demo, second: str) -> None:
    servers = (demo.url, second)
    file = demo.folder / "local-keys" / demo.tenants[0] / "demo"
    enabled = file.read_bytes()
    for url in servers:
        assert outcomes(url, demo) == {"read"}
    file.write_bytes(json.dumps({**json.loads(enabled), "state": "DISABLED"}).encode())
    for url in servers:
        wait_for(url, demo, {"KEY_DISABLED"})
    assert [outcomes(url, demo) for _ in range(BEHIND) for url in servers] == [{"KEY_DISABLED"}] * (
        BEHIND * len(servers)
    )
    file.write_bytes(enabled)
    for url in servers:
        wait_for(url, demo, {"read"})
