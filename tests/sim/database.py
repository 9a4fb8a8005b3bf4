"""The database of the world, and a replica's way to it: everything between "asked" and "answered" may go wrong.

The database itself is golive's SQLite store in memory, inline: what it is asked to do happens at one moment, in the
world's own context, whether the asker still lives or not. A `Link` is one replica's connection to it and keeps the
contract of `golive.store.ports.Store`, as far as the weather lets it.
"""

import asyncio
import io
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, TypeVar

from msgspec import Struct

from golive.core.chance import Chance, SeededChance
from golive.core.errors import GoliveError, StoreUnavailable
from golive.core.events import Event
from golive.store.ports import (
    DecisionRow,
    Delivery,
    DeliveryCount,
    KeyRow,
    Lease,
    LedgerEntry,
    OutboxMessage,
    RunFilter,
    RunView,
    ScheduleRow,
    Store,
    TenantStore,
    VersionRow,
)
from golive.store.room import Room
from golive.store.sealed.keys import DataKeys
from golive.store.sealed.master import Masters
from golive.store.sealed.store import sealed
from golive.store.sqlite.store import SqliteStore
from golive.telemetry.logs import configure
from tests.sim.data_keys import LinkDataKeys
from tests.sim.loop import VirtualClock
from tests.sim.processes import Process, WorldLoop
from tests.sim.tenancy import LinkRecords, LinkTenancy, make_tenants

T = TypeVar("T")
USUAL_S = 0.002
"""One way to the database, at most, in good weather."""
POLL_S = 0.25
MASTER = bytes(range(32))
"""The master key of the world."""
_LIVING = """
SELECT leases.run FROM leases JOIN holders ON holders.holder = leases.holder WHERE holders.until > ?
"""
GIVEN_UP_S = 1.5
"""After so long a replica that cannot reach the database is told so."""


class Appended(Struct, frozen=True):
    """One append that stands."""

    process: str
    lease: Lease
    events: tuple[Event, ...]
    at_rest: bool


class Claimed(Struct, frozen=True):
    """Runs that a replica took over because nobody carries them; `living`: runs whose holders live."""

    process: str
    leases: tuple[Lease, ...]
    living: frozenset[str]


class Weather(Struct):
    """What goes wrong between replicas and database now. Shares of all requests, 0 to 1."""

    late: float = 0.0
    unheard: float = 0.0
    """Carried out, and the asker is told that the database is not available."""
    twice: float = 0.0
    """An append is carried out, and its repetition arrives a little later; nobody waits for that one's answer."""
    deaf: float = 0.0
    """Notifications that are lost."""
    full: bool = False
    """The disk is full: nothing can be written."""


class Database:
    """What all replicas share."""

    def __init__(self, loop: WorldLoop) -> None:
        self.clock = VirtualClock(loop)
        self.store = SqliteStore.open(":memory:", clock=self.clock, inline=True)
        self.now(make_tenants(self.store, self.clock.now()))
        self.opened = self._opened()
        """The same with content in plain words, for who judges: replicas have it through their links."""
        self.weather = Weather()
        self.on_append: list[Callable[[Appended], None]] = []
        self.on_claim: list[Callable[[Claimed], None]] = []
        self._watching: dict[tuple[str, str], list[Callable[[], None]]] = {}

    def now(self, work: Coroutine[Any, Any, T]) -> T:
        """Carries the work out at this very moment, and returns or raises what it does."""
        try:
            work.send(None)
        except StopIteration as done:
            value: T = done.value
            return value
        raise AssertionError("the store in memory waited for something")

    def _opened(self) -> Store:
        masters = Masters(self.now(self.store.data_keys.installation()), MASTER)
        log, chance = configure("error", "json", None, io.StringIO(), clock=self.clock), SeededChance(0)
        return sealed(self.store, DataKeys(self.store.data_keys, masters, self.clock, chance, log), chance, log)

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """The first column of what the statement finds, for checkers: no replica asks so."""
        found = self.now(self.store.read(lambda connection: connection.execute(sql, values).fetchall()))
        return [value for (value,) in found]

    def watch(self, key: tuple[str, str], tell: Callable[[], None]) -> None:
        """Calls `tell` at each append to the run, until `forget`."""
        self._watching.setdefault(key, []).append(tell)

    def forget(self, key: tuple[str, str], tell: Callable[[], None]) -> None:
        """The opposite."""
        others = self._watching[key]
        others.remove(tell)
        if not others:
            del self._watching[key]

    @property
    def watchers(self) -> int:
        return sum(map(len, self._watching.values()))

    def claimed(self, done: Claimed) -> None:
        """Tells who wants to know."""
        for listener in self.on_claim if done.leases else ():
            listener(done)

    def appended(self, done: Appended) -> None:
        """Tells who wants to know."""
        for listener in self.on_append:
            listener(done)
        for tell in list(self._watching.get((done.lease.tenant, done.lease.run), ())):
            tell()


