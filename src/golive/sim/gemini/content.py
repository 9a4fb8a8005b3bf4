"""Gemini generateContent as the vendor writes it: the chunks of a stream, whole answers.

A stream is server-sent events with `alt=sse`, and else one JSON array that grows.
Source: https://ai.google.dev/api/generate-content, as of 2026.
"""

from typing import Any

import msgspec

from golive.sim.compose import Answer, Call
from golive.sim.gemini.request import read_generate, sealed_text
from golive.sim.protocol import Request
from golive.sim.request import ChatRequest, Rejected
from golive.sim.script import Script, UsageFigures
from golive.sim.seals import Seals
from golive.sim.usage import encoded, reported, times_reported
from golive.sim.vendor import Events, Reply

_encode = msgspec.json.Encoder().encode
_FINISH_REASONS = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}
_BLOCKED = "prompt_blocked"


class Chunks(Events):
    """The chunks of one stream; nothing comes before the first token."""

    def __init__(self, answer: Answer, script: Script, reply: Reply, *, sse: bool) -> None:
        super().__init__(b"" if sse else b"[", answer.hidden_tokens)
        self._sse = sse
        self.unknown = b'data: {"unknownThing":{}}\r\n\r\n'
        if not sse:
            self.end = b"]"
            self.unknown = b'{"unknownThing":{}},\r\n'
            self.content_type = b"application/json; charset=UTF-8"
        self._usage = _Usage(answer, script)
        self._tail = b',"modelVersion":%b,"responseId":%b}' % (_encode(reply.request.model), _encode(_id(reply)))
        self._words(b',"thought":true', answer.reasoning)
        self._words(b"", answer.text)
        for part, cost in call_parts(answer, reply.seals):
            self._chunk(_encode(part), b"", cost, 1)
        self._finish(answer, script, reply)

    def failure(self, at: int, error: Rejected, body: bytes) -> bytes:
        return b"data: %b\r\n\r\n" % body if self._sse else (b",\r\n" if at > 1 else b"") + body + b"]"

    def _words(self, mark: bytes, words: list[str]) -> None:
        for word in words:
            self._chunk(b'{"text":%b%b}' % (_encode(word), mark), b"", 1, 1)

    def _chunk(self, part: bytes, finish: bytes, billed: int, step: int) -> None:
        content = b'"content":{"parts":[%b],"role":"model"}' % part if part else b'"content":{"role":"model"}'
        usage = self._usage.so_far(self.produced[-1] + billed)
        self._event(b'{"candidates":[{%b%b,"index":0}]%b%b' % (content, finish, usage, self._tail), billed, step)

    def _event(self, data: bytes, billed: int, step: int) -> None:
        front, back = (b"data: ", b"\r\n\r\n") if self._sse else (b"" if len(self.events) == 1 else b",\r\n", b"")
        self.add(front + data + back, billed, step)

    def _finish(self, answer: Answer, script: Script, reply: Reply) -> None:
        if answer.finish_reason == _BLOCKED:
            feedback = b'{"promptFeedback":{"blockReason":"SAFETY"}'
            self._event(feedback + self._usage.so_far(self.produced[-1]) + self._tail, 0, 0)
            return
        part = b""
        if answer.reasoning and answer.text and not answer.calls:
            part = _encode({"text": "", "thoughtSignature": reply.seals.sign("")})
        self._chunk(part, b"," + _encode(_ending(answer))[1:-1], len(answer.refusal), 0)
        for _ in range(times_reported(script) - 1):
            self._event(b"{" + self._usage.so_far(self.produced[-1])[1:] + self._tail, 0, 0)


