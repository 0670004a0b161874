"""Ends work whose client has gone away."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

from subgraph.http.body import ClientDisconnected


class CancelOnDisconnect:
    """Cancels the block it is entered for when the client goes away.

    The block then ends with `ClientDisconnected`. The whole body MUST have been received before.
    It begins to listen after `grace` seconds: most operations are over by then, and a task for
    each of them would cost more than the rest of the endpoint.
    """

    def __init__(self, receive: Receive, grace: float) -> None:
        self._receive = receive
        self._grace = grace
        self._listener: asyncio.Task[None] | None = None
        self._gone = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be cancelled")
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(self._grace, self._begin)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()
        if self._gone:
            self._task.uncancel()
            if kind is asyncio.CancelledError:
                raise ClientDisconnected

    def _begin(self) -> None:
        self._listener = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()
