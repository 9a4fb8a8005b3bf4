"""Plain gateway calls: one model call for an outsider, journalled and priced like a run, its content not kept."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from functools import partial

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import (
    DeadlineExceeded,
    Fenced,
    GoliveError,
    ShuttingDown,
    StoreError,
    StoreUnavailable,
)
from golive.core.events import (
    ModelFinished,
    Outcome,
    RunAccepted,
    RunFinished,
)
from golive.core.ids import Ids
from golive.core.messages import Usage
from golive.core.tasks import Tasks, uncancelled
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Finished,
    Metered,
    ModelCall,
    ModelEvent,
    ModelRequest,
    Opened,
    TextDelta,
)
from golive.runtime.ending import Ender
from golive.runtime.journal import Announce, Observer, RunJournal, unannounced
from golive.runtime.model_failure import failed_attempt, price_alarm
from golive.runtime.state import RunState
from golive.runtime.step import retry_after_s
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

Stream = Callable[[CallContext], AsyncGenerator[list[ModelEvent], None]]
"""A call that is ready to be made."""


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
        self._open: dict[RelayCall, None] = {}
        self._settling: set[str] = set()
        """Runs whose end the store has not taken yet."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._showing = False

    @property
    def open_calls(self) -> int:
        return len(self._open)

    def carries(self, run: str) -> bool:
        """Whether the run of this id is a call that is under way here, or whose end is still to be written."""
        return run in self._settling or any(call.run == run for call in self._open)

    async def open(
        self, principal: Principal, target: str, request: ModelRequest, cache_ttl_s: float | None = None,
        user: str | None = None,
    ) -> "RelayCall":  # fmt: skip
        """Accepts the call, durably, before the provider is asked.

        Args:
            cache_ttl_s: how long the answer is kept, seconds; 0: not at all; None: as the configuration says.
            user: the tenant's user whom it is for.

        Raises:
            NotFound: the provider is unknown. ShuttingDown, StoreUnavailable: not accepted.
        """
        return await self.open_stream(principal, target, partial(self._target(target, cache_ttl_s), request), user)

    async def open_stream(
        self, principal: Principal, target: str, stream: Stream, user: str | None = None
    ) -> "RelayCall":
        """The same for a call of another kind: `stream` makes it, and ends with what it cost (`Metered`)."""
        if self._draining:
            raise ShuttingDown("This server is shutting down.", remedy="Send the request again; another one answers.")
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
        await journal.accept_unseen(
            RunAccepted(
                target, "", "relay", principal=principal.id, deadline_s=RELAY_DEADLINE_S, max_steps=1, user=user or ""
            )
        )
        deadline = Deadline.after(self._clock, RELAY_DEADLINE_S, "the relay's limit")
        opened = RelayCall(journal, stream, deadline, target, self._clock, self._closed, self._settle_in_time)
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

    def _closed(self, call: "RelayCall") -> None:
        self._open.pop(call, None)
        if not self._open:
            self._idle.set()

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


