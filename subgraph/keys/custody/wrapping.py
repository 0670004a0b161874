"""The open keys of this process at their providers, and the proof that a wrap can be undone."""

import hmac
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from subgraph.kms.contract import KeyProvider, Wrap, WrapContext, WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError


class Opener(Protocol):
    """Opens keys; see `subgraph.kms.providers.open_wrap`."""

    async def __call__(
        self, provider: KeyProvider, key_uri: str, tenant: str, *, create: bool = False
    ) -> Wrap:
        """Return a wrapper; with `create`, a software key that is missing is made."""
        ...


_MOST_OPEN = 1_000


@dataclass(slots=True)
class _Open:
    wrapper: Wrap
    users: int = 0


class Wrappers:
    """Keys that stay open between calls; those not in use are closed, the longest unused first."""

    def __init__(self, opener: Opener, *, most: int = _MOST_OPEN) -> None:
        self._opener = opener
        self._most = most
        self._open: OrderedDict[tuple[KeyProvider, str, str], _Open] = OrderedDict()

    async def wrap_proven(
        self, provider: KeyProvider, key_uri: str, key: bytes, context: WrapContext
    ) -> WrappedKey:
        """Wrap 32 bytes, and have a client that was opened anew unwrap them.

        A wrap that only its maker could undo would be lost with this process. Raises
        `KeyProviderError`, INTEGRITY when something else comes back.
        """
        async with self.using(provider, key_uri, context.tenant) as wrapper:
            wrapped = await wrapper.wrap(key, context)
        fresh = await self._opener(provider, key_uri, context.tenant)
        try:
            returned = await fresh.unwrap(wrapped, context)
        finally:
            await fresh.close()
        if not hmac.compare_digest(returned, key):
            message = "the provider unwrapped another key than it had wrapped; nothing was stored"
            raise KeyProviderError(KeyFault.INTEGRITY, message)
        return wrapped

    async def unwrap(
        self, provider: KeyProvider, wrapped: WrappedKey, context: WrapContext
    ) -> bytes:
        """Unwrap a data key. Raises `KeyProviderError`."""
        async with self.using(provider, wrapped.key_uri, context.tenant) as wrapper:
            return await wrapper.unwrap(wrapped, context)

    async def close(self) -> None:
        """Close every key."""
        opened = list(self._open.values())
        self._open.clear()
        for entry in opened:
            await entry.wrapper.close()

    @asynccontextmanager
    async def using(
        self, provider: KeyProvider, key_uri: str, tenant: str, *, create: bool = False
    ) -> AsyncIterator[Wrap]:
        """The open key, for as long as the block runs; see `Opener`."""
        name = (provider, key_uri, tenant)
        entry = self._open.get(name)
        if entry is None or create:
            # To create is to open: what is open already may have lost its key since.
            opened = await self._opener(provider, key_uri, tenant, create=create)
            entry = self._open.setdefault(name, _Open(opened))
        else:
            opened = entry.wrapper
        self._open.move_to_end(name)
        # From here on nobody closes it, whatever is waited for.
        entry.users += 1
        try:
            if entry.wrapper is not opened:
                await opened.close()
            yield entry.wrapper
        finally:
            entry.users -= 1
            await self._shrink()

    async def _shrink(self) -> None:
        surplus = len(self._open) - self._most
        if surplus <= 0:
            return
        unused = [name for name, entry in self._open.items() if entry.users == 0][:surplus]
        # All leave the table before the first is waited for: nobody finds one that is closing.
        for entry in [self._open.pop(name) for name in unused]:
            await entry.wrapper.close()
