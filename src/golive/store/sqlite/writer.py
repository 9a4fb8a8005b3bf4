"""The one thread that writes, and how the event loop talks to it.

What one tick of the loop wants, and what piled up while the thread was busy, goes as one group; its results come back
with one wake-up of the loop. Owns the thread, its connection and the bounds; `group.py` owns the transaction.
"""

import asyncio
import os
import sqlite3
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from golive.core.errors import StoreUnavailable
from golive.store.sqlite.connection import BUSY_TIMEOUT_S, LOCKED_OUT_S
from golive.store.sqlite.group import Job, commit
from golive.store.sqlite.stepaside import StepAside

MAX_IN_FLIGHT = 1024
"""Writes handed to the thread and not yet answered, and so also the most that one transaction holds. Later callers wait
on the loop's side, in the order they came."""


class InlineWriter:
    """Writes at once in the calling thread: for the simulated world, which knows no threads."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.connection = connection
        self._path = path
        self._closed = False

    async def write(self, job: Job) -> Any:
        """Commits `job`; returns its value or raises its error."""
        if self._closed:
            raise _closed(self._path)
        commit(self.connection, [job], self._path)
        if job.error is not None:
            raise job.error
        return job.value

    async def close(self) -> None:
        """Closes the connection; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self.connection.close()


class ThreadWriter:
    """Writes in a thread of its own; serves one event loop for all its life."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._batches: SimpleQueue[list[Job]] = SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._in_flight = 0
        self._scheduled = False
        self._step_aside = StepAside()
        self._locked_out = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._idle: asyncio.Future[None] | None = None
        self._thread = Thread(target=self._work, name="golive-store-writer", daemon=True)
        self._thread.start()

    async def write(self, job: Job) -> Any:
        """Queues `job` for the next group; returns its value, or raises its error, once the group is durable.

        A caller that is cancelled while it waits does not learn whether the write stands.
        """
        if self._closing:
            raise _closed(self._path)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None:
                raise RuntimeError("this store serves another event loop; open one store for each loop")
            self._loop = loop
        job.future = future = loop.create_future()
        self._waiting.append(job)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._hand_over)
        return await future

    def _hand_over(self) -> None:
        self._scheduled = False
        waiting = self._waiting
        room = MAX_IN_FLIGHT - self._in_flight
        if len(waiting) <= room:
            batch = [job for job in waiting if not job.future.cancelled()]  # type: ignore[union-attr]
            waiting.clear()
        else:
            batch = [waiting.popleft() for _ in range(room)]
        if batch:
            self._in_flight += len(batch)
            self._batches.put(batch)
            assert self._loop is not None
            self._step_aside.begin(self._loop, len(batch))
        else:
            self._tell_close()

    def _delivered(self, jobs: list[Job]) -> None:
        """Back on the loop: wakes the callers of a group."""
        self._in_flight -= len(jobs)
        self._step_aside.end(len(jobs))
        for job in jobs:
            future = job.future
            assert future is not None
            if future.done():
                continue  # cancelled while it waited
            if job.error is None:
                future.set_result(job.value)
            else:
                future.set_exception(job.error)
        if self._waiting and not self._scheduled:
            self._hand_over()
        self._tell_close()

    def _tell_close(self) -> None:
        if self._idle is not None and not self._in_flight and not self._waiting and not self._idle.done():
            self._idle.set_result(None)

    def _work(self) -> None:
        """The thread: takes what there is, commits it, reports, until it is handed an empty batch."""
        batches = self._batches
        while group := batches.get():
            with suppress(Empty):
                while more := batches.get_nowait():
                    group += more
                batches.put(more)  # the end; after this group
            commit(self._connection, group, self._path)
            self._be_patient(group[0].error)
            assert self._loop is not None
            self._step_aside.report()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._delivered, group)

    def _be_patient(self, error: Exception | None) -> None:
        """In the thread: how long the next group waits for a lock that another process holds."""
        busy = isinstance(error, StoreUnavailable) and error.fields.get("sqlite_code", "").startswith("SQLITE_BUSY")
        if busy != self._locked_out:
            self._locked_out = busy
            seconds = LOCKED_OUT_S if busy else BUSY_TIMEOUT_S
            self._connection.execute(f"PRAGMA busy_timeout={seconds * 1000:.0f}")

    async def close(self) -> None:
        """Finishes what was queued, then ends the thread and closes the connection. May be called again."""
        self._closing = True
        if (self._in_flight or self._waiting) and self._loop is asyncio.get_running_loop():
            if self._idle is None:
                self._idle = self._loop.create_future()
            await asyncio.shield(self._idle)
        if self._thread.is_alive():
            self._batches.put([])
            self._thread.join()
            self._connection.close()


def check_same_file(path: str, opened: os.stat_result | None) -> None:
    """Raises StoreUnavailable when `path` no longer is the file that was opened.

    A deleted file can still be written to, and all of it is lost at the end of the process.
    """
    if opened is None:
        return
    try:
        now = os.stat(path)
    except OSError:
        now = None
    if now is None or (now.st_ino, now.st_dev) != (opened.st_ino, opened.st_dev):
        cause = "the file was deleted" if now is None else "the file was replaced by another"
        raise StoreUnavailable(
            f"The database {path} is unavailable: {cause} while golive had it open.",
            remedy="Put the file back or restore a backup, then restart golive.",
            path=path,
            cause=cause,
        )


def _closed(path: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"The database {path} is closed.", remedy="Send the request to a running server.", path=path, cause="closed"
    )
