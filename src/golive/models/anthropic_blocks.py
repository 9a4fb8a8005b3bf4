"""The content blocks of one Anthropic answer: what each start, delta and stop means as events.

Tool calls count from 0 in the order they appear. Thoughts, and what the vendor's own server-side tools did, are
reported as state when their block is whole, since the API wants them back unchanged.
"""

from typing import Any

import msgspec
from msgspec import Raw

from golive.core.messages import Opaque
from golive.models.anthropic_wire import WireBlock, WireDelta, decode_block
from golive.models.call import ModelEvent, ReasoningDelta, StateReported, TextDelta, ToolCallDelta

MAX_STATE_CHARACTERS = 8_388_608
"""Most that is kept of one block until it is whole."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode


class BrokenBlock(Exception):
    """A block that the dialect does not allow; the text says how."""


class _Open:
    """A block that has begun. `before` is the number of tool calls that began earlier."""

    __slots__ = ("before", "kept", "kept_size", "kind", "said", "signature", "start")

    def __init__(self, kind: str, before: int, start: Any) -> None:
        self.kind = kind
        self.before = before
        self.start = start
        self.said = False
        self.signature: str | None = None
        self.kept: list[str] = []
        self.kept_size = 0

    def keep(self, text: str) -> None:
        self.kept.append(text)
        self.kept_size += len(text)
        if self.kept_size > MAX_STATE_CHARACTERS:
            raise BrokenBlock(f"sent a block of {self.kind[:60]!r} of more than 8 Mi characters")


class Blocks:
    """Reads the blocks in any order; several may be open at once.

    The methods append to `events`.

    Raises (each method):
        BrokenBlock: what came fits no block.
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: it cannot be read.
    """

    __slots__ = ("_ids", "_model", "_open", "_provider", "_suffix", "calls")

    def __init__(self, provider: str, model: str, response_id: str) -> None:
        self._provider = provider
        self._model = model
        self._suffix = "".join(c for c in response_id if c.isascii() and c.isalnum())[-12:]
        self._open: dict[int, _Open] = {}
        self._ids: set[str] = set()
        self.calls = 0

    def start(self, index: int, raw: Raw, events: list[ModelEvent]) -> None:
        """A block begins, or stands whole in an answer that is not streamed."""
        self.stop(index, events)
        block = decode_block(raw)
        kind = block.type or ""
        opened = self._open[index] = _Open(kind, self.calls, None)
        if kind == "text":
            _say(block, events)
        elif kind == "thinking":
            opened.signature = block.signature
            self._think(opened, block.thinking, events)
        elif kind == "tool_use":
            opened.start = bytes(block.input).decode()
            events.append(ToolCallDelta(self.calls, self._unique(block.id or ""), block.name or "", ""))
            self.calls += 1
        elif kind == "server_tool_use":
            opened.start = _decode(raw)
        elif kind == "redacted_thinking" or kind.endswith("_tool_result"):
            self._report(_decode(raw), opened.before, events)

    def delta(self, index: int, delta: WireDelta, events: list[ModelEvent]) -> None:
        """A piece of a block. Pieces of kinds that are not known are passed over."""
        opened = self._open.get(index)
        kind = delta.type
        if kind == "text_delta":
            if delta.text:
                events.append(TextDelta(delta.text))
        elif kind == "input_json_delta":
            if opened is None:
                raise BrokenBlock("sent arguments of a tool call that never began")
            self._argue(opened, delta.partial_json, events)
        elif kind == "thinking_delta":
            self._think(opened, delta.thinking, events)
        elif kind == "signature_delta":
            if opened is not None:
                opened.signature = delta.signature
        elif kind == "citations_delta" and delta.citation:
            events.append(TextDelta("", extra=Raw(_encode({"citations": [_decode(delta.citation)]}))))

    def stop(self, index: int, events: list[ModelEvent]) -> None:
        """A block is whole; one that never began is none."""
        opened = self._open.pop(index, None)
        if opened is None:
            return
        if opened.kind == "tool_use" and not opened.said:
            arguments = opened.start if opened.start not in ("", "null") else "{}"
            events.append(ToolCallDelta(opened.before, arguments=arguments))
        elif opened.kind == "thinking" and (opened.kept or opened.signature):
            block = {"type": "thinking", "thinking": "".join(opened.kept)}
            if opened.signature is not None:
                block["signature"] = opened.signature
            self._report(block, opened.before, events)
        elif opened.kind == "server_tool_use":
            if opened.kept:
                opened.start["input"] = _decode("".join(opened.kept))
            self._report(opened.start, opened.before, events)

    def end(self, events: list[ModelEvent]) -> None:
        """The answer is whole, and with it every block that was left open."""
        for index in sorted(self._open):
            self.stop(index, events)

    def _unique(self, call_id: str) -> str:
        """Results are matched by id: two calls may not share one."""
        unique = call_id or f"toolu_{self._suffix}x{self.calls}"
        while unique in self._ids:
            unique += f"x{self.calls}"
        self._ids.add(unique)
        return unique

    def _argue(self, opened: _Open, piece: str | None, events: list[ModelEvent]) -> None:
        if not piece:
            return
        if opened.kind == "tool_use":
            opened.said = True
            events.append(ToolCallDelta(opened.before, arguments=piece))
        elif opened.kind == "server_tool_use":
            opened.keep(piece)

    def _think(self, opened: _Open | None, thought: str | None, events: list[ModelEvent]) -> None:
        if not thought:
            return
        events.append(ReasoningDelta(thought))
        if opened is not None:
            opened.keep(thought)

    def _report(self, block: Any, before: int, events: list[ModelEvent]) -> None:
        events.append(StateReported(Opaque(self._provider, Raw(_encode(block)), before, self._model)))


def _say(block: WireBlock, events: list[ModelEvent]) -> None:
    """A text, and the citations that come with a whole one."""
    citations = _decode(block.citations) if block.citations else None
    if block.text or citations:
        extra = Raw(_encode({"citations": citations})) if citations else None
        events.append(TextDelta(block.text or "", extra=extra))
