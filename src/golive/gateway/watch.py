"""Noticing that a client has left while its answer is being worked on."""

import asyncio
from types import TracebackType

from golive.core.tasks import Tasks
from golive.gateway.exchange import Exchange

WATCH_AFTER_S = 0.2
"""Nobody watches before this: most answers are over by then, and a client that left meanwhile is still seen."""


class ClientGone(Exception):
    """The client closed its connection before the answer was whole; there is nobody to tell."""


class Watch:
    """`async with Watch(exchange, tasks):` ends the block with `ClientGone` once the client has disconnected.

    Costs a timer, and a task only when the block takes long; nothing per chunk.
    """

    __slots__ = ("_cancelling", "_exchange", "_gone", "_task", "_tasks", "_timer", "_watcher")

    def __init__(self, exchange: Exchange, tasks: Tasks) -> None:
        self._exchange = exchange
        self._tasks = tasks
        self._gone = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Watch":
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._gone and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise ClientGone from None

    def _begin(self) -> None:
        self._watcher = self._tasks.start(self._until_gone(), "watch")

    async def _until_gone(self) -> None:
        while (await self._exchange.receive())["type"] != "http.disconnect":
            pass  # a late or superfluous piece of the body
        self._gone = True
        self._task.cancel()
