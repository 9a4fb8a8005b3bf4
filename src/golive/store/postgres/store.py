"""`PostgresStore`: the whole installation's memory in one PostgreSQL database, shared by any number of servers.

Puts flusher, pools, tenants and waiters together and keeps `store.ports.Store`.
"""

import sys
from collections.abc import Sequence
from typing import Any, Literal

from golive.core.chance import Chance, SystemChance
from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import DeadlineExceeded, StoreUnavailable
from golive.core.events import Event
from golive.store.ports import (
    DecisionRow,
    Delivery,
    KeyRow,
    Lease,
    LedgerEntry,
    OutboxMessage,
    RunView,
    Store,
)
from golive.store.postgres import tenancy, work
from golive.store.postgres.audit import PostgresAudit
from golive.store.postgres.connection import STATEMENT_S, Address, Link, execute, failure
from golive.store.postgres.data_keys import PostgresDataKeys
from golive.store.postgres.erasures import PostgresErasures
from golive.store.postgres.fingerprints import PostgresFingerprints
from golive.store.postgres.flusher import Flusher
from golive.store.postgres.group import Append, Call
from golive.store.postgres.pool import Pool
from golive.store.postgres.removal import PostgresRemoval
from golive.store.postgres.revocations import PostgresRevocations
from golive.store.postgres.schema import prepare
from golive.store.postgres.tenant import PostgresTenant
from golive.store.postgres.waiting import Waiting
from golive.store.room import LOOKED_AT, Room, no_room
from golive.store.tenancy import CredentialRow, TenantRow

READERS = 4
"""Connections for what tenants read."""
SERVERS = 2
"""Connections for what works for all tenants."""
TURNS = 2
"""Connections that hold a conversation's lock while a turn in it is taken. With flusher and listener a server has ten
at most."""

PING_S = 1.5
"""How long `ping` waits: whoever asks for health is not kept waiting as long as a write may be."""

_MARKED_S = 6 * STATEMENT_S
"""How long it is looked for what a claim took whose answer was lost: until then the database has ended it."""

# ruff: noqa: S608 - what is put into these statements are names of columns from our own structs, never a value
_ALL_KEYS = f"SELECT {', '.join(KeyRow.__struct_fields__)} FROM keys ORDER BY tenant, id"
_GENERATION = "SELECT generation FROM installation"
_CONTROL_VERSION = "SELECT control_version FROM installation"
_PING = "UPDATE installation SET pings = pings + 1"


