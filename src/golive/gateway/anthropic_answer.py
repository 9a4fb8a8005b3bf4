"""Whole messages in Anthropic's shape: assembled from model events, or made from an agent's result.

Owns the content blocks of an answer, usage and stop reasons; `anthropic_events.py` writes the same as a stream.

Source: https://docs.claude.com/en/api/messages (November 2026).
"""

import msgspec
from msgspec import Raw, Struct

from golive.core.errors import ModelMalformed
from golive.core.messages import Opaque, Usage
from golive.gateway.sealed import seal
from golive.models.call import (
    Finished,
    Metered,
    ModelEvent,
    Opened,
    ReasoningDelta,
    RefusalDelta,
    StateReported,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from golive.runtime.api import RunResult

Content = TextDelta | ReasoningDelta | ToolCallDelta | StateReported
CONTENT = (TextDelta, ReasoningDelta, ToolCallDelta, StateReported)
"""Events that become content blocks."""

STOP_OF_OUTCOME = {"completed": "end_turn", "escalated": "end_turn", "partial": "max_tokens", "refused": "refusal"}
"""How an agent's outcome reads on the Anthropic face; `failed` and `cancelled` are errors."""
_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}

_encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, Raw]).decode


class _Extra(Struct, frozen=True):
    """What belongs to a piece of text, of those fields that have a place here."""

    citations: list[Raw] = []


_extra = msgspec.json.Decoder(_Extra).decode


def citations_of(event: TextDelta) -> list[Raw]:
    """The sources that a model of Anthropic's names for a piece of text."""
    return [] if event.extra is None else _extra(event.extra).citations


class StateBlock(Struct, frozen=True):
    """What is looked at in a provider's state: whether it is a content block of Anthropic's own, and its signature."""

    type: str = ""
    thinking: str = ""
    signature: str = ""


_state = msgspec.json.Decoder(StateBlock).decode
_ANTHROPICS = (
    "thinking", "redacted_thinking", "server_tool_use", "container_upload", "mcp_tool_use", "mcp_tool_result",
)  # fmt: skip


def state_block(state: Opaque) -> StateBlock | None:
    """The state as a block of Anthropic's own, which a client is handed as it is; None: it has to be sealed."""
    try:
        block = _state(state.data)
    except msgspec.MsgspecError:
        return None
    return block if block.type in _ANTHROPICS or block.type.endswith("_tool_result") else None


def sealed_block(state: Opaque, call: str | None) -> bytes:
    """Another vendor's state, in the block that clients send back unread."""
    return b'{"type":"redacted_thinking","data":%s}' % _encode(seal(state, call))


def is_whole(arguments: str) -> bool:
    """Whether a tool's arguments are a whole JSON object, to which nothing can be added."""
    try:
        _object(arguments)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True


def tool_input(arguments: str) -> bytes:
    """A tool's `input`, which must be an object: what the model wrote and is none stands in one, under INVALID_JSON.

    Source: https://docs.claude.com/en/docs/agents-and-tools/tool-use/fine-grained-tool-streaming (November 2026).
    """
    if not arguments.strip():
        return b"{}"
    return arguments.encode() if is_whole(arguments) else b'{"INVALID_JSON":%s}' % _encode(arguments)


def refuse_more(event: ToolCallDelta) -> None:
    """Raises ModelMalformed when a tool call that was whole, and is closed, is given further arguments."""
    if event.arguments.strip():
        raise ModelMalformed("The model went on with the arguments of a tool call that was whole.")


class Block:
    """One content block so far. `kind` is text, thinking, tool_use, or raw (`data` is the block)."""

    __slots__ = ("citations", "data", "id", "kind", "name", "pieces", "signature")

    def __init__(self, kind: str, call_id: str = "", name: str = "", data: bytes = b"") -> None:
        self.kind = kind
        self.id = call_id
        self.name = name
        self.data = data
        self.pieces: list[str] = []
        self.citations: list[Raw] = []
        self.signature = ""

    def body(self) -> bytes:
        """The whole block."""
        written = "".join(self.pieces)
        if self.kind == "text":
            named = b',"citations":' + _encode(self.citations) if self.citations else b""
            return b'{"type":"text","text":%s%s}' % (_encode(written), named)
        if self.kind == "thinking":
            return b'{"type":"thinking","thinking":%s,"signature":%s}' % (_encode(written), _encode(self.signature))
        if self.kind == "tool_use":
            return tool_use(self.id, self.name, tool_input(written))
        return self.data


def tool_use(call_id: str, name: str, arguments: bytes) -> bytes:
    """A tool_use block."""
    return b'{"type":"tool_use","id":%s,"name":%s,"input":%s}' % (_encode(call_id), _encode(name), arguments)


