"""Stopping a run from outside, only where it may be stopped: while it waits for a model, a tool or its turn.

A run is never cancelled in the middle of a journal write: the wish is kept until the write is over.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

T = TypeVar("T")


class Interrupted(Exception):
    """The run is to end now; `reason` is `cancelled`, `interrupted` (shutdown) or `disconnected`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Interruptible:
    """The places where one task may be interrupted."""

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self.reason: str | None = None

    def interrupt(self, reason: str) -> None:
        """Ends the wait the task is in, or the next one it would begin; the first reason stands."""
        if self.reason is None:
            self.reason = reason
            if self._task is not None:
                self._task.cancel()

    def _wished(self) -> str | None:
        return self.reason

    async def wait(self, work: Awaitable[T]) -> T:
        """Awaits `work`.

        Raises:
            Interrupted: somebody called `interrupt`; the work was cancelled.
        """
        if self.reason is not None:
            if asyncio.iscoroutine(work):
                work.close()
            raise Interrupted(self.reason)
        self._task = task = asyncio.current_task()
        try:
            return await work
        except asyncio.CancelledError:
            reason = self._wished()
            if reason is not None and task is not None and task.uncancel() == 0:
                raise Interrupted(reason) from None
            raise
        finally:
            self._task = None

    async def next_of(self, stream: AsyncIterator[T]) -> T | None:
        """The stream's next item, or None at its end."""
        try:
            return await self.wait(anext(stream))
        except StopAsyncIteration:
            return None
