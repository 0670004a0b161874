"""An HTTP proxy in front of a subgraph that remembers what came in and can break."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

_HOP_BY_HOP = {"connection", "content-encoding", "content-length", "host", "transfer-encoding"}


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it came in; header names are in lower case."""

    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What the proxy says in the subgraph's place."""

    status: int
    content_type: str
    body: str


@dataclass
class Proxy:
    """`answer` replaces the subgraph; while `silent` is set, requests get no answer at all."""

    url: str
    requests: list[RecordedRequest] = field(default_factory=list)
    answer: Answer | None = None
    silent: bool = False
    released: threading.Event = field(default_factory=threading.Event)

    def reset(self) -> None:
        """Forget the requests and forward again."""
        self.requests.clear()
        self.answer = None
        self.silent = False


@contextmanager
def recording_proxy(target: str) -> Iterator[Proxy]:
    """Forward every request to `target` from a free port of the loopback interface."""
    listener = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    listener.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{listener.server_address[1]}/graphql")
    with httpx.Client(timeout=60) as client:
        listener.RequestHandlerClass = _handler(proxy, target, client)
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.released.set()
            listener.shutdown()
            listener.server_close()
            thread.join()


def _handler(proxy: Proxy, target: str, client: httpx.Client) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            proxy.requests.append(RecordedRequest(headers, json.loads(body)))
            if proxy.silent:
                proxy.released.wait()
                self.close_connection = True
                return
            answer = proxy.answer or self._forwarded(headers, body)
            if answer is None:
                self.close_connection = True
                return
            payload = answer.body.encode()
            self.send_response(answer.status)
            self.send_header("content-type", answer.content_type)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def _forwarded(self, headers: dict[str, str], body: bytes) -> Answer | None:
            kept = {name: value for name, value in headers.items() if name not in _HOP_BY_HOP}
            try:
                response = client.post(target, content=body, headers=kept)
            except httpx.TransportError:
                return None
            return Answer(response.status_code, response.headers["content-type"], response.text)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the suite's output is for its claims."""

    return Handler
