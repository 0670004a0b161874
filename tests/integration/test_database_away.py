"""PostgreSQL goes away under the running application and comes back."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import msgspec
import pytest

from subgraph.db import embedded, migrate, survivors
from subgraph.db.datafolder import DataFolder
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.settings import Settings
from tests.conftest import Api, running

TENANT = "query($id: ID!) { tenant(id: $id) { name } }"
BOTH = "query($id: ID!) { deprecations { nodes { id } } tenant(id: $id) { name } }"
DEPRECATIONS = "{ deprecations(first: 1) { nodes { id } } }"
REGISTER = (
    "mutation($input: RegisterTenantInput!) { registerTenant(input: $input)"
    " { tenant { name } userErrors { code } } }"
)


@dataclass
class Site:
    """The application, and its database, which comes and goes."""

    folder: DataFolder
    server: EmbeddedServer
    api: Api
    settings: Settings

    @property
    def tenant(self) -> str:
        return "t-outage"

    async def post(self, query: str, *, signed: bool = True) -> httpx.Response:
        token = self.api.mint(self.tenant, "datasets:read")
        return await self.api.client.post(
            "/graphql",
            json={"query": query, "variables": {"id": self.tenant} if "$id" in query else None},
            headers={"authorization": f"Bearer {token}"} if signed else {},
        )

    async def register(self) -> httpx.Response:
        region = "aws:eu-central-1"
        tenant = {
            "id": self.tenant, "name": "Outage", "homeRegion": region, "allowedRegions": [region],
        }  # fmt: skip
        token = self.api.mint(None, "platform:tenants")
        return await self.api.client.post(
            "/graphql",
            json={"query": REGISTER, "variables": {"input": tenant}},
            headers={"authorization": f"Bearer {token}"},
        )

    async def page(self, path: str) -> httpx.Response:
        return await self.api.client.get(path)

    async def start_again(self) -> None:
        self.server = await embedded.start(self.folder, durable=False)

    async def recovered(self) -> None:
        while (await self.page("/readyz")).status_code != 200:
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
async def site(settings: Settings) -> AsyncIterator[Site]:
    place = Path(tempfile.mkdtemp(prefix="ig-outage-")).resolve()
    # Else the cluster would lie elsewhere, where nobody removes it.
    place.chmod(0o755)
    folder = DataFolder.open(place / "data")
    server = await embedded.start(folder, durable=False)
    await migrate.upgrade(server.url(Role.OWNER))
    changed = msgspec.structs.replace(
        settings,
        database_url=server.url(Role.SERVICE),
        pool_size=2,
        statement_timeout_ms=1_000,
        connect_timeout_ms=500,
    )
    async with running(changed) as api:
        made = Site(folder, server, api, changed)
        answer = await made.register()
        assert answer.json()["data"]["registerTenant"]["tenant"] == {"name": "Outage"}
        yield made
    await made.server.stop()
    folder.close()
    shutil.rmtree(place)


@pytest.fixture
async def away(site: Site) -> AsyncIterator[Site]:
    """The application while its database is stopped; it is back afterwards."""
    await site.post(TENANT)
    await site.server.stop()
    yield site
    await site.start_again()
    await site.recovered()


def codes(response: httpx.Response) -> list[str]:
    return [error["extensions"]["code"] for error in response.json().get("errors", [])]


async def test_a_read_is_answered_with_503(away: Site) -> None:
    response = await away.post(TENANT)
    assert (response.status_code, codes(response)) == (503, ["DATABASE_UNAVAILABLE"])


async def test_a_change_is_answered_with_503(away: Site) -> None:
    response = await away.register()
    assert (response.status_code, codes(response)) == (503, ["DATABASE_UNAVAILABLE"])


async def test_what_needs_no_data_is_answered(away: Site) -> None:
    response = await away.post(DEPRECATIONS, signed=False)
    assert (response.status_code, codes(response)) == (200, [])
    assert response.json()["data"]["deprecations"]["nodes"] is not None


async def test_a_neighbour_of_what_cannot_be_read_is_answered(away: Site) -> None:
    response = await away.post(BOTH)
    data = response.json()["data"]
    assert (codes(response), data["tenant"]) == (["DATABASE_UNAVAILABLE"], None)
    assert data["deprecations"] is not None


async def test_it_is_alive_and_not_ready(away: Site) -> None:
    alive, ready = await away.page("/healthz"), await away.page("/readyz")
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert ready.json()["checks"] == {"database": "DATABASE_UNAVAILABLE"}


async def test_it_recovers_by_itself(site: Site) -> None:
    await site.server.stop()
    assert (await site.post(TENANT)).status_code == 503
    await site.start_again()
    await site.recovered()
    response = await site.post(TENANT)
    assert response.json() == {"data": {"tenant": {"name": "Outage"}}}


async def waits_for_a_lock(dsn: str) -> None:
    watcher = await asyncpg.connect(dsn)
    asked = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'ig_service'"
    while not await watcher.fetch(asked):
        await asyncio.sleep(0.01)
    await watcher.close()


async def test_a_request_in_flight_is_answered_when_the_database_stops(site: Site) -> None:
    admin = site.server.url(Role.ADMIN)
    blocker = await asyncpg.connect(admin)
    await blocker.execute("BEGIN; LOCK TABLE tenant IN ACCESS EXCLUSIVE MODE")
    asked = asyncio.ensure_future(site.post(TENANT))
    await waits_for_a_lock(admin)
    await site.server.stop()
    response = await asked
    await site.start_again()
    await site.recovered()
    # The stop may end the blocker first: then the request has its lock, and perhaps its answer.
    assert (response.status_code, codes(response)) in (
        (503, ["DATABASE_UNAVAILABLE"]),
        (200, []),
    )


async def test_a_request_in_flight_is_answered_when_the_database_crashes(site: Site) -> None:
    admin = site.server.url(Role.ADMIN)
    blocker = await asyncpg.connect(admin)
    await blocker.execute("BEGIN; LOCK TABLE tenant IN ACCESS EXCLUSIVE MODE")
    asked = asyncio.ensure_future(site.register())
    await waits_for_a_lock(admin)
    victim = await blocker.fetchval("SELECT pg_backend_pid()")
    # One crashed backend makes the server end all others and recover: it restarts by itself.
    os.kill(victim, signal.SIGKILL)
    response = await asked
    await site.recovered()
    assert (response.status_code, codes(response)) == (503, ["DATABASE_UNAVAILABLE"])
    assert (await site.post(TENANT)).status_code == 200


async def test_a_database_that_hangs_holds_nobody_and_is_used_again(site: Site) -> None:
    await site.post(TENANT)
    cluster = site.folder.path / "postgres" / "cluster"
    processes = survivors.processes(cluster, cluster.stat().st_uid)
    assert processes
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        answers = await asyncio.gather(
            *(site.post(TENANT) for _ in range(6)), site.register(), site.page("/readyz")
        )
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
    await site.recovered()
    assert {response.status_code for response in answers} <= {503, 504}
    assert (await site.post(TENANT)).status_code == 200
