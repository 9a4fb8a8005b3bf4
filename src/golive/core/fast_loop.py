"""An event loop whose time is a `FastClock`'s, for drills: every limit as configured, the waiting as much shorter.

It is the loop of production but for its timers, so work takes as long as it always does: seen from inside, the machine
is slower by the clock's speed. What was timed before the clock began to hurry comes at its time by the clock.
"""

import math
from asyncio import TimerHandle
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import TypeVarTuple, Unpack

import uvloop

from golive.core.clock import FastClock

EARLY_S = 0.001
"""The loop of production counts whole milliseconds and may be early by one, which here would be many."""

Ts = TypeVarTuple("Ts")


class FastLoop(uvloop.Loop):
    """Timers count in the clock's seconds."""

    def __init__(self, clock: FastClock) -> None:
        self._clock = clock
        self._slow: list[tuple[TimerHandle, float, Callable[[], object]]] = []
        """What was timed before the clock hurried, and when it is to come."""
        clock.when_hurried = self._hasten

    def time(self) -> float:
        return self._clock.monotonic()

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        """As asyncio's, in the clock's seconds."""
        seconds = math.ceil(delay / self._clock.speed * 1_000) / 1_000
        handle = super().call_later(seconds + EARLY_S if delay > 0 else 0, callback, *args, context=context)
        if delay > 0 and not self._clock.hurries:
            run = partial((context or copy_context()).run, callback, *args)
            self._slow.append((handle, self.time() + delay, run))
        return handle

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        return self.call_later(max(0.0, when - self.time()), callback, *args, context=context)

    def _hasten(self) -> None:
        """Times anew what was timed before; who holds the old handle can cancel it as ever."""
        slow, self._slow = self._slow, []
        for handle, when, run in slow:
            if when > self.time() and not handle.cancelled():
                self.call_at(when, self._instead, handle, run)

    @staticmethod
    def _instead(handle: TimerHandle, run: Callable[[], object]) -> None:
        if not handle.cancelled():
            handle.cancel()
            run()