class Link(LinkTenancy, Store):
    """One replica's store."""

    shared = True

    def __init__(self, process: Process, loop: WorldLoop, database: Database, chance: Chance) -> None:
        self.process = process
        self.cut = False
        """Nothing gets through, either way."""
        self._loop = loop
        self.database = database
        self._chance = chance
        self._store = database.store
        self._waiting: dict[tuple[str, str], list[Callable[[], None]]] = {}
        self.data_keys = LinkDataKeys(self, self._store.data_keys)

    def tenant(self, tenant: str) -> "LinkTenant":
        return LinkTenant(self, self._store.tenant(tenant))

    async def ask(self, work: Callable[[], Coroutine[Any, Any, T]], *, writes: bool = False, again: bool = False) -> T:
        """Sends the work over, and waits for its answer. `again`: it may arrive twice."""
        answer: asyncio.Future[T] = self._loop.create_future()
        self._loop.outside_later(self._way(), self._arrived, work, answer, writes, again)
        return await answer

    def _way(self) -> float:
        late = self._chance.uniform(0.0, 1.0) < self.database.weather.late
        return self._chance.uniform(0.0001, USUAL_S) + (self._chance.uniform(0.05, 3.0) if late else 0.0)

    def _arrived(
        self, work: Callable[[], Coroutine[Any, Any, T]], answer: "asyncio.Future[T]", writes: bool, again: bool
    ) -> None:
        weather = self.database.weather
        if self.cut:
            self._answer_later(answer, None, _unreachable(), GIVEN_UP_S)
            return
        if weather.full and writes:
            self._answer_later(answer, None, _full())
            return
        value, error = self._carried_out(work)
        drawn = self._chance.uniform(0.0, 1.0)
        if again and drawn < weather.twice:
            self._loop.outside_later(self._chance.uniform(0.01, 3.0), self._carried_out, work)
        elif drawn > 1.0 - weather.unheard:
            value, error = None, _unreachable()
        self._answer_later(answer, value, error)

    def _carried_out(self, work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T | None, GoliveError | None]:
        try:
            return self.database.now(work()), None
        except GoliveError as error:
            return None, error

    def _answer_later(
        self, answer: "asyncio.Future[T]", value: T | None, error: GoliveError | None, wait_s: float = 0.0
    ) -> None:
        self._loop.outside_later(wait_s + self._way(), self._answered, answer, value, error)

    def _answered(self, answer: "asyncio.Future[Any]", value: Any, error: GoliveError | None) -> None:
        if self.cut and error is None:
            value, error = None, _unreachable()
        if answer.done():
            return
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    async def append(
        self, lease: Lease, expect_seq: int, events: Sequence[Event], *, ledger: Sequence[LedgerEntry] = (),
        outbox: Sequence[OutboxMessage] = (), views: Sequence[RunView] = (), decisions: Sequence[DecisionRow] = (),
        at_rest: bool = False, room: Room | None = None,
    ) -> None:  # fmt: skip
        held = tuple(events)

        async def write() -> None:
            await self._store.append(
                lease, expect_seq, held, ledger=ledger, outbox=outbox, views=views, decisions=decisions,
                at_rest=at_rest, room=room,
            )  # fmt: skip
            self.database.appended(Appended(self.process.name, lease, held, at_rest))

        await self.ask(write, writes=True, again=True)

    async def acquire(self, tenant: str, run: str, holder: str) -> Lease | None:
        return await self.ask(lambda: self._store.acquire(tenant, run, holder), writes=True)

    async def beat(self, holder: str, lease_s: float) -> bool:
        return await self.ask(lambda: self._store.beat(holder, lease_s), writes=True)

    async def leave(self, holder: str) -> None:
        await self.ask(lambda: self._store.leave(holder), writes=True)

    async def end_others(self, holder: str, replica: str = "") -> None:
        await self.ask(lambda: self._store.end_others(holder, replica), writes=True)

    async def claim(self, holder: str, versions: Sequence[str], limit: int, patience_s: float) -> list[Lease]:
        async def claim() -> list[Lease]:
            living = self.database.rows(_LIVING, self.database.clock.now())
            leases = await self._store.claim(holder, versions, limit, patience_s)
            self.database.claimed(Claimed(self.process.name, tuple(leases), frozenset(living)))
            return leases

        return await self.ask(claim, writes=True)

    async def held(self, holder: str) -> list[tuple[str, str]]:
        return await self.ask(lambda: self._store.held(holder))

    async def due_decisions(self, limit: int) -> list[DecisionRow]:
        return await self.ask(lambda: self._store.due_decisions(limit))

    async def claim_messages(
        self, for_s: float, limit: int, *, only: str | None = None, but: Sequence[str] = ()
    ) -> list[Delivery]:
        return await self.ask(lambda: self._store.claim_messages(for_s, limit, only=only, but=but), writes=True)

    async def settle_message(
        self, tenant: str, id_: str, state: Literal["due", "sent", "dead"], error: str | None, after_s: float = 0.0,
        *, attempted: bool = True,
    ) -> None:  # fmt: skip
        settled = lambda: self._store.settle_message(tenant, id_, state, error, after_s, attempted=attempted)  # noqa: E731
        await self.ask(settled, writes=True)

    async def changed(self, tenant: str, run: str, after_seq: int, timeout_s: float) -> None:
        """A notification, unless it is lost; and a look every so often, as a listener on a real database has it."""
        key, over = (tenant, run), self._loop.time() + timeout_s
        heard: asyncio.Future[None] = self._loop.create_future()

        def tell() -> None:
            if not self.cut and self._chance.uniform(0.0, 1.0) >= self.database.weather.deaf:
                self._loop.outside_later(self._way(), hear)

        def hear() -> None:
            if not heard.done():
                heard.set_result(None)

        self.database.watch(key, tell)
        self._waiting.setdefault(key, []).append(hear)
        self.process.on_death.append(lambda: self.database.forget(key, tell))
        ended = len(self.process.on_death) - 1
        try:
            while not heard.done() and self._loop.time() < over:
                await asyncio.wait([heard], timeout=min(POLL_S, over - self._loop.time()))
                if not heard.done() and not self.cut and self._behind(key, after_seq):
                    return
        finally:
            self._waiting[key].remove(hear)
            self.database.forget(key, tell)
            self.process.on_death[ended] = _nothing

    def nudge(self, tenant: str, run: str) -> None:
        """Wakes whoever waits in this process."""
        for hear in self._waiting.get((tenant, run), ()):
            hear()

    def _behind(self, key: tuple[str, str], after_seq: int) -> bool:
        return bool(self.database.now(self._store.tenant(key[0]).events(key[1], after_seq, 1)))

    async def generation(self) -> int:
        return await self.ask(self._store.generation)

    async def all_keys(self) -> list[KeyRow]:
        return await self.ask(self._store.all_keys)

    async def control_version(self) -> int:
        return await self.ask(self._store.control_version)

    async def ping(self) -> None:
        await self.ask(self._store.control_version, writes=True)

    async def close(self) -> None: ...


