"""A small schema behind the real endpoint, reached in process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from graphql import (
    GraphQLError,
    OperationType,
    build_schema,
    execute,
    get_operation_ast,
    parse,
    validate,
)

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http import graphiql
from subgraph.http.authentication import Caller
from subgraph.http.endpoint import GraphQLEndpoint
from subgraph.http.server import create_app
from subgraph.queries.model import OperationRequest, OperationResult
from subgraph.settings import Settings
from subgraph.telemetry import request_id

SCHEMA = build_schema("""
    type Query { echo(text: String): String  item(id: ID!): String  huge: Big  fail: String }
    type Mutation { change: Boolean }
    scalar Big
""")
JSON = {"content-type": "application/json", "accept": "application/graphql-response+json"}


@dataclass
class Context:
    """Gathers the keys that are asked for in one turn of the event loop."""

    caller: Caller
    request_id: str | None
    loads: list[list[str]] = field(default_factory=list)
    waiting: dict[str, asyncio.Future[str]] = field(default_factory=dict)

    def load(self, key: str) -> asyncio.Future[str]:
        loop = asyncio.get_running_loop()
        if not self.waiting:
            loop.call_soon(self.flush)
        return self.waiting.setdefault(key, loop.create_future())

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, {}
        self.loads.append(sorted(waiting))
        for key, future in waiting.items():
            future.set_result(f"item {key}")


class Root:
    def echo(self, info: object, text: str | None = None) -> str | None:
        return text

    async def item(self, info: Any, id: str) -> str:
        return await info.context.load(id)

    def huge(self, info: object) -> int:
        return 2**70

    def fail(self, info: object) -> str:
        raise GraphQLError("no", extensions={"code": "FORBIDDEN"})

    def change(self, info: object) -> bool:
        return True


class SchemaRunner:
    """Runs operations with graphql-core."""

    async def run(self, request: OperationRequest, context: object) -> OperationResult:
        try:
            document = parse(request.document)
        except GraphQLError as error:
            return refused([error], "GRAPHQL_PARSE_FAILED")
        errors = validate(SCHEMA, document)
        if errors:
            return refused(errors, "GRAPHQL_VALIDATION_FAILED")
        operation = get_operation_ast(document, request.operation_name)
        if (
            request.read_only
            and operation is not None
            and operation.operation is OperationType.MUTATION
        ):
            raise SubgraphError(ErrorCode.METHOD_NOT_ALLOWED)
        variables = dict(request.variables or {})
        answer = execute(SCHEMA, document, Root(), context, variables, request.operation_name)
        result = await answer if asyncio.iscoroutine(answer) else answer
        if result.data is None and all(error.path is None for error in result.errors):
            return refused(result.errors, "BAD_USER_INPUT")
        return OperationResult(result.formatted)


def refused(errors: Sequence[GraphQLError], code: str) -> OperationResult:
    shown = [{**error.formatted, "extensions": {"code": code}} for error in errors]
    return OperationResult({"errors": shown}, 400)


class Anyone:
    """Takes `Bearer good` for a caller, no token for an anonymous one."""

    async def authenticate(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        if dict(headers).get(b"authorization") not in (None, b"Bearer good"):
            raise SubgraphError(ErrorCode.UNAUTHENTICATED)
        return Caller(None, "tests", None, via_gateway=False)


@dataclass
class Notes:
    """What was observed: (operation, client, error codes)."""

    operations: list[tuple[str | None, str | None, tuple[str, ...]]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def request_span(
        self, headers: Iterable[tuple[bytes, bytes]], name: str
    ) -> AbstractContextManager[object]:
        self.requests.append(name)
        return nullcontext()

    def operation_finished(
        self,
        name: str | None,
        client: str | None,
        seconds: float,
        error_codes: Sequence[str],
        statements: int,
    ) -> None:
        assert seconds >= 0
        self.operations.append((name, client, tuple(error_codes)))


@dataclass
class Site:
    """A served application, and what it left behind."""

    application: Any
    endpoint: GraphQLEndpoint
    client: httpx.AsyncClient
    notes: Notes
    contexts: list[Context]

    async def post(self, body: object, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            return await self.client.post("/graphql", content=body, headers={**JSON, **given})
        return await self.client.post("/graphql", json=body, headers={**JSON, **given})

    async def get(
        self, *, headers: Mapping[str, str] | None = None, **parameters: str
    ) -> httpx.Response:
        return await self.client.get("/graphql", params=parameters, headers=headers)


async def ready() -> dict[str, str]:
    return {"database": "ok"}


@pytest.fixture
def serve() -> Callable[..., Site]:
    """Serves the endpoint; arguments replace its parts, further ones are settings."""

    def start(
        runner: object = None,
        authenticator: object = None,
        readiness: object = ready,
        grace: float = 0.0,
        **settings: Any,
    ) -> Site:
        chosen = Settings(**settings)
        notes = Notes()
        contexts: list[Context] = []

        def context(caller: Caller) -> Context:
            contexts.append(Context(caller, request_id.get()))
            return contexts[-1]

        endpoint = GraphQLEndpoint(
            chosen,
            authenticator or Anyone(),
            context,
            runner or SchemaRunner(),
            notes,
            explorer=None if chosen.production else graphiql.load_page(),
            disconnect_grace=grace,
        )
        application = create_app(
            endpoint, readiness, lambda: (b"up 1\n", "text/plain; version=0.0.4; charset=utf-8")
        )
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://test")
        return Site(application, endpoint, client, notes, contexts)

    return start


@pytest.fixture
def site(serve: Callable[..., Site]) -> Site:
    """The endpoint with default settings."""
    return serve()


@dataclass
class Exchange:
    """One request spoken to the application message by message."""

    incoming: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    sent: list[dict[str, Any]] = field(default_factory=list)
    received: int = 0
    reading: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> dict[str, Any]:
        message = await self.incoming.get()
        self.received += 1
        self.reading.set()
        return message

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    def give(self, body: bytes, *, more: bool = False) -> None:
        self.incoming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def hang_up(self) -> None:
        self.incoming.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    async def run(
        self,
        application: Any,
        headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),),
        method: str = "POST",
        query_string: bytes = b"",
    ) -> "Exchange":
        scope = {
            "type": "http",
            "method": method,
            "path": "/graphql",
            "query_string": query_string,
            "headers": list(headers),
        }
        await application(scope, self.receive, self.send)
        return self


@pytest.fixture
def exchange() -> Exchange:
    """A conversation that a test leads itself."""
    return Exchange()


@pytest.fixture
def listening(serve: Callable[..., Site]) -> Callable[..., AbstractAsyncContextManager[str]]:
    """Serves over a real socket for a while; gives the address."""

    @asynccontextmanager
    async def listen(**parts: Any) -> AsyncIterator[str]:
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(serve(**parts).application, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started:
            await asyncio.sleep(0.001)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await serving

    return listen
