"""Ends a wait that takes too long, at the price of one timer a call instead of one a read.

`asyncio.timeout` around every read costs more than reading a chunk. Here the limit of the present wait is an attribute;
the timer, when it fires early, is set anew for what is left.
"""

import asyncio
from typing import Any, NamedTuple

from golive.core.clock import Clock


class Limit(NamedTuple):
    """A point on the clock's monotonic scale, the setting it comes from, and that setting's value in seconds."""

    at: float
    name: str
    seconds: float


class Watchdog:
    """Cancels the waiting task at its limit, and tells that cancellation from anybody else's.

    Use: `begin(limit)`, await something, `rest()`. On CancelledError ask `barked()`: True means that the limit passed
    (the cancellation is taken back); False, that somebody cancelled the task, and the error must go on. It never acts
    between `rest` and `begin`, when a consumer may be busy with what it was handed.
    """

    __slots__ = ("_barked", "_cancelling", "_clock", "_handle", "_handle_at", "_loop", "_task", "limit")

    def __init__(self, clock: Clock, limit: Limit) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._handle_at = 0.0
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._barked = False
        self.limit = limit

    def begin(self, limit: Limit) -> None:
        """The present task is about to wait, until `limit` at most."""
        self.limit = limit
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._cancelling = task.cancelling()
        self._task = task
        if self._handle is None or limit.at < self._handle_at:
            self._set(limit.at)

    def rest(self) -> None:
        """The wait is over."""
        self._task = None

    def barked(self) -> bool:
        """Whether the CancelledError at hand is this watchdog's own doing, and nobody else's too."""
        task, self._task = self._task, None
        if not self._barked or task is None:
            return False
        self._barked = False
        return task.uncancel() <= self._cancelling

    def bark(self) -> None:
        """Ends the wait that is under way as if its limit had passed; where nobody waits, nothing happens."""
        if self._task is not None:
            self._barked = True
            self._task.cancel()

    def close(self) -> None:
        """Lets go of the timer."""
        self._task = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _set(self, at: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle_at = at
        self._handle = self._loop.call_later(max(0.0, at - self._clock.monotonic()), self._fire)

    def _fire(self) -> None:
        self._handle = None
        if self._task is None:
            return  # nobody waits; the next `begin` sets the timer
        if self._clock.monotonic() < self.limit.at:
            self._set(self.limit.at)
            return
        self._barked = True
        self._task.cancel()
