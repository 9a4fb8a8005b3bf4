"""The shape of a model call, shared by every wrapper: a request in, batches of events out.

One batch is what one network read brought, so that wrappers cost per read and not per token. Chain, meter, provider
(and later cache, breaker, retry, hedge) all have the shape `ModelCall` and know nothing of each other.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from golive.core.deadline import Deadline
from golive.core.messages import Message, Opaque, ToolSpec, Usage


def response_format(schema: dict[str, Any] | None, name: str) -> Raw | None:
    """A JSON Schema as `ModelRequest.output_schema` wants it."""
    if schema is None:
        return None
    described = {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}
    return Raw(msgspec.json.encode(described))


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ModelRequest(Struct, frozen=True, kw_only=True):
    """What is asked of a model, in no vendor's dialect.

    `extra` is handed on verbatim to a target whose dialect is `dialect`, and to no other.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Raw | None = None
    parallel_tool_calls: bool | None = None
    output_schema: Raw | None = None
    """The JSON of OpenAI's `response_format`: {"type": "json_schema", …} or {"type": "json_object"}."""
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    reasoning_effort: str | None = None
    stream: bool = True
    """Whether the provider is asked to stream. Either way the answer comes as batches of the same events."""
    prompt_cache: bool = True
    """Whether what later calls will repeat is marked for the provider's cache, where a dialect knows such marks."""
    dialect: str = "openai-chat"
    """The dialect in whose words `extra` is."""
    extra: dict[str, Raw] = {}
    only_there: tuple[str, ...] = ()
    """Where in the request stands what `dialect` alone can say (a document, a tool that the vendor runs). A target of
    another dialect refuses it by these names, since leaving it out would change what is asked."""
    betas: tuple[str, ...] = ()
    """Features that the vendor wants named in a header of its own (`anthropic-beta`): for a target whose dialect is
    `dialect`, and for no other."""
    headers: tuple[tuple[str, str], ...] = ()
    """Extra request headers for the provider (such as a simulator's script)."""


class Received(Struct):
    """How many bytes of an answer's body have come."""

    body_bytes: int = 0


class CallContext(Struct, frozen=True):
    """What flows down with a call: the one deadline, and ids for the provider's and our own records."""

    deadline: Deadline
    run: str = ""
    tenant: str = ""
    on_abandoned: "Callable[[Metered], None] | None" = None
    """Told once what a call cost that was given up (cancelled, closed) while it ran: its stream can say no more."""
    version: str = ""
    """Digest of the agent's version; "" for a relayed call."""
    retracts: Literal["nothing", "tools", "all"] = "nothing"
    """What the reader can take back once it was handed it: fragments of tool calls, or text as well."""
    avoid: tuple[str, ...] = ()
    """Targets to be asked last: they are slow to answer this very request."""
    broken: tuple[str, ...] = ()
    """Targets that broke off in the middle of the very answer that this call is to go on with: asked again only after a
    wait, as those that have failed."""
    broke: "AttemptFailed | None" = None
    """The failure by which that answer broke off, where nobody has been told of it yet: the chain tells it, with the
    wait that follows."""
    attempts: int = 0
    """Attempts that were made before; those of this call are counted on from there."""
    retries: int = 0
    """Attempts after a wait among those: an answer's waits grow and are counted together, however often it breaks."""
    said: str = ""
    """What an earlier call had said of the very answer that this one is to give, when the server ended: the reader has
    seen it. Whoever recovers from breaks goes on from there; `attempts` then counts those of that call."""
    received: Received | None = None
    """Kept up to date by whoever reads the answer's body: something is known also of one that never gets whole."""


# ---- events ---------------------------------------------------------------------------------------------------------


SkipReason = Literal["breaker", "paused", "tools", "images", "structured_output", "credential"]


class Skipped(Struct, frozen=True, gc=False):
    """A target that was passed over: its breaker is open, it asked to be left alone, or it cannot do what is needed.

    "credential": it is asked with a credential of the tenant's own only, and the tenant has none.
    """

    target: str
    reason: SkipReason


