"""What a run does next: a pure function of its state and its limits."""

from msgspec import Struct

from golive.core.errors import (
    ConfigError,
    ContentRefused,
    ContextTooLong,
    GoliveError,
    ModelAuthFailed,
    ModelBadRequest,
    ModelEmpty,
    ModelError,
    ModelNotFound,
)
from golive.core.events import Outcome
from golive.core.messages import ToolCall
from golive.runtime.agent import Limits
from golive.runtime.state import RunState


class CallModel(Struct, frozen=True):
    """Ask the model; `step` is the number this turn will have."""

    step: int


class CallTools(Struct, frozen=True):
    """Carry out `calls` side by side; `refused` are beyond the limit of one step, and the model is told so."""

    calls: tuple[ToolCall, ...]
    refused: tuple[ToolCall, ...]


class Finish(Struct, frozen=True):
    """End the run. `reason` is a stable code, `message` is for the user."""

    outcome: Outcome
    reason: str
    message: str = ""


Action = CallModel | CallTools | Finish


def step(state: RunState, limits: Limits) -> Action:
    """The next action; never anything but Finish once a cancel is recorded or a limit is reached."""
    if state.cancel is not None:
        return Finish("cancelled", "cancelled", state.cancel.reason or "The run was cancelled.")
    if state.pending:
        if state.steps >= limits.max_steps:
            return _capped(limits)
        calls = state.pending
        return CallTools(calls[: limits.max_tool_calls_per_step], calls[limits.max_tool_calls_per_step :])
    if state.last_answer is not None and not state.last_answer.tool_calls:
        return _after_answer(state, state.last_answer.finish_reason)
    if state.steps >= limits.max_steps:
        return _capped(limits)
    return CallModel(state.steps + 1)


def _capped(limits: Limits) -> Finish:
    steps = "1 step" if limits.max_steps == 1 else f"{limits.max_steps} steps"
    return Finish("partial", "max_steps", f"I stopped at my limit of {steps}; this is what I have so far.")


def _after_answer(state: RunState, finish_reason: str) -> Finish:
    if finish_reason == "length":
        return Finish("partial", "max_output_tokens", "My answer reached its length limit and is not complete.")
    if finish_reason in ("content_filter", "refusal"):
        return Finish("refused", finish_reason, _DECLINED)
    if not state.answer or state.answer.isspace():  # reasoning, blanks, nothing at all: never passed off as an answer
        outcome: Outcome = "partial" if state.effects else "failed"
        return Finish(outcome, ModelEmpty.code, "The model ended without an answer. Please try again.")
    return Finish("completed", "done")


_DECLINED = "The model declined to answer this."
_NOT_SET_UP = "I am not set up correctly, so I cannot answer. Whoever runs this server finds the reason in its log."
_NO_RETRY_HELPS: tuple[tuple[type[GoliveError], str], ...] = (
    (ContextTooLong, "This has become too long for the model. Please shorten it, or begin a new conversation."),
    (ContentRefused, _DECLINED),
    (ModelBadRequest, "The model cannot work with this request as it stands."),
    (ModelAuthFailed, _NOT_SET_UP),
    (ModelNotFound, _NOT_SET_UP),
    (ConfigError, _NOT_SET_UP),
)
"""What users are told where trying again would not help; the first that fits."""


def after_error(error: GoliveError, answer: str, limits: Limits) -> Finish:
    """How a run ends that cannot go on: with what it has (`partial`), or, having nothing, as `failed`."""
    if error.code == "deadline.exceeded":
        seconds = f"{error.fields.get('seconds', limits.deadline_s):g}"
        tail = "this is what I have so far." if answer else "I could not finish in time. Please try again."
        return Finish("partial", "deadline", f"I ran out of time after {seconds} seconds; {tail}")
    words = next((words for kind, words in _NO_RETRY_HELPS if isinstance(error, kind)), None)
    if words is not None and not answer:
        return Finish("refused" if isinstance(error, ContentRefused) else "failed", error.code, words)
    if isinstance(error, ModelError):
        if answer:
            return Finish("partial", error.code, "The connection to the model broke off; my answer is not complete.")
        return Finish("failed", error.code, "I cannot reach a model right now. Please try again in a moment.")
    outcome: Outcome = "partial" if answer else "failed"
    return Finish(outcome, error.code, "Something went wrong on our side, and I could not finish.")
