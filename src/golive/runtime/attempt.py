"""One model call as the loop sees it: the stream's events become shown text, journalled attempts, and an answer."""

from contextlib import aclosing

from golive.core.errors import ModelError
from golive.core.events import ModelFinished, ModelStarted, TextHeld, TextReset
from golive.core.messages import Opaque, ToolCall, Usage
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
    ReasoningDelta,
    RefusalDelta,
    Retracted,
    StateReported,
    TextDelta,
    ToolCallDelta,
)
from golive.models.under_way import UnderWay
from golive.runtime.interrupt import Interruptible
from golive.runtime.journal import RunJournal
from golive.runtime.model_failure import failed_attempt, price_alarm
from golive.runtime.state import SEPARATOR_ITEM, item_of


class _Fragments:
    """Tool calls put together from their fragments."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        self._states: dict[int, Opaque] = {}

    def add(self, delta: ToolCallDelta) -> None:
        identity, name, arguments = self._calls.get(delta.index, ("", "", []))
        arguments.append(delta.arguments)
        self._calls[delta.index] = (delta.id or identity, name or delta.name or "", arguments)

    def keep(self, index: int, state: Opaque) -> None:
        """Notes what the provider wants to see again with a call."""
        self._states[index] = state

    def calls(self, step: int) -> tuple[ToolCall, ...]:
        """The calls in order. Results are matched by id, so that an id given twice is told apart."""
        made: dict[str, ToolCall] = {}
        for index, (identity, name, arguments) in sorted(self._calls.items()):
            unique = identity or f"call_{step}_{index}"
            while unique in made:
                unique = f"{unique}_{index}"
            made[unique] = ToolCall(unique, name, "".join(arguments) or "{}", self._states.get(index))
        return tuple(made.values())


class ModelTurn:
    """Carries out one model call of a run, through all its attempts, and journals what happened.

    `held`: what it says is shown to nobody, thoughts included; it is journalled with the answer. `begun`: some of its
    text was shown before, by a server that has ended.
    """

    def __init__(
        self, journal: RunJournal, interruptible: Interruptible, step: int, *, held: bool = False, begun: bool = False
    ) -> None:
        self._journal = journal
        self._interruptible = interruptible
        self._step = step
        self._item = item_of(step)
        self._under_way = UnderWay()
        self._held: list[str] | None = [] if held else None
        self._held_thoughts: list[str] = []
        self._begun = begun
        self._refused = False
        self._fragments = _Fragments()
        self._state: list[Opaque] = []
        self._opened: Opened | None = None
        self._finish_reason = ""
        self._metered: Metered | None = None

    async def carry_out(self, call: ModelCall, request: ModelRequest, ctx: CallContext) -> None:
        """Streams the answer into the run. On return the answer is noted, not yet durable.

        Raises:
            ModelError: no target gave an answer, or one broke off; the failure is noted.
            DeadlineExceeded, Interrupted: likewise.
        """
        try:
            async with aclosing(call(request, ctx)) as stream:
                while (batch := await self._interruptible.next_of(stream)) is not None:
                    await self._take(batch)
        except ModelError as error:
            self._note_last(error)
            raise
        except BaseException as error:
            if self._finish_reason:  # the answer is whole; what was waited for is no more than its usage
                self._note_answer()
            elif self._under_way.target:
                self._note_last(error)
            raise
        self._note_answer()

    def abandoned(self, metered: Metered) -> None:
        """The meter's figure for a call that was given up while it ran."""
        self._metered = metered

    async def _take(self, batch: list[ModelEvent]) -> None:
        texts: list[str] = []
        thoughts: list[str] = []
        for event in batch:
            match event:
                case TextDelta(choice=0):
                    texts.append(event.text)
                case ReasoningDelta(choice=0):
                    thoughts.append(event.text)
                case RefusalDelta(choice=0):
                    self._refused = True
                    texts.append(event.text)
                case ToolCallDelta(choice=0):
                    self._fragments.add(event)
                case Finished(choice=0):
                    self._finish_reason = event.reason
                case AttemptStarted():
                    await self._started(event)
                case _:
                    self._keep(event)
        if self._held is not None:
            self._held += texts
            self._held_thoughts += thoughts
            return
        if thoughts:
            self._journal.text("reasoning", self._item, "".join(thoughts))
        if texts:
            self._show("".join(texts))

    def _keep(self, event: ModelEvent) -> None:
        match event:
            case Opened():
                self._opened = event
            case StateReported(choice=0):
                if event.call is None:
                    self._state.append(event.state)
                else:
                    self._fragments.keep(event.call, event.state)
            case Metered():
                self._metered = event
            case AttemptFailed():
                self._moved_on(event)
            case Retracted():
                self._retracted(event.stands)
            case _:
                pass

    def _show(self, text: str) -> None:
        if not text:
            return
        if not self._begun:
            self._begun = True
            answer = self._journal.state.answer
            if answer and not answer.endswith("\n"):
                self._journal.text("answer", SEPARATOR_ITEM, "\n\n")
        self._journal.text("answer", self._item, text)

    async def _started(self, event: AttemptStarted) -> None:
        self._under_way.started(event)
        skipped: dict[str, str] = {passed.target: passed.reason for passed in event.skipped}
        self._journal.note(ModelStarted(self._step, event.attempt, event.target, skipped))
        await self._journal.flush()

    def _moved_on(self, event: AttemptFailed) -> None:
        self._under_way.moved_on(event)
        failed = (event.attempt, event.target)
        self._note_failed(event.error, failed=failed, latency_ms=event.latency_ms, wait_s=event.wait_s)

    def _retracted(self, stands: int) -> None:
        """What is void goes, shown or not."""
        self._fragments = _Fragments()
        self._state.clear()
        self._refused = False
        self._finish_reason = ""
        if self._held is not None:
            self._held = ["".join(self._held)[:stands]]
            self._held_thoughts.clear()
        elif self._begun:
            self._journal.note(TextReset(self._step, self._item, stands))

    def _note_last(self, error: BaseException) -> None:
        """Notes how the attempt under way ended; where there is none, that nobody was asked, or nothing."""
        if not self._under_way.over or self._metered is not None:
            self._note_failed(error)

    def _note_failed(
        self,
        error: BaseException,
        *,
        failed: tuple[int, str] | None = None,
        latency_ms: float = 0.0,
        wait_s: float = 0.0,
    ) -> None:
        """`failed`: attempt and target, where it is not the one that answers."""
        metered, self._metered = self._metered, None
        attempt, target = failed or (self._under_way.attempt, self._under_way.target)
        body, *alarms = failed_attempt(
            self._step, attempt, target, error, metered, latency_ms=latency_ms, wait_s=wait_s
        )
        self._journal.note(body, metered)
        for alarm in alarms:
            self._journal.note(alarm)

    def _note_answer(self) -> None:
        metered, opened = self._metered, self._opened
        if self._held is not None:
            held = TextHeld(self._step, self._item, "".join(self._held), "".join(self._held_thoughts))
            self._journal.note(held)
        self._journal.note(
            ModelFinished(
                step=self._step,
                attempt=metered.attempt if metered else self._under_way.attempt,
                target=metered.target if metered and not metered.cached else self._under_way.target,
                item=self._item,
                finish_reason="refusal" if self._refused else self._finish_reason or "stop",
                usage=metered.usage if metered else Usage(),
                cost_microusd=metered.cost_microusd if metered else 0,
                priced=metered.priced if metered else False,
                tool_calls=self._fragments.calls(self._step),
                response_model=opened.response_model if opened else "",
                request_id=opened.request_id if opened else None,
                first_token_ms=metered.first_token_ms if metered else None,
                latency_ms=metered.latency_ms if metered else 0.0,
                usage_estimated=metered.estimated if metered else False,
                cached=metered.cached if metered else False,
                saved_microusd=metered.saved_microusd if metered else 0,
                state=tuple(self._state),
            ),
            metered,
        )
        if (alarm := price_alarm(metered)) is not None:
            self._journal.note(alarm)
