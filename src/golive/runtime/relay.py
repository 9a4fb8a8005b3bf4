"""Plain gateway calls: one model call for an outsider, journalled and priced like a run, its content not kept."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import DeadlineExceeded, Fenced, ShuttingDown, StoreError, StoreUnavailable
from golive.core.events import RunAccepted
from golive.core.ids import Ids
from golive.core.tasks import Tasks
from golive.models.call import ModelCall, ModelRequest
from golive.runtime.ending import Ender
from golive.runtime.journal import Announce, Observer, RunJournal, unannounced
from golive.runtime.place import Admits, admits_all
from golive.runtime.relay_call import RelayCall, Stream
from golive.runtime.state import RunState
from golive.store.ports import Lease, Store
from golive.tenants.authorize import Principal

RELAY_DEADLINE_S = 600.0
"""Longest relayed call; the provider's own limits are tighter."""
SHUTDOWN_S = 5.0
"""How long interrupted calls may take to settle."""
SEEN_AFTER_S = 1.0
"""A call stands in the list of runs when it is over, or when it has taken so long. Most are over sooner, and a row that
is written once costs half: a fifteenth of a relayed call's CPU."""
RELAY_VERSION = "relay"
"""Stands where an agent's digest stands: a relayed call belongs to no version."""


class Relay:
    """Opens plain gateway calls."""

    def __init__(
        self,
        *,
        store: Store,
        target: Callable[[str, float | None], ModelCall],
        clock: Clock,
        ids: Ids,
        holder: str,
        observer: Observer,
        announce: Announce = unannounced,
        admits: Admits = admits_all,
    ) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._ids = ids
        self._holder = holder
        self._observer = observer
        self._announce = announce
        self._ender = Ender(store, clock, holder, observer, announce)
        self._tasks = Tasks("relays")
        self._admits = admits
        self._open: dict[RelayCall, None] = {}
        self._of: Counter[str] = Counter()
        """How many are each tenant's, those that are being accepted included."""
        self._settling: set[str] = set()
        """Runs whose end the store has not taken yet."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._showing = False

    @property
    def open_calls(self) -> int:
        return len(self._open)

    def open_of(self, tenant: str) -> int:
        """How many open calls are the tenant's."""
        return self._of[tenant]

    def bar(self, barred: Callable[[str, str | None], str | None]) -> list[RelayCall]:
        """Ends the open calls of those of whom `barred` says why they may not go on; returns them."""
        ended = []
        for call in list(self._open):
            if not call.barred and (why := barred(call.tenant, call.user)) is not None:
                call.bar(why)
                ended.append(call)
        return ended

    def carries(self, run: str) -> bool:
        """Whether the run of this id is a call that is under way here, or whose end is still to be written."""
        return run in self._settling or any(call.run == run for call in self._open)

    async def open(
        self, principal: Principal, target: str, request: ModelRequest, cache_ttl_s: float | None = None,
        user: str | None = None,
    ) -> RelayCall:  # fmt: skip
        """Accepts the call, durably, before the provider is asked.

        Args:
            cache_ttl_s: how long the answer is kept, seconds; 0: not at all; None: as the configuration says.
            user: the tenant's user whom it is for.

        Raises:
            NotFound: the provider is unknown. ShuttingDown, StoreUnavailable, Suspended, TenantLimited: not accepted.
        """
        return await self.open_stream(principal, target, partial(self._target(target, cache_ttl_s), request), user)

    async def open_stream(
        self, principal: Principal, target: str, stream: Stream, user: str | None = None
    ) -> RelayCall:
        """The same for a call of another kind: `stream` makes it, and ends with what it cost (`Metered`)."""
        if self._draining:
            raise ShuttingDown("This server is shutting down.", remedy="Send the request again; another one answers.")
        self._admits(principal.tenant, user)
        run = self._ids.new("run")
        state = RunState(principal.tenant, run, RELAY_VERSION)
        state.epoch = 1
        journal = RunJournal(
            store=self._store,
            lease=Lease(principal.tenant, run, 1, self._holder, user),
            state=state,
            log=None,
            clock=self._clock,
            tasks=self._tasks,
            observer=self._observer,
            announce=self._announce,
        )
        accepted = RunAccepted(
            target, "", "relay", principal=principal.id, deadline_s=RELAY_DEADLINE_S, max_steps=1, user=user or ""
        )
        self._of[principal.tenant] += 1  # before the store is waited for: others are admitted meanwhile
        try:
            await journal.accept_unseen(accepted)
        except BaseException:
            self._uncount(principal.tenant)
            raise
        deadline = Deadline.after(self._clock, RELAY_DEADLINE_S, "the relay's limit")
        opened = RelayCall(journal, stream, deadline, target, self._clock, self._closed, self._settle_in_time, user)
        self._open[opened] = None
        self._idle.clear()
        if not self._showing:
            self._showing = True
            self._tasks.start(self._show_long_calls(), "long calls")
        return opened

    async def _show_long_calls(self) -> None:
        """A call that takes longer than `SEEN_AFTER_S` gets its row in the list of runs before it ends."""
        shown: set[RelayCall] = set()
        try:
            while self._open:
                before = set(self._open)
                await asyncio.sleep(SEEN_AFTER_S)
                shown &= set(self._open)
                for call in (before & set(self._open)) - shown:
                    shown.add(call)
                    with suppress(StoreError):  # its end says the same, and is repeated until it is written
                        await call.show()
        finally:
            self._showing = False

    def _closed(self, call: RelayCall) -> None:
        if call in self._open:
            del self._open[call]
            self._uncount(call.tenant)
        if not self._open:
            self._idle.set()

    def _uncount(self, tenant: str) -> None:
        self._of[tenant] -= 1
        if not self._of[tenant]:
            del self._of[tenant]

    def _settle_in_time(self, journal: RunJournal, error: StoreError) -> None:
        """The store did not take a call's end."""
        if not self._draining:
            self._settling.add(journal.state.run)
            self._tasks.start(self._settle(journal, error), journal.state.run)

    async def _settle(self, journal: RunJournal, error: StoreError) -> None:
        """The end, and what the call cost, follow when the store takes them; where it never does, an end without."""
        try:
            await self._written(journal, error)
        finally:
            self._settling.discard(journal.state.run)

    async def _written(self, journal: RunJournal, error: StoreError) -> None:
        try:
            if isinstance(error, StoreUnavailable):
                await journal.flush_in_time()
                return
        except StoreError as refused:
            error = refused
        if not isinstance(error, Fenced):
            await self._ender.end_failed_in_time(journal.state.tenant, journal.state.run, error)

    async def close(self) -> None:
        """Gives up what the store has not taken until now; call it once no call is open."""
        self._draining = True
        await self._tasks.close()

    async def drain(self, seconds: float) -> None:
        """Accepts nothing more, lets open calls finish for `seconds`, then ends the rest as `interrupted`."""
        self._draining = True
        with suppress(DeadlineExceeded):
            async with Deadline.after(self._clock, seconds, "server.drain_s").enforced(self._clock):
                await self._idle.wait()
        self.hurry()
        with suppress(DeadlineExceeded):
            async with Deadline.after(self._clock, SHUTDOWN_S, "shutdown").enforced(self._clock):
                await self._idle.wait()

    def hurry(self) -> None:
        """Ends open calls as `interrupted` at once, so that a `drain` under way has nothing left to wait for."""
        self._draining = True
        for call in list(self._open):
            call.interrupt()
