"""One thread that alone may call a library."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from subgraph.errors import ErrorCode, SubgraphError

T = TypeVar("T")

_BACKLOG: Final = 256


class DeviceThread:
    """Runs jobs one after another, in the order in which they came.

    Not an executor of the standard library: those are joined when the interpreter ends, so that a
    device that never answers would keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.Queue[tuple[Future[Any], Callable[[], Any]]] = queue.Queue(_BACKLOG)
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def run(self, job: Callable[[], T], seconds: float) -> T:
        """Return the outcome of `job`, or raise what it raises.

        Raises `SubgraphError` with KEY_UNAVAILABLE after `seconds`, and at once while 256 jobs
        wait. A job whose caller has given up or is cancelled is not begun; one that is under way
        goes on, and its outcome is dropped.
        """
        future: Future[T] = Future()
        try:
            self._jobs.put_nowait((future, job))
        except queue.Full:
            raise SubgraphError(
                ErrorCode.KEY_UNAVAILABLE, "the key's device does not keep up"
            ) from None
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise SubgraphError(
                ErrorCode.KEY_UNAVAILABLE, f"the key's device did not answer within {seconds:g} s"
            ) from None

    def _work(self) -> None:
        while True:
            future, job = self._jobs.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                outcome = job()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                future.set_exception(error)
            else:
                future.set_result(outcome)
