"""From public ids to objects: decoded, loaded in one batch, in their order."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar
from uuid import UUID

from dataloaders.batching import BatchLoader
from subgraph.db import ids
from subgraph.db.ids import EntityId, IdKind

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")


def by_tenant(entity: EntityId) -> tuple[str, UUID]:
    """The key of most loaders: the tenant and the id within it."""
    return entity.tenant, entity.key


async def load_by_id(
    kind: IdKind,
    texts: Sequence[str],
    loader: BatchLoader[K, V | None],
    key_of: Callable[[EntityId], K | None],
    of: Callable[[V], T],
) -> list[T | None]:
    """The objects that `texts` name, in their order; None for what is no such id or not found.

    `key_of` gives the loader's key of an id, None where no object can have it; `of` makes the
    object of what was loaded. One call of the loader, whatever the number of ids.
    """
    entities = [ids.decode(kind, text) for text in texts]
    keys = [None if entity is None else key_of(entity) for entity in entities]
    loaded = iter(await loader.load_many([key for key in keys if key is not None]))
    found = [None if key is None else next(loaded) for key in keys]
    return [None if value is None else of(value) for value in found]
