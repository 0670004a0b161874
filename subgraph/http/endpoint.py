"""GraphQL over HTTP as a bare ASGI application.

The road of a request: where it comes from -> media types -> admission -> caller -> body ->
operations -> answer. What can be told from the headers is told before the body is read.
"""

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

import orjson
from starlette.types import Receive, Scope, Send

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.admission import Admission
from subgraph.http.authentication import Caller
from subgraph.http.body import ClientDisconnected, parse_json, read_body
from subgraph.http.csrf import refuse_cross_site
from subgraph.http.disconnects import CancelOnDisconnect
from subgraph.http.execution import OperationExecution, result_of
from subgraph.http.negotiation import MediaType, check_body_type, choose, prefers_html
from subgraph.http.operations import entries_of, from_object, from_query_string
from subgraph.http.ports import Authenticate, ContextFactory, Observer, OperationRunner
from subgraph.http.responses import Answer, refusal_answer, send_answer
from subgraph.queries.model import OperationRequest, OperationResult
from subgraph.settings import Settings
from subgraph.telemetry.request import accept_request_id, bind_request, request_id

_READERS: Final = ("GET", "HEAD")
_ALLOWED: Final = ((b"allow", b"GET, HEAD, POST, OPTIONS"),)
_POST_ONLY: Final = ((b"allow", b"POST"),)
# Under application/json these become 200: a client of that type takes any other status for a
# fault on the way instead of reading the errors.
_DOCUMENT_STATUSES: Final = frozenset({400, 422})

logger = logging.getLogger(__name__)


class GraphQLEndpoint:
    """Serves GraphQL at one path; what it needs of the service is behind ports."""

    def __init__(
        self,
        settings: Settings,
        authenticator: Authenticate,
        contexts: ContextFactory,
        runner: OperationRunner,
        observer: Observer,
        *,
        explorer: Answer | None = None,
        disconnect_grace: float = 0.05,
    ) -> None:
        """`explorer` is the page that a browser gets; without one a browser is refused.

        `disconnect_grace` is the age, in seconds, from which an operation ends with its client.
        """
        self._authenticator = authenticator
        self._contexts = contexts
        self._observer = observer
        self._explorer = explorer
        self._deadline = settings.deadline_ms / 1000
        self._execution = OperationExecution(runner, observer, self._deadline)
        self._admission = Admission(settings.max_in_flight)
        self._max_body_bytes = settings.max_body_bytes
        self._max_batch = settings.max_batch
        self._disconnect_grace = disconnect_grace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; raises nothing that a client or an operation causes."""
        headers = _combined(scope["headers"])
        identity = accept_request_id(headers.get(b"x-request-id"))
        method = scope["method"]
        span_name = "POST /graphql" if method == "POST" else "GET /graphql"
        bound = bind_request(identity)
        try:
            with self._observer.request_span(scope["headers"], span_name):
                try:
                    answer = await self._answer(scope, headers, receive, identity)
                except ClientDisconnected:
                    return
        finally:
            request_id.reset(bound)
        await send_answer(send, answer, identity, head=method == "HEAD")

    async def _answer(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, identity: str
    ) -> Answer:
        method = scope["method"]
        media_type = MediaType.JSON
        caller: Caller | None = None
        try:
            if method == "OPTIONS":
                return Answer(204, b"", None, _ALLOWED)
            _check_method(method)
            accept = headers.get(b"accept")
            if method in _READERS and prefers_html(accept):
                return self._page()
            refuse_cross_site(headers)
            media_type = choose(accept)
            if method == "POST":
                check_body_type(headers.get(b"content-type"), headers.get(b"content-encoding"))
            self._admission.check()
            caller = await self._authenticator.authenticate(scope["headers"])
            if method == "POST":
                requested = await self._read(headers, receive)
            else:
                requested = from_query_string(scope["query_string"])
            return await self._run(requested, caller, receive, identity, media_type)
        except SubgraphError as error:
            refused = error
        except ClientDisconnected:
            raise
        except Exception:
            logger.exception("request %s failed unexpectedly", identity)
            refused = SubgraphError(ErrorCode.INTERNAL_ERROR)
        client = caller.client_name if caller is not None else None
        self._observer.operation_finished(None, client, 0.0, (refused.code.name,), 0)
        allow = _ALLOWED if refused.code is ErrorCode.METHOD_NOT_ALLOWED else ()
        return refusal_answer(refused, identity, media_type, allow)

    def _page(self) -> Answer:
        if self._explorer is None:
            raise SubgraphError(ErrorCode.NOT_ACCEPTABLE)
        return self._explorer

    async def _read(
        self, headers: Mapping[bytes, bytes], receive: Receive
    ) -> OperationRequest | list[OperationRequest | SubgraphError]:
        body = await read_body(
            receive, headers.get(b"content-length"), self._max_body_bytes, self._deadline
        )
        value = parse_json(body)
        if isinstance(value, list):
            return entries_of(value, self._max_batch)
        return from_object(value)

    async def _run(
        self,
        requested: OperationRequest | list[OperationRequest | SubgraphError],
        caller: Caller,
        receive: Receive,
        identity: str,
        media_type: MediaType,
    ) -> Answer:
        places = len(requested) if isinstance(requested, list) else 1
        client = caller.client_name
        with self._admission.places(places):
            context = self._contexts(caller)
            async with CancelOnDisconnect(receive, self._disconnect_grace):
                if isinstance(requested, list):
                    results = await self._execution.run_batch(requested, context, client, identity)
                else:
                    results = [await self._execution.run(requested, context, client, identity)]
        served = [_serialised(result, identity) for result in results]
        if isinstance(requested, list):
            return Answer(
                200, b"[" + b",".join(body for _, body in served) + b"]", media_type.value
            )
        ((status, body),) = served
        if media_type is MediaType.JSON and status in _DOCUMENT_STATUSES:
            status = 200
        return Answer(
            status,
            body,
            media_type.value,
            _POST_ONLY if status == HTTPStatus.METHOD_NOT_ALLOWED else (),
        )


def _check_method(method: str) -> None:
    if method != "POST" and method not in _READERS:
        raise SubgraphError(ErrorCode.METHOD_NOT_ALLOWED)


def _combined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers by name, repeated ones joined by commas (RFC 9110, section 5.3)."""
    combined: dict[bytes, bytes] = {}
    for name, value in headers:
        combined[name] = combined[name] + b"," + value if name in combined else value
    return combined


def _serialised(result: OperationResult, identity: str) -> tuple[int, bytes]:
    try:
        return result.status, orjson.dumps(result.payload)
    except TypeError:
        logger.exception("the result of request %s cannot be serialised", identity)
        failure = result_of(SubgraphError(ErrorCode.INTERNAL_ERROR), identity)
        return failure.status, orjson.dumps(failure.payload)
