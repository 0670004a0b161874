"""Batches loads of one request: one call for all keys that are asked for in one turn of the loop.

Written for whole lists of keys: `_entities` and pages ask for many at once, and a future for each
key, as general data loaders make, costs as much as the statement that reads them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BatchLoader(Generic[K, V]):
    """Loads values by key, each key at most once a request.

    `read` is given distinct keys and answers those that it finds; the others load as `missing`. If
    it raises, every load of that batch raises the same, and a later load asks again.
    """

    def __init__(
        self, read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, missing: V
    ) -> None:
        self._read = read
        self._missing = missing
        self._known: dict[K, V] = {}
        self._batch: dict[K, None] = {}
        self._coming: dict[K, asyncio.Task[Mapping[K, V]]] = {}
        self._gathering: asyncio.Task[Mapping[K, V]] | None = None

    async def load(self, key: K) -> V:
        """The value of one key."""
        return (await self.load_many((key,)))[0]

    async def load_many(self, keys: Sequence[K]) -> list[V]:
        """The values of `keys`, in their order."""
        known = self._known
        awaited = {self._ask(key) for key in keys if key not in known}
        fresh: dict[K, V] = {}
        for task in awaited:
            # One caller's cancellation must not take the batch from the others.
            fresh.update(await asyncio.shield(task))
        return [fresh[key] if key in fresh else known[key] for key in keys]

    def forget(self) -> None:
        """Read everything anew from here on, what is being read at the moment too."""
        self._known = {}
        self._coming = {}
        self._batch = {}
        self._gathering = None

    def _ask(self, key: K) -> "asyncio.Task[Mapping[K, V]]":
        coming = self._coming.get(key)
        if coming is not None:
            return coming
        if self._gathering is None:
            # The task starts when all that runs in this turn of the loop has asked.
            self._gathering = asyncio.create_task(self._send(self._batch, self._coming))
        self._batch[key] = None
        self._coming[key] = self._gathering
        return self._gathering

    async def _send(
        self, batch: dict[K, None], coming: "dict[K, asyncio.Task[Mapping[K, V]]]"
    ) -> Mapping[K, V]:
        known = self._known
        if self._batch is batch:
            self._batch, self._gathering = {}, None
        keys = tuple(batch)
        try:
            found = await self._read(keys)
        finally:
            for key in keys:
                del coming[key]
        values = {key: found.get(key, self._missing) for key in keys}
        known.update(values)
        return values
