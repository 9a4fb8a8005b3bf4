"""How Anthropic Messages write each situation of the dialects' contract."""

from typing import Any

import msgspec

from golive.models.anthropic import Anthropic
from golive.models.call import Opened
from tests.contract.speakers.speaker import Speaker

USAGE = {
    "input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 7,
    "output_tokens_details": {"thinking_tokens": 2}, "service_tier": "standard",
}  # fmt: skip
START_USAGE = USAGE | {"output_tokens": 1, "output_tokens_details": None}
RATE_LIMIT = {"type": "error", "error": {"type": "rate_limit_error", "message": "too fast"}, "request_id": "req_1"}


def sse(*events: dict[str, Any]) -> bytes:
    """Events as the API writes them: each with its type as its name."""
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), msgspec.json.encode(e)) for e in events)


def message(content: list[dict[str, Any]], stop: str | None, **more: Any) -> dict[str, Any]:
    """A message, whole or at its start."""
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "content": content,
        "stop_reason": stop, "stop_sequence": None, "usage": USAGE,
    } | more  # fmt: skip


def start(**more: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": message([], None, usage=START_USAGE, **more)}


def begin(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def close(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def finish(reason: str, **more: Any) -> list[dict[str, Any]]:
    """The last two events."""
    end = {"stop_reason": reason, "stop_sequence": None, **more}
    return [{"type": "message_delta", "delta": end, "usage": {"output_tokens": 7} | USAGE}, {"type": "message_stop"}]


def text(*pieces: str, index: int = 0) -> list[dict[str, Any]]:
    """A block of text in these pieces."""
    return [
        begin(index, "text", text=""),
        *(delta(index, "text_delta", text=piece) for piece in pieces),
        close(index),
    ]


def tool(index: int, name: str, call_id: str) -> dict[str, Any]:
    return begin(index, "tool_use", id=call_id, name=name, input={})


def arguments(index: int, piece: str) -> dict[str, Any]:
    return delta(index, "input_json_delta", partial_json=piece)


PING = {"type": "ping"}
REFUSED = {"stop_details": {"type": "refusal", "category": "bio", "explanation": "I cannot."}}
THOUGHT = {"type": "thinking", "thinking": "hm so", "signature": "sig=="}
_HALF = [start(), PING, *text("half")[:2]]
_TWO_CALLS = [
    {"type": "tool_use", "id": "call_a", "name": "find", "input": {"q": "é"}},
    {"type": "tool_use", "id": "call_b", "name": "pay", "input": {}},
]
ANTHROPIC = Speaker(
    Anthropic(),
    streamed={
        "text": sse(start(), PING, *text("Grüß ", "dich 👋"), *finish("end_turn")),
        "reasoning": sse(
            start(), begin(0, "thinking", thinking="", signature=""), delta(0, "thinking_delta", thinking="hm "),
            delta(0, "thinking_delta", thinking="so"), delta(0, "signature_delta", signature="sig=="), close(0),
            *text("Yes", index=1), *finish("end_turn"),
        ),
        "refusal": sse(start(), *text(), *finish("refusal", **REFUSED)),
        "tools": sse(
            start(), tool(0, "find", "call_a"), arguments(0, ""), arguments(0, '{"q":'), tool(1, "pay", "call_b"),
            arguments(1, ""), arguments(0, '"é"}'), close(0), close(1), *finish("tool_use"),
        ),
        "length": sse(start(), *text("to be con"), *finish("max_tokens")),
        "unknown end": sse(start(), *text("to be con"), *finish("sunspots")),
        "unknown end of nothing": sse(start(), *finish("sunspots")),
        "cut": sse(*_HALF),
        "cut in an event": sse(*_HALF, delta(0, "text_delta", text="lost"))[:-9],
        "broken": sse(*_HALF) + b'event: content_block_delta\ndata: {"type": "content_block_delta", "delta": {]}\n\n',
        "error": sse(*_HALF, RATE_LIMIT),
    },
    whole={
        "text": msgspec.json.encode(message([{"type": "text", "text": "Grüß dich 👋"}], "end_turn")),
        "reasoning": msgspec.json.encode(message([THOUGHT, {"type": "text", "text": "Yes"}], "end_turn")),
        "refusal": msgspec.json.encode(message([], "refusal", **REFUSED)),
        "tools": msgspec.json.encode(message(_TWO_CALLS, "tool_use")),
        "length": msgspec.json.encode(message([{"type": "text", "text": "to be con"}], "max_tokens")),
        "unknown end": msgspec.json.encode(message([{"type": "text", "text": "to be con"}], "sunspots")),
        "unknown end of nothing": msgspec.json.encode(message([], "sunspots")),
        "broken": b'{"id": "msg_1", "content": [',
        "error": msgspec.json.encode(RATE_LIMIT),
    },
    opened=Opened("msg_1", "m-1", "req_1"),
)  # fmt: skip
