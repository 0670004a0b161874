"""`ig serve` over a database that is not its own."""

import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from subgraph.db import migrate
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from tests.conftest import free_port
from tests.unit.cli.processes import Command, alive, answers, descendants, ig, status
from tests.unit.db.scratch import Scratch, scratch_database


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as made:
        yield made


@contextmanager
def serve(
    dsn: str, folder: Path, *arguments: str, **environment: str
) -> Iterator[tuple[Command, str]]:
    port = free_port()
    settings = {
        "DATABASE_URL": dsn, "IG_PORT": str(port), "IG_DATA_DIR": str(folder / "data"),
        **environment,
    }  # fmt: skip
    with ig(["serve", *arguments], folder / "log", settings) as command:
        yield command, f"http://127.0.0.1:{port}"


def test_a_role_that_could_read_around_row_security_ends_the_start(
    scratch: Scratch, tmp_path: Path
) -> None:
    with serve(scratch.url(Role.ADMIN), tmp_path) as (command, url):
        assert command.wait() != 0
        assert "DATABASE_ROLE_UNSAFE" in command.said
        assert answers(f"{url}/healthz") is None


def test_an_unsafe_role_ends_the_start_of_several_workers_too(
    scratch: Scratch, tmp_path: Path
) -> None:
    with serve(scratch.url(Role.OWNER), tmp_path, "--workers", "2") as (command, url):
        assert command.wait() == 1
        assert "DATABASE_ROLE_UNSAFE" in command.said
        assert answers(f"{url}/healthz") is None


def test_several_workers_serve_and_end_with_a_killed_supervisor(
    scratch: Scratch, tmp_path: Path
) -> None:
    with serve(scratch.url(Role.SERVICE), tmp_path, "--workers", "2") as (command, url):
        command.until(lambda: status(f"{url}/readyz") == 200)
        workers = descendants(command.process.pid)
        command.process.kill()
        command.wait()
        wait_for_the_end_of(workers)
        assert answers(f"{url}/healthz") is None


def wait_for_the_end_of(pids: Sequence[int] | set[int]) -> None:
    while any(alive(pid) for pid in pids):
        time.sleep(0.02)


def test_a_taken_port_is_told_and_a_signal_ends_the_first_in_order(
    scratch: Scratch, tmp_path: Path
) -> None:
    with serve(scratch.url(Role.SERVICE), tmp_path) as (first, url):
        first.until(lambda: status(f"{url}/healthz") == 200)
        port = url.rpartition(":")[2]
        environment = {"DATABASE_URL": scratch.url(Role.SERVICE), "IG_PORT": port}
        with ig(["serve"], tmp_path / "second", environment) as second:
            assert second.wait() == 1
            assert second.said.startswith("ig: PORT_IN_USE: ")
        assert status(f"{url}/healthz") == 200
        first.process.terminate()
        first.wait()
        assert "Application shutdown complete" in first.said


def test_started_before_the_database_it_becomes_ready_by_itself(
    scratch: Scratch, postgres: EmbeddedServer, tmp_path: Path
) -> None:
    place = tmp_path / "socket"
    dsn = scratch.url(Role.SERVICE).partition("?")[0] + f"?host={place}"
    with serve(dsn, tmp_path) as (command, url):
        command.until(lambda: status(f"{url}/healthz") == 200)
        early = answers(f"{url}/readyz")
        assert early is not None
        assert (early[0], early[1]["checks"]) == (503, {"database": "DATABASE_UNAVAILABLE"})
        place.symlink_to(postgres.socket_folder)
        command.until(lambda: status(f"{url}/readyz") == 200)


async def test_started_before_the_migration_it_becomes_ready_by_itself(
    postgres: EmbeddedServer, tmp_path: Path
) -> None:
    async with scratch_database(postgres, migrated=False) as empty:
        with serve(empty.url(Role.SERVICE), tmp_path) as (command, url):
            command.until(lambda: status(f"{url}/healthz") == 200)
            early = answers(f"{url}/readyz")
            assert early is not None
            assert early[1]["checks"] == {"database": "DATABASE_NOT_MIGRATED"}
            await migrate.upgrade(empty.url(Role.OWNER))
            command.until(lambda: status(f"{url}/readyz") == 200)


async def test_a_managed_server_is_set_up_by_commands_alone(
    postgres: EmbeddedServer, scratch: Scratch, tmp_path: Path
) -> None:
    """`ig db roles`, login users as members, `ig db upgrade`, `ig serve`."""
    name = f"managed_{os.urandom(4).hex()}"
    admin = postgres.url(Role.ADMIN, "postgres")
    members = {role: f"{name}_{role.name.lower()}" for role in (Role.OWNER, Role.SERVICE)}
    socket = f"?host={postgres.socket_folder}"
    try:
        roles = ["db", "roles", "--admin-url", admin, "--database", name]
        with ig(roles, tmp_path / "roles", {}) as command:
            assert (command.wait(), command.said) == (0, "")
        for role, member in members.items():
            sql = f"CREATE ROLE {member} LOGIN PASSWORD 'secret' IN ROLE {role.value}"
            await scratch.ask(sql)
        owner = f"postgresql://{members[Role.OWNER]}:secret@/{name}{socket}"
        with ig(["db", "upgrade"], tmp_path / "up", {"IG_DATABASE_OWNER_URL": owner}) as command:
            assert command.wait() == 0, command.said
        service = f"postgresql://{members[Role.SERVICE]}:secret@/{name}{socket}"
        with serve(service, tmp_path) as (command, url):
            command.until(lambda: status(f"{url}/readyz") == 200)
    finally:
        connection = await asyncpg.connect(admin)
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        for member in members.values():
            await connection.execute(f"DROP ROLE IF EXISTS {member}")
        await connection.close()
