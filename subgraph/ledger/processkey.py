"""The key of one process, and the signatures that it makes for many entries at once."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_ECDSA = ec.ECDSA(hashes.SHA256())
_SHARE = 8
"""Texts that a thread takes at a time."""


@dataclass(frozen=True, slots=True)
class ProcessKey:
    """A delegated key.

    Signing is local and takes some 25 microseconds, a part of them outside of Python's lock.
    `second` is the thread that signs beside the caller's.
    """

    key_id: str
    not_before: datetime
    not_after: datetime
    private: ec.EllipticCurvePrivateKey
    second: Executor

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature (DER) over the SHA-256 digest of `message`."""
        return self.private.sign(message, _ECDSA)

    def signatures(self, messages: Sequence[bytes]) -> Callable[[Sequence[int]], list[bytes]]:
        """What answers the signatures of the messages at given places, each made once."""
        made: dict[int, bytes] = {}

        def sign_at(places: Sequence[int]) -> list[bytes]:
            wanted = [place for place in places if place not in made]
            shares = deque(
                wanted[start : start + _SHARE] for start in range(0, len(wanted), _SHARE)
            )

            def work() -> None:
                while shares:
                    try:
                        share = shares.popleft()
                    except IndexError:  # the other thread was faster
                        return
                    for place in share:
                        made[place] = self.sign(messages[place])

            other = self._helping(work) if len(shares) > 1 else None
            try:
                work()
            finally:
                # A thread that has not begun yet has nothing left to do.
                if other is not None and not other.cancel():
                    other.result()
            return [made[place] for place in places]

        return sign_at

    def _helping(self, work: Callable[[], None]) -> Future[None] | None:
        try:
            return self.second.submit(work)
        except RuntimeError:  # the process is ending; what is under way is signed here alone
            return None
