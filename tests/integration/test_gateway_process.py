"""How the gateway starts, what it refuses and how it ends; no subgraph runs here."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from tests.integration import node
from tests.integration.stack import write_config

GATEWAY = "deploy/gateway/gateway.mjs"
NOWHERE = "http://127.0.0.1:9/graphql"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[node.NodeServer]:
    config = write_config(tmp_path_factory.mktemp("gateway"), NOWHERE, NOWHERE)
    settings = {
        "GATEWAY_CONFIG": str(config),
        "GATEWAY_PORT": "0",
        "GATEWAY_INTROSPECTION": "false",
        "GATEWAY_MAX_BODY_BYTES": "2000",
    }
    with node.server(GATEWAY, settings) as server:
        yield server


def refusal(**settings: str) -> str:
    with pytest.raises(node.NodeFailed) as caught, node.server(GATEWAY, settings):
        pass
    return str(caught.value)


def test_it_starts_while_every_subgraph_is_down(gateway: node.NodeServer) -> None:
    assert httpx.get(urljoin(gateway.url, "/healthz")).json() == {"status": "ok"}


def test_a_body_over_the_limit_is_refused(gateway: node.NodeServer) -> None:
    response = httpx.post(gateway.url, json={"query": "{ __typename }" + " " * 3000})
    assert response.status_code == 413


def test_a_body_that_is_not_json_is_refused(gateway: node.NodeServer) -> None:
    headers = {"content-type": "application/json"}
    response = httpx.post(gateway.url, content=b"{", headers=headers)
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (
        400,
        "BAD_REQUEST",
    )


def test_a_request_that_a_foreign_page_could_send_is_refused(gateway: node.NodeServer) -> None:
    response = httpx.get(gateway.url, params={"query": "{ __typename }"})
    assert response.status_code == 400


def test_introspection_can_be_turned_off(gateway: node.NodeServer) -> None:
    response = httpx.post(gateway.url, json={"query": "{ __schema { queryType { name } } }"})
    assert "introspection is not allowed" in response.json()["errors"][0]["message"]


def test_a_misspelt_setting_is_named() -> None:
    assert "GATEWAY_PROT" in refusal(GATEWAY_PROT="1")


def test_a_short_secret_is_refused() -> None:
    message = refusal(IG_GATEWAY_SECRET="short")
    assert ("32" in message, "short" in message) == (True, False)


def test_production_needs_the_secret() -> None:
    assert "IG_GATEWAY_SECRET" in refusal(NODE_ENV="production")


def test_a_taken_port_is_a_clear_message(tmp_path: Path) -> None:
    config = write_config(tmp_path, NOWHERE, NOWHERE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refusal(GATEWAY_CONFIG=str(config), GATEWAY_PORT=str(port))
    assert message.startswith(f"port {port} is taken")


def test_scopes_that_nobody_would_check_stop_the_start(tmp_path: Path) -> None:
    config = write_config(tmp_path, NOWHERE, NOWHERE, enforcesAuthorization=False)
    assert "@requiresScopes" in refusal(GATEWAY_CONFIG=str(config))


def test_a_missing_schema_is_named(tmp_path: Path) -> None:
    config = write_config(tmp_path, NOWHERE, NOWHERE, sdl="missing.graphql")
    assert str(tmp_path / "missing.graphql") in refusal(GATEWAY_CONFIG=str(config))


def test_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    config = write_config(tmp_path, NOWHERE, NOWHERE)
    settings = {"GATEWAY_CONFIG": str(config), "GATEWAY_PORT": "0"}
    with node.server(GATEWAY, settings) as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait() == 0
