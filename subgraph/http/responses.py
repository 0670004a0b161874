"""What every answer under `subgraph/http` has in common: its headers and the shape of errors."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.types import Send

from subgraph.errors import SubgraphError
from subgraph.http.negotiation import MediaType

COMMON_HEADERS: Final = (
    (b"cache-control", b"private, no-store"),
    (b"vary", b"Accept, Authorization"),
    (b"x-content-type-options", b"nosniff"),
)
RETRY_AFTER_SECONDS: Final = 1

_STATUS_HEADERS: Final[Mapping[int, tuple[tuple[bytes, bytes], ...]]] = {
    401: ((b"www-authenticate", b"Bearer"),),
    # The rest of the body is still on its way; the connection cannot be used again.
    408: ((b"connection", b"close"),),
    503: ((b"retry-after", str(RETRY_AFTER_SECONDS).encode()),),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response. `headers` come on top of those that every answer has."""

    status: int
    body: bytes
    content_type: bytes | None
    headers: Sequence[tuple[bytes, bytes]] = ()


def refusal(error: SubgraphError, request_id: str) -> dict[str, object]:
    """Return a GraphQL response that holds nothing but `error`."""
    extensions = {**error.extensions, "requestId": request_id}
    return {"errors": [{"message": error.message, "extensions": extensions}]}


def refusal_answer(
    error: SubgraphError,
    request_id: str,
    media_type: MediaType = MediaType.JSON,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> Answer:
    """Refuse a request as a whole, with the status of the error's code."""
    body = orjson.dumps(refusal(error, request_id))
    return Answer(error.code.status, body, media_type.value, headers)


def headers_of(answer: Answer, request_id: str) -> list[tuple[bytes, bytes]]:
    """All headers of `answer`."""
    headers = [
        (b"x-request-id", request_id.encode()),
        *COMMON_HEADERS,
        *_STATUS_HEADERS.get(answer.status, ()),
        *answer.headers,
    ]
    if answer.content_type is not None:
        headers.append((b"content-type", answer.content_type))
        headers.append((b"content-length", str(len(answer.body)).encode()))
    return headers


async def send_answer(send: Send, answer: Answer, request_id: str, *, head: bool = False) -> None:
    """Send `answer`, without its body if `head`. A client that has gone away is no error."""
    with suppress(OSError):
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": headers_of(answer, request_id),
            }
        )
        await send({"type": "http.response.body", "body": b"" if head else answer.body})
