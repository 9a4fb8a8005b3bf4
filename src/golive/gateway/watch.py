"""Noticing that a client has left while its answer is being worked on."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from golive.gateway.exchange import Exchange

CONNECTION = "golive.connection"
"""The key of an ASGI scope under which the connection stands: a `Watchable`."""


class Watchable(Protocol):
    """A connection that can tell when it ends."""

    def watch(self, on_gone: Callable[[], None] | None) -> None:
        """Calls `on_gone` once when the connection ends (soon, if it has ended already). None: nobody asks any more."""
        ...


class ClientGone(Exception):
    """The client closed its connection before the answer was whole; there is nobody to tell."""


class Watch:
    """`async with Watch(exchange):` ends the block with `ClientGone` once the client has disconnected."""

    __slots__ = ("_cancelling", "_connection", "_gone", "_task")

    def __init__(self, exchange: Exchange) -> None:
        self._connection: Watchable = exchange.scope[CONNECTION]
        self._gone = False

    async def __aenter__(self) -> "Watch":
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._connection.watch(self._on_gone)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.watch(None)
        if self._gone and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise ClientGone from None

    def _on_gone(self) -> None:
        self._gone = True
        self._task.cancel()
