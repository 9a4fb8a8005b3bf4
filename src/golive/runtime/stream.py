"""A run's stream of frames: made from its events, kept short in memory, read again from the journal by who comes late.

Text frames are live: they go out before the block that makes them durable. All other frames are made from an event after
it is durable. The journal gives the same stream again, since a text frame's position counts its characters.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw

from golive.core.events import (
    Body, Event, ModelFailed, ModelFinished, RunAccepted, RunStarted, StepStarted, TextBlock, ToolFinished,
    ToolStarted, decode_body,
)  # fmt: skip
from golive.core.frames import RESET, Channel, Cursor, Frame, text_frame
from golive.runtime.state import FRAMED, RunState

KEEP_FRAMES = 64
"""Frames kept in memory behind the durable ones, for subscribers a moment late; who is later reads the journal."""

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
                "run": state.run, "agent": body.agent, "version": state.version, "version_name": body.version_name,
                "conversation": body.conversation,
            }  # fmt: skip
        case RunStarted():
            data = {"run": state.run, "waited_ms": body.waited_ms}
        case StepStarted():
            data = {"step": body.step, "tier": body.tier}
        case ModelFailed():
            data = {"step": body.step, "target": body.target, "code": body.code, "message": body.message}
        case ModelFinished():
            item = body.item
            data = {
                "step": body.step, "target": body.target, "finish_reason": body.finish_reason, "usage": body.usage,
                "cost_microusd": body.cost_microusd, "first_token_ms": body.first_token_ms,
            }  # fmt: skip
        case ToolStarted():
            channel, item = "tool", body.call_id
            data = {"call_id": body.call_id, "name": body.name, "arguments": body.arguments}
        case ToolFinished():
            channel, item = "tool", body.call_id
            data = {
                "call_id": body.call_id, "name": body.name, "ok": body.ok, "content": body.content,
                "error_code": body.error_code, "latency_ms": body.latency_ms,
            }  # fmt: skip
        case _:
            data = state.result()
    return Frame(state.epoch, state.pos, item, channel, body.kind, Raw(_encode(data)))


def replay(events: Iterable[Event]) -> tuple[RunState | None, list[Frame]]:
    """The state and all frames that a run's events give, from its first event."""
    state: RunState | None = None
    frames: list[Frame] = []
    for event in events:
        if state is None:
            state = RunState(event.tenant, event.run, event.version)
        body = decode_body(event)
        state.apply(event.seq, event.epoch, event.at, body)
        if isinstance(body, TextBlock):
            frames.append(text_frame(event.epoch, state.pos, body.item, body.channel, body.text))
        elif (frame := frame_of(state, body)) is not None:
            frames.append(frame)
    return state, frames


def frames_after(frames: Iterable[Frame], cursor: Cursor) -> Iterator[Frame]:
    """What a subscriber at `cursor` has not seen, told first (`text.reset`) if it saw text that did not become durable.

    Text that a crash took was seen under an epoch that is over: where that epoch ended is where the stream stands.
    """
    stands, pos, told = 0, cursor.pos, False
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
    """The live end of one run's stream, shared by all its subscribers; keeps only what is not durable yet, and a little."""

    def __init__(self, on_empty: Callable[[], None]) -> None:
        self.frames: list[Frame] = []
        self.base = 0
        """How many frames were dropped in front: a subscriber's index counts from the run's first frame."""
        self.closed = False
        self._on_empty = on_empty
        self._subscribers: dict[LiveSubscription, None] = {}

    def publish(self, frame: Frame) -> None:
        """Adds a frame and wakes whoever waits."""
        self.frames.append(frame)
        for subscriber in self._subscribers:
            subscriber.wake()

    def durable(self, pos: int) -> None:
        """Says that everything up to `pos` is in the journal, so it need not be kept here."""
        excess = len(self.frames) - KEEP_FRAMES
        if excess < KEEP_FRAMES:
            return
        drop = 0
        while drop < excess and self.frames[drop].pos <= pos:
            drop += 1
        del self.frames[:drop]
        self.base += drop

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
        self.index = log.base
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def lagging(self) -> bool:
        """Frames it has not read were dropped: it must read the journal."""
        return self.index < self._log.base

    @property
    def over(self) -> bool:
        return self._log.closed and self.index >= self._log.base + len(self._log.frames)

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
        if self._log.closed or self.index < self._log.base + len(self._log.frames):
            return
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(timeout_s, self.wake)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def close(self) -> None:
        self._log.leave(self)
