"""Chat completion chunks: from model events and from an agent's frames to the bytes of OpenAI's stream.

A text delta costs one small encode between two constant pieces; a whole batch becomes one write.
"""

import msgspec
from msgspec import Raw, Struct

from golive.core.frames import REASONING_DELTA, TEXT_DELTA, Frame
from golive.core.messages import Usage
from golive.models.call import (
    Finished,
    ModelEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


class _FrameText(Struct):
    text: Raw


_frame_text = msgspec.json.Decoder(_FrameText).decode


def usage_json(usage: Usage) -> bytes:
    """OpenAI's `usage` object."""
    return (
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
        b'"prompt_tokens_details":{"cached_tokens":%d},"completion_tokens_details":{"reasoning_tokens":%d}}'
    ) % (
        usage.input_tokens,
        usage.output_tokens,
        usage.input_tokens + usage.output_tokens,
        usage.cached_input_tokens,
        usage.reasoning_tokens,
    )


def top_level(extra: Raw | None) -> bytes:
    """Further top-level members of the vendor's answer, ready to stand behind others."""
    return b"" if extra is None or len(bytes(extra)) < 5 else b"," + bytes(extra)[1:-1]


class Chunks:
    """Writes the chunks of one answer."""

    __slots__ = ("_begun", "_finish_tail", "_head", "_tail", "_text_head", "_usage_tail", "finished")

    def __init__(self, answer_id: str, created: int, model: str, *, with_usage: bool, extra: Raw | None = None) -> None:
        """`with_usage`: each chunk carries `usage: null`, and `usage` writes the last one."""
        self._head = b'data: {"id":%s,"object":"chat.completion.chunk","created":%d,"model":%s%s,"choices":[' % (
            _encode(answer_id),
            created,
            _encode(model),
            top_level(extra),
        )
        end = b',"usage":null}\n\n' if with_usage else b"}\n\n"
        self._tail = b'},"logprobs":null,"finish_reason":null}]' + end
        self._finish_tail = b"}]" + end
        self._text_head = self._head + b'{"index":0,"delta":{"content":'
        self._begun: set[int] = set()
        self.finished: set[int] = set()
        """Choices that have ended."""

    def delta(self, choice: int, members: bytes) -> bytes:
        """A chunk with these members of `delta`; a choice's first one says its role before."""
        head = self._head + b'{"index":%d,"delta":{' % choice
        if choice in self._begun:
            return head + members + self._tail
        return self.role(choice) + head + members + self._tail

    def role(self, choice: int = 0) -> bytes:
        """The first chunk of a choice."""
        self._begun.add(choice)
        return self._head + b'{"index":%d,"delta":{"role":"assistant","content":""' % choice + self._tail

    def text(self, text_json: bytes) -> bytes:
        """A chunk of the first choice's answer, from the JSON of its text; `role` must have been written."""
        return self._text_head + text_json + self._tail

    def finish(self, reason: str, choice: int = 0) -> bytes:
        """The last chunk of a choice."""
        before = b"" if choice in self._begun else self.role(choice)
        self.finished.add(choice)
        end = b'{"index":%d,"delta":{},"logprobs":null,"finish_reason":"%s"' % (choice, reason.encode())
        return before + self._head + end + self._finish_tail

    def usage(self, usage: Usage) -> bytes:
        """The chunk of usage, which has no choice."""
        return self._head + b'],"usage":' + usage_json(usage) + b"}\n\n"

    def last(self, body: object) -> bytes:
        """What ends a broken stream instead of [DONE]."""
        return b"data: " + msgspec.json.encode(body) + b"\n\n"

    def batch(self, events: list[ModelEvent]) -> bytes:
        """All chunks for a batch of model events."""
        out: list[bytes] = []
        text_head, tail, begun = self._text_head, self._tail, self._begun
        for event in events:
            if type(event) is TextDelta:
                if event.choice == 0 and event.extra is None and 0 in begun:
                    out.append(text_head + _encode(event.text) + tail)
                else:
                    out.append(self._rare_text(event))
            elif (chunk := self._other(event)) is not None:
                out.append(chunk)
        return b"".join(out)

    def _rare_text(self, event: TextDelta) -> bytes:
        members = b'"content":' + _encode(event.text)
        if event.extra is None:
            return self.delta(event.choice, members)
        before = b"" if event.choice in self._begun else self.role(event.choice)
        head = self._head + b'{"index":%d,"delta":{' % event.choice
        return before + head + members + b"}" + top_level(event.extra) + b',"finish_reason":null' + self._finish_tail

    def _other(self, event: ModelEvent) -> bytes | None:
        match event:
            case ReasoningDelta():
                return self.delta(event.choice, b'"reasoning_content":' + _encode(event.text))
            case RefusalDelta():
                return self.delta(event.choice, b'"refusal":' + _encode(event.text))
            case ToolCallDelta():
                return self.delta(event.choice, b'"tool_calls":[' + _tool_fragment(event) + b"]")
            case Finished():
                return self.finish(event.reason, event.choice)
        return None

    def frames(self, frames: list[Frame]) -> bytes:
        """All chunks for a batch of an agent's frames; tools and status stay inside."""
        out: list[bytes] = []
        for frame in frames:
            if frame.channel == "answer" and frame.event == TEXT_DELTA:
                out.append(self._text_head + bytes(_frame_text(frame.data).text) + self._tail)
            elif frame.event == REASONING_DELTA:
                out.append(self.delta(0, b'"reasoning_content":' + bytes(_frame_text(frame.data).text)))
        return b"".join(out)


def _tool_fragment(event: ToolCallDelta) -> bytes:
    if event.id is None and event.name is None:
        return b'{"index":%d,"function":{"arguments":%s}}' % (event.index, _encode(event.arguments))
    return b'{"index":%d,"id":%s,"type":"function","function":{"name":%s,"arguments":%s}}' % (
        event.index,
        _encode(event.id or ""),
        _encode(event.name or ""),
        _encode(event.arguments),
    )
