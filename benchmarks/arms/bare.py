"""The limit: an ASGI application that reads the body and answers fixed bytes."""

import os
from pathlib import Path

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

ANSWERS_VARIABLE = "BENCH_ANSWERS"


def create() -> ASGIApp:
    """The application; its answers, by path, are in the file that `BENCH_ANSWERS` names."""
    stored = orjson.loads(Path(os.environ[ANSWERS_VARIABLE]).read_bytes())
    answers = {
        path: (
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(text.encode())).encode()),
                ],
            },
            {"type": "http.response.body", "body": text.encode()},
        )
        for path, text in stored.items()
    }

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        while (await receive()).get("more_body"):
            pass
        start, body = answers[scope["path"]]
        await send(start)
        await send(body)

    return application


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
