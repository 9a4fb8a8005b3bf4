"""Events: the durable truth of a run, and the body of each kind.

An `Event` is one row of the journal. Its `body` is the JSON of one of the structs below, by `kind`. Fields are only
ever added, with defaults; a change that cannot be made so raises the struct's `format` and adds an upcast (`_UPCASTS`).
What an operator wants to see as a span (start, end, target, tokens, cost, error) stands in the events already.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from golive.core.frames import Channel
from golive.core.messages import Message, Opaque, ToolCall, Usage

Outcome = Literal["completed", "partial", "refused", "escalated", "cancelled", "failed"]
State = Literal["queued", "running", "waiting", "finished"]
OnDisconnect = Literal["continue", "cancel"]
DecisionKind = Literal["unknown_effect", "version_gone", "restored"]


class Missing(Struct, frozen=True):
    """A part that a run was to give and does not: `kind` and, of a tool, `name`; `code` says why.

    `answer`: none, or not a whole one; `output`: not of the declared form; `tool`: no result; `undo`: not taken back.
    """

    kind: Literal["answer", "output", "tool", "undo"]
    name: str = ""
    code: str = ""


class Event(Struct, frozen=True, gc=False):
    """One durable fact of a run; `seq` counts from 1 without gaps.

    `epoch` is the lease that wrote it, `branch` "" for the run itself, `version` the digest of the agent version,
    `at` wall time in seconds, `key_id` the key `body` is encrypted under (None: plain).
    """

    tenant: str
    run: str
    seq: int
    epoch: int
    branch: str
    version: str
    at: float
    kind: str
    body: bytes
    key_id: str | None = None


class Body(Struct, frozen=True, omit_defaults=True):
    """Root of all event bodies."""

    kind: ClassVar[str]
    format: ClassVar[int] = 1


class RunAccepted(Body, frozen=True):
    """The run exists: from here on it is never lost.

    `source` is "agent" or, for a plain gateway call, "relay": such a call begins at once, so nothing says it apart.
    `generation` is the installation's: a restored backup has a higher one. `user` is whom it is for; "": nobody.
    """

    kind = "run.accepted"
    agent: str
    version_name: str
    source: Literal["agent", "relay"] = "agent"
    input: tuple[Message, ...] = ()
    conversation: str | None = None
    principal: str = ""
    deadline_s: float = 0.0
    max_steps: int = 0
    on_disconnect: OnDisconnect = "cancel"
    metadata: dict[str, str] = {}
    unbroken: bool = False
    """Whoever follows the run cannot take back text that was shown (a client of another vendor's face)."""
    language: str = ""
    """The variant of the agent's messages that the run speaks; "": the one without a language."""
    schedule: str = ""
    """The schedule that began the run; "": somebody asked for it."""
    retry_of: str = ""
    forked_from: str = ""
    """The run whose messages up to one of its steps this one begins with; `retry_of`: whose input it was given."""
    generation: int = 1
    user: str = ""


class RunStarted(Body, frozen=True):
    """A holder began the work, or took it over; `waited_ms` since acceptance. `version_name`: where it is another."""

    kind = "run.started"
    holder: str
    waited_ms: float = 0.0
    generation: int = 1
    version_name: str = ""


class StepStarted(Body, frozen=True):
    """One turn of the loop: a model call and the tool calls it asks for. `step` counts from 1."""

    kind = "step.started"
    step: int
    tier: str


class Aside(Body, frozen=True, kw_only=True):
    """What a call of the supervisor's tier took whose words are shown to nobody; no `target` where none was made."""

    target: str = ""
    usage: Usage = Usage()
    cost_microusd: int = 0
    priced: bool = True
    usage_estimated: bool = False
    latency_ms: float = 0.0
    saved_microusd: int = 0
    cached: bool = False


class StepRouted(Aside, frozen=True):
    """Which tier the turn goes to from this step on, and why; where the supervisor was asked, what that took.

    `route`: direct (the supervisor's tier, without tools), tool (the same with tools), strong. `reason`: "supervisor",
    "unsure", "not_understood", "supervisor_out", "cheap_failed", "long", "not_text", "last_step", "judged".
    """

    kind = "step.routed"
    step: int
    route: Literal["direct", "tool", "strong"]
    tier: str
    reason: str


class StepJudged(Aside, frozen=True):
    """Whether the answer that was held back is shown; where the judge was asked, what that took.

    `reason`: "judge" (accepted), "incomplete", "unbacked", "unsure", "not_understood", "judge_out", "long", "empty",
    "cut", "form".
    """

    kind = "step.judged"
    step: int
    accepted: bool
    reason: str


class HistorySummarised(Aside, frozen=True):
    """The older part of a conversation in a few words: `text` stands for all its runs up to and with `through`.

    `reason` says why there is no summary ("" where there is one): "summariser_out", "cut", "empty", "longer". `runs`
    and `chars` are what was to be condensed; a summary that it began with counts among its characters.
    """

    kind = "history.summarised"
    step: int
    text: str
    through: str
    runs: int
    chars: int
    reason: str = ""


class TextHeld(Body, frozen=True):
    """What a step said that is to be judged: no part of the answer, and of the stream, unless it is accepted."""

    kind = "text.held"
    step: int
    item: str
    text: str
    reasoning: str = ""


class TextBlock(Body, frozen=True):
    """Text that was streamed; `pos` is where it begins in the run's stream of frames."""

    kind = "text.block"
    item: str
    channel: Channel
    text: str
    pos: int


class TextReset(Body, frozen=True):
    """An answer broke off and is begun anew: of `item`'s text the first `length` characters stand."""

    kind = "text.reset"
    step: int
    item: str
    length: int


class ModelStarted(Body, frozen=True):
    """An attempt at one target of the chain begins. `target` is "provider/model"."""

    kind = "model.started"
    step: int
    attempt: int
    target: str
    skipped: dict[str, str] = {}
    """Targets of the chain that were passed over, and why: breaker, paused, or what they cannot do."""


class ModelFailed(Body, frozen=True):
    """An attempt ended without an answer, or in the middle of one."""

    kind = "model.failed"
    step: int
    attempt: int
    target: str
    code: str
    message: str
    status: int | None = None
    vendor_code: str | None = None
    vendor_message: str | None = None
    request_id: str | None = None
    retry_after_s: float | None = None
    latency_ms: float = 0.0
    usage: Usage = Usage()
    cost_microusd: int = 0
    priced: bool = True
    """False when tokens met no price, or when nobody can tell what was used."""
    usage_estimated: bool = False
    """True when `usage` is our bound: the provider may bill the broken call, and did not say at how much."""
    wait_s: float = 0.0
    """How long the call waited before its next attempt."""


class ModelFinished(Body, frozen=True):
    """An attempt gave its answer. The text itself stands in the blocks of `item`."""

    kind = "model.finished"
    step: int
    attempt: int
    target: str
    item: str
    finish_reason: str
    usage: Usage
    cost_microusd: int
    priced: bool
    tool_calls: tuple[ToolCall, ...] = ()
    response_model: str = ""
    request_id: str | None = None
    first_token_ms: float | None = None
    latency_ms: float = 0.0
    usage_estimated: bool = False
    state: tuple[Opaque, ...] = ()
    """What the provider wants to see again with this answer."""
    cached: bool = False
    """True when our own cache answered, or an equal call under way: `usage` is that answer's, not used again."""
    saved_microusd: int = 0
    """What the answer would have cost more without any cache; below 0 where writing to the provider's cost more."""


class ToolStarted(Body, frozen=True):
    """The intent to perform an effect, journalled before it: `key` is run/branch/ordinal, the same on every retry."""

    kind = "tool.started"
    step: int
    ordinal: int
    key: str
    call_id: str
    name: str
    arguments: str
    intent: str
    undoes: str = ""
    """The key of the effect that this one takes back."""


class ToolFinished(Body, frozen=True):
    """The outcome of the effect `key`. `content` is what the model is told."""

    kind = "tool.finished"
    step: int
    ordinal: int
    key: str
    call_id: str
    name: str
    ok: bool
    content: str
    error_code: str | None = None
    latency_ms: float = 0.0


class DecisionRequested(Body, frozen=True, kw_only=True):
    """The run waits for a person. `choices` are what may be chosen; at `expires_at` `default` is (wall time).

    `about` unknown_effect: whether the effect `key` of the tool `subject` was done is not known. version_gone: nobody
    serves the run's version. restored: effects may have gone further than the backup. `question` asks a person.
    """

    kind = "decision.requested"
    id: str
    about: DecisionKind
    choices: tuple[str, ...]
    default: str
    asked_at: float
    expires_at: float
    question: str
    subject: str = ""
    key: str = ""


class DecisionMade(Body, frozen=True, kw_only=True):
    """`by` is a principal, or "" where the time was over; `at` is wall time. `content` is what the model is told of an
    effect that is said to be done."""

    kind = "decision.made"
    id: str
    choice: str
    at: float
    by: str = ""
    note: str = ""
    content: str = ""


class CancelRequested(Body, frozen=True):
    """`undo`: effects that can be taken back are to be."""

    kind = "run.cancel_requested"
    by: str
    reason: str = ""
    undo: bool = False


class AlarmRaised(Body, frozen=True):
    """Something an operator must see; `alarm` such as "price.missing" (tokens without a price)."""

    kind = "alarm.raised"
    alarm: str
    message: str
    fields: dict[str, str] = {}


class RunFinished(Body, frozen=True):
    """The end. `reason` is a stable code ("done", "max_steps", "deadline", "interrupted", or an error's code);
    `message` says it in the user's words; `output` is the parsed answer where the agent declares a schema; `missing`
    names the parts that are not given; `retry_after_s`: in how long a new run may be answered, where that is known."""

    kind = "run.finished"
    outcome: Outcome
    reason: str
    message: str = ""
    output: Any = None
    usage: Usage = Usage()
    cost_microusd: int = 0
    steps: int = 0
    duration_ms: float = 0.0
    usage_estimated: bool = False
    missing: tuple[Missing, ...] = ()
    retry_after_s: float | None = None


BODIES: dict[str, type[Body]] = {
    body.kind: body
    for body in (
        RunAccepted, RunStarted, HistorySummarised, StepRouted, StepStarted, StepJudged, TextBlock, TextHeld, TextReset,
        ModelStarted, ModelFailed, ModelFinished, ToolStarted, ToolFinished, DecisionRequested, DecisionMade,
        CancelRequested, AlarmRaised, RunFinished,
    )
}  # fmt: skip

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
_UPCASTS: dict[tuple[str, int], Upcast] = {}
"""(kind, format it reads) -> the same body one format later; applied until the present format is reached."""

_encoder = msgspec.json.Encoder()
_decoders = {kind: msgspec.json.Decoder(body) for kind, body in BODIES.items()}


class _FormatOnly(Struct):
    format: int = 1


_format_decoder = msgspec.json.Decoder(_FormatOnly)


def encode_body(body: Body) -> bytes:
    """The body as JSON; formats past the first carry `format`."""
    data = _encoder.encode(body)
    if body.format == 1:
        return data
    return b'{"format":%d' % body.format + (b"}" if data == b"{}" else b"," + data[1:])


def decode_body(event: Event) -> Body:
    """The typed body of an event of any past format.

    Raises:
        KeyError: the kind is unknown to this version of golive.
    """
    current = BODIES[event.kind].format
    found = 1 if current == 1 else _format_decoder.decode(event.body).format
    if found == current:
        return _decoders[event.kind].decode(event.body)
    fields: dict[str, Any] = msgspec.json.decode(event.body)
    for step in range(found, current):
        fields = _UPCASTS[event.kind, step](fields)
    return msgspec.convert(fields, BODIES[event.kind])
