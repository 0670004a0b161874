"""A key in the vault of `azure_server`, and what can happen to it there."""

from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken

from subgraph.kms.azure import AzureWrap
from subgraph.kms.contract import KeyProvider
from subgraph.kms.options import KmsOptions
from tests.unit.kms.azure_server import TOKEN, AzureServer, Refusal
from tests.unit.kms.wrap_conformance import KeyRig

OPERATIONS = ("get", "wrapkey", "unwrapkey", "rotate", "deleted")
DENIED = Refusal(403, "Forbidden", "ForbiddenByRbac")
THROTTLED = Refusal(429, "Throttled", headers={"Retry-After": "30"})


class Credential:
    """Hands out the token that the vault accepts, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.asked = 0
        self.closed = False

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        assert scopes == ("https://vault.azure.net/.default",)
        return AccessToken(TOKEN, 4_000_000_000)

    async def close(self) -> None:
        self.closed = True


def options(server: AzureServer, **changes: Any) -> KmsOptions:
    settings: dict[str, Any] = {"seconds": 1.0, "concurrency": 8, "azure_hosts": (server.host,)}
    return KmsOptions(production=False, local_keys=Path("/nowhere"), **(settings | changes))


class AzureRig(KeyRig):
    provider = KeyProvider.AZURE_KEY_VAULT
    credentials = (TOKEN,)
    kty = "RSA"

    def __init__(self, server: AzureServer) -> None:
        self.server = server
        self.opened: list[AzureWrap] = []
        self.key = server.add_key(kty=self.kty)
        server.add_key("others", kty=self.kty)

    async def open(self) -> AzureWrap:
        return await self._open("tenants")

    async def open_other(self) -> AzureWrap:
        return await self._open("others")

    async def _open(self, name: str) -> AzureWrap:
        uri, settings = self.server.uri(name), options(self.server)
        self.opened.append(await AzureWrap.open(uri, settings, Credential()))
        return self.opened[-1]

    async def disable(self) -> None:
        self.key.versions[-1].attributes["enabled"] = False

    async def enable(self) -> None:
        self.key.versions[-1].attributes["enabled"] = True

    async def schedule_deletion(self) -> None:
        self.key.deleted = True

    async def delete(self) -> None:
        del self.server.keys["tenants"]

    async def deny(self) -> None:
        self.server.refuse = dict.fromkeys(OPERATIONS, DENIED)

    async def allow(self) -> None:
        self.server.refuse = {}

    async def throttle(self) -> None:
        self.server.refuse = dict.fromkeys(OPERATIONS, THROTTLED)

    async def hang(self) -> None:
        self.server.hang = set(OPERATIONS)

    async def outage(self) -> None:
        await self.server.stop()

    async def restore(self) -> None:
        self.server.refuse, self.server.hang = {}, set()
        await self.server.start()

    async def rotate(self) -> None:
        self.key.add_version()


class HsmRig(AzureRig):
    kty = "oct-HSM"