class _Usage:
    """`usageMetadata`, which every chunk carries, with the tokens so far; a lie is the same in every chunk."""

    def __init__(self, answer: Answer, script: Script) -> None:
        self._figures = reported(answer, script)
        self._script = script
        self._thoughts = answer.reasoning_tokens()

    def so_far(self, produced: int) -> bytes:
        if not times_reported(self._script):
            return b""
        figures = self._figures
        if self._script.usage in ("right", "twice"):
            thoughts = min(produced, self._thoughts)
            figures = UsageFigures(figures.prompt_tokens, produced, figures.cached_tokens, thoughts)
        return b',"usageMetadata":' + encoded(_usage_object(figures), self._script)


class GenerateContent:
    """The dialect, in one of its three ways."""

    call_prefix = "fc-"
    reply_prefix = ""
    marks = False
    continues = True

    def __init__(self, *, streamed: bool, sse: bool) -> None:
        self._streamed = streamed
        self._sse = sse

    def read(self, request: Request, model: str, seals: Seals) -> ChatRequest:
        return read_generate(request.body, model, seals, streamed=self._streamed)

    def stream(self, answer: Answer, script: Script, reply: Reply) -> Chunks:
        return Chunks(answer, script, reply, sse=self._sse)

    def whole(self, answer: Answer, script: Script, reply: Reply) -> bytes:
        if answer.finish_reason == _BLOCKED:
            body: dict[str, Any] = {"promptFeedback": {"blockReason": "SAFETY"}}
        else:
            parts: list[dict[str, Any]] = []
            if answer.reasoning:
                parts.append({"text": "".join(answer.reasoning), "thought": True})
            if answer.text:
                parts.append({"text": "".join(answer.text)})
                if answer.reasoning and not answer.calls:
                    parts[-1]["thoughtSignature"] = reply.seals.sign("")
            parts += [part for part, _ in call_parts(answer, reply.seals)]
            content = {"parts": parts, "role": "model"} if parts else {"role": "model"}
            body = {"candidates": [{"content": content, **_ending(answer), "index": 0}]}
        data = _encode(body | {"modelVersion": reply.request.model, "responseId": _id(reply)})
        usage = _Usage(answer, script).so_far(answer.output_tokens())
        return data[:-1] + usage * times_reported(script) + b"}"


def call_parts(answer: Answer, seals: Seals) -> list[tuple[dict[str, Any], int]]:
    """Each call as a part, whole, and what it costs. The first carries the seal if there was reasoning.

    The vendor cannot write arguments that are no object: such a call is left out, and the answer ends as malformed.
    """
    parts: list[tuple[dict[str, Any], int]] = []
    for call in answer.calls:
        arguments = call.parsed()
        if not isinstance(arguments, dict):
            continue
        part: dict[str, Any] = {"functionCall": {"name": call.name, "args": arguments, "id": call.id}}
        if not parts and answer.reasoning:
            part["thoughtSignature"] = seals.sign(sealed_text(call.name, arguments))
        parts.append((part, call.cost()))
    return parts


def _malformed(calls: list[Call]) -> bool:
    return any(not isinstance(call.parsed(), dict) for call in calls)


def _ending(answer: Answer) -> dict[str, Any]:
    if answer.refusal:
        return {"finishReason": "SAFETY", "finishMessage": "".join(answer.refusal)}
    if _malformed(answer.calls):
        return {"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "Malformed function call"}
    return {"finishReason": _FINISH_REASONS.get(answer.finish_reason, answer.finish_reason)}


def _usage_object(figures: UsageFigures) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "promptTokenCount": figures.prompt_tokens,
        "candidatesTokenCount": figures.completion_tokens - figures.reasoning_tokens,
        "totalTokenCount": figures.prompt_tokens + figures.completion_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": figures.prompt_tokens}],
    }
    if figures.cached_tokens:
        usage["cachedContentTokenCount"] = figures.cached_tokens
        usage["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": figures.cached_tokens}]
    if figures.reasoning_tokens:
        usage["thoughtsTokenCount"] = figures.reasoning_tokens
    return usage


def _id(reply: Reply) -> str:
    return f"sim{reply.number}"
