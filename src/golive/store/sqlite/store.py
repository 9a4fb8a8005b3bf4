"""`SqliteStore`: the whole installation's memory in one SQLite file.

Puts writer, readers and tenants together and keeps `store.ports.Store`. Several processes may open the same file.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from golive.core.chance import Chance, SystemChance
from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import DeadlineExceeded, StoreUnavailable
from golive.core.events import Event
from golive.store.ports import DecisionRow, Delivery, KeyRow, Lease, LedgerEntry, OutboxMessage, RunView, Store
from golive.store.room import Room
from golive.store.sqlite import removal, tenancy, work
from golive.store.sqlite.audit import SqliteAudit
from golive.store.sqlite.connection import MEMORY, connect_writer, create_file, failure
from golive.store.sqlite.data_keys import SqliteDataKeys
from golive.store.sqlite.erasures import SqliteErasures
from golive.store.sqlite.fingerprints import SqliteFingerprints
from golive.store.sqlite.group import Append, Call
from golive.store.sqlite.readers import InlineReaders, ReaderPool
from golive.store.sqlite.revocations import SqliteRevocations
from golive.store.sqlite.schema import prepare
from golive.store.sqlite.tenant import KEY_COLUMNS, SqliteTenant
from golive.store.sqlite.waiters import Waiters
from golive.store.sqlite.writer import InlineWriter, ThreadWriter, check_same_file
from golive.store.tenancy import CredentialRow, TenantRow

T = TypeVar("T")
PING_S = 1.5
"""How long `ping` waits: whoever asks for health is not kept waiting as long as a write may be."""

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_ALL_KEYS = f"SELECT {KEY_COLUMNS} FROM keys ORDER BY tenant, id"
_GENERATION = "SELECT generation FROM installation"
_SEQ = "SELECT seq FROM leases WHERE tenant = ? AND run = ?"
_CONTROL_VERSION = "SELECT control_version FROM installation"


class SqliteStore(Store):
    """Made by `open`."""

    shared = False

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
        self._waiters = Waiters()
        self.audit = SqliteAudit(self)
        self.data_keys = SqliteDataKeys(self, clock.now)
        self.erasures = SqliteErasures(self, path)
        self.fingerprints = SqliteFingerprints(self)
        self.revocations = SqliteRevocations(self)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        clock: Clock,
        inline: bool = False,
        chance: Chance | None = None,
    ) -> "SqliteStore":
        """Opens the file, and creates it (mode 0600), its folders and its schema if there is none. Blocks briefly.

        Args:
            path: the file; ":memory:" together with `inline` keeps everything in memory.
            inline: write and read in the calling thread, at once: for the simulated world.
            chance: where the installation's id comes from (the operating system's randomness by default).

        Raises:
            StoreUnavailable: the file cannot be opened or written.
            SchemaMismatch: its schema is older, too new, or not golive's.
        """
        path = str(path)
        if path == MEMORY and not inline:
            raise ValueError("a store in memory works inline only")
        create_file(path)
        try:
            connection = connect_writer(path)
            try:
                prepare(connection, path, clock, chance or SystemChance())
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
        decisions: Sequence[DecisionRow] = (),
        at_rest: bool = False,
        room: Room | None = None,
    ) -> None:
        """See `Store.append`. A caller that is cancelled meanwhile does not learn whether the append stands.

        Raises:
            Fenced, Conflict, ConversationBusy, StoreUnavailable: nothing was written.
            StoreError: a value cannot be stored (too large a number, broken Unicode); nothing was written.
            ValueError: events or rows do not follow on each other or are not of the lease's run.
        """
        now = self._clock.now()
        await self._writer.write(
            Append(lease, expect_seq, events, ledger, outbox, views, decisions, at_rest, now, room)
        )
        self._waiters.tell((lease.tenant, lease.run))

    async def acquire(self, tenant: str, run: str, holder: str) -> Lease | None:
        """Takes the run over: the epoch goes up by one and every earlier lease is fenced. None: no such run."""
        now = self._clock.now()
        return await self.call(lambda connection: work.acquire(connection, tenant, run, holder, now))

    async def beat(self, holder: str, lease_s: float) -> bool:
        """See `Store.beat`."""
        now = self._clock.now()
        return await self.call(lambda connection: work.beat(connection, holder, now, lease_s))

    async def leave(self, holder: str) -> None:
        """See `Store.leave`."""
        now = self._clock.now()
        await self.call(lambda connection: work.leave(connection, holder, now))

    async def end_others(self, holder: str, replica: str = "") -> None:
        """See `Store.end_others`."""
        now = self._clock.now()
        await self.call(lambda connection: work.end_others(connection, holder, replica, now))

    async def claim(self, holder: str, versions: Sequence[str], limit: int, patience_s: float) -> list[Lease]:
        """See `Store.claim`."""
        now = self._clock.now()
        return await self.call(lambda connection: work.claim(connection, holder, now, versions, limit, patience_s))

    async def held(self, holder: str) -> list[tuple[str, str]]:
        """See `Store.held`."""
        return await self.read(lambda connection: connection.execute(work.HELD, (holder,)).fetchall())

    async def due_decisions(self, limit: int) -> list[DecisionRow]:
        """See `Store.due_decisions`."""
        now = self._clock.now()
        return await self.read(lambda connection: work.due_decisions(connection, now, limit))

    async def claim_messages(
        self, for_s: float, limit: int, *, only: str | None = None, but: Sequence[str] = ()
    ) -> list[Delivery]:
        """See `Store.claim_messages`."""
        now = self._clock.now()
        return await self.call(lambda connection: work.claim_messages(connection, now, for_s, limit, only, but))

    async def settle_message(
        self, tenant: str, id_: str, state: Literal["due", "sent", "dead"], error: str | None, after_s: float = 0.0,
        *, attempted: bool = True,
    ) -> None:  # fmt: skip
        """See `Store.settle_message`."""
        at = self._clock.now() + (after_s if state == "due" else 0.0)
        await self.call(lambda connection: work.settle_message(connection, tenant, id_, state, at, error, attempted))

    async def prune(
        self, finished_before: float, limit: int, tenant: str | None = None, but: Sequence[str] = ()
    ) -> int:
        """See `Removes.prune`."""
        return await self.call(lambda connection: removal.prune(connection, finished_before, limit, tenant, but))

    async def erase_runs(self, tenant: str, user: str | None, limit: int) -> int:
        """See `Removes.erase_runs`."""
        erased = await self.call(lambda connection: removal.erase_runs(connection, tenant, user, limit))
        if erased < limit:
            await self.wipe()
        return erased

    async def erase_tenant_rows(self, tenant: str) -> dict[str, int]:
        """See `Removes.erase_tenant_rows`."""
        removed = await self.call(lambda connection: removal.erase_tenant_rows(connection, tenant))
        await self.wipe()
        return removed

    async def wipe(self) -> bool:
        """See `Removes.wipe`."""
        if self.path == MEMORY:
            return True
        if isinstance(self._writer, InlineWriter):
            return removal.wipe(self.path)
        return await asyncio.to_thread(removal.wipe, self.path)

    async def changed(self, tenant: str, run: str, after_seq: int, timeout_s: float) -> None:
        """See `Store.changed`: whatever changes, changes through this very object."""

        async def already() -> bool:
            rows = await self.read(lambda connection: connection.execute(_SEQ, (tenant, run)).fetchall())
            return bool(rows) and rows[0][0] > after_seq

        await self._waiters.wait((tenant, run), timeout_s, already)

    def nudge(self, tenant: str, run: str) -> None:
        """See `Store.nudge`."""
        self._waiters.tell((tenant, run))

    async def generation(self) -> int:
        """Rises with each restored backup."""
        return await self.read(lambda connection: int(connection.execute(_GENERATION).fetchone()[0]))

    async def all_keys(self) -> list[KeyRow]:
        """Every key of every tenant."""
        return [KeyRow(*row) for row in await self.read(lambda connection: connection.execute(_ALL_KEYS).fetchall())]

    async def all_tenants(self) -> list[TenantRow]:
        """See `KeepsTenants.all_tenants`."""
        return await self.read(tenancy.all_tenants)

    async def all_credentials(self) -> list[CredentialRow]:
        """See `KeepsTenants.all_credentials`."""
        return await self.read(tenancy.all_credentials)

    async def suspended_users(self) -> list[tuple[str, str]]:
        """See `KeepsTenants.suspended_users`."""
        return await self.read(tenancy.suspended_users)

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

    def now(self) -> float:
        """By the store's clock, seconds since the epoch; for the handles of tenants."""
        return self._clock.now()

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """What `query` reads, beside the writer; for the handles of tenants."""
        return await self._readers.read(query)

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, as a member of the writer's next group; for the handles of tenants."""
        result: T = await self._writer.write(Call(work))
        return result
