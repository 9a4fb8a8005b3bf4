"""A run's stream of frames: made from its events, kept short in memory, read again from the journal by who comes late.

Text frames are live: they go out before the block that makes them durable. All other frames are made from an event
after it is durable. The journal gives the same stream again, since a text frame's position counts its characters.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw

from golive.core import outsiders
from golive.core.errors import GoliveError
from golive.core.events import (
    Aside,
    Body,
    DecisionMade,
    DecisionRequested,
    Event,
    HistorySummarised,
    ModelFailed,
    ModelFinished,
    RunAccepted,
    RunStarted,
    StepJudged,
    StepRouted,
    StepStarted,
    TextBlock,
    TextReset,
    ToolFinished,
    ToolStarted,
    decode_body,
)
from golive.core.frames import ERROR, RESET, Channel, Cursor, Frame, text_frame
from golive.runtime.shown import result_of
from golive.runtime.state import FRAMED, RunState
from golive.tenants.authorize import INSTALLATION

KEEP_FRAMES = 64
"""Durable frames kept for a subscriber that has not read them yet; who is further behind reads the journal."""

_encode = msgspec.json.Encoder().encode


def frame_of(state: RunState, body: Body) -> Frame | None:
    """The frame of an event just applied to `state`; None for kinds nobody sees. Text blocks are not made here."""
    if body.kind not in FRAMED:
        return None
    channel: Channel = "status"
    item = ""
    data: dict[str, Any] | object
    match body:
        case RunAccepted():
            data = {
                "run": state.run,
                "agent": body.agent,
                "version": state.version,
                "version_name": body.version_name,
                "conversation": body.conversation,
            }
        case RunStarted():
            data = {"run": state.run, "waited_ms": body.waited_ms}
        case StepRouted() | StepJudged() | HistorySummarised() | DecisionRequested() | DecisionMade():
            data = _aside(body)
        case StepStarted():
            data = {"step": body.step, "tier": body.tier}
        case TextReset():
            item = body.item
            data = {"item": body.item, "length": body.length}
        case ModelFailed():
            body = body if state.tenant == INSTALLATION else outsiders.failed(body)
            data = {"step": body.step, "target": body.target, "code": body.code, "message": body.message}
        case ModelFinished():
            item = body.item
            data = {
                "step": body.step,
                "target": body.target,
                "finish_reason": body.finish_reason,
                "usage": body.usage,
                "cost_microusd": body.cost_microusd,
                "usage_estimated": body.usage_estimated,
                "first_token_ms": body.first_token_ms,
            }
        case ToolStarted():
            channel, item = "tool", body.call_id
            data = {"call_id": body.call_id, "name": body.name, "arguments": body.arguments}
        case ToolFinished():
            channel, item = "tool", body.call_id
            data = {
                "call_id": body.call_id,
                "name": body.name,
                "ok": body.ok,
                "content": body.content,
                "error_code": body.error_code,
                "latency_ms": body.latency_ms,
            }
        case _:
            data = result_of(state)
    return Frame(state.epoch, state.pos, item, channel, body.kind, Raw(_encode(data)))


def _aside(body: Aside | DecisionRequested | DecisionMade) -> dict[str, Any] | object:
    """What a subscriber is told of a person's decision, and of the supervisor's work; of a summary not its words."""
    told: dict[str, Any]
    match body:
        case DecisionRequested():
            return body
        case DecisionMade():
            return {"id": body.id, "choice": body.choice, "by": body.by}
        case StepRouted():
            told = {"step": body.step, "route": body.route, "tier": body.tier}
        case StepJudged():
            told = {"step": body.step, "accepted": body.accepted}
        case HistorySummarised():
            told = {"step": body.step, "runs": body.runs, "chars": body.chars, "summary_chars": len(body.text)}
        case _:
            raise TypeError(f"nobody is told of {body.kind}")
    return told | {"reason": body.reason, "cost_microusd": body.cost_microusd}


class Replay:
    """The frames that a run's events give, taken in as they become durable."""

    def __init__(self) -> None:
        self._state: RunState | None = None

    @property
    def seq(self) -> int:
        """Of the last event taken in."""
        return self._state.seq if self._state is not None else 0

    @property
    def pos(self) -> int:
        """How long the stream is that they gave."""
        return self._state.pos if self._state is not None else 0

    @property
    def epoch(self) -> int:
        """Under which the last of them was written."""
        return self._state.epoch if self._state is not None else 0

    @property
    def finished(self) -> bool:
        """Whether the run's end was among them."""
        return self._state is not None and self._state.finished is not None

    def take(self, events: Iterable[Event]) -> list[Frame]:
        """The frames of further events."""
        frames: list[Frame] = []
        for event in events:
            state = self._state
            if state is None:
                self._state = state = RunState(event.tenant, event.run, event.version)
            body = decode_body(event)
            state.apply(event.seq, event.epoch, event.at, body)
            if isinstance(body, TextBlock):
                frames.append(text_frame(event.epoch, state.pos, body.item, body.channel, body.text))
            elif (frame := frame_of(state, body)) is not None:
                frames.append(frame)
        return frames


