"""Strawberry's own ASGI application over asyncpg, as it comes and with its caches."""

import os
import time
from pathlib import Path
from typing import Any

import asyncpg
import jwt
import orjson
import strawberry
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache

from benchmarks.arms.session import Session
from benchmarks.arms.strawberry_loaders import dataset_loader, page_loader, tenant_loader
from benchmarks.arms.strawberry_schema import Context, Dataset, Query, Region, Tenant
from subgraph.db.cursors import CursorCodec
from subgraph.policy.model import Principal
from subgraph.tenants.regions import RegionRegistry

_AUDIENCE = "governance-subgraph"
_CACHED_DOCUMENTS = 2_000
_TOKEN_SECONDS = 60


def stock() -> ASGIApp:
    """As the documentation has it: no extensions, each token verified anew."""
    return _application(extensions=[], tokens=_Tokens(remembered_seconds=0))


def cached() -> ASGIApp:
    """With both caches, sized so that nothing is evicted; verified tokens are remembered too."""
    return _application(
        extensions=[
            lambda: ParserCache(maxsize=_CACHED_DOCUMENTS),
            lambda: ValidationCache(maxsize=_CACHED_DOCUMENTS),
        ],
        tokens=_Tokens(remembered_seconds=_TOKEN_SECONDS),
    )


class _Tokens:
    """Verifies ES256 bearer tokens with PyJWT."""

    def __init__(self, *, remembered_seconds: float) -> None:
        stored = orjson.loads(Path(os.environ["IG_JWT_PUBLIC_KEY_FILE"]).read_bytes())
        self._key = jwt.PyJWK(stored["keys"][0])
        self._remembered_seconds = remembered_seconds
        self._known: dict[str, tuple[Principal, float]] = {}

    def principal(self, authorization: str) -> Principal:
        """Who holds the token."""
        known = self._known.get(authorization)
        if known is not None and time.time() < known[1]:
            return known[0]
        token = authorization.removeprefix("Bearer ")
        claims = jwt.decode(token, self._key, algorithms=["ES256"], audience=_AUDIENCE)
        scopes = frozenset(claims["scope"].split())
        principal = Principal(claims["sub"], claims["tenant"], scopes)
        if self._remembered_seconds:
            until = min(claims["exp"], time.time() + self._remembered_seconds)
            self._known[authorization] = (principal, until)
        return principal


class _View(GraphQL[Context, None]):
    def __init__(self, schema: strawberry.federation.Schema, tokens: _Tokens) -> None:
        super().__init__(schema, graphql_ide=None)
        self._tokens = tokens
        self._regions = RegionRegistry.load()
        self._cursors = CursorCodec(os.environ["IG_CURSOR_KEY"])
        self._pool: Any = None

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            os.environ["DATABASE_URL"], server_settings={"search_path": "public", "jit": "off"}
        )

    async def close(self) -> None:
        await self._pool.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        principal = self._tokens.principal(request.headers["authorization"])
        session = Session(self._pool, principal.tenant or "")
        request.state.principal, request.state.session = principal, session
        try:
            await super().__call__(scope, receive, send)
        finally:
            await session.close()

    async def get_context(
        self,
        request: Request | WebSocket,
        response: Response | WebSocket,  # noqa: ARG002 the base class passes it
    ) -> Context:
        session = request.state.session
        return Context(
            principal=request.state.principal,
            tenants=tenant_loader(session),
            datasets=dataset_loader(session, request.state.principal.tenant or ""),
            pages=page_loader(session),
            regions=self._regions,
            cursors=self._cursors,
        )


def _application(extensions: list[Any], tokens: _Tokens) -> ASGIApp:
    schema = strawberry.federation.Schema(
        query=Query, types=[Tenant, Dataset, Region], extensions=extensions
    )
    view = _View(schema, tokens)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await view.open()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await view.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await view(scope, receive, send)

    return application
