"""How OpenAI Chat Completions writes each situation of the dialects' contract."""

from typing import Any

import msgspec

from golive.models.openai_chat import OpenAIChat
from tests.contract.speakers.speaker import Speaker


def chunk(
    delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0, **more: Any
) -> dict[str, Any]:
    """One chunk as OpenAI writes it."""
    choices = [] if delta is None else [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "m-1",
        "choices": choices,
    } | more


def call(**fields: Any) -> dict[str, Any]:
    """A delta with one fragment of a tool call."""
    function = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
    return {"tool_calls": [{**fields, "function": function}]}


USAGE = {
    "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}  # fmt: skip


def whole(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "m-1", "usage": USAGE,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    } | more  # fmt: skip


def sse(*chunks: dict[str, Any], done: bool = True) -> bytes:
    data = b"".join(b"data: " + msgspec.json.encode(item) + b"\n\n" for item in chunks)
    return data + (b"data: [DONE]\n\n" if done else b"")


_TWO_CALLS = [
    {"id": "call_a", "type": "function", "function": {"name": "find", "arguments": '{"q":"é"}'}},
    {"id": "call_b", "type": "function", "function": {"name": "pay", "arguments": "{}"}},
]
OPENAI = Speaker(
    OpenAIChat(),
    streamed={
        "text": sse(
            chunk({"role": "assistant", "content": ""}), chunk({"content": "Grüß "}), chunk({"content": "dich 👋"}),
            chunk({}, "stop"), chunk(usage=USAGE),
        ),
        "reasoning": sse(
            chunk({"reasoning_content": "hm "}), chunk({"reasoning": "so"}), chunk({"content": "Yes"}),
            chunk({}, "stop"),
        ),
        "refusal": sse(chunk({"refusal": "I cannot."}), chunk({}, "stop")),
        "tools": sse(
            chunk(call(index=0, id="call_a", type="function", name="find", arguments="")),
            chunk(call(index=0, arguments='{"q":')), chunk(call(index=1, id="call_b", name="pay", arguments="")),
            chunk(call(index=0, arguments='"é"}')), chunk(call(index=1, arguments="{}")), chunk({}, "tool_calls"),
        ),
        "length": sse(chunk({"content": "to be con"}), chunk({}, "length")),
        "unknown end": sse(chunk({"content": "to be con"}), chunk({}, "sunspots")),
        "unknown end of nothing": sse(chunk({}, "sunspots")),
        "cut": sse(chunk({"content": "half"}), done=False),
        "cut in an event": sse(chunk({"content": "half"}), chunk({"content": "lost"}), done=False)[:-9],
        "broken": sse(chunk({"content": "half"}), done=False) + b'data: {"id": "x", "choices": [}\n\n',
        "error": sse(chunk({"content": "half"}), {"error": {"message": "too fast", "code": "rate_limit_exceeded"}}),
    },
    whole={
        "text": msgspec.json.encode(whole({"role": "assistant", "content": "Grüß dich 👋"})),
        "reasoning": msgspec.json.encode(whole({"content": "Yes", "reasoning_content": "hm so"})),
        "refusal": msgspec.json.encode(whole({"content": None, "refusal": "I cannot."})),
        "tools": msgspec.json.encode(whole({"content": None, "tool_calls": _TWO_CALLS}, "tool_calls")),
        "length": msgspec.json.encode(whole({"content": "to be con"}, "length")),
        "unknown end": msgspec.json.encode(whole({"content": "to be con"}, "sunspots")),
        "unknown end of nothing": msgspec.json.encode(whole({"content": ""}, "sunspots")),
        "broken": b'{"id": "chatcmpl-1", "choices": [',
        "error": b'{"error": {"message": "too fast", "code": "rate_limit_exceeded"}}',
    },
)  # fmt: skip
