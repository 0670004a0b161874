"""A real OpenBao server of this test session, and what an operator does there."""

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

_ROOT = "root-" + secrets.token_hex(16)


@dataclass(frozen=True)
class Bao:
    """The server at a port of the loopback interface."""

    port: int
    client: httpx.AsyncClient

    async def do(self, method: str, address: str, /, **body: Any) -> dict[str, Any]:
        """What the server answers to its operator."""
        response = await self.client.request(method, f"/v1/{address}", json=body)
        response.raise_for_status()
        return response.json() if response.content else {}

    async def token(self, policy: str) -> str:
        """A new token with one policy."""
        answer = await self.do("POST", "auth/token/create", policies=[policy])
        return str(answer["auth"]["client_token"])

    async def allow(self, policy: str, *paths: str) -> None:
        """Let `policy` read and update what is at `paths`, and nothing else."""
        rules = "".join(
            f'path "{path}" {{ capabilities = ["create", "read", "update"] }}\n' for path in paths
        )
        await self.do("PUT", f"sys/policies/acl/{policy}", policy=rules)


@pytest.fixture(scope="session")
async def bao(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bao]:
    home = tmp_path_factory.mktemp("bao")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("bao")),
        "server", "-dev", "-dev-no-store-token", "-log-level=error",
        f"-dev-listen-address=127.0.0.1:{port}", f"-dev-root-token-id={_ROOT}",
        env={**os.environ, "HOME": str(home)},
        cwd=home,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    client = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"x-vault-token": _ROOT}, timeout=60
    )
    try:
        await _ready(client, process)
        yield Bao(port, client)
    finally:
        await client.aclose()
        process.terminate()
        await process.wait()


async def _ready(client: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60):
        while process.returncode is None:
            try:
                if (await client.get("/v1/sys/health")).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    pytest.fail("the OpenBao server ended")
