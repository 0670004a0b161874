"""Calls to providers: so many at once and no more, each within its deadline.

The unit of isolation is an *endpoint*: what can get stuck or throttled as one, such as
`AWS_KMS/111122223333/eu-central-1` or `OPENBAO/https://bao.example`. Endpoints share neither
slots nor threads, so that one tenant's stuck provider takes nothing from another's.
"""

import asyncio
import functools
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions

T = TypeVar("T")

_BACKLOG: Final = 256
_IDLE_SECONDS: Final = 60.0
# More endpoints than this, and the oldest one forgets its count: no call fails for it.
_ENDPOINTS: Final = 4096


def calls_to(endpoint: str, options: KmsOptions) -> "BoundedCalls":
    """The limit that all of this event loop's calls to `endpoint` share, for an async SDK."""
    loop = asyncio.get_running_loop()
    return _calls_to(endpoint, options.concurrency, options.seconds, loop)


def threads_for(endpoint: str, options: KmsOptions) -> "CallThreads":
    """The threads that all of this process's calls to `endpoint` share, for a blocking SDK."""
    return _threads_for(endpoint, options.concurrency, os.getpid())


class BoundedCalls:
    """At most `concurrency` calls at once; the wait for a free slot counts into the deadline."""

    def __init__(self, endpoint: str, concurrency: int, seconds: float) -> None:
        self._endpoint = endpoint
        self._concurrency = concurrency
        self._seconds = seconds
        self._slots = asyncio.Semaphore(concurrency)
        self._waiting = 0

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return the outcome of `call`, or raise what it raises.

        Raises `KeyProviderError` with UNAVAILABLE after the deadline, when the call is cancelled,
        and at once while 256 calls wait for a slot.
        """
        if self._waiting >= _BACKLOG:
            raise _too_many(self._endpoint)
        waits = True
        try:
            async with asyncio.timeout(self._seconds):
                self._waiting += 1
                try:
                    await self._slots.acquire()
                finally:
                    self._waiting -= 1
                waits = False
                try:
                    return await call()
                finally:
                    self._slots.release()
        except TimeoutError:
            busy = self._concurrency if waits else None
            raise _too_slow(self._endpoint, self._seconds, busy) from None


class CallThreads:
    """At most `threads` jobs at once, begun in the order in which they came.

    Not an executor of the standard library: its threads are joined when the interpreter ends, so
    that a provider that never answers would keep the process from ending. Threads start when they
    are needed, and end after a minute without work.
    """

    def __init__(self, endpoint: str, threads: int) -> None:
        self._endpoint = endpoint
        self._threads = threads
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._wake = threading.Condition()
        self._alive = 0
        self._idle = 0

    async def run(self, job: Callable[[], T], seconds: float) -> T:
        """Return the outcome of `job`, or raise what it raises.

        Raises `KeyProviderError` with UNAVAILABLE after `seconds`, the wait for a thread included,
        and at once while 256 jobs wait. A job whose caller has given up or is cancelled is not
        begun; one that is under way goes on, and its outcome is dropped.
        """
        future: Future[T] = Future()
        self._put(future, job)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            # Cancelled by the timeout: whoever got as far as running did not notice.
            busy = self._threads if future.cancelled() else None
            raise _too_slow(self._endpoint, seconds, busy) from None

    def _put(self, future: Future[Any], job: Callable[[], Any]) -> None:
        with self._wake:
            if len(self._jobs) >= _BACKLOG:
                raise _too_many(self._endpoint)
            if self._alive < self._threads and self._idle <= len(self._jobs):
                threading.Thread(target=self._work, name=self._endpoint, daemon=True).start()
                self._alive += 1
            self._jobs.append((future, job))
            self._wake.notify()

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            _finish(*taken)
            # Else the thread would hold the last outcome, which may be a key, while it is idle.
            del taken

    def _take(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._wake:
            self._idle += 1
            found = self._wake.wait_for(lambda: len(self._jobs) > 0, _IDLE_SECONDS)
            self._idle -= 1
            if found:
                return self._jobs.popleft()
            self._alive -= 1
            return None


def _finish(future: Future[Any], job: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        outcome = job()
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
        future.set_exception(error)
    else:
        future.set_result(outcome)


@functools.lru_cache(_ENDPOINTS)
def _calls_to(
    endpoint: str, concurrency: int, seconds: float, _loop: asyncio.AbstractEventLoop
) -> BoundedCalls:
    return BoundedCalls(endpoint, concurrency, seconds)


@functools.lru_cache(_ENDPOINTS)
def _threads_for(endpoint: str, concurrency: int, _process: int) -> CallThreads:
    return CallThreads(endpoint, concurrency)


def _too_many(endpoint: str) -> KeyProviderError:
    return KeyProviderError(
        KeyFault.UNAVAILABLE, f"{endpoint} does not keep up: {_BACKLOG} calls are waiting"
    )


def _too_slow(endpoint: str, seconds: float, busy: int | None) -> KeyProviderError:
    why = "" if busy is None else f": all {busy} calls that it is given at once are under way"
    return KeyProviderError(
        KeyFault.UNAVAILABLE, f"{endpoint} did not answer within {seconds:g} s{why}"
    )
