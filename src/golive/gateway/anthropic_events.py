"""Anthropic's stream of events, from model events and from an agent's frames.

Content blocks stand one behind the other in it, as clients expect, whatever order the pieces come in: what arrives
while a tool call is still open is held back until that call is whole. A text delta costs one small encode between two
constant pieces; a whole batch becomes one write.

Source: https://docs.claude.com/en/docs/build-with-claude/streaming (November 2026).
"""

import msgspec
from msgspec import Raw, Struct

from golive.core.errors import GoliveError
from golive.core.frames import REASONING_DELTA, TEXT_DELTA, Frame
from golive.core.messages import Usage
from golive.gateway.anthropic_answer import (
    CONTENT,
    UNDECIDED,
    Block,
    Blocks,
    Content,
    citations_of,
    is_answer,
    is_whole,
    message_json,
    outcome_json,
    refuse_more,
    sealed_block,
    state_block,
    stop_json,
    tool_use,
    usage_json,
)
from golive.gateway.anthropic_errors import error_event, error_of, failed_run
from golive.models.call import (
    Finished,
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

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_EMPTY = {"text": b'{"type":"text","text":""}', "thinking": b'{"type":"thinking","thinking":"","signature":""}'}

_encode = msgspec.json.Encoder().encode


class _FrameText(Struct):
    text: Raw


_frame_text = msgspec.json.Decoder(_FrameText).decode


class MessageStream:
    """Writes the events of one message; see `face.Streamed`."""

    __slots__ = (
        "_arguments", "_begun", "_call", "_finished", "_held", "_id", "_ids", "_index", "_model", "_open", "_refusal",
        "_run", "_text_head",
    )  # fmt: skip
    heartbeat = PING

    def __init__(self, run: str, opened: Opened, model: str) -> None:
        """`run` and `model` stand in for what the vendor did not say."""
        self._run = run
        self._id = opened.response_id or f"msg_{run}"
        self._model = opened.response_model or model
        self._begun = False
        self._index = -1
        self._open = ""
        self._text_head = b""
        self._call = -1
        self._arguments: list[str] = []
        self._ids: dict[int, str] = {}
        self._held: Blocks | None = None
        self._refusal: list[str] = []
        self._finished: Finished | None = None

    @property
    def whole(self) -> bool:
        return self._finished is not None

    # ---- a relayed answer --------------------------------------------------------------------------------------------

    def batch(self, events: list[ModelEvent]) -> bytes:
        out: list[bytes] = []
        if not self._begun:
            usage = next((event.usage for event in events if isinstance(event, UsageReported)), Usage())
            out.append(self._start(usage))
        for event in events:
            if type(event) is TextDelta and self._open == "text" and event.extra is None and event.choice == 0:
                out.append(self._text_head + _encode(event.text) + b"}}\n\n")
            elif isinstance(event, CONTENT):
                if event.choice == 0:
                    self._content(event, out)
            elif type(event) is RefusalDelta:
                self._refusal.append(event.text)
            elif type(event) is Finished and event.choice == 0:
                self._finish(event, out)
        return b"".join(out)

    def end(self, usage: Usage | None) -> bytes:
        stop = stop_json(self._finished or Finished("stop"), "".join(self._refusal))
        return self._end(stop, usage or Usage())

    # ---- an agent's answer -------------------------------------------------------------------------------------------

    def begin(self) -> bytes:
        return self._start(Usage())

    def frames(self, frames: list[Frame]) -> bytes:
        out: list[bytes] = []
        for frame in frames:
            if frame.channel == "answer" and frame.event == TEXT_DELTA:
                self._piece("text", bytes(_frame_text(frame.data).text), out)
            elif frame.event == REASONING_DELTA:
                self._piece("thinking", bytes(_frame_text(frame.data).text), out)
        return b"".join(out)

    def run_end(self, result: RunResult) -> bytes:
        out: list[bytes] = []
        if result.message and not result.text:
            self._piece("text", _encode(result.message), out)
        self._close(out)
        return b"".join(out) + self._end(outcome_json(result), result.usage)

    # ---- ends --------------------------------------------------------------------------------------------------------

    def error(self, error: GoliveError) -> bytes:
        return error_event(error_of(error, self._run))

    def failed_run(self, result: RunResult) -> bytes:
        return error_event(failed_run(result)[1])

    def _end(self, stop: bytes, usage: Usage) -> bytes:
        told = b'event: message_delta\ndata: {"type":"message_delta","delta":{%s},"usage":%s}\n\n'
        return told % (stop, usage_json(usage)) + _STOP

    def _finish(self, finished: Finished, out: list[bytes]) -> None:
        """Shows what was held back, and ends what is open."""
        held, self._held = self._held, None
        for block in held.blocks if held is not None else ():
            self._show(block, out)
        refusal = "".join(self._refusal)
        if is_answer(refusal, finished):
            self._piece("text", _encode(refusal), out)
        self._close(out)
        self._finished = finished

    # ---- blocks ------------------------------------------------------------------------------------------------------

    def _start(self, usage: Usage) -> bytes:
        self._begun = True
        message = message_json(self._id, self._model, b"", UNDECIDED, usage)
        return b'event: message_start\ndata: {"type":"message_start","message":%s}\n\n' % message

    def _content(self, event: Content, out: list[bytes]) -> None:
        if type(event) is ToolCallDelta and event.index == self._call:
            self._fragment(event.arguments, out)
            return
        if self._held is None and self._open == "tool_use" and not is_whole("".join(self._arguments)):
            self._held = Blocks(self._ids)
        if self._held is not None:
            self._held.add(event)
            return
        match event:
            case ToolCallDelta():
                self._begin_call(event, out)
            case StateReported():
                self._state(event, out)
            case ReasoningDelta():
                self._piece("thinking", _encode(event.text), out)
            case TextDelta():
                if event.text:
                    self._piece("text", _encode(event.text), out)
                self._cite(citations_of(event), out)

    def _begin_call(self, event: ToolCallDelta, out: list[bytes]) -> None:
        if event.index in self._ids:
            refuse_more(event)
            return
        self._ids[event.index] = event.id or ""
        self._open_block("tool_use", tool_use(event.id or "", event.name or "", b"{}"), out)
        self._call = event.index
        self._fragment(event.arguments, out)

    def _fragment(self, arguments: str, out: list[bytes]) -> None:
        if arguments:
            self._arguments.append(arguments)
            out.append(self._delta(b"input_json_delta", b"partial_json", _encode(arguments)))

    def _state(self, event: StateReported, out: list[bytes]) -> None:
        own = state_block(event.state)
        if own is None:
            block = sealed_block(event.state, self._ids.get(event.call) if event.call is not None else None)
        elif own.type == "thinking":
            if self._open != "thinking":
                self._piece("thinking", _encode(own.thinking), out)
            if own.signature:
                out.append(self._delta(b"signature_delta", b"signature", _encode(own.signature)))
            self._close(out)
            return
        else:
            block = bytes(event.state.data)
        self._open_block("raw", block, out)
        self._close(out)

    def _cite(self, citations: list[Raw], out: list[bytes]) -> None:
        if citations and self._open != "text":
            self._open_block("text", _EMPTY["text"], out)
        out += [self._delta(b"citations_delta", b"citation", bytes(citation)) for citation in citations]

    def _show(self, block: Block, out: list[bytes]) -> None:
        """A block that was held back, at once."""
        self._close(out)
        written = "".join(block.pieces)
        if block.kind == "tool_use":
            self._open_block("tool_use", tool_use(block.id, block.name, b"{}"), out)
            self._fragment(written, out)
        elif block.kind == "raw":
            self._open_block("raw", block.data, out)
        else:
            self._piece(block.kind, _encode(written), out)
            self._cite(block.citations, out)
            if block.signature:
                out.append(self._delta(b"signature_delta", b"signature", _encode(block.signature)))

    def _piece(self, kind: str, text_json: bytes, out: list[bytes]) -> None:
        if self._open != kind:
            self._open_block(kind, _EMPTY[kind], out)
        out.append(self._delta(b"%s_delta" % kind.encode(), kind.encode(), text_json))

    def _open_block(self, kind: str, block: bytes, out: list[bytes]) -> None:
        self._close(out)
        self._index += 1
        self._open = kind
        self._text_head = self._head(b"text_delta", b"text")
        start = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%s}\n\n'
        out.append(start % (self._index, block))

    def _close(self, out: list[bytes]) -> None:
        if not self._open:
            return
        stop = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
        out.append(stop % self._index)
        self._open = ""
        self._call = -1
        self._arguments.clear()

    def _head(self, kind: bytes, member: bytes) -> bytes:
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%s","%s":'
        return head % (self._index, kind, member)

    def _delta(self, kind: bytes, member: bytes, value: bytes) -> bytes:
        return self._head(kind, member) + value + b"}}\n\n"
