"""Stopping a run from outside, only where it may be stopped: while it waits for a model, a tool or its turn.

A run is never cancelled in the middle of a journal write: the wish is kept until the write is over.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

T = TypeVar("T")
HANDED_OVER = "handed_over"
"""This server stops carrying the run; another one, or this one started anew, goes on with it."""


class Interrupted(Exception):
    """The run is to stop now; `reason` is `cancelled`, `disconnected`, or `HANDED_OVER`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Interruptible:
    """The places where one task, the one that waits first, may be interrupted."""

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._waiting = False
        self._reason: str | None = None

    def interrupt(self, reason: str) -> None:
        """Ends the wait the task is in, or the next one it would begin; the first reason stands."""
        if self._reason is None:
            self._reason = reason
            if self._waiting and self._task is not None:
                self._task.cancel()

    async def wait(self, work: Awaitable[T]) -> T:
        """Awaits `work`.

        Raises:
            Interrupted: somebody called `interrupt`; the work was cancelled.
        """
        if self._reason is not None:
            if asyncio.iscoroutine(work):
                work.close()
            raise Interrupted(self._reason)
        self._begin()
        try:
            return await work
        except asyncio.CancelledError:
            self._tell_apart()
            raise
        finally:
            self._waiting = False

    async def next_of(self, stream: AsyncIterator[T]) -> T | None:
        """The stream's next item, or None at its end; raises as `wait`. Apart from it because it runs once a read."""
        if self._reason is not None:
            raise Interrupted(self._reason)
        self._begin()
        try:
            return await anext(stream)
        except StopAsyncIteration:
            return None
        except asyncio.CancelledError:
            self._tell_apart()
            raise
        finally:
            self._waiting = False

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.current_task()
        self._waiting = True

    def _tell_apart(self) -> None:
        """Raises Interrupted if the cancellation was ours."""
        if self._reason is not None and self._task is not None and self._task.uncancel() == 0:
            raise Interrupted(self._reason) from None
