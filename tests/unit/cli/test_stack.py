"""What the parent process of `ig demo` hands to its children, and how it looks at them."""

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from subgraph import settings
from subgraph.cli import stack
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.settings import Settings

FULL = Settings(
    host="127.0.0.1",
    port=4242,
    data_dir="/data",
    database_url="postgresql://a@/b",
    database_system_url="postgresql://c@/b",
    opa_url="http://127.0.0.1:8181/v1/data/x",
    gateway_only=True,
    gateway_secret="g" * 32,
    cursor_key="c" * 32,
    trace_sample_ratio=0.5,
)


def test_a_child_reads_the_settings_of_its_parent() -> None:
    assert settings.load(stack.environment(FULL)) == FULL


def test_a_child_does_not_get_the_owners_address() -> None:
    with_owner = Settings(database_owner_url="postgresql://ig_owner:secret@/b")
    assert "secret" not in str(dict(stack.environment(with_owner)))


def test_a_setting_of_the_callers_environment_does_not_reach_a_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IG_MAX_COST", "1")
    assert stack.environment(FULL)["IG_MAX_COST"] == str(FULL.max_cost)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("0.0.0.0", "http://127.0.0.1:"),
        ("::1", "http://[::1]:"),
        ("::", "http://[::1]:"),
    ],
)
def test_the_address_is_one_that_can_be_called(host: str, address: str) -> None:
    try:
        listener = stack.listen(host, 0)
    except SubgraphError:
        pytest.skip("no IPv6 here")
    with listener:
        assert stack._address(listener) == f"{address}{listener.getsockname()[1]}"


def test_a_taken_port_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SubgraphError) as caught:
            stack.listen("127.0.0.1", taken.getsockname()[1])
    assert caught.value.code is ErrorCode.PORT_IN_USE


def test_an_unknown_host_is_refused() -> None:
    with pytest.raises(SubgraphError) as caught:
        stack.listen("no.such.host.invalid", 0)
    assert caught.value.code is ErrorCode.SETTINGS_INVALID


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def page() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_server_is_asked_past_any_proxy(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert stack._is_ready(f"{page}/readyz")


@pytest.mark.parametrize("path", ["/other", "/"])
def test_a_server_that_refuses_is_not_ready(page: str, path: str) -> None:
    assert not stack._is_ready(page + path)


def test_a_server_that_is_not_there_is_not_ready() -> None:
    assert not stack._is_ready("http://127.0.0.1:9/readyz")
