"""The dialect of OpenAI Chat Completions and every compatible server: from bytes to events.

Owns the reading of streams and of whole answers; `openai_wire.py` has the types and the writing, `openai_tools.py` the
assembly of tool calls, `sse.py` the framing, `vendor_errors.py` what errors mean.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from golive.core.errors import ModelCut, ModelError, ModelMalformed
from golive.models.call import (
    Finished,
    FinishReason,
    ModelEvent,
    ModelRequest,
    Opened,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    UsageReported,
)
from golive.models.decoding import UNREADABLE, Answer, Streamed, Unrecognised, Whole, is_stream, unheard
from golive.models.dialect import Decoder, Target
from golive.models.openai_tools import ToolFragments
from golive.models.openai_wire import (
    WireAnswer,
    WireChoice,
    WireDelta,
    credential_headers,
    decode_answer,
    encode_request,
    is_openai,
    usage_of,
)
from golive.models.sse import ServerEvent
from golive.models.vendor_errors import Origin, from_status, from_stream

_FINISH: dict[str, FinishReason] = {
    "stop": "stop", "eos": "stop", "eos_token": "stop", "end_turn": "stop", "stop_sequence": "stop", "complete": "stop",
    "completed": "stop", "length": "length", "max_tokens": "length", "model_length": "length",
    "max_output_tokens": "length", "tool_calls": "tool_calls", "tool_call": "tool_calls", "tool_use": "tool_calls",
    "function_call": "tool_calls", "content_filter": "content_filter", "safety": "content_filter",
    "recitation": "content_filter", "blocklist": "content_filter", "prohibited_content": "content_filter",
    "sensitive": "content_filter", "refusal": "content_filter",
}  # fmt: skip
_BROKEN_OFF = frozenset({"error", "abort", "aborted", "cancelled", "insufficient_system_resource", "network_error"})
"""Reasons by which a server says itself that the answer is not whole (vLLM, OpenRouter, DeepSeek, Zhipu)."""

_encode = msgspec.json.Encoder().encode
_NOTHING = WireDelta()


class OpenAIChat:
    """See `dialect.Dialect`."""

    name = "openai-chat"
    beta_header: str | None = "openai-beta"

    def __init__(self, unrecognised: Unrecognised = unheard) -> None:
        self._unrecognised = unrecognised

    def path(self, model: str, *, streamed: bool) -> str:
        return "/chat/completions"

    def models_path(self) -> str:
        return "/models"

    def headers(self, base_url: str, credential: str | None) -> dict[str, str]:
        return credential_headers(base_url, credential)

    def encode(self, request: ModelRequest, target: Target) -> bytes:
        output_limit_key = "max_completion_tokens" if is_openai(target.base_url) else "max_tokens"
        return encode_request(request, target.model, output_limit_key)

    def refusal(
        self, origin: Origin, status: int, header: Callable[[str], str | None], body: bytes, now: float
    ) -> ModelError:
        return from_status(origin, status, header, body, now)

    def decoder(self, origin: Origin, *, streamed: bool, header: Callable[[str], str | None]) -> Decoder:
        kind = header("content-type") or ""
        made = StreamDecoder if is_stream(kind, streamed=streamed) else WholeDecoder
        return made(origin, kind, self._unrecognised)


class _Decoder(Answer):
    """What streamed and whole answers have in common: the state of the answer and the meaning of its fields."""

    __slots__ = ("_finished", "_response_id", "_seen", "_tools")

    def __init__(self, origin: Origin, content_type: str = "", unrecognised: Unrecognised = unheard) -> None:
        super().__init__(origin, content_type, unrecognised)
        self._response_id = ""
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._tools: dict[int, ToolFragments] = {}

    def _open(self, answer: WireAnswer, events: list[ModelEvent]) -> None:
        self._opened = True
        self._response_id = answer.id if isinstance(answer.id, str) else ""
        more = {
            key: value
            for key, value in (("system_fingerprint", answer.system_fingerprint), ("service_tier", answer.service_tier))
            if value is not None
        }
        events.append(
            Opened(
                response_id=self._response_id,
                response_model=answer.model or "",
                request_id=self._origin.request_id,
                created=answer.created if type(answer.created) is int else 0,
                extra=Raw(_encode(more)) if more else None,
            )
        )

    def _is_error(self, answer: WireAnswer, named: bool = False) -> bool:
        """Keeps the failure of an error object, whatever its shape; `named` when the event was called an error."""
        error: Any = answer.error
        if not error and (named or answer.object == "error"):
            error = {"message": answer.message, "type": answer.type, "code": answer.code}
        if not error:
            return False
        self.failure = from_stream(self._origin, error)
        self.closed = True
        return True

    def _content(self, wire: WireChoice, delta: WireDelta, index: int, events: list[ModelEvent]) -> None:
        """Everything a delta or message may hold, in the order a reader wants it: reasoning, then the answer."""
        before = len(events)
        thought = delta.reasoning_content or delta.reasoning
        if thought and isinstance(thought, str):
            events.append(ReasoningDelta(thought, index))
        content = delta.content
        if isinstance(content, list):
            content = _parts(content, index, events)
        if content or wire.logprobs is not None:
            extra = None if wire.logprobs is None else Raw(_encode({"logprobs": wire.logprobs}))
            events.append(TextDelta(content or "", index, extra))
        if delta.refusal:
            events.append(RefusalDelta(delta.refusal, index))
        if delta.tool_calls:
            tools = self._tools_of(index)
            for fragment in delta.tool_calls:
                tools.add(fragment, events)
        if delta.function_call is not None:
            self._tools_of(index).legacy(delta.function_call, events)
        if len(events) != before:
            self.began = True

    def _tools_of(self, index: int) -> ToolFragments:
        tools = self._tools.get(index)
        if tools is None:
            tools = self._tools[index] = ToolFragments(index, self._response_id)
        return tools

    def _finish(self, reason: str, index: int, events: list[ModelEvent]) -> None:
        if index in self._finished:
            return
        lower = reason.lower()
        if lower in _BROKEN_OFF:
            self._fail(ModelCut, f"broke its answer off (finish_reason {self._origin.redact(reason, 60)!r}).")
            return
        known = _FINISH.get(lower) or self._unknown_end("finish_reason", reason)
        if known is None:
            return
        tools = self._tools.get(index)
        if tools is not None:
            tools.end(events)
            if known == "stop":
                known = "tool_calls"  # Gemini, older Ollama
        self.began = True
        self._finished.add(index)
        self.complete = self._finished >= self._seen
        events.append(Finished(known, index))


class StreamDecoder(Streamed, _Decoder):
    """Reads server-sent events."""

    __slots__ = ("_last_choice",)
    END = "a finish_reason or [DONE]"

    def __init__(self, origin: Origin, content_type: str = "", unrecognised: Unrecognised = unheard) -> None:
        super().__init__(origin, content_type, unrecognised)
        self._last_choice = -1

    def _take(self, event: ServerEvent | bytes, events: list[ModelEvent], last: bool = False) -> None:
        if self.closed:
            return
        payload, named = (event, False) if isinstance(event, bytes) else (event.data, event.name == b"error")
        try:
            answer = decode_answer(payload)
        except UNREADABLE as error:
            if payload.strip() == b"[DONE]":
                self._done(events)
            elif last:
                self._cut("its stream ended inside an event")
            else:
                self._not_json("an event", error)
            return
        if (answer.error is not None or answer.object == "error" or named) and self._is_error(answer, named):
            return
        self._answer(answer, events)

    def _answer(self, answer: WireAnswer, events: list[ModelEvent]) -> None:
        if not self._opened and (answer.choices or answer.id):  # Azure's first chunk has neither
            self._open(answer, events)
        for choice in answer.choices or ():
            index = choice.index or 0
            if index != self._last_choice:
                self._last_choice = index
                self._seen.add(index)
                self.complete = self._finished >= self._seen
            delta = choice.delta
            if delta is not None:
                content = delta.content
                if (
                    type(content) is str and content and choice.logprobs is None and delta.tool_calls is None
                    and delta.reasoning_content is None and delta.reasoning is None and delta.refusal is None
                    and delta.function_call is None
                ):  # fmt: skip
                    # The path of nearly every chunk.
                    self.began = True
                    events.append(TextDelta(content, index))
                else:
                    self._content(choice, delta, index, events)
            if choice.finish_reason:
                self._finish(choice.finish_reason, index, events)
        if answer.usage is not None:
            usage = usage_of(answer.usage)
            if usage is not None:
                events.append(UsageReported(usage))

    def _done(self, events: list[ModelEvent]) -> None:
        """`[DONE]`. Choices that were never finished count as stopped: the server says that this was all."""
        if not self._seen:
            self._fail(ModelMalformed, "ended its stream without an answer.")
            return
        for index in sorted(self._seen - self._finished):
            self._finish("stop", index, events)
        self.complete = True
        self.closed = True


class WholeDecoder(Whole, _Decoder):
    """Reads one JSON object."""

    __slots__ = ()

    def _read(self, body: bytes, events: list[ModelEvent]) -> None:
        answer = decode_answer(body)
        if self._is_error(answer):
            return
        if not answer.choices:
            self._fail(ModelMalformed, "sent an answer without choices.")
            return
        self._open(answer, events)
        usage = usage_of(answer.usage) if answer.usage is not None else None
        if usage is not None:
            events.append(UsageReported(usage))
        for choice in answer.choices:
            index = choice.index or 0
            self._seen.add(index)
            message = choice.message or choice.delta or _NOTHING
            for place, call in enumerate(message.tool_calls or ()):
                call.index = place  # each is whole, whatever its index and id
            self._content(choice, message, index, events)
            self._finish(choice.finish_reason or "stop", index, events)


def _parts(content: list[Any], index: int, events: list[ModelEvent]) -> str:
    """The text of a content list; thinking parts (Mistral) become reasoning."""
    text: list[str] = []
    for part in content:
        if not isinstance(part, dict):
            continue
        if part.get("type") == "thinking":
            thinking = part.get("thinking")
            pieces = thinking if isinstance(thinking, list) else [{"text": thinking}]
            thought = "".join(str(piece.get("text") or "") for piece in pieces if isinstance(piece, dict))
            if thought:
                events.append(ReasoningDelta(thought, index))
        elif isinstance(part.get("text"), str):
            text.append(part["text"])
    return "".join(text)
