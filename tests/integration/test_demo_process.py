"""`ig demo` as a process: what it promises, what it refuses, and how it ends."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt
import pytest

from tests.conftest import Demo, free_port
from tests.unit.cli.processes import (
    ROOT,
    alive,
    answers,
    bare_environment,
    descendants,
    ig,
    status,
)

KEYS = {"url", "portal", "tenants", "gatewaySecret", "tokens"}
TOKENS = {
    "viewer", "operator", "approver1", "approver2", "auditor", "platform", "otherTenantViewer",
}  # fmt: skip


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that an unprivileged account can walk to."""
    path = Path(tempfile.mkdtemp(prefix="ig-demo-")).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@dataclass(frozen=True)
class Killed:
    """A data folder whose demonstration was killed, with everything that it had started."""

    folder: Path
    rights_before: list[tuple[int, int, int]]
    rights_after: list[tuple[int, int, int]]


@pytest.fixture(scope="module")
def killed() -> Iterator[Killed]:
    path = Path(tempfile.mkdtemp(prefix="ig-demo-")).resolve()
    path.chmod(0o755)
    folder = path / "data"
    before = [rights(above) for above in folder.parents]
    with demonstration(folder) as demo:
        assert register(demo, NEWCOMER) == []
    yield Killed(folder, before, [rights(above) for above in folder.parents])
    shutil.rmtree(path)


@dataclass(frozen=True)
class Recovery:
    """What was seen of a start after a kill, and of its end by SIGTERM."""

    stale: bool
    described_before_ready: bool
    taken: list[str]
    exit_status: int
    survivors: list[int]
    sockets: list[Path]
    described_after: bool


@pytest.fixture(scope="module")
def recovery(killed: Killed) -> Recovery:
    described = killed.folder / "demo.json"
    stale = described.exists()
    demo = Demo(killed.folder, free_port())
    arguments = ["demo", "--data-dir", str(demo.folder), "--port", str(demo.port)]
    with ig(arguments, killed.folder.with_name("recovery.log"), {}) as command:
        command.until(lambda: not described.exists())
        command.until(described.exists)
        demo.description = json.loads(described.read_text())
        ready = status(f"{demo.url}/readyz")
        taken = register(demo, {**NEWCOMER, "name": "Another"})
        started = descendants(command.process.pid)
        command.process.terminate()
        return Recovery(
            stale=stale,
            described_before_ready=ready != 200,
            taken=taken,
            exit_status=command.wait(),
            survivors=[pid for pid in started if alive(pid)],
            sockets=[path for path in killed.folder.rglob("*") if path.is_socket()],
            described_after=described.exists(),
        )


@pytest.fixture
def prepared(killed: Killed, recovery: Recovery) -> Path:
    """A data folder of a demonstration that ran and was stopped, which spares a test the loading."""
    assert recovery.exit_status == 0
    return killed.folder


REGISTER = (
    "mutation($input: RegisterTenantInput!) { registerTenant(input: $input)"
    " { userErrors { code } } }"
)
NEWCOMER = {
    "id": "newcomer", "name": "Newcomer",
    "homeRegion": "aws:eu-central-1", "allowedRegions": ["aws:eu-central-1"],
}  # fmt: skip


def register(demo: Demo, tenant: dict[str, object]) -> list[str]:
    """Register a tenant; the codes of what was refused."""
    answer = httpx.post(
        f"{demo.url}/graphql",
        json={"query": REGISTER, "variables": {"input": tenant}},
        headers={"authorization": f"Bearer {demo.tokens['platform']}"},
        timeout=30,
        trust_env=False,
    )
    return [error["code"] for error in answer.json()["data"]["registerTenant"]["userErrors"]]


