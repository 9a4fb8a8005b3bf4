"""How Google Gemini generateContent writes each situation of the dialects' contract."""

from typing import Any

import msgspec

from golive.models.call import Opened
from golive.models.gemini import Gemini
from tests.contract.speakers.speaker import Speaker

USAGE = {
    "promptTokenCount": 11, "cachedContentTokenCount": 4, "candidatesTokenCount": 5, "thoughtsTokenCount": 2,
    "totalTokenCount": 18, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 11}],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 4}],
}  # fmt: skip
SO_FAR = {"promptTokenCount": 11, "totalTokenCount": 11}
"""The usage that an event before the last one carries."""


def answer(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A GenerateContentResponse with one candidate."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate], "usageMetadata": SO_FAR if finish is None else USAGE, "modelVersion": "m-1",
        "responseId": "Zx_9-k",
    } | more  # fmt: skip


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"text": words} | more


def thought(words: str) -> dict[str, Any]:
    return {"text": words, "thought": True}


def call(name: str, args: Any = None, signature: str | None = None, **more: Any) -> dict[str, Any]:
    part: dict[str, Any] = {"functionCall": {"name": name} | ({} if args is None else {"args": args}) | more}
    return part if signature is None else part | {"thoughtSignature": signature}


def sse(*answers: dict[str, Any]) -> bytes:
    """Events as streamGenerateContent?alt=sse sends them, with its line ends."""
    return b"".join(b"data: " + msgspec.json.encode(item) + b"\r\n\r\n" for item in answers)


def body(item: Any) -> bytes:
    """A whole answer, indented as the API sends it."""
    return msgspec.json.format(msgspec.json.encode(item), indent=2)


TOO_FAST = {"error": {"code": 429, "message": "too fast", "status": "RESOURCE_EXHAUSTED"}}
GEMINI = Speaker(
    Gemini(),
    streamed={
        "text": sse(answer(text("Grüß ")), answer(text("dich 👋")), answer(text(""), finish="STOP")),
        "reasoning": sse(answer(thought("hm ")), answer(thought("so"), text("Yes")), answer(finish="STOP")),
        "tools": sse(
            answer(call("find", {"q": "é"}, id="call_a", signature="c2ln")), answer(call("pay", {}, id="call_b")),
            answer(text(""), finish="STOP"),
        ),
        "length": sse(answer(text("to be con"), finish="MAX_TOKENS")),
        "unknown end": sse(answer(text("to be con"), finish="sunspots")),
        "unknown end of nothing": sse(answer(finish="sunspots")),
        "cut": sse(answer(text("half"))),
        "cut in an event": sse(answer(text("half")), answer(text("lost")))[:-9],
        "broken": sse(answer(text("half"))) + b'data: {"candidates": [}\n\n',
        "error": sse(answer(text("half")), TOO_FAST),
    },
    whole={
        "text": body(answer(text("Grüß dich 👋"), finish="STOP")),
        "reasoning": body(answer(thought("hm so"), text("Yes"), finish="STOP")),
        "tools": body(answer(call("find", {"q": "é"}, id="call_a"), call("pay", id="call_b"), finish="STOP")),
        "length": body(answer(text("to be con"), finish="MAX_TOKENS")),
        "unknown end": body(answer(text("to be con"), finish="sunspots")),
        "unknown end of nothing": body(answer(finish="sunspots")),
        "broken": b'{"candidates": [',
        "error": body([TOO_FAST]),
    },
    opened=Opened("Zx_9-k", "m-1", "req_1"),
)  # fmt: skip
