"""What a run does next: a pure function of its state and its limits."""

from math import inf

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
    ModelIncapable,
    ModelNoCredential,
    ModelNotFound,
)
from golive.core.events import CancelRequested, Outcome
from golive.core.messages import ToolCall
from golive.runtime.agent import Limits
from golive.runtime.state import RunState


class CallModel(Struct, frozen=True):
    """Ask the model; `step` is the number this turn will have, or has where it is asked again after a takeover."""

    step: int


class CallTools(Struct, frozen=True):
    """Carry out `calls` side by side; `refused` are beyond the limit of one step, and the model is told so."""

    calls: tuple[ToolCall, ...]
    refused: tuple[ToolCall, ...]


class Wait(Struct, frozen=True):
    """A person is to decide something first: nobody carries the run meanwhile."""


class JudgeAnswer(Struct, frozen=True):
    """Have the answer judged that is held back."""


class Finish(Struct, frozen=True):
    """End the run. `reason` is a stable code; `way` the key of the words for the user (`core/words.py`), `values` what
    stands in them; `message` somebody's own words instead; `retry_after_s` in how long a new run may do better."""

    outcome: Outcome
    reason: str
    way: str = ""
    values: dict[str, str] = {}
    message: str = ""
    retry_after_s: float | None = None


BY_GOLIVE = "golive"
"""Who ends runs that nobody may go on with: then the reason is a code, and not somebody's words."""


def cancellation(asked: CancelRequested | None) -> Finish:
    """How a run ends that somebody wished to end; None: it is not known who."""
    if asked is not None and asked.by == BY_GOLIVE:
        return Finish("cancelled", asked.reason, "cancelled")
    return Finish("cancelled", "cancelled", "cancelled", message=asked.reason if asked is not None else "")


Action = CallModel | CallTools | JudgeAnswer | Wait | Finish


def step(state: RunState, limits: Limits) -> Action:
    """The next action; never anything but Finish once a cancel is recorded or a limit is reached."""
    if state.cancel is not None:
        return cancellation(state.cancel)
    if state.undecided:
        return Wait()
    for about in ("version_gone", "restored"):
        if about in state.decided and state.decided[about].choice == "end":
            return Finish("failed", about, "interrupted")
    if state.again:
        return CallModel(state.steps)
    if state.draft is not None:
        return JudgeAnswer()
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
    return Finish("partial", "max_steps", "max_steps", {"steps": str(limits.max_steps)})


def _after_answer(state: RunState, finish_reason: str) -> Finish:
    if finish_reason == "length":
        return Finish("partial", "max_output_tokens", "max_output_tokens")
    if finish_reason in ("content_filter", "refusal"):
        return Finish("refused", finish_reason, "refused")
    if not state.answer or state.answer.isspace():  # reasoning, blanks, nothing at all: never passed off as an answer
        return Finish("partial" if state.tools_done else "failed", ModelEmpty.code, "model_empty")
    return Finish("completed", "done")


_NO_RETRY_HELPS: tuple[tuple[type[GoliveError], str], ...] = (
    (ContextTooLong, "too_long"),
    (ContentRefused, "refused"),
    (ModelIncapable, "not_set_up"),
    (ModelNoCredential, "not_set_up"),
    (ModelBadRequest, "bad_request"),
    (ModelAuthFailed, "not_set_up"),
    (ModelNotFound, "not_set_up"),
    (ConfigError, "not_set_up"),
)
"""What users are told where trying again would not help; the first that fits."""


def after_error(error: GoliveError, state: RunState, deadline_s: float) -> Finish:
    """How a run ends that cannot go on: with what it has, text or what tools did (`partial`), else as `failed`."""
    answer = state.answer
    if error.code == "deadline.exceeded":
        seconds = f"{error.fields.get('seconds', deadline_s):g}"
        return Finish("partial", "deadline", "deadline" if answer else "deadline_empty", {"seconds": seconds})
    ended: Outcome = "partial" if answer or state.tools_done else "failed"
    way = next((way for kind, way in _NO_RETRY_HELPS if isinstance(error, kind)), None)
    if isinstance(error, ModelIncapable) and "images" in error.fields.get("lacking", ()):
        way = "no_images"  # the one thing that whoever asked can leave out; tools and schemas are the agent's own
    if way is not None and not answer:
        return Finish("refused" if isinstance(error, ContentRefused) else ended, error.code, way)
    if isinstance(error, ModelError):
        way = "model_cut" if answer else "model_out"
        return Finish(ended, error.code, way, retry_after_s=retry_after_s(error))
    return Finish(ended, error.code, "internal")


def retry_after_s(error: GoliveError) -> float | None:
    """In how many seconds the same may succeed; None: nobody said, or it would not help."""
    after = error.fields.get("retry_after_s")
    return float(after) if error.retry_helps and isinstance(after, int | float) and 0 < after < inf else None
