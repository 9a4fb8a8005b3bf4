"""The one writer of a run: events in order, text in blocks, money with its cause, frames once they are true.

`note` decides order and state at once; `flush` makes durable what was noted, in one transaction, and then shows it.
Text is shown as it comes and becomes durable in blocks: every 250 ms, every 1 KiB, and with the next flush.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec.structs import replace

from golive.core.clock import Clock
from golive.core.errors import ConversationBusy, Fenced, GoliveError, StoreUnavailable
from golive.core.events import Body, DecisionMade, DecisionRequested, Event, TextBlock, encode_body
from golive.core.frames import Channel, Frame, text_frame
from golive.core.tasks import Tasks, uncancelled
from golive.models.call import Metered
from golive.runtime.api import RunResult
from golive.runtime.shown import decision_of, result_of, view_of
from golive.runtime.state import RunState
from golive.runtime.stream import FrameLog, frame_of
from golive.store.ports import DecisionRow, Lease, LedgerEntry, OutboxMessage, RunView, Store
from golive.store.room import Room

BLOCK_SECONDS = 0.25
BLOCK_CHARS = 1024
_RETRY_S = (0.5, 1.0, 2.0, 5.0)
"""Waits between attempts to write while the store cannot be written; the last one repeats."""

Observer = Callable[[RunState, list[Body]], None]
"""Told of events once they are durable (metrics, log)."""
Announce = Callable[[RunState, Body], tuple[OutboxMessage, ...]]
"""Says what an event that was just applied has to be told to the outside; that becomes durable together with it."""


def unannounced(state: RunState, body: Body) -> tuple[OutboxMessage, ...]:
    """Nobody outside is told anything."""
    return ()


class RunJournal:
    """Writes one run under one lease, and shows it in `log` (None: nobody watches a relayed call).

    `note` may be called from anywhere on the event loop.
    """

    def __init__(
        self,
        *,
        store: Store,
        lease: Lease,
        state: RunState,
        log: FrameLog | None,
        clock: Clock,
        tasks: Tasks,
        observer: Observer,
        announce: Announce = unannounced,
        patience_s: float = 0.0,
        lapses: Callable[[], int] = lambda: 0,
    ) -> None:
        """`patience_s`: how long `flush` waits for a store that cannot be written, once the run is accepted; `lapses`:
        see `Place`."""
        self.state = state
        self.log = log
        self.room: Room | None = None
        """What the run's acceptance depends on."""
        self.in_line = False
        """It waits for its turn: lists say so, also of one that has begun before."""
        self._store = store
        self._lease = lease
        self._clock = clock
        self._tasks = tasks
        self._observer = observer
        self._announce = announce
        self._patience_s = patience_s
        self._lapses = lapses
        self._ours_since = -1
        """The number of lapses at the last write that proved the run ours."""
        self._lock = asyncio.Lock()
        self._events: list[Event] = []
        self._bodies: list[Body] = []
        self._ledger: list[LedgerEntry] = []
        self._decisions: list[DecisionRow] = []
        self._outbox: list[OutboxMessage] = []
        self._frames: list[Frame] = []
        self._text: list[str] = []
        self._text_item = ""
        self._text_channel: Channel = "answer"
        self._text_length = 0
        self._timer: asyncio.TimerHandle | None = None
        self._view_due = False
        self._writing = False
        """Frames of events are on their way to the store: text shown now would overtake them."""
        self._failure: GoliveError | None = None
        self._durable_seq = state.seq

    @property
    def accepted(self) -> bool:
        """Whether the run's first event is durable; before that there is no run."""
        return self._durable_seq > 0

    @property
    def durable_seq(self) -> int:
        """Of the last event that is known to be durable."""
        return self._durable_seq

    def result(self) -> RunResult:
        """The run as it stands. Its end counts once it is durable: what was told must still be true after a crash."""
        result = result_of(self.state)
        if result.outcome is None or self._durable_seq == self.state.seq:
            return result
        return replace(result, state="running", outcome=None, reason=None, message="", output=None, finished_at=None)

    def text(self, channel: Channel, item: str, text: str) -> None:
        """Shows a piece of text now; it becomes durable with its block."""
        if self._failure is not None:
            return  # what it would follow on was not shown, and never will be here
        if self._text and (item != self._text_item or channel != self._text_channel):
            self._cut_block()
        self._text_item, self._text_channel = item, channel
        self._text.append(text)
        self._text_length += len(text)
        assert self.log is not None, "a relayed call shows nothing"
        frame = text_frame(self.state.epoch, self.state.pos + self._text_length, item, channel, text)
        if self._frames or self._writing:
            self._frames.append(frame)  # something noted before it is not durable yet, and comes first
        else:
            self.log.publish(frame)
        if self._text_length >= BLOCK_CHARS:
            self._flush_soon()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BLOCK_SECONDS, self._flush_soon)

    def note(self, body: Body, metered: Metered | None = None) -> None:
        """Puts an event into the run's order; `metered` is the money it moves. Durable with the next `flush`."""
        if self._text:
            self._cut_block()
        self._add(body)
        if self.log is not None and (frame := frame_of(self.state, body)) is not None:
            self._frames.append(frame)
        if metered is not None:
            self._ledger.append(self._entry(metered))
        if isinstance(body, DecisionRequested | DecisionMade):
            self._decisions.append(decision_of(self.state, body))
        self._outbox += self._announce(self.state, body)
        self._view_due = True

    async def flush(self) -> None:
        """Makes everything noted and shown so far durable, then shows the frames that waited for it.

        Raises:
            StoreUnavailable: nothing was written, for as long as we are patient; flush again later.
            Fenced, Conflict: nothing was written; the run is another's, and the journal takes nothing more.
        """
        await self._patiently(self._flush)

    async def _patiently(self, write: Callable[[], Awaitable[None]]) -> None:
        """Tries again while the store cannot be written, for as long as we are patient."""
        give_up_at = self._clock.monotonic() + self._patience_s
        while True:
            try:
                await write()
                return
            except StoreUnavailable:
                if not self.accepted or self._clock.monotonic() >= give_up_at:
                    raise
            await asyncio.sleep(_RETRY_S[0])

    async def _flush(self) -> None:
        if self._text:
            self._cut_block()
        async with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._events:
                await self._write()

    async def prove_ours(self) -> None:
        """Returns once a write has proved, since the last lapse of this server's hold, that the run is ours.

        Raises:
            StoreUnavailable: that cannot be found out, for as long as we are patient. Fenced: it is another server's.
        """
        await self._patiently(self._prove_ours)

    async def _prove_ours(self) -> None:
        while self._ours_since < (lapses := self._lapses()):
            async with self._lock:
                if self._failure is not None:
                    raise self._failure
                if self._events:  # such as that the run is cancelled, which also ends whoever asks this
                    await uncancelled(self._write())
                else:
                    await self._store.append(self._lease, self._durable_seq, ())
                    self._ours_since = lapses

    async def fenced(self) -> bool:
        """Whether another server has the run: asked with a write of nothing, unless one of ours is to tell it anyway.

        Raises:
            StoreUnavailable: that cannot be found out.
        """
        async with self._lock:
            if self._failure is None and not self._events:
                try:
                    await self._store.append(self._lease, self._durable_seq, (), at_rest=self.state.at_rest)
                except GoliveError as error:
                    if isinstance(error, StoreUnavailable):
                        raise
                    self._failure = error
            return isinstance(self._failure, Fenced)

    async def accept_unseen(self, body: Body) -> None:
        """Makes the first event durable without the row that lists read: `show`, or the run's end, brings it.

        Raises:
            StoreUnavailable: not accepted.
        """
        self._add(body)
        await self.flush()

    async def show(self) -> None:
        """Makes the run's row as it stands now, whatever else is to be written.

        Raises:
            StoreUnavailable, Fenced, Conflict: as `flush`.
        """
        async with self._lock:
            if self._failure is None and not self._view_due:
                await self._store.append(self._lease, self._durable_seq, (), views=(self._view(),))

    async def take_turn(self, floor: Room) -> bool:
        """Has the run's row say that it runs, unless there is no such room in its conversation; False then.

        Raises:
            StoreUnavailable, Fenced, Conflict: as `flush`.
        """
        row = replace(view_of(self.state), state="running")

        async def take() -> None:
            async with self._lock:
                if self._failure is not None:
                    raise self._failure
                await self._store.append(self._lease, self._durable_seq, (), views=(row,), room=floor)

        try:
            await self._patiently(take)
        except ConversationBusy:
            return False
        return True

    async def flush_in_time(self) -> None:
        """Flushes once the store can be written again, however long that takes.

        Raises:
            Fenced, Conflict: as `flush`.
        """
        attempt = 0
        while True:
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
            attempt += 1
            with suppress(StoreUnavailable):
                await self._flush()
                return

    async def _write(self) -> None:
        events, self._events = self._events, []
        bodies, self._bodies = self._bodies, []
        ledger, self._ledger = self._ledger, []
        decisions, self._decisions = self._decisions, []
        outbox, self._outbox = self._outbox, []
        frames, self._frames = self._frames, []
        views = (self._view(),) if self._view_due else ()
        self._view_due = False
        pos, at_rest = self.state.pos, self.state.at_rest
        self._writing = bool(frames)
        lapses = self._lapses()
        try:
            await self._store.append(
                self._lease, events[0].seq - 1, events,
                ledger=ledger, outbox=outbox, views=views, decisions=decisions, at_rest=at_rest,
                room=None if self.accepted else self.room,
            )  # fmt: skip
        except StoreUnavailable:
            # Nothing was written: what was noted stays noted, and a later flush may still succeed.
            self._events, self._bodies = events + self._events, bodies + self._bodies
            self._ledger, self._frames = ledger + self._ledger, frames + self._frames
            self._decisions, self._outbox = decisions + self._decisions, outbox + self._outbox
            self._view_due = self._view_due or bool(views)
            raise
        except GoliveError as error:
            self._failure = error
            raise
        finally:
            self._writing = False
        self._durable_seq = events[-1].seq
        self._ours_since = lapses
        if self.log is not None:
            for frame in frames:
                self.log.publish(frame)
            while self._frames and self._frames[0].is_text:
                self.log.publish(self._frames.pop(0))
            self.log.durable(pos)
        self._observer(self.state, bodies)

    def _view(self) -> RunView:
        view = view_of(self.state)
        return replace(view, state="queued") if self.in_line and view.state == "running" else view

    def _flush_soon(self) -> None:
        self._timer = None
        if self._text and self._failure is None:
            self._cut_block()
            self._tasks.start(self._flush_quietly(), f"block of {self.state.run}")

    async def _flush_quietly(self) -> None:
        try:
            await self._flush()
        except GoliveError:
            return  # the loop's own next flush raises it again

    def _cut_block(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        text = "".join(self._text)
        self._text = []
        self._text_length = 0
        self._add(TextBlock(self._text_item, self._text_channel, text, self.state.pos))

    def _add(self, body: Body) -> None:
        state, lease = self.state, self._lease
        event = Event(
            lease.tenant,
            lease.run,
            state.seq + 1,
            lease.epoch,
            "",
            state.version,
            self._clock.now(),
            body.kind,
            encode_body(body),
        )
        state.apply(event.seq, event.epoch, event.at, body)
        self._events.append(event)
        self._bodies.append(body)

    def _entry(self, metered: Metered) -> LedgerEntry:
        usage = metered.usage
        return LedgerEntry(
            tenant=self._lease.tenant,
            run=self._lease.run,
            branch="",
            version=self.state.version,
            epoch=self._lease.epoch,
            seq=self.state.seq,
            at=self._clock.now(),
            kind="cached" if metered.cached else "settled",
            target=metered.target,
            amount_microusd=metered.cost_microusd,
            input_tokens=usage.input_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        )
