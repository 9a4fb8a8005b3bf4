"""Reads beside the writer: a few threads with a connection each, so that no query ever blocks the event loop.

Owns the threads and their bound. Each query is one statement, and so sees one state of the file.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from golive.core.errors import StoreUnavailable
from golive.store.sqlite.connection import connect_reader, failure
from golive.store.sqlite.stepaside import StepAside

T = TypeVar("T")

READERS = 2
"""Threads that read; more readers than that wait their turn on the event loop."""


class InlineReaders:
    """Reads at once in the calling thread, on the writer's own connection."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What `query` returns.

        Raises:
            StoreUnavailable: the file cannot be read.
        """
        try:
            return query(self._connection)
        except sqlite3.Error as error:
            raise failure(error, self._path) from error

    async def close(self) -> None:
        """The connection is the writer's to close."""


class ReaderPool:
    """Reads in threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._free: list[sqlite3.Connection] = []
        self._turn = asyncio.Semaphore(READERS)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="golive-store-reader")
        self._step_aside = StepAside()
        self._closed = False

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What `query` returns.

        Raises:
            StoreUnavailable: the file cannot be read, or the store is closed.
        """
        async with self._turn:
            if self._closed:
                raise StoreUnavailable(
                    f"The database {self._path} is closed.",
                    remedy="Send the request to a running server.",
                    path=self._path,
                    cause="closed",
                )
            loop = asyncio.get_running_loop()
            self._step_aside.begin(loop)
            try:
                return await loop.run_in_executor(self._threads, self._run, query)
            finally:
                self._step_aside.end()

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """In a thread. `list.pop` and `append` are atomic; there are as many connections as threads at most."""
        connection: sqlite3.Connection | None = None
        try:
            connection = self._free.pop() if self._free else connect_reader(self._path)
            return query(connection)
        except sqlite3.Error as error:
            raise failure(error, self._path) from error
        finally:
            if connection is not None:
                self._free.append(connection)
            self._step_aside.report()

    async def close(self) -> None:
        """Waits for the queries under way, then closes the connections. May be called again."""
        self._closed = True
        self._threads.shutdown(wait=True)
        while self._free:
            self._free.pop().close()