class PostgresStore(PostgresRemoval, Store):
    """Made by `open`."""

    shared = True

    def __init__(self, address: Address, clock: Clock, chance: Chance) -> None:
        self.address = address
        self._clock = clock
        self._chance = chance
        self._flusher = Flusher(Link(address, "golive_writer", clock, chance), address)
        self._reader = Pool(address, "golive_reader", READERS, clock, chance)
        self._server = Pool(address, "golive_server", SERVERS, clock, chance)
        self.audit = PostgresAudit(self._reader, self._server, chance)
        self.data_keys = PostgresDataKeys(self._server)
        self.erasures = PostgresErasures(self._server)
        self.fingerprints = PostgresFingerprints(self._server)
        self.revocations = PostgresRevocations(self._reader, self._server)
        self._turns = Pool(address, "golive_server", TURNS, clock, chance)
        self._waiting = Waiting(Link(address, "golive_reader", clock, chance), self._server)
        self._marks: dict[float, float] = {}  # of claims whose answer was lost, and when that was

    @classmethod
    async def open(cls, url: str, *, clock: Clock, chance: Chance | None = None) -> "PostgresStore":
        """Connects, and creates the schema in an empty database.

        Args:
            url: `postgresql://USER@HOST/DATABASE`; several hosts may stand there, of which the primary is taken.
            chance: where the installation's id comes from (the operating system's randomness by default).

        Raises:
            StoreUnavailable: the database cannot be reached, or not be written.
            StoreError: the user of the URL may not work as golive's roles.
            SchemaMismatch: its schema is older or newer, or not golive's.
        """
        chance = chance or SystemChance()
        address = Address(url)
        await prepare(address, clock, chance)
        store = cls(address, clock, chance)
        try:
            await store.generation()
            await store._flusher.write(Call(_PING))
            await store.tenant("").schedules()
        except BaseException:
            await store.close()
            raise
        return store

    def tenant(self, tenant: str) -> PostgresTenant:
        """The handle through which everything of one tenant is read and set."""
        return PostgresTenant(tenant, self._reader, self._server)

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
            Fenced, Conflict, ConversationBusy, StoreUnavailable: nothing was written; but where the store is closed
                while the database is gone, the field `in_doubt` says that nobody knows.
            StoreError: a value cannot be stored (too large a number, broken Unicode, NUL); nothing was written.
            ValueError: events or rows do not follow on each other or are not of the lease's run.
        """
        job = Append(lease, expect_seq, events, ledger, outbox, views, decisions, at_rest)
        if room is None:
            await self._flusher.write(job)
        else:
            await self._write_in_turn(job, room)
        self._waiting.tell(lease.tenant, lease.run, job.last_seq)

    async def _write_in_turn(self, job: Append, room: Room) -> None:
        """While nobody else writes to the conversation who asks for room in it."""
        tenant, run = job.lease.tenant, job.lease.run
        async with self._turns.locked(f"{tenant}/{room.conversation}") as connection:
            asked = (tenant, room.conversation, run, list(room.states), room.most + LOOKED_AT)
            try:
                [[others]] = await execute(connection, work.OTHERS, *asked)
            except Exception as error:
                raise failure(error, self.address) from error
            if others > room.most:
                raise no_room(room.conversation, others)
            await self._flusher.write(job)

    async def acquire(self, tenant: str, run: str, holder: str) -> Lease | None:
        """Takes the run over: the epoch goes up by one and every earlier lease is fenced. None: no such run."""
        rows = await self._flusher.write(Call(work.ACQUIRE, tenant, run, holder))
        return Lease(tenant, run, rows[0][0], holder, rows[0][1]) if rows else None

    async def beat(self, holder: str, lease_s: float) -> bool:
        """See `Store.beat`. Not sent again when its answer is lost: the second would not see what the first saw."""
        return bool((await self._server.fetch(work.BEAT, holder, lease_s, again=False))[0][0])

    async def leave(self, holder: str) -> None:
        """See `Store.leave`."""
        await self._server.fetch(work.LEAVE, holder)

    async def end_others(self, holder: str, replica: str = "") -> None:
        """See `Store.end_others`."""
        await self._server.fetch(work.END_OTHERS, holder, f"{replica}/" if replica else "")

    async def claim(self, holder: str, versions: Sequence[str], limit: int, patience_s: float) -> list[Lease]:
        """See `Store.claim`. What a claim took whose answer was lost, is among what a later one returns."""
        mark = self._clock.now() + self._chance.uniform(0.0, 1e-3)
        lost = list(self._marks)
        try:
            rows = await self._server.fetch(
                work.CLAIM, holder, list(versions), patience_s, max(0, limit), mark, lost, again=False
            )
        except StoreUnavailable:
            self._marks[mark] = self._clock.monotonic()
            raise
        for old in lost:
            if self._clock.monotonic() > self._marks[old] + _MARKED_S:
                del self._marks[old]
        rows.sort(key=lambda row: (row[1], row[0]))
        return [Lease(tenant, run, epoch, holder, user) for tenant, run, epoch, user in rows]

    async def held(self, holder: str) -> list[tuple[str, str]]:
        """See `Store.held`."""
        return [(row[0], row[1]) for row in await self._server.fetch(work.HELD, holder)]

    async def due_decisions(self, limit: int) -> list[DecisionRow]:
        """See `Store.due_decisions`."""
        return [work.decision(row) for row in await self._server.fetch(work.DUE_DECISIONS, max(0, limit))]

    async def claim_messages(
        self, for_s: float, limit: int, *, only: str | None = None, but: Sequence[str] = ()
    ) -> list[Delivery]:
        """See `Store.claim_messages`."""
        rows = await self._server.fetch(work.CLAIM_MESSAGES, for_s, max(0, limit), only, list(but))
        return [work.delivery(row) for row in rows]

    async def settle_message(
        self, tenant: str, id_: str, state: Literal["due", "sent", "dead"], error: str | None, after_s: float = 0.0,
        *, attempted: bool = True,
    ) -> None:  # fmt: skip
        """See `Store.settle_message`."""
        await self._server.fetch(work.SETTLE, state, after_s, error, tenant, id_, 0 if attempted else 1)

    async def changed(self, tenant: str, run: str, after_seq: int, timeout_s: float) -> None:
        """See `Store.changed`: notified where possible, and by a poll within a quarter of a second otherwise."""
        await self._waiting.wait(tenant, run, after_seq, timeout_s)

    def nudge(self, tenant: str, run: str) -> None:
        """See `Store.nudge`."""
        self._waiting.tell(tenant, run, sys.maxsize)

    async def generation(self) -> int:
        """Rises with each restored backup."""
        return int((await self._server.fetch(_GENERATION))[0][0])

    async def all_keys(self) -> list[KeyRow]:
        """Every key of every tenant."""
        return [KeyRow(*row) for row in await self._server.fetch(_ALL_KEYS)]

    async def all_tenants(self) -> list[TenantRow]:
        """See `KeepsTenants.all_tenants`."""
        return await tenancy.all_tenants(self._server)

    async def all_credentials(self) -> list[CredentialRow]:
        """See `KeepsTenants.all_credentials`."""
        return await tenancy.all_credentials(self._server)

    async def suspended_users(self) -> list[tuple[str, str]]:
        """See `KeepsTenants.suspended_users`."""
        return await tenancy.suspended_users(self._server)

    async def control_version(self) -> int:
        """A number that grows whenever keys or other control state change, by any process."""
        return int((await self._server.fetch(_CONTROL_VERSION))[0][0])

    async def ping(self) -> None:
        """Reads and really writes, within PING_S, through the connection that appends go through.

        Raises:
            StoreUnavailable: the database cannot be written now.
        """
        try:
            async with Deadline.after(self._clock, PING_S, "ping").enforced(self._clock):
                await self._flusher.write(Call(_PING))
                await self.control_version()
        except DeadlineExceeded:
            cause = f"it did not answer within {PING_S:g} s"
            raise StoreUnavailable(
                f"The database {self.address.shown} is unavailable: {cause}.",
                remedy="Look whether PostgreSQL runs, can be reached from here, and has a disk that keeps up.",
                url=self.address.shown,
                cause=cause,
            ) from None

    async def close(self) -> None:
        """Finishes what was queued, then closes the connections. May be called again."""
        await self._flusher.close()
        await self._waiting.close()
        await self._reader.close()
        await self._server.close()
        await self._turns.close()

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """The rows of a statement under the role that works for all tenants: for maintenance and tests."""
        return await self._server.fetch(sql, *values)