@contextmanager
def demonstration(folder: Path, **environment: str) -> Iterator[Demo]:
    """`ig demo`, serving; nothing that it started is left when this is left."""
    (folder / "demo.json").unlink(missing_ok=True)
    demo = Demo(folder, free_port(), environment)
    demo.start()
    assert demo.process is not None
    started = descendants(demo.process.pid)
    try:
        yield demo
    finally:
        for pid in (demo.process.pid, *started):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        demo.process.wait()
        all_ended(started)


def parts(demo: Demo) -> set[int]:
    """The processes of a running demonstration, its first one aside."""
    assert demo.process is not None
    return descendants(demo.process.pid)


def server_of(demo: Demo) -> int:
    return part_with(demo, b"\0serve\0")


def witness_of(demo: Demo) -> int:
    return part_with(demo, b"\0witness\0")


def part_with(demo: Demo, argument: bytes) -> int:
    (pid,) = [pid for pid in parts(demo) if argument in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return pid


def all_ended(pids: Iterable[int]) -> None:
    while any(alive(pid) for pid in pids):
        time.sleep(0.02)


def named(demo: Demo) -> str:
    """The name of the first tenant, as its viewer reads it."""
    response = httpx.post(
        f"{demo.url}/graphql",
        json={"query": "query($id: ID!) { tenant(id: $id) { name } }",
              "variables": {"id": demo.tenants[0]}},
        headers={"authorization": f"Bearer {demo.tokens['viewer']}"},
        timeout=30,
        trust_env=False,
    )  # fmt: skip
    return str(response.json()["data"]["tenant"]["name"])


def rights(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mode, status.st_uid, status.st_gid


def test_the_description_says_what_it_promises(served: Demo) -> None:
    described = json.loads((served.folder / "demo.json").read_text())
    assert set(described) == KEYS
    assert set(described["tokens"]) == TOKENS
    assert described["url"] == f"http://127.0.0.1:{served.port}"
    assert described["portal"] == f"{described['url']}/portal"
    assert len(described["tenants"]) == 3
    assert len(described["gatewaySecret"]) >= 32


def test_the_description_is_for_its_user_only(served: Demo) -> None:
    assert (served.folder / "demo.json").stat().st_mode & 0o777 == 0o600


def test_the_tokens_act_for_the_tenants_they_should(served: Demo) -> None:
    first, second, _ = served.tenants
    said = {
        name: jwt.decode(token, options={"verify_signature": False}).get("tenant")
        for name, token in served.tokens.items()
    }
    assert said == {**dict.fromkeys(TOKENS, first), "platform": None, "otherTenantViewer": second}


def test_a_viewer_reads_the_first_tenant(served: Demo) -> None:
    assert named(served)


def test_the_token_printed_by_the_command_is_accepted(served: Demo) -> None:
    command = [
        "token",
        "--subject",
        "me",
        "--tenant",
        served.tenants[0],
        "--scope",
        "datasets:read",
    ]
    result = subprocess.run(
        [sys.executable, "-m", "subgraph.cli.main", *command],
        cwd=ROOT,
        env={**os.environ, "IG_DATA_DIR": str(served.folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    answer = httpx.post(
        f"{served.url}/graphql",
        json={"query": "{ caller { subject } }"},
        headers={"authorization": f"Bearer {result.stdout.strip()}"},
        trust_env=False,
    )
    assert answer.json()["data"]["caller"] == {"subject": "me"}


def test_the_owners_password_is_not_in_the_servers_environment(served: Demo) -> None:
    environment = Path(f"/proc/{server_of(served)}/environ").read_text()
    assert ("DATABASE_URL=" in environment, "ig_owner" in environment) == (True, False)


def test_the_witness_knows_none_of_the_services_secrets(served: Demo) -> None:
    environment = Path(f"/proc/{witness_of(served)}/environ").read_text()
    secret = ("DATABASE_URL=", "IG_CURSOR_KEY=", "IG_GATEWAY_SECRET=")
    assert [name for name in secret if name in environment] == []


def test_the_witness_keeps_its_memory_beside_the_data_folder(served: Demo) -> None:
    own = served.folder.with_name(f"{served.folder.name}-witness")
    assert own.stat().st_mode & 0o777 == 0o700
    assert (own / "state").read_text().count("/deployment") > 0


def test_a_new_data_folder_is_refused_beside_a_witness_that_remembers(
    served: Demo, place: Path
) -> None:
    own = served.folder.with_name(f"{served.folder.name}-witness")
    folder, copy = place / "data", place / "data-witness"
    shutil.copytree(own, copy)
    before = (copy / "state").read_bytes()
    arguments = ["demo", "--data-dir", str(folder), "--port", str(free_port())]
    with ig(arguments, place / "log", {}) as command:
        assert command.wait() == 1
        assert "ig: DATA_FOLDER_UNUSABLE: " in command.said
        assert f"remove {copy} too" in command.said
    assert ((copy / "state").read_bytes(), (folder / "postgres").exists()) == (before, False)


def test_a_witness_folder_that_others_can_enter_is_refused(place: Path) -> None:
    (place / "data-witness").mkdir(mode=0o755)
    arguments = ["demo", "--data-dir", str(place / "data"), "--port", str(free_port())]
    with ig(arguments, place / "log", {}) as command:
        assert command.wait() == 1
        assert "for this user only (mode 0700)" in command.said


def test_a_second_one_on_the_folder_is_refused_and_harms_nothing(served: Demo, place: Path) -> None:
    arguments = ["demo", "--data-dir", str(served.folder), "--port", str(free_port())]
    before = parts(served)
    with ig(arguments, place / "log", {}) as second:
        assert second.wait() == 1
        assert second.said.startswith("ig: DATA_FOLDER_IN_USE: ")
    assert (named(served) != "", (served.folder / "demo.json").exists()) == (True, True)
    assert before & parts(served) >= {server_of(served)}


def test_a_taken_port_is_refused_before_anything_is_started(served: Demo, place: Path) -> None:
    folder = place / "data"
    arguments = ["demo", "--data-dir", str(folder), "--port", str(served.port)]
    with ig(arguments, place / "log", {}) as second:
        assert second.wait() == 1
        assert second.said.startswith("ig: PORT_IN_USE: ")
    assert not (folder / "postgres").exists()


def test_production_mode_is_refused(place: Path) -> None:
    production = {
        "IG_MODE": "production",
        "DATABASE_URL": "postgresql://a@b/c",
        "IG_CURSOR_KEY": "c" * 32,
        "IG_GATEWAY_SECRET": "g" * 32,
        "IG_JWT_JWKS_URL": "https://example.org/jwks.json",
        "IG_LEDGER_ROOT_KEY": "file:/root.pem",
        "IG_WITNESS_URL": "off",
    }
    with ig(["demo", "--data-dir", str(place / "data")], place / "log", production) as command:
        assert command.wait() == 1
        assert "refused in production" in command.said
    assert not (place / "data").exists()


def test_a_database_of_somebody_else_is_refused(place: Path) -> None:
    elsewhere = {"DATABASE_URL": "postgresql://a@b/c"}
    with ig(["demo", "--data-dir", str(place / "data")], place / "log", elsewhere) as command:
        assert command.wait() == 1
        assert "unset DATABASE_URL" in command.said


def test_a_kill_of_everything_loses_nothing(recovery: Recovery) -> None:
    assert recovery.taken == ["ALREADY_EXISTS"]


def test_a_killed_predecessors_description_is_removed_until_it_serves(recovery: Recovery) -> None:
    assert (recovery.stale, recovery.described_before_ready) == (True, False)


def test_a_termination_ends_everything(recovery: Recovery) -> None:
    assert (recovery.exit_status, recovery.survivors, recovery.sockets) == (0, [], [])


def test_a_stopped_one_describes_nothing(recovery: Recovery) -> None:
    assert not recovery.described_after


def test_the_folders_above_are_left_as_they_were(killed: Killed) -> None:
    assert killed.rights_after == killed.rights_before


def test_an_interrupt_of_the_terminal_ends_everything_in_order(prepared: Path) -> None:
    """As Ctrl-C does: the signal goes to the whole process group, and comes twice."""
    (prepared / "demo.json").unlink(missing_ok=True)
    arguments = ["demo", "--data-dir", str(prepared), "--port", str(free_port())]
    log = prepared.with_name("interrupted.log")
    with ig(arguments, log, {}, start_new_session=True) as command:
        command.until((prepared / "demo.json").exists)
        started = descendants(command.process.pid)
        os.killpg(command.process.pid, signal.SIGINT)
        os.killpg(command.process.pid, signal.SIGINT)
        assert command.wait() == 0
        assert [pid for pid in started if alive(pid)] == []
        assert "Traceback" not in command.said


def test_a_signal_during_the_start_ends_it(prepared: Path) -> None:
    arguments = ["demo", "--data-dir", str(prepared), "--port", str(free_port())]
    log = prepared.with_name("early.log")
    with ig(arguments, log, {}) as command:
        command.until(lambda: len(descendants(command.process.pid)) > 3)
        started = descendants(command.process.pid)
        command.process.terminate()
        assert command.wait() == 0
        assert [pid for pid in started if alive(pid)] == []
    assert not (prepared / "demo.json").exists()


def test_a_kill_of_the_parent_ends_everything(prepared: Path) -> None:
    with demonstration(prepared) as demo:
        assert demo.process is not None
        started = parts(demo)
        demo.process.kill()
        demo.process.wait()
        all_ended(started)
        assert answers(f"http://127.0.0.1:{demo.port}/healthz") is None


@pytest.mark.parametrize("part", ["the server", "PostgreSQL", "the witness"])
def test_a_part_that_dies_ends_everything_with_the_reason(prepared: Path, part: str) -> None:
    log = Path(f"{prepared}.log")
    with demonstration(prepared) as demo:
        assert demo.process is not None
        started = parts(demo)
        before = log.stat().st_size
        if part == "the server":
            os.kill(server_of(demo), signal.SIGKILL)
        elif part == "the witness":
            os.kill(witness_of(demo), signal.SIGKILL)
        else:
            postmaster = next(pid for pid in started if calls_itself_postgres(pid))
            os.kill(postmaster, signal.SIGQUIT)
        assert demo.process.wait(60) == 1
        assert [pid for pid in started if alive(pid)] == []
        assert f"ig: {part} ended with status" in log.read_text()[before:]


def calls_itself_postgres(pid: int) -> bool:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return command[0].endswith(b"/postgres") and command[1] == b"-D"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root may")
def test_it_runs_as_an_ordinary_user(place: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(place, nobody.pw_uid, nobody.pw_gid)
    identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    packages = {"PYTHONPATH": str(Path(httpx.__file__).parents[1]), "HOME": str(place)}
    python = foreign_python(identity, packages)
    described = place / "data" / "demo.json"
    arguments = ["demo", "--data-dir", str(described.parent), "--port", str(free_port())]
    with ig(arguments, place / "log", packages, python=python, **identity) as command:
        command.until(described.exists)
        assert status(f"{json.loads(described.read_text())['url']}/readyz") == 200
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in descendants(command.process.pid)}
        command.process.terminate()
        assert (command.wait(), owners) == (0, {nobody.pw_uid})


def foreign_python(identity: dict[str, object], environment: dict[str, str]) -> str:
    """An interpreter that another user can start: ours may lie in root's own folder."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError):
            tried = subprocess.run(  # type: ignore[call-overload]
                [candidate, "-c", "import asyncpg.protocol.protocol, regopy, subgraph.cli.main"],
                cwd=ROOT,
                env={**bare_environment(), **environment},
                capture_output=True,
                check=False,
                **identity,
            )
            if tried.returncode == 0:
                return candidate
    pytest.skip("no interpreter that another user can start")
