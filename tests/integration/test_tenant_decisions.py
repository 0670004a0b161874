"""What a policy decides tenant by tenant holds for keys, records and requests.

A caller of the platform holds a scope for the deployment; a policy of the operator's own may still
keep single tenants from them.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

from subgraph.settings import Settings
from tests.conftest import Api, running
from tests.integration.datasets import register_tenant
from tests.integration.keys import Caller

SCOPES = (
    "platform:tenants", "keys:read", "records:read", "records:decrypt", "breakglass:read",
    "ledger:read",
)  # fmt: skip
SELECTIONS = {
    "keys:read": "keyJobs { nodes { id } }",
    "breakglass:read": "breakGlassRequests { nodes { id } }",
    "ledger:read": "cmk { events { nodes { id } } }",
    "records:decrypt": "records { nodes { fields { value } } }",
}


class Decisions(BaseHTTPRequestHandler):
    """Allows everything but one action on one tenant."""

    refused: ClassVar[tuple[str, str]] = ("", "")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
        action, tenant = self.refused
        allowed = [item for item in asked["tenants"] if (asked["action"], item) != (action, tenant)]
        result = {"allowed": len(allowed) == len(asked["tenants"]), "tenants": allowed}
        body = json.dumps({"result": result}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def policy() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Decisions)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/data/decision"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def decided(with_settings: Callable[..., Settings], policy: str) -> AsyncIterator[Api]:
    configured = with_settings(opa_url=policy, opa_deadline_ms=5_000, policy_cache_seconds=0)
    async with running(configured) as served:
        yield served


@pytest.fixture
async def tenants(api: Api) -> tuple[str, str]:
    """Two tenants with a key, a record, a job and a request each."""
    made = []
    for _ in range(2):
        owner = Caller(api, await register_tenant(api))
        await owner.attach()
        record = await owner.stored()
        await owner.plan("rotateKey")
        await owner.request_glass([record])
        made.append(owner.tenant)
    return made[0], made[1]


def leaves(data: object) -> list[object]:
    if isinstance(data, dict):
        return [leaf for item in data.values() for leaf in leaves(item)]
    if isinstance(data, list):
        return [leaf for item in data for leaf in leaves(item)]
    return [] if data is None else [data]


async def said(api: Api, tenant: str, action: str) -> list[Any]:
    """Everything that a caller of the platform is told."""
    answer = await api.ask(
        f'{{ tenant(id: "{tenant}") {{ {SELECTIONS[action]} }} }}', token=api.mint(None, *SCOPES)
    )
    return leaves(answer["data"])


@pytest.mark.parametrize("action", SELECTIONS)
async def test_refused_tenant_says_nothing(
    decided: Api, tenants: tuple[str, str], action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Decisions, "refused", (action, tenants[0]))
    assert await said(decided, tenants[0], action) == []


@pytest.mark.parametrize("action", SELECTIONS)
async def test_other_tenants_answer(
    decided: Api, tenants: tuple[str, str], action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Decisions, "refused", (action, tenants[0]))
    assert await said(decided, tenants[1], action) != []
