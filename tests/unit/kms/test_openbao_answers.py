"""Answers that no OpenBao gives, but something on the way may: none is taken for a denial."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from subgraph.kms.contract import WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.openbao import OpenBaoWrap
from subgraph.kms.options import KmsOptions
from tests.unit.kms.wrap_conformance import CONTEXT

URI = "openbao:transit/main"
WRAPPED = WrappedKey(b"vault:v1:AAAA", URI, "1")
TOKEN = "s.token-of-the-operator"


class Answering(ThreadingHTTPServer):
    """Says the same to every request."""

    daemon_threads = True
    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
    seen: list[str]


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_POST(self) -> None:
        self.server.seen.append(self.path)
        self.rfile.read(int(self.headers["content-length"]))
        status, headers, body = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Answering]:
    listener = Answering(("127.0.0.1", 0), _Handler)
    listener.seen = []
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    yield listener
    listener.shutdown()
    listener.server_close()
    thread.join()


async def unwrapping(server: Answering, folder: Path) -> KeyProviderError:
    """What unwrapping raises."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    options = KmsOptions(
        production=True,
        seconds=30.0,
        concurrency=2,
        local_keys=folder,
        openbao_url=f"http://127.0.0.1:{server.server_address[1]}",
        openbao_token_file=token,
    )
    wrapper = await OpenBaoWrap.open(URI, options)
    with pytest.raises(KeyProviderError) as caught:
        await wrapper.unwrap(WRAPPED, CONTEXT)
    await wrapper.close()
    assert TOKEN not in str(caught.value)
    return caught.value


def errors(*texts: str) -> bytes:
    return json.dumps({"errors": texts}).encode()


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, b"<html>Welcome</html>", KeyFault.UNAVAILABLE),
        (200, b"[]", KeyFault.UNAVAILABLE),
        (200, b"[" * 100_000, KeyFault.UNAVAILABLE),
        (200, b'{"data": {"plaintext": 1}}', KeyFault.UNAVAILABLE),
        (200, b'{"data": {"plaintext": "%"}}', KeyFault.UNAVAILABLE),
        (200, b'{"data": {"plaintext": "c2hvcnQ="}}', KeyFault.INTEGRITY),
        (200, b" " * 2_000_000, KeyFault.UNAVAILABLE),
        (204, b"", KeyFault.UNAVAILABLE),
        (400, errors("something new"), KeyFault.CONFIG),
        (400, b"Bad Request", KeyFault.UNAVAILABLE),
        (403, b"<html>WAF</html>", KeyFault.UNAVAILABLE),
        (403, errors("permission denied"), KeyFault.ACCESS_DENIED),
        (404, b"404 page not found", KeyFault.UNAVAILABLE),
        (404, errors(), KeyFault.KEY_NOT_FOUND),
        (405, errors("unsupported operation"), KeyFault.UNAVAILABLE),
        (412, errors("replication is behind"), KeyFault.UNAVAILABLE),
        (429, b"", KeyFault.THROTTLED),
        (473, b"", KeyFault.UNAVAILABLE),
        (500, errors("internal error"), KeyFault.UNAVAILABLE),
        (503, errors("Vault is sealed"), KeyFault.UNAVAILABLE),
    ],
)
async def test_an_answer_stands_for_a_fault(
    server: Answering, tmp_path: Path, status: int, body: bytes, fault: KeyFault
) -> None:
    server.answer = (status, {"content-length": str(len(body))}, body)
    assert (await unwrapping(server, tmp_path)).fault is fault


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirect_is_followed(server: Answering, tmp_path: Path, status: int) -> None:
    server.answer = (status, {"location": "/elsewhere", "content-length": "0"}, b"")
    assert (await unwrapping(server, tmp_path)).fault is KeyFault.UNAVAILABLE
    assert server.seen == ["/v1/transit/decrypt/main"]


async def test_a_compressed_answer_is_not_unpacked(server: Answering, tmp_path: Path) -> None:
    server.answer = (200, {"content-encoding": "gzip", "content-length": "2"}, b"{}")
    assert (await unwrapping(server, tmp_path)).fault is KeyFault.UNAVAILABLE


async def test_an_answer_that_breaks_off_is_unavailable(server: Answering, tmp_path: Path) -> None:
    server.answer = (200, {"content-length": "100"}, b"{")
    assert (await unwrapping(server, tmp_path)).fault is KeyFault.UNAVAILABLE