class AttemptStarted(Struct, frozen=True, gc=False):
    """A target of the chain is about to be tried; `attempt` counts from 1 within the call."""

    attempt: int
    target: str
    skipped: tuple[Skipped, ...] = ()
    """Targets of the chain that were passed over until now."""
    retries: int = 0
    """How many attempts for this answer, this one included, came after a wait."""


class AttemptFailed(Struct, frozen=True, gc=False):
    """The attempt failed and the call goes on (the last failure is raised instead)."""

    attempt: int
    target: str
    error: Exception
    latency_ms: float
    wait_s: float = 0.0
    """How long the call waits before its next attempt."""


class Opened(Struct, frozen=True, gc=False):
    """The provider began to answer."""

    response_id: str = ""
    response_model: str = ""
    request_id: str | None = None
    created: int = 0
    extra: Raw | None = None
    """Further top-level fields of the vendor's answer worth handing on (such as system_fingerprint): a JSON object."""


class TextDelta(Struct, frozen=True, gc=False):
    text: str
    choice: int = 0
    extra: Raw | None = None
    """Vendor fields that belong to this piece, such as logprobs, as JSON."""


class ReasoningDelta(Struct, frozen=True, gc=False):
    text: str
    choice: int = 0


class RefusalDelta(Struct, frozen=True, gc=False):
    """The model itself declines, in its own words."""

    text: str
    choice: int = 0


class ToolCallDelta(Struct, frozen=True, gc=False):
    """A fragment of a tool call. `id` and `name` come with the first fragment of each `index`."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    choice: int = 0


class Retracted(Struct, frozen=True, gc=False):
    """The attempt broke off: of the answer's text the first `stands` characters stand; the rest, and all fragments of
    tool calls, are void. What follows takes their place: it comes with that, and not before."""

    stands: int


class StateReported(Struct, frozen=True, gc=False):
    """What the provider wants to see again with this answer, or with its tool call of index `call`."""

    state: Opaque
    call: int | None = None
    choice: int = 0


class UsageReported(Struct, frozen=True, gc=False):
    usage: Usage


class Finished(Struct, frozen=True, gc=False):
    reason: FinishReason
    choice: int = 0
    stop_sequence: str | None = None
    """Which of the request's `stop` ended it, where the provider says so."""


class Metered(Struct, frozen=True, gc=False):
    """Last of an attempt, from the meter: what it used and cost. Comes also when the attempt failed after it began."""

    attempt: int
    target: str
    usage: Usage
    cost_microusd: int
    priced: bool
    estimated: bool
    """True when the provider reported no usage, so that the bound stands in (never 0 for text that was sent)."""
    first_token_ms: float | None
    latency_ms: float
    cached: bool = False
    """The answer is a kept one, or that of an equal call under way: `usage` is that answer's, nothing was billed."""
    saved_microusd: int = 0
    """What the same answer would have cost more without any cache, the provider's or ours; below 0 where the provider
    charged for writing to its cache, and later calls are to gain by it."""


def total(metered: Sequence[Metered]) -> Metered:
    """What several attempts (at least one) used and cost, in one figure; all else is the last one's."""
    last = metered[-1]
    usage = last.usage
    for before in metered[:-1]:
        usage += before.usage
    return msgspec.structs.replace(
        last, usage=usage,
        cost_microusd=sum(each.cost_microusd for each in metered),
        saved_microusd=sum(each.saved_microusd for each in metered),
        priced=all(each.priced for each in metered), estimated=any(each.estimated for each in metered),
    )  # fmt: skip


ModelEvent = (
    AttemptStarted | AttemptFailed | Opened | TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | Retracted
    | StateReported | UsageReported | Finished | Metered
)  # fmt: skip

ModelCall = Callable[[ModelRequest, CallContext], AsyncGenerator[list[ModelEvent], None]]