def frames_after(frames: Iterable[Frame], cursor: Cursor, stands: int = 0) -> Iterator[Frame]:
    """What a subscriber at `cursor` has not seen, told first (`text.reset`) if it saw text that did not become durable.

    Text that a crash took was seen under an epoch that is over: where that epoch ended is where the stream stands.
    `stands` is where it stood before the first of the frames.
    """
    pos, told = cursor.pos, False
    for frame in frames:
        if frame.epoch > cursor.epoch and not told:
            told = True
            if pos > stands and cursor.epoch > 0:
                pos = stands
                yield Frame(frame.epoch, pos, "", "status", RESET, Raw(b'{"pos":%d}' % pos))
        stands = frame.pos
        rest = frame.after(pos)
        if rest is not None:
            pos = rest.pos
            yield rest


class FrameLog:
    """The live end of one run's stream, shared by its subscribers; keeps what is not durable yet, and a little more."""

    def __init__(self, on_empty: Callable[[], None], pos: int = 0, epoch: int = 1) -> None:
        """`pos`: how long the stream is already, of a run that was taken over under `epoch`; that part is in the
        journal."""
        self.epoch = epoch
        self.frames: list[Frame] = []
        self.base = 1 if pos else 0
        """How many frames were dropped in front: a subscriber's index counts from the run's first frame."""
        self.last_pos = pos
        """How long the stream is by now."""
        self.closed = False
        self.elsewhere = False
        """It is closed, and the run goes on: in another process, or later in this one."""
        self.failure: GoliveError | None = None
        """Why the stream ended without the run's end."""
        self._on_empty = on_empty
        self._subscribers: dict[LiveSubscription, None] = {}

    def publish(self, frame: Frame) -> None:
        """Adds a frame and wakes whoever waits."""
        self.frames.append(frame)
        self.last_pos = frame.pos
        for subscriber in self._subscribers:
            subscriber.wake()

    def durable(self, pos: int) -> None:
        """Says that everything up to `pos` is in the journal: what all have seen is dropped, and what is far behind."""
        most = len(self.frames) - KEEP_FRAMES
        if self._subscribers:
            most = max(most, min(subscriber.index for subscriber in self._subscribers) - self.base)
        drop = 0
        while drop < most and self.frames[drop].pos <= pos:
            drop += 1
        del self.frames[:drop]
        self.base += drop

    def fail(self, epoch: int, error: GoliveError, shown: GoliveError) -> None:
        """Ends the stream without the run's end, and tells why: the journal cannot be written. `shown`: to readers."""
        self.failure = error
        data = {"code": shown.code, "message": shown.message, "remedy": shown.remedy}
        self.frames.append(Frame(epoch, self.last_pos, "", "status", ERROR, Raw(_encode(data))))
        self.close()

    def close_to_journal(self) -> None:
        """No frame follows here: what comes is written under another epoch, and subscribers read on in the journal."""
        self.base += len(self.frames) + 1
        self.frames.clear()
        self.elsewhere = True
        self.close()

    def close(self) -> None:
        """No frame follows."""
        self.closed = True
        for subscriber in self._subscribers:
            subscriber.wake()

    def watched(self) -> bool:
        return bool(self._subscribers)

    def subscribe(self) -> "LiveSubscription":
        """A subscriber at the live end; what came before is read from the journal (`Subscription`)."""
        subscriber = LiveSubscription(self)
        self._subscribers[subscriber] = None
        return subscriber

    def leave(self, subscriber: "LiveSubscription") -> None:
        if self._subscribers.pop(subscriber, self) is None and not self._subscribers:
            self._on_empty()


class LiveSubscription:
    """One reader's place in a `FrameLog`."""

    def __init__(self, log: FrameLog) -> None:
        self._log = log
        self.index = 0
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_until = 0.0

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def failure(self) -> GoliveError | None:
        return self._log.failure

    @property
    def elsewhere(self) -> bool:
        return self._log.elsewhere

    @property
    def epoch(self) -> int:
        return self._log.epoch

    @property
    def lagging(self) -> bool:
        """Frames it has not read were dropped: it must read the journal."""
        return self.index < self._log.base

    @property
    def over(self) -> bool:
        return self._log.closed and self.index >= self._log.base + len(self._log.frames)

    @property
    def ready(self) -> bool:
        """There is something to take, or the end to see."""
        return self._log.closed or self.index < self._log.base + len(self._log.frames)

    def take(self) -> list[Frame]:
        """All frames it has not read."""
        log = self._log
        frames = log.frames[self.index - log.base :]
        self.index = log.base + len(log.frames)
        return frames

    def skip_dropped(self) -> None:
        self.index = max(self.index, self._log.base)

    async def wait(self, timeout_s: float) -> None:
        """Returns when there is something to take, the log closes, or the time is over."""
        if self.ready:
            return
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        self._quiet_until = loop.time() + timeout_s
        if self._timer is None:
            self._timer = loop.call_at(self._quiet_until, self._look_at_the_time)
        try:
            await waiter
        finally:
            self._waiter = None

    def _look_at_the_time(self) -> None:
        """One timer serves all waits: it is set again only when it runs out, not once a frame."""
        loop = asyncio.get_running_loop()
        if self._waiter is not None and loop.time() < self._quiet_until - 0.001:
            self._timer = loop.call_at(self._quiet_until, self._look_at_the_time)
        else:
            self._timer = None
            self.wake()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._log.leave(self)
