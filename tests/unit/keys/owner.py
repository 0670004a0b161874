"""A provider of keys (LOCAL key files) that tests can slow down, break and watch."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from subgraph.kms.contract import KeyDescription, KeyProvider, Wrap, WrapContext, WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions
from subgraph.kms.providers import open_wrap


@dataclass
class Owner:
    """Opens keys; `faults` are raised by operation (`open`, `describe`, `wrap`, `unwrap`).

    With `only_maker` a wrap is undone by the client that made it and by no other. With `gate`
    calls wait until it is set.
    """

    options: KmsOptions
    faults: dict[str, KeyFault] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    gate: asyncio.Event | None = None
    only_maker: bool = False
    answers: bytes | None = None

    @classmethod
    def of(cls, folder: Path) -> Self:
        return cls(KmsOptions(production=False, seconds=5.0, concurrency=8, local_keys=folder))

    async def __call__(
        self, provider: KeyProvider, key_uri: str, tenant: str, *, create: bool = False
    ) -> Wrap:
        await self.asked("open")
        opened = await open_wrap(
            KeyProvider.LOCAL, key_uri, tenant, options=self.options, create=create
        )
        return _Client(self, opened, provider)

    async def asked(self, operation: str) -> None:
        self.calls[operation] += 1
        if self.gate is not None:
            await self.gate.wait()
        if operation in self.faults:
            raise KeyProviderError(self.faults[operation], "the provider says so")

    def turn(self, tenant: str, state: str, name: str = "records") -> None:
        """What the owner does with a key: ENABLED, DISABLED, PENDING_DELETION, DESTROYED."""
        path = self.file(tenant, name)
        path.write_text(json.dumps({**json.loads(path.read_text()), "state": state}))

    def file(self, tenant: str, name: str = "records") -> Path:
        return self.options.local_keys / tenant / name


class _Client:
    def __init__(self, owner: Owner, inner: Wrap, provider: KeyProvider) -> None:
        self.owner = owner
        self.inner = inner
        self.provider = provider
        self.made: set[bytes] = set()

    async def describe(self) -> KeyDescription:
        await self.owner.asked("describe")
        return await self.inner.describe()

    async def wrap(self, key: bytes, context: WrapContext) -> WrappedKey:
        await self.owner.asked("wrap")
        wrapped = await self.inner.wrap(key, context)
        self.made.add(wrapped.ciphertext)
        return wrapped

    async def unwrap(self, wrapped: WrappedKey, context: WrapContext) -> bytes:
        await self.owner.asked("unwrap")
        if self.owner.only_maker and wrapped.ciphertext not in self.made:
            raise KeyProviderError(KeyFault.INTEGRITY)
        unwrapped = await self.inner.unwrap(wrapped, context)
        return self.owner.answers or unwrapped

    async def rotate(self) -> KeyDescription:
        await self.owner.asked("rotate")
        return await self.inner.rotate()

    async def close(self) -> None:
        await self.inner.close()
