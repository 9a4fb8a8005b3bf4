"""This server's hold on its runs: says that it lives, takes over what others left behind, lets decisions run out.

While the store hears of us within the time of the lease, nobody else claims our runs. Once it has not, `begin_by` is in
the past: nothing that has an effect is begun then, for another server may be going on with the run.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

from golive.core.clock import Clock
from golive.core.errors import GoliveError, StoreUnavailable
from golive.runtime.live import LiveRun
from golive.runtime.place import FaultLog
from golive.store.ports import DecisionRow, Lease, Store

BEATS = 3
"""In the time of one lease: two may be lost."""
MARGIN = 0.1
"""Of the lease: how much sooner than the store we count it as over."""
AT_ONCE = 100
"""Runs, and decisions, that are looked at in one go."""
PATIENCE = 3.0
"""In leases: how long a run whose version is not served here is left to others."""


class Holding:
    """One server's.

    Args:
        versions: digests of the agents' versions that are served here.
        take_over: goes on with a run of which this server has just got the lease.
        room: how many more runs may be carried.
        expire: makes the choice of a decision whose time is over.
        taken_over: told of the runs, each time there were some.
        carries: whether the run of that tenant and id is under way here.
        followed: the runs that are under way here and that people may follow here, by tenant and id.
        lost: called after each look: runs may have been lost to other servers; given whether the hold was unsure since
            the look before.
        away: told once when the store is lost (why), and once when it is back (None, after so many seconds).
        alone: what others left behind, and whose decisions run out, is left to other servers.
    """

    def __init__(
        self, *, store: Store, clock: Clock, holder: str, replica: str, lease_s: float,
        versions: Callable[[], Sequence[str]], take_over: Callable[[Lease], Awaitable[None]], room: Callable[[], int],
        expire: Callable[[DecisionRow], Awaitable[None]], faults: FaultLog,
        taken_over: Callable[[Sequence[str]], None], carries: Callable[[str, str], bool],
        followed: Callable[[], Mapping[tuple[str, str], LiveRun]], lost: Callable[[bool], None],
        away: Callable[[StoreUnavailable | None, float], None] = lambda error, seconds: None, alone: bool = False,
    ) -> None:  # fmt: skip
        self._store = store
        self._clock = clock
        self._holder = holder
        self._replica = replica
        self._lease_s = lease_s
        self._versions = versions
        self._take_over = take_over
        self._room = room
        self._expire = expire
        self._faults = faults
        self._taken_over = taken_over
        self._carries = carries
        self._followed = followed
        self._lost = lost
        self._away = away
        self._away_since: float | None = None
        self._lapses_seen = 0
        self._alone = alone
        self._missed: set[tuple[str, str]] = set()
        """Ours by the store's word, and not carried when we looked last."""
        self._safe_until = -math.inf
        self._unread: list[Lease] = []
        """Ours, and not carried yet: the store failed in between."""
        self._leaving = False
        self._lapses = 0

    def begin_by(self) -> float:
        """Until when, on the clock's monotonic scale, this server surely holds its runs."""
        return self._safe_until if self._store.shared else math.inf

    def lapses(self) -> int:
        """How often the hold was unsure so far: each time others may have taken some of our runs."""
        return self._lapses

    async def start(self) -> None:
        """Makes the hold known, and ends that of predecessors where there can be no other server.

        Raises:
            StoreUnavailable: the store cannot be written.
        """
        if not self._store.shared:
            await self._store.end_others(self._holder)
        elif self._replica:
            await self._store.end_others(self._holder, self._replica)
        await self.beat()

    async def keep(self) -> None:
        """Beats, claims and lets decisions run out, until `leave`."""
        while not self._leaving:
            try:
                await self.beat()
                await self.look()
            except StoreUnavailable as error:  # the next beat may do better; until then nothing new is begun
                if self._away_since is None:
                    self._away_since = self._clock.monotonic()
                    self._away(error, 0.0)
            except GoliveError as error:
                self._faults("", error)
            await asyncio.sleep(self._lease_s / BEATS)

    async def beat(self) -> None:
        """Says that this server lives. Raises StoreUnavailable."""
        before = self._clock.monotonic()
        lapsed = math.isfinite(self._safe_until) and before > self._safe_until
        stood = await self._store.beat(self._holder, self._lease_s)
        if self._away_since is not None:
            seconds, self._away_since = self._clock.monotonic() - self._away_since, None
            self._away(None, seconds)
        if lapsed or not stood:
            self._lapses += 1  # before the hold is sure again: nobody is to begin anything in between
        self._safe_until = before + self._lease_s * (1 - MARGIN)

    async def look(self) -> None:
        """Takes over what others left behind, and makes the choice where a decision's time is over.

        Raises:
            StoreUnavailable: the rest comes with the next look.
        """
        while not self._leaving and not self._alone:
            if not self._unread:
                room = min(AT_ONCE, self._room())
                if room <= 0:
                    break
                patience_s = PATIENCE * self._lease_s if self._store.shared else 0.0
                self._unread = await self._store.claim(self._holder, self._versions(), room, patience_s)
            if not self._unread:
                break
            await self._go_on_with_each()
        await self._compare()
        for row in () if self._alone else await self._store.due_decisions(AT_ONCE):
            await self._expire(row)

    async def _compare(self) -> None:
        """Holds what is ours by the store's word against what is carried here.

        A run that another server has taken over is stopped here, and its readers are sent to the journal: what it does
        here, such as a tool's long call, would find out only with its next write. And runs that are ours are gone on
        with that nobody carries, because the answer that would have told us was lost. What is just being begun, or
        ended, looks the same: of those only what is seen twice in a row is taken.
        """
        followed = self._followed()
        held = set(await self._store.held(self._holder))
        for key, live in followed.items():
            if key not in held and live.goes_on and await live.journal.fenced():
                live.let_go()
        self._lost(self._lapses > self._lapses_seen)
        self._lapses_seen = self._lapses
        seen = {key for key in held if not self._carries(*key)}
        lost, self._missed = sorted(seen & self._missed), seen
        for tenant, run in lost:
            lease = await self._store.acquire(tenant, run, self._holder)
            if lease is not None and not self._leaving:
                self._unread.append(lease)
        await self._go_on_with_each()

    async def _go_on_with_each(self) -> None:
        taken: list[str] = []
        try:
            while self._unread:
                lease = self._unread[0]
                try:
                    await self._take_over(lease)
                    taken.append(lease.run)
                except StoreUnavailable:
                    raise
                except Exception as error:  # a journal that cannot be read keeps no other run from being served
                    self._faults(lease.run, error)
                self._unread.pop(0)
        finally:
            if taken:
                self._taken_over(taken)

    async def leave(self) -> None:
        """Lets others claim at once what is left here. Raises StoreUnavailable."""
        self._leaving = True
        self._safe_until = -math.inf
        await self._store.leave(self._holder)
