"""A bounded memory of answers that hold for a time."""

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Keeps at most `size` answers, each until its own deadline; the oldest makes room.

    Times are seconds of whatever clock the caller reads.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: dict[K, tuple[V, float]] = {}

    def get(self, key: K, now: float) -> V | None:
        """Return the answer to `key`, or None once its deadline is reached."""
        entry = self._answers.get(key)
        if entry is None:
            return None
        if entry[1] <= now:
            del self._answers[key]
            return None
        return entry[0]

    def put(self, key: K, answer: V, deadline: float) -> None:
        """Remember `answer` until `deadline`."""
        self._answers.pop(key, None)
        if len(self._answers) >= self._size:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = (answer, deadline)

    def __len__(self) -> int:
        return len(self._answers)
