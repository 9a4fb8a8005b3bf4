"""Threads for functions that are not `async`.

Ours and not `concurrent.futures`, because its threads are waited for when the interpreter ends: one tool that never
returns would keep the server from stopping. These are daemons; one whose caller has gone is counted as abandoned.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from golive.core.errors import Overloaded

T = TypeVar("T")
_Job = tuple[contextvars.Context, Callable[[], Any], "asyncio.Future[Any]"]


class _Thread:
    def __init__(self, owner: "Threads", name: str) -> None:
        self.inbox: SimpleQueue[_Job | None] = SimpleQueue()
        self._owner = owner
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _serve(self) -> None:
        while (job := self.inbox.get()) is not None:
            context, work, future = job
            value: Any = None
            error: BaseException | None = None
            try:
                value = context.run(work)
            except BaseException as raised:  # handed to the caller; a thread has nobody else to tell
                error = raised
            try:
                future.get_loop().call_soon_threadsafe(self._owner.ended, self, future, value, error)
            except RuntimeError:  # the loop has closed: nobody waits any more
                return
            del job, context, work, future, value, error  # an idle thread keeps nothing alive


class Threads:
    """At most `most` threads, started when needed and reused."""

    def __init__(self, most: int, name: str) -> None:
        self.most = most
        self.busy = 0
        self.abandoned = 0
        """Busy ones whose caller no longer waits."""
        self._name = name
        self._idle: list[_Thread] = []
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """Runs `work` in a thread, with a copy of the caller's context variables. A cancelled caller abandons it.

        Raises:
            Overloaded: all threads are busy.
        """
        if self._closed or self.busy >= self.most:
            raise Overloaded(
                f"All {self.most} threads for tools are busy, {self.abandoned} of them in calls that never returned.",
                remedy="Give the tool's own network and lock calls a timeout.",
            )
        thread = self._idle.pop() if self._idle else _Thread(self, f"{self._name}-{self.busy}")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.busy += 1
        thread.inbox.put((contextvars.copy_context(), work, future))
        try:
            return await future
        except asyncio.CancelledError:
            self.abandoned += 1
            raise

    def ended(self, thread: _Thread, future: "asyncio.Future[Any]", value: Any, error: BaseException | None) -> None:
        """Called on the loop when a thread has done its work."""
        self.busy -= 1
        if self._closed:
            thread.inbox.put(None)
        else:
            self._idle.append(thread)
        if future.cancelled():
            self.abandoned -= 1
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)

    def close(self) -> None:
        """Ends idle threads at once and busy ones when their work is done; waits for none."""
        self._closed = True
        while self._idle:
            self._idle.pop().inbox.put(None)
