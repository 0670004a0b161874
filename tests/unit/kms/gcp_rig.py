"""A key at `gcp_server`, and what can happen to it there."""

from pathlib import Path
from typing import Any

import grpc

from subgraph.kms.contract import KeyProvider
from subgraph.kms.gcp import GcpWrap
from subgraph.kms.options import KmsOptions
from tests.unit.kms import gcp_server as double
from tests.unit.kms.gcp_server import KEY, GcpServer, Refusal
from tests.unit.kms.wrap_conformance import KeyRig

OTHER_KEY = KEY + "-2"
Code = grpc.StatusCode
DENIED = Refusal(Code.PERMISSION_DENIED)


def options(server: GcpServer, **changes: Any) -> KmsOptions:
    settings: dict[str, Any] = {"seconds": 1.0, "concurrency": 8, "gcp_endpoint": server.endpoint}
    return KmsOptions(production=False, local_keys=Path("/nowhere"), **(settings | changes))


class GcpRig(KeyRig):
    provider = KeyProvider.GCP_KMS

    def __init__(self, server: GcpServer) -> None:
        self.server = server
        self.opened: list[GcpWrap] = []
        server.add_key(OTHER_KEY)

    async def open(self) -> GcpWrap:
        self.opened.append(await GcpWrap.open(KEY, options(self.server)))
        return self.opened[-1]

    async def open_other(self) -> GcpWrap:
        self.opened.append(await GcpWrap.open(OTHER_KEY, options(self.server)))
        return self.opened[-1]

    async def disable(self) -> None:
        self.server.keys[KEY].versions[-1].state = "DISABLED"

    async def enable(self) -> None:
        self.server.keys[KEY].versions[-1].state = "ENABLED"

    async def schedule_deletion(self) -> None:
        self.server.keys[KEY].versions[-1].state = "DESTROY_SCHEDULED"

    async def delete(self) -> None:
        self.server.keys[KEY].versions[-1].state = "DESTROYED"

    async def deny(self) -> None:
        self.server.refuse = dict.fromkeys(double.METHODS, DENIED)

    async def allow(self) -> None:
        self.server.refuse = {}

    async def throttle(self) -> None:
        self.server.refuse = dict.fromkeys(double.METHODS, Refusal(Code.RESOURCE_EXHAUSTED))

    async def hang(self) -> None:
        self.server.hang = set(double.METHODS)

    async def outage(self) -> None:
        await self.server.stop()

    async def restore(self) -> None:
        self.server.refuse, self.server.hang = {}, set()
        await self.server.start()

    async def rotate(self) -> None:
        key = self.server.keys[KEY]
        key.add_version()
        key.primary = key.shown_primary = len(key.versions) - 1
