"""The decision table, and a server that speaks OPA's REST protocol."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from subgraph.policy.model import PolicyRequest, Principal
from subgraph.policy.rego import RegoPolicy, release_policy

PATH = "/v1/data/governance/authorization/decision"

QUESTIONS = (
    ("authenticated", "acme"),
    ("authenticated", "other"),
    ("authenticated", None),
    ("datasets:read", "acme"),
    ("datasets:read", "other"),
    ("datasets:read", None),
    ("datasets:write", "acme"),
    ("platform:tenants", None),
    ("platform:tenants", "acme"),
    ("platform:tenants", "other"),
    ("ledger:deployment", None),
)

TABLE = {
    ("nobody", None, ""): "- - Y - - - - - - - -",
    ("member", "acme", ""): "Y - Y - - - - - - - -",
    ("viewer", "acme", "datasets:read"): "Y - Y Y - - - - - - -",
    (
        "overreaching tenant",
        "acme",
        "platform:* platform:tenants datasets:read ledger:deployment",
    ): "Y - Y Y - - - - - - -",
    ("registrar", None, "platform:tenants"): "Y Y Y - - - - Y Y Y -",
    ("wildcard", None, "platform:*"): "Y Y Y - - - - Y Y Y -",
    (
        "support",
        None,
        "platform:tenants datasets:read ledger:deployment",
    ): "Y Y Y Y Y Y - Y Y Y Y",
    ("no tenant, no platform", None, "datasets:read ledger:deployment"): "- - Y - - - - - - - -",
    (
        "platform without tenants",
        None,
        "platform:queries datasets:read ledger:deployment",
    ): "- - Y - - Y - - - - Y",
    ("prefix alone", None, "platform datasets:read"): "- - Y - - - - - - - -",
    ("star", None, "* datasets:*"): "- - Y - - - - - - - -",
}


@dataclass(frozen=True)
class Case:
    """One cell of the table."""

    request: PolicyRequest
    allowed: bool


def cases() -> list[object]:
    """The cells of the table, each with a name."""
    return [
        pytest.param(
            Case(
                PolicyRequest(
                    Principal("subject", tenant, frozenset(scopes.split())),
                    action,
                    () if asked is None else (asked,),
                ),
                cell == "Y",
            ),
            id=f"{kind}: {action} on {asked or 'the deployment'}",
        )
        for (kind, tenant, scopes), row in TABLE.items()
        for (action, asked), cell in zip(QUESTIONS, row.split(), strict=True)
    ]


@pytest.fixture(params=cases())
def case(request: pytest.FixtureRequest) -> Case:
    """Each cell of the decision table in turn."""
    return request.param


@dataclass
class OpaServer:
    """Answers from the Rego of this release, unless `answer` says otherwise."""

    answer: bytes | None = None
    status: int = 200
    revision: str = "r1"
    headers: str = ""
    held: asyncio.Event | None = None
    inputs: list[dict[str, object]] = field(default_factory=list)
    most_at_once: int = 0
    port: int = 0
    _at_once: int = 0
    _policy: RegoPolicy = field(default_factory=release_policy)

    @property
    def url(self) -> str:
        """The address of the decision."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *rest = head.decode().split("\r\n")
                length = next(int(h.split(":")[1]) for h in rest if "content-length" in h.lower())
                body = await self._respond(line, await reader.readexactly(length))
                writer.write(
                    f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(body)}\r\n"
                    f"{self.headers}\r\n".encode()
                    + body
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _respond(self, line: str, body: bytes) -> bytes:
        method, target, _ = line.split()
        path, _, query = target.partition("?")
        assert (method, path) == ("POST", PATH)
        document = json.loads(body)["input"]
        self.inputs.append(document)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        if self.held is not None:
            await self.held.wait()
        self._at_once -= 1
        if self.answer is not None:
            return self.answer
        response: dict[str, object] = {"result": await self._policy.evaluate(document)}
        if "provenance=true" in query:
            response["provenance"] = {"version": "1", "bundles": {"b": {"revision": self.revision}}}
        return json.dumps(response).encode()


@pytest.fixture
async def opa() -> AsyncIterator[OpaServer]:
    """A running OPA stand-in."""
    opa = OpaServer()
    server = await asyncio.start_server(opa.serve, "127.0.0.1", 0)
    opa.port = server.sockets[0].getsockname()[1]
    yield opa
    if opa.held is not None:
        opa.held.set()
    server.close()
