"""The witness over HTTP: an ASGI application."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from subgraph.errors import SubgraphError
from subgraph.ledger.witness.protocol import LONGEST_SUBMISSION, TEXT_TYPE, Refused
from subgraph.ledger.witness.service import Witness

logger = logging.getLogger(__name__)

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_BODY_SECONDS: Final = 10.0
_LAST_CHECKPOINT: Final = re.compile(r"/([0-9a-f]{64})/checkpoint", re.ASCII)


class _Gone(Exception):
    """The client has left before its body was whole."""


class WitnessServer:
    """`POST /add-checkpoint`, `GET /<origin hash>/checkpoint` and `GET /healthz`."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI defines it."""
        assert scope["type"] == "http"
        try:
            body = await self._answer(scope["method"], scope["path"], receive)
            await _respond(send, HTTPStatus.OK, body)
        except Refused as refused:
            await _respond(send, refused.status, refused.body, refused.content_type)
        except SubgraphError as error:
            logger.error("nothing was cosigned: %s", error)  # noqa: TRY400 - the code says it
            status = HTTPStatus(error.code.status)
            await _respond(send, status, f"{error.code.name}\n")
        except _Gone:
            return

    async def _answer(self, method: str, path: str, receive: Receive) -> str:
        if path == "/add-checkpoint":
            _expect(method, "POST")
            return await self._witness.add_checkpoint(await _read(receive))
        if path == "/healthz":
            _expect(method, "GET")
            return "ok\n"
        if match := _LAST_CHECKPOINT.fullmatch(path):
            _expect(method, "GET")
            if (note := self._witness.last_checkpoint(match[1])) is not None:
                return note
            raise Refused(HTTPStatus.NOT_FOUND, "nothing was cosigned for this log\n")
        raise Refused(HTTPStatus.NOT_FOUND, "there is nothing at this address\n")


def _expect(method: str, wanted: str) -> None:
    if method != wanted:
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"use {wanted}\n")


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise _Gone
                body += message.get("body", b"")
                if len(body) > LONGEST_SUBMISSION:
                    raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large\n")
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time\n") from None


async def _respond(
    send: Send, status: HTTPStatus, body: str, content_type: str = TEXT_TYPE
) -> None:
    content = body.encode()
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", b"%d" % len(content)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": content})
