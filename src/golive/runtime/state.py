"""The state of a run: a fold over its events, and nothing else.

The loop, a late subscriber, a restart and a test get the same state from the same events. No input or output here.
"""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from golive.core.errors import InternalError
from golive.core.events import (
    Aside,
    Body,
    CancelRequested,
    Event,
    HistorySummarised,
    ModelFailed,
    ModelFinished,
    ModelStarted,
    RunAccepted,
    RunFinished,
    RunStarted,
    StepJudged,
    StepRouted,
    StepStarted,
    TextBlock,
    TextHeld,
    TextReset,
    ToolFinished,
    ToolStarted,
    decode_body,
)
from golive.core.messages import Message, ToolCall, Usage
from golive.runtime.api import RunResult
from golive.store.ports import RunView

SEPARATOR_ITEM = ""
"""Item of the blank line between the texts of two steps: part of the answer, of no message."""

FRAMED: frozenset[str] = frozenset(
    {
        "run.accepted",
        "run.started",
        "history.summarised",
        "step.routed",
        "step.started",
        "step.judged",
        "text.reset",
        "model.failed",
        "model.finished",
        "tool.started",
        "tool.finished",
        "run.finished",
    }
)
"""Kinds that a subscriber sees as a frame of length one (text blocks count their characters, others nothing)."""


class EffectRecord(Struct):
    """What the journal knows of one effect: its intent, and its outcome once there is one."""

    started: ToolStarted
    finished: ToolFinished | None = None


