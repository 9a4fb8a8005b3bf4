"""One plain gateway call under way: what comes of it, what it costs, and how it is ended from outside."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import GoliveError, ShuttingDown, StoreError, StoreUnavailable, Suspended
from golive.core.events import ModelFinished, Outcome, RunFinished
from golive.core.messages import Usage
from golive.core.tasks import uncancelled
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Finished,
    Metered,
    ModelEvent,
    Opened,
    TextDelta,
)
from golive.runtime.journal import RunJournal
from golive.runtime.model_failure import failed_attempt, price_alarm
from golive.runtime.step import retry_after_s

Stream = Callable[[CallContext], AsyncGenerator[list[ModelEvent], None]]
"""A call that is ready to be made."""


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
        user: str | None = None,
    ) -> None:
        self.run = journal.state.run
        self.tenant = journal.state.tenant
        self.user = user
        self.barred: str | None = None
        """Why it is to end, since nothing of its tenant or user may go on."""
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
            ShuttingDown, Suspended: likewise, since the server stops, or who asked is not let in any more.
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
            stopped = self._stopped()
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

    def bar(self, why: str) -> None:
        """Ends the call likewise, as cancelled, since nothing of its tenant or user may go on."""
        self.barred = why
        self.interrupt()

    def _stopped(self) -> GoliveError:
        if self.barred is None:
            return ShuttingDown("The server stopped before the call was over.", remedy="Send the request again.")
        remedy = "Ask whoever runs this server."
        return Suspended("Whoever asked for this call is not let in any more.", remedy=remedy, reason=self.barred)

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
            reason = self.barred or reason
            outcome = "cancelled" if abandoned or self.barred else "failed"
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
