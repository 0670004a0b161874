"""What the tests share: a real PostgreSQL, the real application, and `ig demo` as a process."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn

from subgraph import app
from subgraph.db import embedded, migrate
from subgraph.db.datafolder import DataFolder
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.http import development_tokens
from subgraph.settings import Settings

GATEWAY_SECRET = "g" * 32


@pytest.fixture(scope="session")
def workspace() -> Iterator[Path]:
    """A folder that an unprivileged database account can reach, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="ig-tests-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
async def postgres(workspace: Path) -> AsyncIterator[EmbeddedServer]:
    """An embedded server of this test process, migrated, with statement statistics."""
    folder = DataFolder.open(workspace / "postgres")
    server = await embedded.start(
        folder, durable=False, settings={"shared_preload_libraries": "pg_stat_statements"}
    )
    await migrate.upgrade(server.url(Role.OWNER))
    async with operator_transaction(server.url(Role.ADMIN)) as transaction:
        await transaction.run("CREATE EXTENSION pg_stat_statements")
    yield server
    await server.stop()
    folder.close()


@pytest.fixture(scope="session")
def settings(postgres: EmbeddedServer, workspace: Path) -> Settings:
    """The settings of the application under test."""
    return Settings(
        data_dir=str(workspace / "keys"),
        database_url=postgres.url(Role.SERVICE),
        database_system_url=postgres.url(Role.SYSTEM),
        cursor_key="c" * 32,
        gateway_secret=GATEWAY_SECRET,
        # Statements are counted: no checkpoint is signed unless a test asks for it.
        checkpoint_seconds=3600,
    )


@pytest.fixture(scope="session")
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The service role's connections."""
    assert settings.database_url is not None
    opened = Database.for_service(settings.database_url, settings)
    await opened.open()
    yield opened
    await opened.close()


@dataclass(frozen=True)
class Api:
    """A running application and a client for it."""

    url: str
    client: httpx.AsyncClient
    mint: Callable[..., str]

    async def ask(
        self,
        query: str,
        *,
        token: str | None = None,
        variables: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """The body of the answer to one POST."""
        sent = {**(headers or {}), **({"authorization": f"Bearer {token}"} if token else {})}
        response = await self.client.post(
            "/graphql", json={"query": query, "variables": variables}, headers=sent
        )
        body: dict[str, Any] = response.json()
        return body


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Api]:
    """Serve the application for `settings` on a free port, with real HTTP."""
    # With protocol 0 asyncio would leave Nagle's algorithm on, and every answer would wait.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    config = uvicorn.Config(app.build(settings, {}), lifespan="on", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if serving.done():
            await serving
            pytest.fail("the application did not start")
        await asyncio.sleep(0.01)
    key = development_tokens.load_or_create(settings)

    def mint(tenant: str | None, *scopes: str, subject: str = "test-subject") -> str:
        return development_tokens.mint(
            key,
            subject=subject,
            tenant=tenant,
            scopes=scopes,
            lifetime=timedelta(minutes=10),
            audience=settings.jwt_audience,
        )

    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            yield Api(url, client, mint)
    finally:
        server.should_exit = True
        await serving


@pytest.fixture(scope="session")
async def api(settings: Settings) -> AsyncIterator[Api]:
    """The application under test."""
    async with running(settings) as served:
        yield served


@pytest.fixture
def tenant_id() -> str:
    """An id that no other test uses."""
    return f"t-{secrets.token_hex(8)}"


@pytest.fixture
async def make_tenant(api: Api) -> Callable[..., Any]:
    """Registers a tenant through the API and answers its id."""
    platform = api.mint(None, "platform:tenants")

    async def make(name: str = "Test tenant", tenant: str | None = None) -> str:
        identity = tenant or f"t-{secrets.token_hex(8)}"
        region = "aws:eu-central-1"
        registration = {
            "id": identity, "name": name, "homeRegion": region, "allowedRegions": [region],
        }  # fmt: skip
        answer = await api.ask(
            "mutation($i: RegisterTenantInput!) { registerTenant(input: $i)"
            " { tenant { id } userErrors { code message } } }",
            token=platform,
            variables={"i": registration},
        )
        assert answer["data"]["registerTenant"]["userErrors"] == []
        return identity

    return make


@dataclass
class Demo:
    """`ig demo` as a process of its own."""

    folder: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[str] | None" = None
    description: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it serves."""
        return str(self.description["url"])

    @property
    def tokens(self) -> dict[str, str]:
        """The tokens of `demo.json`."""
        return dict(self.description["tokens"])

    @property
    def tenants(self) -> list[str]:
        """The tenants of `demo.json`."""
        return list(self.description["tenants"])

    @property
    def gateway_secret(self) -> str:
        """The gateway's secret."""
        return str(self.description["gatewaySecret"])

    def start(self) -> None:
        """Start it and wait until it serves."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("IG_", "DATABASE_"))}
        with Path(f"{self.folder}.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "subgraph.cli.main", "demo",
                 "--data-dir", str(self.folder), "--port", str(self.port)],
                env={**inherited, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )  # fmt: skip
        described = self.folder / "demo.json"
        while not described.exists():
            if self.process.poll() is not None:
                pytest.fail(Path(f"{self.folder}.log").read_text()[-3000:])
            time.sleep(0.05)
        self.description = json.loads(described.read_text())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it and answer its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def served(workspace: Path) -> Iterator[Demo]:
    """`ig demo`, running."""
    demo = Demo(workspace / "demo", free_port())
    demo.start()
    yield demo
    if demo.process is not None and demo.process.poll() is None:
        demo.stop()


@pytest.fixture
def with_settings(settings: Settings) -> Callable[..., Settings]:
    """The settings of the application under test, with changes."""

    def change(**changes: object) -> Settings:
        return msgspec.structs.replace(settings, **changes)

    return change