class RunState:
    """Where a run stands after the events applied so far. Only `apply` changes it."""

    def __init__(self, tenant: str, run: str, version: str) -> None:
        self.tenant, self.run, self.version = tenant, run, version
        self.seq = 0
        self.epoch = 0
        self.pos = 0
        self.accepted: RunAccepted | None = None
        self.finished: RunFinished | None = None
        self.cancel: CancelRequested | None = None
        self.created_at = 0.0
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.attempt: ModelStarted | None = None
        """The call to a model that is under way."""
        self.routed: StepRouted | None = None
        """Where the supervisor, or its failure, sent the turn."""
        self.summarised: HistorySummarised | None = None
        """What became of condensing the conversation's past, where that was tried."""
        self.draft: Message | None = None
        """An answer that is held back until it is judged."""
        self.steps = 0
        self.messages: list[Message] = []
        self.pending: tuple[ToolCall, ...] = ()
        self.last_answer: ModelFinished | None = None
        self.effects: dict[str, EffectRecord] = {}
        self.usage = Usage()
        self.cost_microusd = 0
        self.priced = True
        self.estimated = False
        self.saved_microusd = 0
        self._answer: list[str] = []
        self._item = ""
        self._item_text: list[str] = []
        self._results: dict[str, Message] = {}
        self._held: TextHeld | None = None

    @classmethod
    def of(cls, events: Iterable[Event]) -> "RunState":
        """Folds a run's events, from its first."""
        state: RunState | None = None
        for event in events:
            if state is None:
                state = cls(event.tenant, event.run, event.version)
            state.apply(event.seq, event.epoch, event.at, decode_body(event))
        if state is None:
            raise InternalError("a run's state was asked for without any event")
        return state

    def apply(self, seq: int, epoch: int, at: float, body: Body) -> None:
        """Takes in the next event."""
        self.seq, self.epoch = seq, epoch
        if body.kind in FRAMED:
            self.pos += 1
        handler = _HANDLERS.get(type(body))
        if handler is not None:
            handler(self, at, body)

    @property
    def unbroken(self) -> bool:
        """Whether text that was shown cannot be taken back."""
        return self.accepted is not None and self.accepted.unbroken

    @property
    def at_rest(self) -> bool:
        """Whether nobody needs to carry the run on."""
        return self.finished is not None

    @property
    def answer(self) -> str:
        """Everything on the answer channel so far."""
        if len(self._answer) > 1:
            self._answer = ["".join(self._answer)]
        return self._answer[0] if self._answer else ""

    @property
    def unfinished(self) -> tuple[ToolCall, ...]:
        """The calls that were asked for and have no result yet."""
        return tuple(call for call in self.pending if call.id not in self._results)

    @property
    def tools_done(self) -> tuple[str, ...]:
        """The tools that were carried out, each once."""
        done = (record.finished for record in self.effects.values())
        return tuple(dict.fromkeys(outcome.name for outcome in done if outcome is not None and outcome.ok))

    def _on_accepted(self, at: float, body: RunAccepted) -> None:
        self.accepted, self.created_at = body, at
        if body.source == "relay":
            self.started_at = at  # a relayed call waits for nothing
            self.steps = 1
            self.attempt = ModelStarted(1, 1, body.agent)
        self.messages.extend(body.input)

    def _on_started(self, at: float, body: RunStarted) -> None:
        self.started_at = self.started_at or at

    def _on_routed(self, at: float, body: StepRouted) -> None:
        self.routed = body
        self._on_aside(body)

    def _on_summarised(self, at: float, body: HistorySummarised) -> None:
        self.summarised = body
        self._on_aside(body)

    def _on_judged(self, at: float, body: StepJudged) -> None:
        draft, self.draft = self.draft, None
        if not body.accepted:
            self.last_answer = None
        elif draft is not None:
            self.messages.append(draft)
        self._on_aside(body)

    def _on_aside(self, body: Aside) -> None:
        self._count(body)
        self.saved_microusd += body.saved_microusd
        self.attempt = None

    def _count(self, body: Aside | ModelFailed | ModelFinished) -> None:
        self.usage += body.usage
        self.cost_microusd += body.cost_microusd
        self.priced = self.priced and body.priced
        self.estimated = self.estimated or body.usage_estimated

    def _on_step(self, at: float, body: StepStarted) -> None:
        self.steps = body.step
        self.last_answer = None

    def _on_model_started(self, at: float, body: ModelStarted) -> None:
        self.attempt = body

    def _on_text(self, at: float, body: TextBlock) -> None:
        self.pos += len(body.text)
        if body.channel != "answer":
            return
        self._answer.append(body.text)
        if body.item == SEPARATOR_ITEM:
            return
        if body.item != self._item:
            self._item, self._item_text = body.item, []
        self._item_text.append(body.text)

    def _on_held(self, at: float, body: TextHeld) -> None:
        self._held = body

    def _on_text_reset(self, at: float, body: TextReset) -> None:
        if body.item != self._item:
            return
        text = "".join(self._item_text)
        void = len(text) - body.length
        if void > 0:
            self._item_text = [text[: body.length]]
            self._answer = [self.answer[:-void]]

    def _on_model_failed(self, at: float, body: ModelFailed) -> None:
        self._count(body)
        self.attempt = None

    def _on_model_finished(self, at: float, body: ModelFinished) -> None:
        self._count(body)
        self.saved_microusd += body.saved_microusd
        self.attempt = None
        self.last_answer = body
        held, self._held = self._held, None
        text = held.text if held is not None else "".join(self._item_text) if self._item == body.item else ""
        message = Message("assistant", text, tool_calls=body.tool_calls, state=body.state)
        if held is not None and not body.tool_calls:
            self.draft = message
        else:
            self.messages.append(message)
        self.pending = body.tool_calls
        self._results = {}

    def _on_tool_started(self, at: float, body: ToolStarted) -> None:
        self.effects[body.key] = EffectRecord(body)

    def _on_tool_finished(self, at: float, body: ToolFinished) -> None:
        record = self.effects.get(body.key)
        if record is not None:
            record.finished = body
        self._results[body.call_id] = Message("tool", body.content, tool_call_id=body.call_id)
        if all(call.id in self._results for call in self.pending):
            self.messages.extend(self._results[call.id] for call in self.pending)
            self.pending = ()

    def _on_cancel(self, at: float, body: CancelRequested) -> None:
        self.cancel = self.cancel or body

    def _on_finished(self, at: float, body: RunFinished) -> None:
        self.finished, self.finished_at = body, at

    def transcript(self) -> list[Message]:
        """The run's messages as a later run of the conversation may be shown them: no call without its result, and the
        text of an answer that broke off."""
        messages = list(self.messages)
        if self.pending:
            last = messages.pop()
            if last.content:
                messages.append(Message("assistant", last.content))
        elif self._item_text and self.last_answer is None and self.steps:
            messages.append(Message("assistant", "".join(self._item_text)))
        return messages

    def view(self) -> RunView:
        """The row that lists read."""
        accepted = self._accepted()
        done = self.finished
        return RunView(
            tenant=self.tenant,
            run=self.run,
            branch="",
            version=self.version,
            epoch=self.epoch,
            agent=accepted.agent,
            version_name=accepted.version_name,
            source=accepted.source,
            conversation=accepted.conversation,
            principal=accepted.principal,
            state="finished" if done else "running" if self.started_at else "queued",
            outcome=done.outcome if done else None,
            reason=done.reason if done else None,
            created_at=self.created_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            steps=self.steps,
            tool_calls=len(self.effects),
            input_tokens=self.usage.input_tokens,
            cached_input_tokens=self.usage.cached_input_tokens,
            output_tokens=self.usage.output_tokens,
            reasoning_tokens=self.usage.reasoning_tokens,
            cost_microusd=self.cost_microusd,
            priced=self.priced,
            estimated=self.estimated,
            cache_write_tokens=self.usage.cache_write_tokens,
            saved_microusd=self.saved_microusd,
        )

    def result(self) -> RunResult:
        """The run as its faces show it."""
        accepted = self._accepted()
        done = self.finished
        return RunResult(
            run=self.run,
            agent=accepted.agent,
            version=self.version,
            version_name=accepted.version_name,
            conversation=accepted.conversation,
            state="finished" if done else "running" if self.started_at else "queued",
            outcome=done.outcome if done else None,
            reason=done.reason if done else None,
            message=done.message if done else "",
            text=self.answer,
            output=done.output if done else None,
            usage=self.usage,
            cost_microusd=self.cost_microusd,
            priced=self.priced,
            estimated=self.estimated,
            saved_microusd=self.saved_microusd,
            steps=self.steps,
            tool_calls=len(self.effects),
            created_at=self.created_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            metadata=accepted.metadata,
            missing=done.missing if done else (),
            retry_after_s=done.retry_after_s if done else None,
            schedule=accepted.schedule or None,
        )

    def _accepted(self) -> RunAccepted:
        if self.accepted is None:
            raise InternalError(f"run {self.run} does not begin with run.accepted")
        return self.accepted


_HANDLERS: dict[type[Body], Callable[[RunState, float, Any], None]] = {
    RunAccepted: RunState._on_accepted,
    RunStarted: RunState._on_started,
    HistorySummarised: RunState._on_summarised,
    StepRouted: RunState._on_routed,
    StepStarted: RunState._on_step,
    StepJudged: RunState._on_judged,
    TextBlock: RunState._on_text,
    TextHeld: RunState._on_held,
    TextReset: RunState._on_text_reset,
    ModelStarted: RunState._on_model_started,
    ModelFailed: RunState._on_model_failed,
    ModelFinished: RunState._on_model_finished,
    ToolStarted: RunState._on_tool_started,
    ToolFinished: RunState._on_tool_finished,
    CancelRequested: RunState._on_cancel,
    RunFinished: RunState._on_finished,
}