class LinkTenant(LinkRecords, TenantStore):
    """A tenant's handle over a link."""

    def __init__(self, link: Link, store: TenantStore) -> None:
        self.tenant = store.tenant
        self._link = link
        self._store = store

    async def events(self, run: str, after_seq: int = 0, limit: int = 10_000) -> list[Event]:
        return await self._link.ask(lambda: self._store.events(run, after_seq, limit))

    async def run(self, run: str) -> RunView | None:
        return await self._link.ask(lambda: self._store.run(run))

    async def runs(self, where: RunFilter) -> list[RunView]:
        return await self._link.ask(lambda: self._store.runs(where))

    async def spent(self, run: str) -> int:
        return await self._link.ask(lambda: self._store.spent(run))

    async def ledger(self, run: str) -> list[LedgerEntry]:
        return await self._link.ask(lambda: self._store.ledger(run))

    async def register_version(self, row: VersionRow) -> VersionRow:
        return await self._link.ask(lambda: self._store.register_version(row), writes=True)

    async def versions(self, agent: str | None = None) -> list[VersionRow]:
        return await self._link.ask(lambda: self._store.versions(agent))

    async def put_key(self, row: KeyRow, read: KeyRow | None = None) -> None:
        await self._link.ask(lambda: self._store.put_key(row, read), writes=True)

    async def keys(self) -> list[KeyRow]:
        return await self._link.ask(self._store.keys)

    async def decisions(
        self, *, run: str | None = None, pending: bool = False, before: str | None = None, limit: int = 50
    ) -> list[DecisionRow]:
        return await self._link.ask(lambda: self._store.decisions(run=run, pending=pending, before=before, limit=limit))

    async def deliveries(
        self, *, run: str | None = None, state: Literal["due", "sent", "dead"] | None = None,
        target: str | None = None, before: str | None = None, limit: int = 50,
    ) -> list[Delivery]:  # fmt: skip
        return await self._link.ask(
            lambda: self._store.deliveries(run=run, state=state, target=target, before=before, limit=limit)
        )

    async def delivery_counts(self, state: Literal["due", "sent", "dead"] | None = None) -> list[DeliveryCount]:
        return await self._link.ask(lambda: self._store.delivery_counts(state))

    async def send_again(self, id_: str) -> bool:
        return await self._link.ask(lambda: self._store.send_again(id_), writes=True)

    async def schedules(self) -> list[ScheduleRow]:
        return await self._link.ask(self._store.schedules)

    async def put_schedule(self, row: ScheduleRow, expect: ScheduleRow | None) -> bool:
        return await self._link.ask(lambda: self._store.put_schedule(row, expect), writes=True)

    async def drop_schedule(self, name: str) -> None:
        await self._link.ask(lambda: self._store.drop_schedule(name), writes=True)

    async def tail(self, after: str, limit: int = 1_000) -> tuple[list[Event], str]:
        return await self._link.ask(lambda: self._store.tail(after, limit))

    async def keys_used(self, times: Mapping[str, float]) -> None:
        await self._link.ask(lambda: self._store.keys_used(times), writes=True)


def _nothing() -> None: ...


def _unreachable() -> StoreUnavailable:
    return StoreUnavailable("The database does not answer.", remedy="Wait.", cause="network")


def _full() -> StoreUnavailable:
    return StoreUnavailable("The database is unavailable: the disk is full.", remedy="Free space.", cause="full")