class Blocks:
    """Puts the content of an answer in blocks, in the order in which they begin.

    Args:
        shown: ids of the tool calls, by index, that were written before and are whole.
    """

    __slots__ = ("_calls", "_ids", "blocks")

    def __init__(self, shown: dict[int, str] | None = None) -> None:
        self.blocks: list[Block] = []
        self._calls: dict[int, Block] = {}
        self._ids = dict(shown or {})

    def add(self, event: Content) -> None:
        """Takes in an event."""
        match event:
            case TextDelta():
                citations = citations_of(event)
                if event.text or citations:
                    block = self._block("text")
                    block.pieces.append(event.text)
                    block.citations += citations
            case ReasoningDelta():
                self._block("thinking").pieces.append(event.text)
            case ToolCallDelta():
                self._call(event)
            case StateReported():
                self._state(event)

    def _call(self, event: ToolCallDelta) -> None:
        call = self._calls.get(event.index)
        if call is None:
            if event.index in self._ids:
                refuse_more(event)
                return
            call = self._calls[event.index] = Block("tool_use", event.id or "", event.name or "")
            self._ids[event.index] = call.id
            self.blocks.append(call)
        call.pieces.append(event.arguments)

    def _block(self, kind: str) -> Block:
        """The last block if it is of this kind and open, else a new one."""
        last = self.blocks[-1] if self.blocks else None
        if last is None or last.kind != kind or last.signature:
            last = Block(kind)
            self.blocks.append(last)
        return last

    def _state(self, event: StateReported) -> None:
        own = state_block(event.state)
        if own is None:
            call_id = self._ids.get(event.call) if event.call is not None else None
            self.blocks.append(Block("raw", data=sealed_block(event.state, call_id)))
        elif own.type == "thinking" and self._signs_last(own):
            self.blocks[-1].signature = own.signature
        else:
            self.blocks.append(Block("raw", data=bytes(event.state.data)))

    def _signs_last(self, own: StateBlock) -> bool:
        return bool(self.blocks) and self.blocks[-1].kind == "thinking" and not self.blocks[-1].signature


def stop_json(finished: Finished, refusal: str) -> bytes:
    """`stop_reason` and what belongs to it, as members of an object; `refusal` is what was said by declining."""
    if refusal or finished.reason == "content_filter":
        return _stop("refusal", details={"type": "refusal", "category": None, "explanation": refusal or None})
    if finished.reason == "stop" and finished.stop_sequence is not None:
        return _stop("stop_sequence", finished.stop_sequence)
    return _stop(_STOP[finished.reason])


def outcome_json(result: RunResult) -> bytes:
    """The same for an agent's outcome."""
    return _stop(STOP_OF_OUTCOME[result.outcome or "partial"])


def _stop(reason: str | None, sequence: str | None = None, details: dict[str, str | None] | None = None) -> bytes:
    return _encode({"stop_reason": reason, "stop_sequence": sequence, "stop_details": details})[1:-1]


UNDECIDED = _stop(None)
"""The same for an answer that has only begun."""


def is_answer(refusal: str, finished: Finished) -> bool:
    """Whether a refusal is the model's own answer, to be shown as text, and not a filter's remark on it."""
    return bool(refusal) and finished.reason != "content_filter"


def usage_json(usage: Usage) -> bytes:
    """Anthropic's `usage` object, in which `input_tokens` excludes what was read from the cache or written to it."""
    fresh = max(0, usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens)
    more = (
        b',"output_tokens_details":{"thinking_tokens":%d}' % usage.reasoning_tokens if usage.reasoning_tokens else b""
    )
    return b'{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,"output_tokens":%d%s}' % (
        fresh,
        usage.cache_write_tokens,
        usage.cached_input_tokens,
        usage.output_tokens,
        more,
    )


def message_json(message_id: str, model: str, content: bytes, stop: bytes, usage: Usage) -> bytes:
    """A message object."""
    return b'{"id":%s,"type":"message","role":"assistant","model":%s,"content":[%s],%s,"usage":%s}' % (
        _encode(message_id),
        _encode(model),
        content,
        stop,
        usage_json(usage),
    )


class WholeMessage:
    """Collects the events of one call; `body` is Anthropic's message."""

    __slots__ = ("_blocks", "_finished", "_opened", "_refusal", "_usage")

    def __init__(self) -> None:
        self._blocks = Blocks()
        self._opened: Opened | None = None
        self._finished: Finished | None = None
        self._refusal: list[str] = []
        self._usage: Usage | None = None

    def add(self, events: list[ModelEvent]) -> None:
        """Takes in a batch; answers beside the first, which nobody can ask for here, are left out."""
        for event in events:
            if isinstance(event, CONTENT):
                if event.choice == 0:
                    self._blocks.add(event)
            elif isinstance(event, RefusalDelta):
                self._refusal.append(event.text)
            elif isinstance(event, Opened):
                self._opened = self._opened or event
            elif isinstance(event, Finished) and event.choice == 0:
                self._finished = event
            elif isinstance(event, UsageReported):
                self._usage = event.usage
            elif isinstance(event, Metered):
                self._usage = self._usage or event.usage

    @property
    def whole(self) -> bool:
        """Whether the model has said that its answer is over."""
        return self._finished is not None

    def body(self, run: str, model: str, now: float) -> bytes:
        """The message; what the vendor did not say comes from `run` (id) and `model`."""
        finished = self._finished
        if finished is None:
            raise ModelMalformed(f"{model} ended its answer without saying why.")
        opened = self._opened or Opened()
        refusal = "".join(self._refusal)
        if is_answer(refusal, finished):
            self._blocks.add(TextDelta(refusal))
        return message_json(
            opened.response_id or f"msg_{run}",
            opened.response_model or model,
            b",".join([block.body() for block in self._blocks.blocks]),
            stop_json(finished, refusal),
            self._usage or Usage(),
        )


def agent_message(result: RunResult) -> bytes:
    """The message for a run that has an answer, whole or partial; its id is the run's."""
    text = result.text or result.message
    content = b'{"type":"text","text":%s}' % _encode(text) if text else b""
    return message_json(f"msg_{result.run}", result.agent, content, outcome_json(result), result.usage)
