"""The whole road of a query: gateway, recording proxy, governance subgraph, and the neighbour."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin

import httpx

from tests.integration import node
from tests.integration.proxy import Proxy, recording_proxy


class Served(Protocol):
    """The running governance subgraph, as the fixture `served` gives it."""

    @property
    def url(self) -> str: ...
    @property
    def tokens(self) -> Mapping[str, str]: ...
    @property
    def gateway_secret(self) -> str: ...
    @property
    def tenants(self) -> Sequence[str]: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True)
class Stack:
    """`governance` is the proxy that the gateway takes for the subgraph."""

    gateway_url: str
    governance: Proxy
    neighbour_url: str
    client: httpx.Client = field(repr=False)

    def ask(
        self,
        query: str,
        *,
        token: str | None = None,
        variables: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send one operation through the gateway and return the body of the answer."""
        sent = dict(headers or {})
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        response = self.client.post(
            self.gateway_url, json={"query": query, "variables": variables}, headers=sent
        )
        body: dict[str, Any] = response.json()
        return body

    def reset(self) -> None:
        """Forget all recorded requests and let the proxy forward."""
        self.governance.reset()
        self.client.delete(self._recorded_url())

    def seen_by_neighbour(self) -> list[dict[str, str]]:
        """The headers of each request that reached the neighbour."""
        return [entry["headers"] for entry in self.client.get(self._recorded_url()).json()]

    def _recorded_url(self) -> str:
        return urljoin(self.neighbour_url, "/requests")


@contextmanager
def whole_stack(
    served: Served, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Start everything around the served subgraph; `settings` are more variables of the gateway."""
    neighbour_settings = {
        "NEIGHBOUR_PORT": "0",
        "NEIGHBOUR_RECORD": "true",
        "NEIGHBOUR_TENANTS": ",".join(served.tenants),
    }
    with (
        recording_proxy(urljoin(served.url, "/graphql")) as governance,
        node.server("tests/neighbour/neighbour.mjs", neighbour_settings) as neighbour,
        httpx.Client(timeout=60) as client,
    ):
        gateway_settings = {
            "GATEWAY_CONFIG": str(write_config(folder, governance.url, neighbour.url)),
            "GATEWAY_PORT": "0",
            "IG_GATEWAY_SECRET": served.gateway_secret,
            **(settings or {}),
        }
        with node.server("deploy/gateway/gateway.mjs", gateway_settings) as gateway:
            yield Stack(gateway.url, governance, neighbour.url, client)


def write_config(
    folder: Path, governance_url: str, neighbour_url: str, **governance: object
) -> Path:
    """Write a gateway configuration; `governance` replaces keys of that subgraph's entry."""
    entry = {
        "name": "governance",
        "url": governance_url,
        "sdl": str(node.SCHEMA),
        "provesGateway": True,
        "enforcesAuthorization": True,
        **governance,
    }
    neighbour = {"name": "neighbour", "url": neighbour_url, "sdl": str(node.NEIGHBOUR_SCHEMA)}
    path = folder / "gateway.json"
    path.write_text(json.dumps({"subgraphs": [entry, neighbour]}))
    return path
