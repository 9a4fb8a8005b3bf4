"""Connections of clients to replicas: a request goes in, what the handler sends comes out, until one side is gone.

A handler is a task of the replica's process; the client is the world's. A client that does not read stops the handler
after a few pieces, as a full socket buffer does; a process that dies is a connection that breaks, a frozen one silence.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from golive.core.chance import Chance
from tests.sim.processes import Process, WorldLoop

BUFFER = 6
"""Pieces under way to a client that does not read."""
SLOWEST_S = 0.02


class Broken(Exception):
    """The connection is gone, without an end."""


class Ended(Exception):
    """The handler has said everything."""


class Wire:
    """One connection."""

    def __init__(self, loop: WorldLoop, process: Process, chance: Chance) -> None:
        self._loop = loop
        self._process = process
        self._chance = chance
        self._pieces: deque[Any] = deque()
        self._under_way = 0
        self._last = 0.0
        self._over: type[Exception] | None = None
        self._closed = False
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        process.on_death.append(lambda: self._later(self._end, Broken))

    def serve(self, handler: Callable[["Wire"], Coroutine[Any, Any, None]], name: str) -> None:
        """The request has arrived: the process begins to handle it."""
        if self._process.alive:
            self._task = self._process.start(self._loop, self._handled(handler), name)

    async def _handled(self, handler: Callable[["Wire"], Coroutine[Any, Any, None]]) -> None:
        try:
            await handler(self)
        finally:
            self._closed = True
            self._later(self._end, Ended)

    # ---- the handler's side

    async def send(self, piece: Any) -> None:
        """Returns when the client's connection takes more."""
        while self._under_way >= BUFFER and not self._closed:
            self._room = self._loop.create_future()
            await self._room
        if not self._closed:
            self._under_way += 1
            self._later(self._arrived, piece)

    # ---- the client's side

    async def receive(self, timeout_s: float) -> Any:
        """The next piece; None where nothing came in time.

        Raises:
            Broken, Ended
        """
        if not self._pieces and self._over is None:
            self._news = self._loop.create_future()
            await asyncio.wait([self._news], timeout=timeout_s)
            self._news = None
        if self._pieces:
            self._under_way -= 1
            if self._room is not None and not self._room.done():
                self._room.set_result(None)
            return self._pieces.popleft()
        if self._over is not None:
            raise self._over
        return None

    def leave(self) -> None:
        """The client closes its connection; the handler learns so a little later."""
        self._over = self._over or Broken
        self._loop.outside_later(self._chance.uniform(0.001, SLOWEST_S), self._left)

    def _left(self) -> None:
        self._closed = True
        if self._task is not None and not self._task.done():
            self._loop.call_soon(self._task.cancel, context=self._process.context)

    def _later(self, act: Callable[..., None], *args: Any) -> None:
        now = self._loop.elapsed
        at = max(now + self._chance.uniform(0.0005, SLOWEST_S), self._last + 1e-6)
        self._last = at
        self._loop.outside_later(at - now, act, *args)

    def _arrived(self, piece: Any) -> None:
        if self._over is None:
            self._pieces.append(piece)
            self._tell()

    def _end(self, how: type[Exception]) -> None:
        if self._over is None:
            self._over = how
            self._tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
