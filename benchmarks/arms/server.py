"""The server process of one arm: `python -m benchmarks.arms.server FACTORY FD CORE`.

FACTORY makes the application, as `module:function`; it is served on the listening socket FD by
one worker that is pinned to CORE (-1 for no pinning). Every arm has the same server and flags.
"""

import gc
import os
import socket
import sys
import time
from importlib import import_module

import orjson
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

PROCESS_PATH = "/benchmark/process"


def observed(application: ASGIApp) -> ASGIApp:
    """`application`, and at `PROCESS_PATH` what its process has used: CPU ns and collections."""

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PROCESS_PATH:
            await application(scope, receive, send)
            return
        use = {
            "cpu_ns": time.process_time_ns(),
            "collections": [generation["collections"] for generation in gc.get_stats()],
        }
        body = orjson.dumps(use)
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return watched


def main() -> None:
    """Serve until a signal comes."""
    factory, descriptor, core = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if core >= 0:
        os.sched_setaffinity(0, {core})
    module, _, function = factory.partition(":")
    create = getattr(import_module(module), function)
    config = uvicorn.Config(
        lambda: observed(create()),
        factory=True,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        # At a low rate a connection idles longer than the usual five seconds.
        timeout_keep_alive=300,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main()
