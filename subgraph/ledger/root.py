"""The root's signer, opened when it is first needed and again after it could not be."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

from subgraph.kms.contract import Sign


class RootKey:
    """Keeps one signer open; a root that is away at the start does not keep the service away."""

    def __init__(self, open_signer: Callable[[], Awaitable[Sign]]) -> None:
        self._open = open_signer
        self._signer: Sign | None = None
        self._turn = asyncio.Lock()

    @classmethod
    def of(cls, signer: Sign) -> Self:
        """A root that is open already."""

        async def opened() -> Sign:
            return signer

        return cls(opened)

    async def signer(self) -> Sign:
        """The signer. Raises what opening it raises; the next call tries again."""
        async with self._turn:
            if self._signer is None:
                self._signer = await self._open()
            return self._signer

    async def close(self) -> None:
        """Give back the signer."""
        async with self._turn:
            if self._signer is not None:
                await self._signer.close()
                self._signer = None
