"""Anthropic Messages as the vendor writes it: the events of a stream, whole answers.

Sources: https://docs.anthropic.com/en/docs/build-with-claude/streaming and
https://docs.anthropic.com/en/api/messages, as of 2026.
"""

from typing import Any

import msgspec

from golive.sim.anthropic.request import read_messages
from golive.sim.compose import Answer, Call
from golive.sim.protocol import Request
from golive.sim.request import ChatRequest, Rejected
from golive.sim.script import Script
from golive.sim.seals import Seals
from golive.sim.tokens import count
from golive.sim.usage import encoded, reported, times_reported, with_usage
from golive.sim.vendor import Events, Reply

_encode = msgspec.json.Encoder().encode
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_EMPTY_TEXT = {"type": "text", "text": ""}
_EMPTY_THINKING = {"type": "thinking", "thinking": "", "signature": ""}


class MessageEvents(Events):
    """The events of one stream. The first entry goes as far as the first delta of text or thinking."""

    def __init__(self, answer: Answer, script: Script, reply: Reply) -> None:
        self._index = -1
        self._before = b""
        """Events that travel with the next entry."""
        message = _encode(_message(reply, [], None, None))
        if times_reported(script):  # of the input, before the first token
            message = message[:-1] + b',"usage":%b}' % _usage(answer, script, so_far=1)
        start = b'event: message_start\ndata: {"type":"message_start","message":%b}\n\n' % message
        super().__init__(start, answer.hidden_tokens)
        if answer.reasoning:
            self._open(_EMPTY_THINKING)
            self._deltas(b'"thinking_delta","thinking":', answer.reasoning)
            seal = reply.seals.sign("".join(answer.reasoning))
            self._before += self._delta(b'"signature_delta","signature":', seal)
            self._close()
        if answer.text:
            self._open(_EMPTY_TEXT)
            self._deltas(b'"text_delta","text":', answer.text)
            self._close()
        for call in answer.calls:
            self._call(call)
        self._end(answer, script)

    def _open(self, block: dict[str, Any]) -> None:
        self._index += 1
        opening = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,' % self._index
        opening += b'"content_block":%b}\n\n' % _encode(block)
        if self._index == 0 and block["type"] != "tool_use":
            self.events[0] += opening + _PING
        else:
            self._before += opening

    def _close(self) -> None:
        self._before += b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index

    def _head(self, kind: bytes) -> bytes:
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b' % (
            self._index,
            kind,
        )

    def _delta(self, kind: bytes, text: str) -> bytes:
        return self._head(kind) + _encode(text) + b"}}\n\n"

    def _deltas(self, kind: bytes, words: list[str]) -> None:
        head = self._head(kind)
        events = [b"%b%b}}\n\n" % (head, _encode(word)) for word in words]
        events[0] = self._before + events[0]
        self._before = b""
        self.extend(events)

    def _call(self, call: Call) -> None:
        self._open({"type": "tool_use", "id": call.id, "name": call.name, "input": {}})
        kind = b'"input_json_delta","partial_json":'
        self.add(self._before + self._delta(kind, ""), count(call.name), 1)
        self._before = b""
        for fragment in call.fragments:
            self.add(self._delta(kind, fragment), count(fragment), 1)
        self._close()

    def failure(self, at: int, error: Rejected, body: bytes) -> bytes:
        return b"event: error\ndata: %b\n\n" % body

    def _end(self, answer: Answer, script: Script) -> None:
        reason, details = _stopped(answer)
        delta = {"stop_reason": reason, "stop_sequence": answer.stopped_at, "stop_details": details}
        usage = b',"usage":%b' % _usage(answer, script) if times_reported(script) else b""
        event = b'event: message_delta\ndata: {"type":"message_delta","delta":%b%b}\n\n' % (_encode(delta), usage)
        self.add(self._before + event, len(answer.refusal), 0)
        for _ in range(times_reported(script) - 1):
            self.add(event, 0, 0)
        self.add(b'event: message_stop\ndata: {"type":"message_stop"}\n\n', 0, 0)


class Messages:
    """The dialect."""

    call_prefix = "toolu_"
    reply_prefix = "msg_"
    marks = True
    continues = True

    def read(self, request: Request, model: str, seals: Seals) -> ChatRequest:
        return read_messages(request.body, seals, counting=request.path.endswith("/count_tokens"))

    def stream(self, answer: Answer, script: Script, reply: Reply) -> MessageEvents:
        return MessageEvents(answer, script, reply)

    def whole(self, answer: Answer, script: Script, reply: Reply) -> bytes:
        content: list[dict[str, Any]] = []
        if answer.reasoning:
            thinking = "".join(answer.reasoning)
            content.append({"type": "thinking", "thinking": thinking, "signature": reply.seals.sign(thinking)})
        if answer.text:
            content.append({"type": "text", "text": "".join(answer.text)})
        content += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.parsed()} for call in answer.calls
        ]
        reason, details = _stopped(answer)
        message = _message(reply, content, reason, answer.stopped_at) | {"stop_details": details}
        return with_usage(_encode(message), b"usage", _usage(answer, script), script)


def _message(reply: Reply, content: list[dict[str, Any]], reason: str | None, stop: str | None) -> dict[str, Any]:
    return {
        "id": f"{Messages.reply_prefix}sim{reply.number}", "type": "message", "role": "assistant",
        "model": reply.request.model, "content": content, "stop_reason": reason, "stop_sequence": stop,
    }  # fmt: skip


def _stopped(answer: Answer) -> tuple[str, dict[str, Any] | None]:
    """The reason, and what the vendor says of a refusal."""
    if answer.refusal:
        return "refusal", {"type": "refusal", "category": None, "explanation": "".join(answer.refusal)}
    return _STOP_REASONS.get(answer.finish_reason, answer.finish_reason), None


def _usage(answer: Answer, script: Script, so_far: int | None = None) -> bytes:
    """Usage in the vendor's way: what was read from the cache or written to it is no `input_tokens`."""
    figures = reported(answer, script)
    written = figures.cache_write_tokens
    usage: dict[str, Any] = {
        "input_tokens": figures.prompt_tokens - figures.cached_tokens - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": figures.cached_tokens,
        "output_tokens": figures.completion_tokens if so_far is None else so_far,
    }
    if so_far is None:
        usage["output_tokens_details"] = {"thinking_tokens": figures.reasoning_tokens}
    else:
        usage["cache_creation"] = {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0}
        usage["service_tier"] = "standard"
    return encoded(usage, script)
