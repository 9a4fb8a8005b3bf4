"""Keeps a busy event loop from starving the store's threads.

A loop at its limit lets go of the interpreter's lock for about a microsecond at a time (each poll, each send), and has
it back before a waiting thread has woken up; and because it does let go, the interpreter never forces the switch, as it
otherwise would after 5 ms. Measured (`bench/store_appends.py --busy`): a thread then waits for seconds. A loop that has
time to spare waits in its poll, and never comes to this.
"""

import asyncio
from threading import Event

STARVED_S = 0.002
"""How long work may be under way, and no thread report, before the loop steps aside."""

STEP_ASIDE_S = 0.0002
"""How long it then stands still at most: enough for a thread to execute a group or to report one."""


class StepAside:
    """One for each thread or pool. All but `report` is for the loop's side."""

    def __init__(self) -> None:
        self._under_way = 0
        self._watching = False
        self._reported = False
        self._standing = False
        self._wake = Event()

    def begin(self, loop: asyncio.AbstractEventLoop, works: int = 1) -> None:
        """`works` more are handed to the thread."""
        self._under_way += works
        self._watch(loop)

    def end(self, works: int = 1) -> None:
        """The loop has heard of the end of `works`."""
        self._under_way -= works

    def report(self) -> None:
        """The thread has something to tell the loop."""
        self._reported = True
        if self._standing:
            self._wake.set()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._watching:
            self._watching = True
            self._reported = False
            loop.call_later(STARVED_S, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watching = False
        if self._under_way:
            if not self._reported:
                self._stand()
            self._watch(loop)

    def _stand(self) -> None:
        self._wake.clear()
        self._standing = True
        if not self._reported:  # a report between these lines is waited for in vain, and not longer than any other
            self._wake.wait(STEP_ASIDE_S)
        self._standing = False
