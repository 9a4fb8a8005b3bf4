"""`SqliteStore`: the whole installation's memory in one SQLite file.

Puts writer, readers and tenants together and keeps `store.ports.Store`. Several processes may open the same file.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from golive.core.chance import Chance, SystemChance
from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import DeadlineExceeded, StoreUnavailable
from golive.core.events import Event
from golive.store.ports import KeyRow, Lease, LedgerEntry, OutboxMessage, RunView, Store
from golive.store.sqlite.connection import MEMORY, connect_writer, create_file, failure
from golive.store.sqlite.group import Append, Call
from golive.store.sqlite.readers import InlineReaders, ReaderPool
from golive.store.sqlite.schema import prepare
from golive.store.sqlite.tenant import KEY_COLUMNS, SqliteTenant
from golive.store.sqlite.writer import InlineWriter, ThreadWriter, check_same_file

T = TypeVar("T")
PING_S = 1.5
"""How long `ping` waits: whoever asks for health is not kept waiting as long as a write may be."""

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_OPEN_RUNS = """
SELECT tenant, run FROM runs WHERE state <> 'finished'
UNION
SELECT tenant, run FROM leases WHERE seq = 1
    AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.tenant = leases.tenant AND runs.run = leases.run)
ORDER BY run, tenant
"""
_ALL_KEYS = f"SELECT {KEY_COLUMNS} FROM keys ORDER BY tenant, id"
_ACQUIRE = "UPDATE leases SET epoch = epoch + 1, holder = ?, at = ? WHERE tenant = ? AND run = ? RETURNING epoch"
_CONTROL_VERSION = "SELECT control_version FROM installation"


class SqliteStore(Store):
    """Made by `open`."""

    def __init__(
        self,
        path: str,
        clock: Clock,
        writer: ThreadWriter | InlineWriter,
        readers: ReaderPool | InlineReaders,
        opened: os.stat_result | None,
    ) -> None:
        self.path = path
        self._clock = clock
        self._writer = writer
        self._readers = readers
        self._opened = opened

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        clock: Clock,
        inline: bool = False,
        migrate: bool = False,
        chance: Chance | None = None,
    ) -> "SqliteStore":
        """Opens the file, and creates it (mode 0600), its folders and its schema if there is none. Blocks briefly.

        Args:
            path: the file; ":memory:" together with `inline` keeps everything in memory.
            inline: write and read in the calling thread, at once: for the simulated world.
            migrate: bring an older schema up to this golive's.
            chance: where the installation's id comes from (the operating system's randomness by default).

        Raises:
            StoreUnavailable: the file cannot be opened or written.
            SchemaMismatch: its schema is older (and `migrate` is off), newer, or not golive's.
        """
        path = str(path)
        if path == MEMORY and not inline:
            raise ValueError("a store in memory works inline only")
        create_file(path)
        try:
            connection = connect_writer(path)
            try:
                prepare(connection, path, clock, chance or SystemChance(), migrate=migrate)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise failure(error, path) from error
        opened = None if path == MEMORY else os.stat(path)
        if inline:
            return cls(path, clock, InlineWriter(connection, path), InlineReaders(connection, path), opened)
        return cls(path, clock, ThreadWriter(connection, path), ReaderPool(path), opened)

    def tenant(self, tenant: str) -> SqliteTenant:
        """The handle through which everything of one tenant is read and set."""
        return SqliteTenant(self, tenant)

    async def append(
        self,
        lease: Lease,
        expect_seq: int,
        events: Sequence[Event],
        *,
        ledger: Sequence[LedgerEntry] = (),
        outbox: Sequence[OutboxMessage] = (),
        views: Sequence[RunView] = (),
    ) -> None:
        """See `Store.append`. A caller that is cancelled meanwhile does not learn whether the append stands.

        Raises:
            Fenced, Conflict, StoreUnavailable: nothing was written.
            StoreError: a value cannot be stored (too large a number, broken Unicode); nothing was written.
            ValueError: events or rows do not follow on each other or are not of the lease's run.
        """
        await self._writer.write(Append(lease, expect_seq, events, ledger, outbox, views))

    async def acquire(self, tenant: str, run: str, holder: str) -> Lease | None:
        """Takes the run over: the epoch goes up by one and every earlier lease is fenced. None: no such run."""
        now = self._clock.now()

        def take(connection: sqlite3.Connection) -> Lease | None:
            rows = connection.execute(_ACQUIRE, (holder, now, tenant, run)).fetchall()
            return Lease(tenant, run, rows[0][0], holder) if rows else None

        return await self.call(take)

    async def open_runs(self) -> list[tuple[str, str]]:
        """Tenant and id of every run that is not finished, oldest first."""
        return await self.read(lambda connection: connection.execute(_OPEN_RUNS).fetchall())

    async def all_keys(self) -> list[KeyRow]:
        """Every key of every tenant."""
        return [KeyRow(*row) for row in await self.read(lambda connection: connection.execute(_ALL_KEYS).fetchall())]

    async def control_version(self) -> int:
        """A number that grows whenever keys or other control state change, by any process."""
        return await self.read(lambda connection: int(connection.execute(_CONTROL_VERSION).fetchone()[0]))

    async def ping(self) -> None:
        """Reads and really writes, within PING_S.

        Raises:
            StoreUnavailable: the file cannot be written now, or was deleted or replaced since it was opened.
        """
        try:
            async with Deadline.after(self._clock, PING_S, "ping").enforced(self._clock):
                await self._ping()
        except DeadlineExceeded:
            cause = f"it did not answer within {PING_S:g} s"
            raise StoreUnavailable(
                f"The database {self.path} is unavailable: {cause}.",
                remedy="Find out whether another process keeps it locked (fuser FILE), or its disk is too slow.",
                path=self.path,
                cause=cause,
            ) from None

    async def _ping(self) -> None:

        def write(connection: sqlite3.Connection) -> None:
            check_same_file(self.path, self._opened)
            connection.execute("UPDATE installation SET pings = pings + 1")

        await self.call(write)
        await self.control_version()

    async def close(self) -> None:
        """Finishes what was queued, then closes the file. May be called again."""
        await self._readers.close()
        await self._writer.close()

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What `query` reads, beside the writer; for the handles of tenants."""
        return await self._readers.read(query)

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, as a member of the writer's next group; for the handles of tenants."""
        result: T = await self._writer.write(Call(work))
        return result