class RelayCall:
    """One relayed call under way: iterate for its batches; close it when the client goes."""

    def __init__(
        self,
        journal: RunJournal,
        stream: Stream,
        deadline: Deadline,
        target: str,
        clock: Clock,
        closed: Callable[["RelayCall"], None],
        settle_in_time: Callable[[RunJournal, StoreError], None],
    ) -> None:
        self.run = journal.state.run
        self._journal = journal
        # Not kept: it leads back here, and what holds itself waits for the collector.
        self._stream = stream(CallContext(deadline, self.run, journal.state.tenant, self._on_abandoned))
        self._target = target
        self._clock = clock
        self._closed = closed
        self._settle_in_time = settle_in_time
        self._metered: Metered | None = None
        self._attempt = 1
        self._told = False
        """The attempt's failure is noted, and no other has begun."""
        self._opened: Opened | None = None
        self._finish_reason = "stop"
        self._settled = False
        self._interrupted = False
        self._waiting: asyncio.Task[object] | None = None
        """Who waits for the provider now, and may be interrupted there; never in the middle of a journal write."""

    async def __aiter__(self) -> AsyncIterator[list[ModelEvent]]:
        """Batches of the answer; what it cost is durable before the iteration ends.

        Raises:
            ModelError, DeadlineExceeded: no answer, or one that broke off; journalled.
            ShuttingDown: likewise, since the server stops.
            StoreUnavailable: its end cannot be made durable now; it will be once the store is back.
        """
        task = self._waiting = asyncio.current_task()
        whole = False
        try:
            async for batch in self._stream:
                self._waiting = None
                if self._take(batch):
                    yield batch
                if self._interrupted and self._metered is None:
                    break
                self._waiting = task
            else:
                whole = True
            self._waiting = None
        except GoliveError as error:
            self._waiting = None
            await self._settle(error)
            raise
        except asyncio.CancelledError:
            waiting, self._waiting = self._waiting, None
            if waiting is None or not self._interrupted or waiting.uncancel():
                raise
        if not whole:
            await self._stream.aclose()
            stopped = ShuttingDown("The server stopped before the call was over.", remedy="Send the request again.")
            await self._settle(stopped)
            raise stopped
        if not self._settled:
            await self._settle(None)

    def _take(self, batch: list[ModelEvent]) -> bool:
        """Notes what the journal is to say; False where nothing in it is for the reader."""
        told = False
        for event in batch:
            if type(event) is TextDelta:
                told = True
                continue
            if isinstance(event, AttemptStarted):
                self._attempt, self._told = event.attempt, False
                continue
            if isinstance(event, AttemptFailed):
                self._note_failed(event.error, wait_s=event.wait_s)
                self._told = True
                continue
            told = True
            if isinstance(event, Finished):
                self._finish_reason = event.reason
            elif isinstance(event, Opened):
                self._opened = event
            elif isinstance(event, Metered):
                self._metered = event
        return told

    async def show(self) -> None:
        """Lists the call while it is under way.

        Raises:
            StoreError: it could not be written.
        """
        if not self._settled:
            await self._journal.show()

    def interrupt(self) -> None:
        """Ends the call as failed (interrupted): where it waits for the provider, or with its next batch."""
        self._interrupted = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def aclose(self) -> None:
        """Gives the call up if it still runs: the provider's connection is closed, what it cost is settled."""
        try:
            await self._stream.aclose()
            if not self._settled:
                with suppress(StoreUnavailable):  # nobody is left to be told
                    await uncancelled(self._settle(None, abandoned=True))
        finally:
            self._closed(self)

    def _on_abandoned(self, metered: Metered) -> None:
        self._metered = metered

    def _note_failed(self, error: BaseException | None, *, code: str = "", wait_s: float = 0.0) -> None:
        metered, self._metered = self._metered, None
        failed, *alarms = failed_attempt(1, self._attempt, self._target, error, metered, code=code, wait_s=wait_s)
        self._journal.note(failed, metered)
        for alarm in alarms:
            self._journal.note(alarm)

    async def _settle(self, error: GoliveError | None, *, abandoned: bool = False) -> None:
        self._settled = True
        metered, opened = self._metered, self._opened
        outcome: Outcome = "completed"
        reason = "done"
        if error is not None or abandoned:
            reason = error.code if error else "disconnected"
            if isinstance(error, ShuttingDown):
                reason = "interrupted"
            outcome = "cancelled" if abandoned else "failed"
            if not self._told or self._metered is not None:
                self._note_failed(error, code=reason)
        else:
            self._journal.note(
                ModelFinished(
                    step=1,
                    attempt=self._attempt,
                    target=self._target,
                    item="",
                    finish_reason=self._finish_reason,
                    usage=metered.usage if metered else Usage(),
                    cost_microusd=metered.cost_microusd if metered else 0,
                    priced=metered.priced if metered else False,
                    response_model=opened.response_model if opened else "",
                    request_id=opened.request_id if opened else None,
                    first_token_ms=metered.first_token_ms if metered else None,
                    latency_ms=metered.latency_ms if metered else 0.0,
                    usage_estimated=metered.estimated if metered else False,
                    cached=metered.cached if metered else False,
                    saved_microusd=metered.saved_microusd if metered else 0,
                ),
                metered,
            )
            if (alarm := price_alarm(metered)) is not None:
                self._journal.note(alarm)
        state = self._journal.state
        duration_ms = round((self._clock.now() - state.created_at) * 1000, 3)
        self._journal.note(
            RunFinished(
                outcome, reason, "", None, state.usage, state.cost_microusd, 1, duration_ms, state.estimated,
                retry_after_s=None if error is None else retry_after_s(error),
            )
        )  # fmt: skip
        try:
            await self._journal.flush()
        except StoreError as refused:
            self._settle_in_time(self._journal, refused)
            raise
