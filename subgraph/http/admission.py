"""How many operations may run at once, and what happens to one more."""

from collections.abc import Iterator
from contextlib import contextmanager

from subgraph.errors import ErrorCode, SubgraphError


class Admission:
    """Counts running operations; sheds what would go beyond the limit, and queues nothing.

    A request that is still sending its body runs nothing and holds no place, so slow clients
    cannot use the places up.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = 0

    @property
    def running(self) -> int:
        """Operations that run now."""
        return self._running

    def check(self) -> None:
        """Raise `SubgraphError` with OVERLOADED if no place is free."""
        if self._running >= self._limit:
            raise SubgraphError(ErrorCode.OVERLOADED)

    @contextmanager
    def places(self, operations: int) -> Iterator[None]:
        """Hold `operations` places; raises `SubgraphError` with OVERLOADED if they are not free.

        A batch larger than the limit may run when nothing else does.
        """
        if self._running and self._running + operations > self._limit:
            raise SubgraphError(ErrorCode.OVERLOADED)
        self._running += operations
        try:
            yield
        finally:
            self._running -= operations
