"""Stopping a run from outside, only where it may be stopped: while it waits for a model, a tool or its turn.

A run is never cancelled in the middle of a journal write: the wish is kept until the write is over.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Literal, TypeVar

Through = Literal["nothing", "patient", "all"]
"""What a wait outlasts: no interruption, one that is patient, or all but that the run goes elsewhere."""
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
        self._through: Through = "nothing"
        self._stopping = False
        """The task was told to end the present wait."""
        self._reason: str | None = None
        self._patient = False
        self.handed_over = False
        """Whether the run is to go elsewhere."""

    def interrupt(self, reason: str, *, patient: bool = False) -> None:
        """Ends the wait the task is in, or the next one it would begin; the first reason stands.

        Args:
            patient: waits that outlast this are let end, unless the run is handed over meanwhile.
        """
        self.handed_over = self.handed_over or reason == HANDED_OVER
        if self._reason is None:
            self._reason, self._patient = reason, patient
        if self._waiting and not self._stopping and self._task is not None and self._ends() is not None:
            self._stopping = True
            self._task.cancel()

    async def wait(self, work: Awaitable[T], *, through: Through = "nothing") -> T:
        """Awaits `work`.

        Raises:
            Interrupted: somebody called `interrupt`, and the wait does not outlast it; the work was cancelled.
        """
        self._through = through
        if (reason := self._ends()) is not None:
            if asyncio.iscoroutine(work):
                work.close()
            raise Interrupted(reason)
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
        self._through = "nothing"
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
        self._waiting, self._stopping = True, False

    def _ends(self) -> str | None:
        """What ends the present wait."""
        if self._through == "all" or (self._through == "patient" and self._patient):
            return HANDED_OVER if self.handed_over else None
        return self._reason

    def _tell_apart(self) -> None:
        """Raises Interrupted if the cancellation was ours."""
        reason = self._ends()
        if self._stopping and reason is not None and self._task is not None and self._task.uncancel() == 0:
            raise Interrupted(reason) from None
