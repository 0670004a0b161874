"""The ASGI application: GraphQL at one path, and pages around it."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.health import healthz, metrics_page, readyz
from subgraph.http.ports import Metrics, Readiness
from subgraph.http.responses import headers_of, refusal_answer
from subgraph.telemetry.request import accept_request_id

GRAPHQL_PATH: Final = "/graphql"
READINESS_SECONDS: Final = 2.0

_CODES: Final[Mapping[int, ErrorCode]] = {
    HTTPStatus.NOT_FOUND: ErrorCode.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: ErrorCode.METHOD_NOT_ALLOWED,
}


def create_app(
    endpoint: ASGIApp,
    readiness: Readiness,
    metrics: Metrics,
    *,
    pages: Sequence[BaseRoute] = (),
    lifespan: Lifespan[Starlette] | None = None,
) -> ASGIApp:
    """Return the application: `endpoint` at `/graphql`, the health pages, `pages`, and 404.

    `lifespan` runs around the life of the process, as Starlette defines it.
    """
    site = Starlette(
        routes=[
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz(readiness, READINESS_SECONDS), methods=["GET"]),
            Route("/metrics", metrics_page(metrics), methods=["GET"]),
            *pages,
        ],
        exception_handlers={HTTPException: _refuse, Exception: _fail},
        lifespan=lifespan,
    )
    # A redirect would be built from the Host header, which is the caller's word.
    site.router.redirect_slashes = False

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == GRAPHQL_PATH:
            await endpoint(scope, receive, send)
        else:
            await site(scope, receive, send)

    return application


async def _refuse(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    response = _response(
        request, SubgraphError(_CODES.get(error.status_code, ErrorCode.BAD_REQUEST))
    )
    response.headers.update(error.headers or {})
    return response


async def _fail(request: Request, _: Exception) -> Response:
    return _response(request, SubgraphError(ErrorCode.INTERNAL_ERROR))


def _response(request: Request, error: SubgraphError) -> Response:
    given = request.headers.get("x-request-id")
    identity = accept_request_id(given.encode("latin-1") if given is not None else None)
    answer = refusal_answer(error, identity)
    response = Response(answer.body, answer.status)
    response.raw_headers = headers_of(answer, identity)
    return response
