"""The dialect of Google Gemini generateContent: from bytes to events.

Owns the reading of streams and of whole answers; `gemini_wire.py` has the types, `gemini_request.py` the writing,
`gemini_errors.py` what errors mean, `sse.py` the framing.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Raw

from golive.core.errors import ContentRefused, ModelBadRequest, ModelCut, ModelError, ModelMalformed
from golive.core.messages import Opaque, Usage
from golive.models.call import (
    Finished,
    FinishReason,
    ModelEvent,
    ModelRequest,
    Opened,
    ReasoningDelta,
    StateReported,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from golive.models.decoding import UNREADABLE, Answer, Streamed, Unrecognised, Whole, is_stream, unheard
from golive.models.dialect import Decoder, Target
from golive.models.gemini_errors import from_answer, from_event
from golive.models.gemini_request import encode_request
from golive.models.gemini_wire import (
    NO_USAGE,
    WireAnswer,
    WireCandidate,
    WireFunctionCall,
    decode_answer,
    decode_answers,
    read_usage,
)
from golive.models.sse import ServerEvent
from golive.models.vendor_errors import Origin

MAX_CHOICES = 128
"""Candidates of one answer; Gemini gives 8 at most."""

_FINISH: dict[str, FinishReason] = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
_FILTERED = frozenset({
    "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR",
})  # fmt: skip
_BROKEN_OFF: dict[str, type[ModelError]] = {
    "OTHER": ModelCut, "IMAGE_OTHER": ModelCut, "NO_IMAGE": ModelCut, "MISSING_THOUGHT_SIGNATURE": ModelBadRequest,
    "MALFORMED_FUNCTION_CALL": ModelMalformed, "MALFORMED_RESPONSE": ModelMalformed,
    "UNEXPECTED_TOOL_CALL": ModelMalformed, "TOO_MANY_TOOL_CALLS": ModelMalformed,
}  # fmt: skip
"""Reasons that end no answer: the generation failed, and says so."""

_encode = msgspec.json.Encoder().encode
_FRAME = frozenset({"thought", "thoughtSignature"})
"""Fields of a part that say how it is meant and hold nothing themselves."""


class Gemini:
    """See `dialect.Dialect`."""

    name = "gemini"
    beta_header: str | None = None

    def __init__(self, unrecognised: Unrecognised = unheard) -> None:
        self._unrecognised = unrecognised

    def path(self, model: str, *, streamed: bool) -> str:
        kind, slash, rest = model.partition("/")
        folder, name = (kind, rest) if slash and kind in ("models", "tunedModels") else ("models", model)
        return f"/{folder}/{quote(name, safe='')}:" + (
            "streamGenerateContent?alt=sse" if streamed else "generateContent"
        )

    def models_path(self) -> str:
        return "/models"

    def headers(self, base_url: str, credential: str | None) -> dict[str, str]:
        return {} if credential is None else {"x-goog-api-key": credential}

    def encode(self, request: ModelRequest, target: Target) -> bytes:
        return encode_request(request, target)

    def refusal(
        self, origin: Origin, status: int, header: Callable[[str], str | None], body: bytes, now: float
    ) -> ModelError:
        return from_answer(origin, status, header, body, now)

    def decoder(self, origin: Origin, *, streamed: bool, header: Callable[[str], str | None]) -> Decoder:
        kind = header("content-type") or ""
        made = StreamDecoder if is_stream(kind, streamed=streamed) else WholeDecoder
        return made(origin, kind, self._unrecognised)


class _Calls:
    """The tool calls of one candidate: each comes whole, most without an id."""

    __slots__ = ("_choice", "_ids", "_suffix", "count")

    def __init__(self, choice: int, response_id: str) -> None:
        self._choice = choice
        self._suffix = "".join(c for c in response_id if c.isascii() and c.isalnum())[-12:]
        self._ids: set[str] = set()
        self.count = 0

    def add(self, call: WireFunctionCall) -> ToolCallDelta:
        """The call as an event, under an id that no other call of the candidate has."""
        number = self.count
        self.count += 1
        call_id = call.id or f"call_{self._suffix}{self._choice}x{number}"
        while call_id in self._ids:
            call_id = f"{call_id}x{number}"  # results are matched by id: two calls may not share one
        self._ids.add(call_id)
        args = "{}" if call.args is None else call.args if isinstance(call.args, str) else _encode(call.args).decode()
        return ToolCallDelta(number, call_id, call.name or "", args, self._choice)


class _Decoder(Answer):
    """What streamed and whole answers have in common: the state of the answer and the meaning of its fields."""

    __slots__ = ("_calls", "_finished", "_latest", "_response_id", "_said", "_seen")

    def __init__(self, origin: Origin, content_type: str = "", unrecognised: Unrecognised = unheard) -> None:
        super().__init__(origin, content_type, unrecognised)
        self._response_id = ""
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._calls: dict[int, _Calls] = {}
        self._latest = NO_USAGE
        self._said: Usage | None = None

    def _answer(self, answer: WireAnswer, events: list[ModelEvent]) -> None:
        """One GenerateContentResponse. Its usage counts from the beginning of the answer."""
        if answer.error is not None:
            self.failure = from_event(self._origin, answer.error)
            self.closed = True
            self._report_usage(events)
            return
        if not self._opened and (answer.candidates or answer.response_id):
            self._open(answer, events)
        if answer.usage_metadata is not NO_USAGE:
            self._latest = answer.usage_metadata
            if self._said is None:
                self._report_usage(events)  # a floor, should the answer break off
        if answer.candidates:
            for candidate in answer.candidates:
                self._candidate(candidate, events)
                if self.closed:
                    break
        elif answer.prompt_feedback is not None and not self.complete:
            self._feedback(answer.prompt_feedback)
        if self.complete or self.closed:
            self._report_usage(events)

    def _open(self, answer: WireAnswer, events: list[ModelEvent]) -> None:
        self._opened = True
        self._response_id = answer.response_id if isinstance(answer.response_id, str) else ""
        model = answer.model_version if isinstance(answer.model_version, str) else ""
        events.append(Opened(self._response_id, model, self._origin.request_id))

    def _report_usage(self, events: list[ModelEvent]) -> None:
        if self._latest is NO_USAGE:
            return
        usage = read_usage(self._latest)
        self._latest = NO_USAGE
        if usage is not None and usage != self._said:
            self._said = usage
            events.append(UsageReported(usage))

    def _feedback(self, feedback: Any) -> None:
        """The prompt was blocked: there is no candidate, and there will be none."""
        reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
        if reason:
            shown = self._origin.redact(str(reason), 60)
            self._fail(ContentRefused, f"refused the request (blockReason {shown!r}).", vendor_code=shown)

    def _candidate(self, candidate: WireCandidate, events: list[ModelEvent]) -> None:
        index = candidate.index or 0
        if not 0 <= index < MAX_CHOICES:
            self._fail(ModelMalformed, f"sent a candidate of index {index!r}.")
            return
        if index not in self._seen:
            self._seen.add(index)
            self.complete = False
        if candidate.content is not None:
            for part in candidate.content.parts or ():
                text = part.get("text")
                if type(text) is str and len(part) == 1:  # the path of nearly every event
                    if text:
                        self.began = True
                        events.append(TextDelta(text, index))
                else:
                    self._part(part, index, events)
                    if self.closed:
                        return
        if candidate.finish_reason:
            self._finish(candidate.finish_reason, candidate.finish_message, index, events)

    def _part(self, part: dict[str, Any], index: int, events: list[ModelEvent]) -> None:
        """Any part that is not plain text. What is not understood is kept as state, so that it goes back unread."""
        text, wire, signature = part.get("text"), part.get("functionCall"), part.get("thoughtSignature")
        if not (text is None or isinstance(text, str)) or not (signature is None or isinstance(signature, str)):
            self._fail(ModelMalformed, "sent a part whose text or thoughtSignature is no text.")
            return
        if wire is not None:
            self._call(wire, signature, index, events)
            return
        if text:
            events.append(ReasoningDelta(text, index) if part.get("thought") is True else TextDelta(text, index))
        kept: dict[str, Any] | None = None
        if text is None and not part.keys() <= _FRAME:
            kept = part
        elif signature:
            kept = part if part.get("thought") is True else {"thoughtSignature": signature}
        if kept is not None:
            before = self._calls[index].count if index in self._calls else 0
            state = Opaque(self._origin.provider, Raw(_encode(kept)), before, self._origin.model)
            events.append(StateReported(state, None, index))
        self.began = self.began or bool(text) or kept is not None

    def _call(self, wire: Any, signature: str | None, index: int, events: list[ModelEvent]) -> None:
        try:
            call = msgspec.convert(wire, WireFunctionCall)
        except msgspec.ValidationError as error:
            self._not_json("a functionCall", error)
            return
        if call.partial_args is not None or call.will_continue:
            self._fail(
                ModelMalformed, "sends the arguments of a call in pieces (partialArgs).",
                remedy="Leave streamFunctionCallArguments out of functionCallingConfig.",
            )  # fmt: skip
            return
        calls = self._calls.get(index)
        if calls is None:
            calls = self._calls[index] = _Calls(index, self._response_id)
        delta = calls.add(call)
        self.began = True
        events.append(delta)
        if signature:
            data = Raw(_encode({"thoughtSignature": signature}))
            state = Opaque(self._origin.provider, data, delta.index, self._origin.model)
            events.append(StateReported(state, delta.index, index))

    def _finish(self, reason: str, message: Any, index: int, events: list[ModelEvent]) -> None:
        if index in self._finished:
            return
        broken = _BROKEN_OFF.get(reason)
        if broken is not None:
            shown = self._origin.redact(reason, 60)
            self._fail(
                broken, f"broke its answer off (finishReason {shown!r}).", vendor_code=shown,
                vendor_message=self._origin.redact(message) if isinstance(message, str) and message else None,
            )  # fmt: skip
            return
        known = "content_filter" if reason in _FILTERED else _FINISH.get(reason)
        known = known or self._unknown_end("finishReason", reason)
        if known is None:
            return
        if known == "stop" and index in self._calls:
            known = "tool_calls"
        self.began = True
        self._finished.add(index)
        self.complete = self._finished >= self._seen
        events.append(Finished(known, index))


class StreamDecoder(Streamed, _Decoder):
    """Reads server-sent events. There is no end mark: the answer is whole when each candidate has its finishReason."""

    __slots__ = ()
    END = "a finishReason"

    def _ended(self, events: list[ModelEvent]) -> None:
        self._report_usage(events)
        super()._ended(events)

    def _take(self, event: ServerEvent | bytes, events: list[ModelEvent], last: bool = False) -> None:
        if self.closed:
            return
        payload = event if isinstance(event, bytes) else event.data
        try:
            answer = decode_answer(payload)
        except UNREADABLE as error:
            if payload.strip() == b"[DONE]":
                return  # compatible servers; Gemini itself has no such mark
            self._report_usage(events)
            if last:
                self._cut("its stream ended inside an event")
            else:
                self._not_json("an event", error)
        else:
            self._answer(answer, events)


class WholeDecoder(Whole, _Decoder):
    """Reads one JSON object, or the array of them that a stream without `alt=sse` is."""

    __slots__ = ()

    def _read(self, body: bytes, events: list[ModelEvent]) -> None:
        for answer in decode_answers(body) if body.lstrip()[:1] == b"[" else [decode_answer(body)]:
            self._answer(answer, events)
            if self.failure is not None:
                return
        if not self._seen:
            self._fail(ModelMalformed, "sent an answer without candidates.")
        elif not self.complete:
            self._report_usage(events)
            self._cut("it has no finishReason")
