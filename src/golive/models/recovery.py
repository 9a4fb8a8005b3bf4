"""Goes on when an answer breaks off in the middle: continues it, begins it anew, or lets the failure go up.

What may be done depends on what the reader can take back (`CallContext.retracts`): a native client everything, an agent
behind another vendor's face its tool calls alone, a relayed call nothing. It is taken back with the first content of
what takes its place: where nobody answers any more, what was shown stands. Never are two answers spliced unseen: a
continuation is joined by `joining.py` or not at all. JSON and tool arguments are begun anew, never continued.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal, NamedTuple

import msgspec

from golive.core.errors import GoliveError, ModelCut, ModelEmpty, ModelError, NotContinued
from golive.core.messages import Message
from golive.models import failures
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Finished,
    Metered,
    ModelCall,
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    RefusalDelta,
    Retracted,
    TextDelta,
    ToolCallDelta,
)
from golive.models.joining import Joiner, NotJoined, anchor
from golive.models.under_way import UnderWay

MAX_BREAKS = 4
"""Breaks of one answer, and continuations that do not fit, that are recovered from; one more goes up."""
MAX_RESETS = 2
"""How often one answer is begun anew: each time the reader sees its text vanish, and pays for another."""
COMPACT_PIECES = 64

OnBreak = Literal["continue", "reset", "fail"]
Rung = Literal["prefill", "instruct", "reset"]

_GO_ON = (
    "Your last message was cut off. Begin by repeating exactly these last words of it, without quotation marks:\n"
    "{anchor}\nThen go on from there, in the same sentence, as if nothing had happened. Say nothing of the "
    "interruption."
)
_CONVERSATION = frozenset({"messages", "system", "contents", "systemInstruction", "input", "instructions"})
"""Keys of `extra` by which dialects state the conversation; a continuation states it anew."""


class Ways(NamedTuple):
    """How a tier recovers.

    prefilled: asks the targets of the chain that go on where an assistant's message stops; None: there are none.
    instructed: whether a target may be asked in words to go on.
    """

    on_break: OnBreak
    prefilled: ModelCall | None = None
    instructed: bool = False


class Recovering:
    """A `ModelCall` around a chain."""

    def __init__(self, call: ModelCall, ways: Ways) -> None:
        self._call = call
        self._ways = ways

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        """Raises what the chain raises where nothing of the answer can be saved, or after `MAX_BREAKS` breaks."""
        answer = _Answer()
        stream = self._call(request, ctx)
        if ctx.said:
            answer.said_before(ctx)
            stream = _broken_off()
        breaks = 0
        broke: GoliveError | None = None
        while True:
            error: GoliveError
            try:
                async for events in stream:
                    answer.take(events)
                    yield events
                return
            except NotJoined:
                error = NotContinued(f"{answer.under_way.target} did not go on with the answer that had broken off.")
            except GoliveError as raised:
                error = raised
            finally:
                await stream.aclose()
            breaks += 1
            rung = self._next(answer, request, error, ctx) if breaks <= MAX_BREAKS else None
            target = answer.under_way.target
            if failures.of(error).moves and target:
                answer.broken[target], broke = None, error
            failure = answer.failure(error)
            if rung is None:
                if failure is not None and (broke or error) is not error:
                    yield [failure]
                raise broke or error
            stands = answer.void(rung)
            then = msgspec.structs.replace(
                ctx, broken=tuple(answer.broken), broke=failure, attempts=answer.attempts, retries=answer.retries,
                said="",
            )  # fmt: skip
            stream, joiner = self._go_on(rung, request, answer.text(), then)
            if joiner is not None:
                stream = _joined(stream, joiner)
            if stands is not None:
                lossy = rung == "reset" and bool(answer.other or answer.text())
                stream = _in_its_place(stream, Retracted(stands), lossy=lossy)
            if failure is not None:
                stream = _told(failure, stream)

    def _next(self, answer: "_Answer", request: ModelRequest, error: GoliveError, ctx: CallContext) -> Rung | None:
        """How to go on; None: not at all. What failed since the text last grew is not tried again."""
        if not isinstance(error, ModelError) or not answer.began or self._ways.on_break == "fail":
            return None
        if not answer.tried and not failures.of(error).moves:
            return None  # a continuation that is refused says nothing against beginning anew
        text = answer.text()
        if answer.tools and ctx.retracts == "nothing":
            return None
        exact = request.output_schema is not None or request.only_there or answer.other
        if text and not exact and self._ways.on_break == "continue":
            if self._ways.prefilled is not None and "prefill" not in answer.tried:
                return "prefill"
            if self._ways.instructed and "instruct" not in answer.tried and anchor(text):
                return "instruct"
        may_drop = ctx.retracts == "all" or (ctx.retracts == "tools" and not text and not answer.other)
        return "reset" if may_drop and answer.resets < MAX_RESETS and "reset" not in answer.tried else None

    def _go_on(
        self, rung: Rung, request: ModelRequest, text: str, ctx: CallContext
    ) -> tuple[AsyncGenerator[list[ModelEvent], None], Joiner | None]:
        if rung == "prefill":
            assert self._ways.prefilled is not None
            # Vendors refuse blanks at the end of a prefill, and a prefill of nothing.
            asked = _with(request, Message("assistant", text.rstrip())) if text.strip() else request
            return self._ways.prefilled(asked, ctx), Joiner(text, trusted=True)
        if rung == "instruct":
            words = Message("user", _GO_ON.format(anchor=anchor(text)))
            return self._call(_with(request, Message("assistant", text), words), ctx), Joiner(text, trusted=False)
        return self._call(request, ctx), None


class _Answer:
    """What the reader has been handed so far."""

    __slots__ = (
        "_pieces", "attempts", "began", "broken", "other", "resets", "retries", "tools", "tried", "under_way",
    )  # fmt: skip

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.attempts = 0
        """Made so far."""
        self.retries = 0
        """Of these, made after a wait."""
        self.under_way = UnderWay()
        self.broken: dict[str, None] = {}
        """Targets that broke off; not those that merely would not continue."""
        self.began = False
        self.tools = False
        self.other = False
        """Something that cannot be continued: a refusal, a second choice."""
        self.tried: set[Rung] = set()
        self.resets = 0

    def text(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def said_before(self, ctx: CallContext) -> None:
        """Notes what the reader was handed by a server that has ended."""
        self._pieces, self.began, self.attempts = [ctx.said], True, ctx.attempts

    def take(self, events: list[ModelEvent]) -> None:
        """Notes a batch as it is handed on."""
        for event in events:
            kind = type(event)
            if kind is TextDelta:
                self._pieces.append(event.text)  # type: ignore[union-attr]  # told by `kind`
                self.began = True
                if event.choice or event.extra is not None:  # type: ignore[union-attr]
                    self.other = True
                if self.tried and event.text:  # type: ignore[union-attr]
                    self.tried.clear()
            elif kind is AttemptStarted:
                self.under_way.started(event)  # type: ignore[arg-type]
                self.attempts = max(self.attempts, event.attempt)  # type: ignore[union-attr]
                self.retries = max(self.retries, event.retries)  # type: ignore[union-attr]
            elif kind is AttemptFailed:
                self.under_way.moved_on(event)  # type: ignore[arg-type]
            elif kind is ToolCallDelta:
                self.began = self.tools = True
            elif kind is ReasoningDelta:
                self.began = True
            elif kind is RefusalDelta:
                self.began = self.other = True
            elif kind is Retracted:
                self._retracted(event.stands)  # type: ignore[union-attr]
        if len(self._pieces) > COMPACT_PIECES:
            self.text()

    def failure(self, error: GoliveError) -> AttemptFailed | None:
        """The event that tells of the attempt under way that `error` ended it; None: there is none."""
        if self.under_way.over or not self.under_way.target:
            return None
        return AttemptFailed(self.under_way.attempt, self.under_way.target, error, 0.0)

    def void(self, rung: Rung) -> int | None:
        """Notes that `rung` is taken; how much of the text will stand, where something is to be taken back."""
        self.tried.add(rung)
        self.under_way.clear()
        if rung == "reset":
            self.resets += 1
            return 0
        return len(self.text()) if self.tools else None

    def _retracted(self, stands: int) -> None:
        self._pieces = [self.text()[:stands]]
        self.tools = self.other = False


async def _broken_off() -> AsyncGenerator[list[ModelEvent], None]:
    """Stands for a call that ended with its server."""
    nothing: list[ModelEvent] = []
    if nothing:
        yield nothing
    raise ModelCut("The server ended in the middle of the answer.")


_OF_ATTEMPTS = (AttemptStarted, AttemptFailed, Metered)


async def _told(
    failure: AttemptFailed, stream: AsyncGenerator[list[ModelEvent], None]
) -> AsyncGenerator[list[ModelEvent], None]:
    """What takes the place of the attempt that failed, and before it that failure, unless the stream tells it itself.

    Raises:
        GoliveError: what the stream raises.
    """
    told = False
    async with aclosing(stream):
        try:
            async for events in stream:
                first = events[0]
                if not told and not (isinstance(first, AttemptFailed) and first.attempt == failure.attempt):
                    yield [failure]
                told = True
                yield events
        except GoliveError:
            if not told:
                yield [failure]
            raise


def _is_content(event: ModelEvent) -> bool:
    if isinstance(event, TextDelta | ReasoningDelta | RefusalDelta):
        return bool(event.text)
    return isinstance(event, ToolCallDelta)


async def _in_its_place(
    stream: AsyncGenerator[list[ModelEvent], None], retracted: Retracted, *, lossy: bool
) -> AsyncGenerator[list[ModelEvent], None]:
    """Another answer, or the rest of one; `retracted` comes with its first content.

    Args:
        lossy: text is taken back.

    Raises:
        ModelEmpty: that text would be lost, for nothing takes its place.
        GoliveError: what the stream raises.
    """
    held: list[ModelEvent] = []
    async with aclosing(stream):
        async for events in stream:
            if any(_is_content(event) for event in events):
                yield [retracted, *held, *events]
                break
            told: list[ModelEvent] = [event for event in events if isinstance(event, _OF_ATTEMPTS)]
            if told:
                yield told
            held += [event for event in events if not isinstance(event, _OF_ATTEMPTS)]
        else:
            if lossy:
                raise ModelEmpty("The answer that was to take the place of one that broke off has nothing in it.")
            yield [retracted, *held]
        async for events in stream:
            yield events


async def _joined(
    stream: AsyncGenerator[list[ModelEvent], None], joiner: Joiner
) -> AsyncGenerator[list[ModelEvent], None]:
    """A continuation without what it repeats.

    Raises:
        NotJoined: it is none.
        GoliveError: what the stream raises.
    """
    async with aclosing(stream):
        async for events in stream:
            if fitting := _fitting(events, joiner):
                yield fitting


def _fitting(events: list[ModelEvent], joiner: Joiner) -> list[ModelEvent]:
    """The batch without what its text repeats of the one before.

    Raises:
        NotJoined: it is no continuation.
    """
    fitting: list[ModelEvent] = []
    for event in events:
        if isinstance(event, TextDelta):
            if shown := joiner.feed(event.text):
                fitting.append(TextDelta(shown))
            continue
        if isinstance(event, ToolCallDelta | Finished) and (rest := joiner.end()):
            fitting.append(TextDelta(rest))
        fitting.append(event)
    return fitting


def _with(request: ModelRequest, *messages: Message) -> ModelRequest:
    """The request with further messages at its end."""
    return msgspec.structs.replace(
        request,
        messages=(*request.messages, *messages),
        extra={key: raw for key, raw in request.extra.items() if key not in _CONVERSATION},
    )
