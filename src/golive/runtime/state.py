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
    DecisionMade,
    DecisionRequested,
    Event,
    HistorySummarised,
    ModelFailed,
    ModelFinished,
    ModelStarted,
    RunAccepted,
    RunFinished,
    RunStarted,
    State,
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
        "decision.requested",
        "decision.made",
        "run.finished",
    }
)
"""Kinds that a subscriber sees as a frame of length one (text blocks count their characters, others nothing)."""


def item_of(step: int) -> str:
    """The item under which a turn's text is streamed."""
    return f"msg_{step}"


class EffectRecord(Struct):
    """What the journal knows of one effect: its intent, and its outcome once there is one."""

    started: ToolStarted
    at: float = 0.0
    """When the intent was noted, wall time."""
    finished: ToolFinished | None = None
    repeated: bool = False
    """Whether it was begun more than once: a call before may have taken effect where the last one failed."""


class RunState:
    """Where a run stands after the events applied so far. Only `apply` changes it."""

    def __init__(self, tenant: str, run: str, version: str) -> None:
        self.tenant, self.run, self.version = tenant, run, version
        self.seq = 0
        self.epoch = 0
        self.pos = 0
        self.version_name = ""
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
        self.open_step = False
        """The model's turn has begun and has no answer yet."""
        self.again = False
        """The run was taken over in the middle of the model's turn, which is asked again."""
        self.attempts = 0
        """Made in that turn so far."""
        self.generation = 0
        """The installation's, when the run was accepted, or last begun or taken over."""
        self.idle_s = 0.0
        """How long nobody carried the run, or it waited for a person: that is not running time."""
        self.undecided: dict[str, DecisionRequested] = {}
        """What a person is to decide, by id."""
        self.asked: dict[str, DecisionRequested] = {}
        """The same, and what was decided, by id."""
        self.decided: dict[str, DecisionMade] = {}
        """By the effect's key, or by what else it was about."""
        self.messages: list[Message] = []
        self.pending: tuple[ToolCall, ...] = ()
        self.last_answer: ModelFinished | None = None
        self.effects: dict[str, EffectRecord] = {}
        self.first_ordinal = 1
        """Of the tool calls that are pending."""
        self.undone: dict[str, EffectRecord] = {}
        """What took effects back, by the key of the effect."""
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
        self._last_at = 0.0

    @classmethod
    def of(cls, events: Iterable[Event]) -> "RunState":
        """Folds a run's events, from its first."""
        state: RunState | None = None
        for event in events:
            if state is None:
                state = cls(event.tenant, event.run, event.version)
            state.version = event.version  # another one where that was decided
            state.apply(event.seq, event.epoch, event.at, decode_body(event))
        if state is None:
            raise InternalError("a run's state was asked for without any event")
        return state

    def apply(self, seq: int, epoch: int, at: float, body: Body) -> None:
        """Takes in the next event."""
        if epoch > self.epoch > 0:
            self.idle_s += max(0.0, at - self._last_at)
        self.seq, self.epoch, self._last_at = seq, epoch, at
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
        """Whether nobody needs to carry the run on: it is over, or waits for a person and is not to be cancelled."""
        return self.finished is not None or (bool(self.undecided) and self.cancel is None)

    @property
    def ran_s(self) -> float:
        """Its running time up to the last event, waiting for its turn included."""
        return max(0.0, self._last_at - self.created_at - self.idle_s)

    @property
    def said(self) -> str:
        """What the model has said in a turn that has no answer yet, as far as it is durable."""
        return "".join(self._item_text) if self.open_step and self._item == item_of(self.steps) else ""

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
        self.version_name, self.generation = body.version_name, body.generation
        if body.source == "relay":
            self.started_at = at  # a relayed call waits for nothing
            self.steps = 1
            self.attempt = ModelStarted(1, 1, body.agent)
        self.messages.extend(body.input)

    def _on_started(self, at: float, body: RunStarted) -> None:
        self.started_at = self.started_at or at
        self.again = self.open_step
        self.generation = body.generation
        self.version_name = body.version_name or self.version_name
        for about in ("restored", "version_gone"):  # it was decided to go on, and this is where it goes on
            if about in self.decided and self.decided[about].choice != "end":
                del self.decided[about]

    def _on_routed(self, at: float, body: StepRouted) -> None:
        self.routed = body
        self.open_step = self.again = False
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
        self.open_step, self.again, self.attempts = True, False, 0
        self.last_answer = None

    def _on_model_started(self, at: float, body: ModelStarted) -> None:
        self.attempt = body
        self.attempts, self.again = body.attempt, False

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
        self.open_step = self.again = False
        self.first_ordinal = len(self.effects) + 1
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
        if body.undoes:
            self.undone[body.undoes] = EffectRecord(body, at)
        else:
            self.effects[body.key] = EffectRecord(body, at, repeated=body.key in self.effects)
            self.decided.pop(body.key, None)

    def _on_tool_finished(self, at: float, body: ToolFinished) -> None:
        record = self.effects.get(body.key)
        if record is None:
            self._on_undone(body)
            return
        record.finished = body
        self._results[body.call_id] = Message("tool", body.content, tool_call_id=body.call_id)
        if all(call.id in self._results for call in self.pending):
            self.messages.extend(self._results[call.id] for call in self.pending)
            self.pending = ()

    def _on_undone(self, body: ToolFinished) -> None:
        for record in self.undone.values():
            if record.started.key == body.key:
                record.finished = body

    def _on_decision_requested(self, at: float, body: DecisionRequested) -> None:
        self.undecided[body.id] = self.asked[body.id] = body

    def _on_decision_made(self, at: float, body: DecisionMade) -> None:
        self.undecided.pop(body.id, None)
        asked = self.asked.get(body.id)
        if asked is not None:
            self.decided[asked.key or asked.about] = body

    def _on_cancel(self, at: float, body: CancelRequested) -> None:
        self.cancel = self.cancel or body

    def _on_finished(self, at: float, body: RunFinished) -> None:
        self.finished, self.finished_at = body, at
        self.undecided.clear()

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

    @property
    def stands(self) -> State:
        """Where the run stands, in one word."""
        if self.finished is not None:
            return "finished"
        if self.undecided:
            return "waiting"
        return "running" if self.started_at else "queued"

    def known(self) -> RunAccepted:
        """How the run began.

        Raises:
            InternalError: its journal does not say.
        """
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
    DecisionRequested: RunState._on_decision_requested,
    DecisionMade: RunState._on_decision_made,
    CancelRequested: RunState._on_cancel,
    RunFinished: RunState._on_finished,
}
