"""Plain gateway calls: one model call for an outsider, journalled and priced like a run, its content not kept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import (
    DeadlineExceeded,
    Fenced,
    GoliveError,
    ModelError,
    ShuttingDown,
    StoreError,
    StoreUnavailable,
)
from golive.core.events import (
    Body,
    ModelFailed,
    ModelFinished,
    Outcome,
    RunAccepted,
    RunFinished,
)
from golive.core.ids import Ids
from golive.core.messages import Usage
from golive.core.tasks import Tasks, uncancelled
from golive.models.call import CallContext, Finished, Metered, ModelCall, ModelEvent, ModelRequest, Opened
from golive.runtime.ending import Ender
from golive.runtime.journal import Observer, RunJournal, price_alarm
from golive.runtime.state import RunState
from golive.store.ports import Lease, Store
from golive.tenants.authorize import Principal

RELAY_DEADLINE_S = 600.0
"""Longest relayed call; the provider's own limits are tighter."""
RELAY_VERSION = "relay"
"""Stands where an agent's digest stands: a relayed call belongs to no version."""


class Relay:
    """Opens plain gateway calls."""

    def __init__(
        self,
        *,
        store: Store,
        target: Callable[[str], ModelCall],
        clock: Clock,
        ids: Ids,
        holder: str,
        observer: Observer,
    ) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._ids = ids
        self._holder = holder
        self._observer = observer
        self._ender = Ender(store, clock, holder, observer)
        self._tasks = Tasks("relays")
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    @property
    def open_calls(self) -> int:
        return self._open

    async def open(self, principal: Principal, target: str, request: ModelRequest) -> "RelayCall":
        """Accepts the call, durably, before the provider is asked.

        Raises:
            NotFound: the provider is unknown. ShuttingDown, StoreUnavailable: not accepted.
        """
        if self._draining:
            raise ShuttingDown("This server is shutting down.", remedy="Send the request again; another one answers.")
        call = self._target(target)
        run = self._ids.new("run")
        state = RunState(principal.tenant, run, RELAY_VERSION)
        state.epoch = 1
        journal = RunJournal(
            store=self._store,
            lease=Lease(principal.tenant, run, 1, self._holder),
            state=state,
            log=None,
            clock=self._clock,
            tasks=self._tasks,
            observer=self._observer,
        )
        journal.note(RunAccepted(target, "", "relay", principal=principal.id, deadline_s=RELAY_DEADLINE_S, max_steps=1))
        await journal.flush()
        deadline = Deadline.after(self._clock, RELAY_DEADLINE_S, "the relay's limit")
        self._open += 1
        self._idle.clear()
        return RelayCall(journal, call, request, deadline, target, self._clock, self._closed, self._settle_in_time)

    def _closed(self) -> None:
        self._open -= 1
        if not self._open:
            self._idle.set()

    def _settle_in_time(self, journal: RunJournal, error: StoreError) -> None:
        """The store did not take a call's end."""
        if not self._draining:
            self._tasks.start(self._settle(journal, error), journal.state.run)

    async def _settle(self, journal: RunJournal, error: StoreError) -> None:
        """The end, and what the call cost, follow when the store takes them; where it never does, an end without."""
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
        """Accepts nothing more, and lets open calls finish for `seconds`; what is left ends with its connection."""
        self._draining = True
        with suppress(DeadlineExceeded):
            async with Deadline.after(self._clock, seconds, "server.drain_s").enforced(self._clock):
                await self._idle.wait()


class RelayCall:
    """One relayed call under way: iterate for its batches; close it when the client goes."""

    def __init__(
        self,
        journal: RunJournal,
        call: ModelCall,
        request: ModelRequest,
        deadline: Deadline,
        target: str,
        clock: Clock,
        closed: Callable[[], None],
        settle_in_time: Callable[[RunJournal, StoreError], None],
    ) -> None:
        self.run = journal.state.run
        self._journal = journal
        self._ctx = CallContext(deadline, self.run, journal.state.tenant, self._on_abandoned)
        self._stream = call(request, self._ctx)
        self._target = target
        self._clock = clock
        self._closed = closed
        self._settle_in_time = settle_in_time
        self._metered: Metered | None = None
        self._opened: Opened | None = None
        self._finish_reason = "stop"
        self._settled = False

    async def __aiter__(self) -> AsyncIterator[list[ModelEvent]]:
        """Batches of the answer; what it cost is durable before the iteration ends.

        Raises:
            ModelError, DeadlineExceeded: no answer, or one that broke off; journalled.
            StoreUnavailable: its end cannot be made durable now; it will be once the store is back.
        """
        try:
            async for batch in self._stream:
                for event in batch:
                    if isinstance(event, Finished):
                        self._finish_reason = event.reason
                    elif isinstance(event, Opened):
                        self._opened = event
                    elif isinstance(event, Metered):
                        self._metered = event
                yield batch
        except GoliveError as error:
            await self._settle(error)
            raise
        if not self._settled:
            await self._settle(None)

    async def aclose(self) -> None:
        """Gives the call up if it still runs: the provider's connection is closed, what it cost is settled."""
        try:
            await self._stream.aclose()
            if not self._settled:
                with suppress(StoreUnavailable):  # nobody is left to be told
                    await uncancelled(self._settle(None, abandoned=True))
        finally:
            self._closed()

    def _on_abandoned(self, metered: Metered) -> None:
        self._metered = metered

    async def _settle(self, error: GoliveError | None, *, abandoned: bool = False) -> None:
        self._settled = True
        metered, opened = self._metered, self._opened
        usage = metered.usage if metered else Usage()
        cost = metered.cost_microusd if metered else 0
        body: Body
        outcome: Outcome = "completed"
        reason = "done"
        if error is not None or abandoned:
            reason = error.code if error else "disconnected"
            outcome = "cancelled" if abandoned else "failed"
            fields = error.fields if isinstance(error, ModelError) else {}
            body = ModelFailed(
                1,
                1,
                self._target,
                reason,
                _words(error) if error else "The client went away.",
                fields.get("status"),
                fields.get("vendor_code"),
                fields.get("vendor_message"),
                fields.get("request_id"),
                fields.get("retry_after_s"),
                metered.latency_ms if metered else 0.0,
                usage,
                cost,
                metered.priced if metered else True,
                metered.estimated if metered else False,
            )
        else:
            body = ModelFinished(
                step=1,
                attempt=1,
                target=self._target,
                item="",
                finish_reason=self._finish_reason,
                usage=usage,
                cost_microusd=cost,
                priced=metered.priced if metered else False,
                response_model=opened.response_model if opened else "",
                request_id=opened.request_id if opened else None,
                first_token_ms=metered.first_token_ms if metered else None,
                latency_ms=metered.latency_ms if metered else 0.0,
                usage_estimated=metered.estimated if metered else False,
            )
        self._journal.note(body, metered)
        alarm = price_alarm(metered) if metered else None
        if alarm is not None:
            self._journal.note(alarm)
        state = self._journal.state
        duration_ms = round((self._clock.now() - state.created_at) * 1000, 3)
        self._journal.note(RunFinished(outcome, reason, "", None, usage, cost, 1, duration_ms, state.estimated))
        try:
            await self._journal.flush()
        except StoreError as refused:
            self._settle_in_time(self._journal, refused)
            raise


def _words(error: GoliveError) -> str:
    """What the journal says of a failure; where only the operator can help, with what to do."""
    return error.message if isinstance(error, ModelError) else str(error)
