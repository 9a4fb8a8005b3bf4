"""The dialect of OpenAI Responses and the servers that speak it: from bytes to events.

Owns the reading of streams and of whole answers; `openai_responses_wire.py` has the types and the writing,
`openai_responses_items.py` what of each output item was said already.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from golive.core.errors import ModelCut, ModelError, ModelMalformed
from golive.models.call import Finished, FinishReason, ModelEvent, ModelRequest, Opened, TextDelta, UsageReported
from golive.models.decoding import UNREADABLE, Answer, Streamed, Unrecognised, Whole, is_stream, unheard
from golive.models.dialect import Decoder, Target
from golive.models.openai_responses_items import OutputItems, as_text
from golive.models.openai_responses_wire import (
    NAME,
    WireEvent,
    WireResponse,
    decode_event,
    decode_response,
    encode_request,
    usage_of_response,
)
from golive.models.openai_wire import credential_headers
from golive.models.sse import ServerEvent
from golive.models.vendor_errors import Origin, from_status, from_stream

_INCOMPLETE: dict[str, FinishReason] = {
    "max_output_tokens": "length", "max_tokens": "length", "length": "length", "max_messages": "length",
    "steered": "length", "content_filter": "content_filter",
}  # fmt: skip
_OPENING = frozenset({"response.created", "response.in_progress", "response.queued"})
_ENDING = {
    "response.completed": "completed", "response.done": "completed", "response.incomplete": "incomplete",
    "response.failed": "failed", "response.cancelled": "cancelled",
}  # fmt: skip
"""The events that end a stream, and the status each stands for."""
_ENDED = frozenset({"completed", "incomplete", "failed", "cancelled"})
_NOT_ENDED = frozenset({"cancelled", "in_progress", "queued"})
"""Statuses by which a response says itself that it is not whole."""
_DELTAS = {
    "response.refusal.delta": ("message", "refusal"),
    "response.reasoning_summary_text.delta": ("reasoning", "summary"),
    "response.reasoning_text.delta": ("reasoning", "thought"),
    "response.function_call_arguments.delta": ("function_call", "arguments"),
}
_PARTS_DONE = {
    "response.output_text.done": ("message", "text"),
    **{name.removesuffix("delta") + "done": kind for name, kind in _DELTAS.items()},
}

_decode = msgspec.json.decode
_encode = msgspec.json.Encoder().encode
_NOTHING = WireResponse()


class OpenAIResponses:
    """See `dialect.Dialect`."""

    name = NAME
    beta_header: str | None = "openai-beta"

    def __init__(self, unrecognised: Unrecognised = unheard) -> None:
        self._unrecognised = unrecognised

    def path(self, model: str, *, streamed: bool) -> str:
        return "/responses"

    def models_path(self) -> str:
        return "/models"

    def headers(self, base_url: str, credential: str | None) -> dict[str, str]:
        return credential_headers(base_url, credential)

    def encode(self, request: ModelRequest, target: Target) -> bytes:
        return encode_request(request, target)

    def refusal(
        self, origin: Origin, status: int, header: Callable[[str], str | None], body: bytes, now: float
    ) -> ModelError:
        return from_status(origin, status, header, body, now)

    def decoder(self, origin: Origin, *, streamed: bool, header: Callable[[str], str | None]) -> Decoder:
        kind = header("content-type") or ""
        made = StreamDecoder if is_stream(kind, streamed=streamed) else WholeDecoder
        return made(origin, kind, self._unrecognised)


class _Decoder(Answer):
    """What streamed and whole answers have in common: how an answer opens and how it ends."""

    __slots__ = ("_items",)

    def __init__(self, origin: Origin, content_type: str = "", unrecognised: Unrecognised = unheard) -> None:
        super().__init__(origin, content_type, unrecognised)
        self._items = OutputItems(origin.provider, origin.model)

    def _refuse(self, error: Any) -> None:
        self.failure = from_stream(self._origin, error)
        self.closed = True

    def _open(self, response: WireResponse, events: list[ModelEvent]) -> None:
        """Opens the answer, unless it is open."""
        self._items.stored = self._items.stored or response.store is True
        if self._opened:
            return
        self._opened = True
        response_id = _text(response.id)
        self._items.name_after(response_id)
        tier = _text(response.service_tier)
        created = response.created_at
        events.append(
            Opened(
                response_id=response_id,
                response_model=_text(response.model),
                request_id=self._origin.request_id,
                created=int(created) if type(created) in (int, float) and 0 <= created < 1 << 53 else 0,
                extra=Raw(_encode({"service_tier": tier})) if tier else None,
            )
        )

    def _conclude(self, response: WireResponse, status: str, events: list[ModelEvent]) -> None:
        """The final response: what of it is new, its usage, and how it ended."""
        self.closed = True
        self._open(response, events)
        usage = usage_of_response(response.usage)
        if usage is not None:
            events.append(UsageReported(usage))
        if response.error or status == "failed":
            self._refuse(response.error or {})
            return
        before = len(events)
        self._items.finish(response.output if isinstance(response.output, list) else (), events)
        self.began = self.began or len(events) != before
        if status == "completed":
            self._finish("tool_calls" if self._items.calls else "stop", events)
            return
        if status in _NOT_ENDED:
            self._fail(ModelCut, f"broke its answer off (status {status!r}).")
            return
        details = response.incomplete_details
        reason = _text(details.get("reason")) if isinstance(details, dict) else ""
        known = _INCOMPLETE.get(reason) if status == "incomplete" else None
        known = known or self._unknown_end("status", f"{status}: {reason}" if reason else status)
        if known is not None:
            self._finish(known, events)

    def _finish(self, reason: FinishReason, events: list[ModelEvent]) -> None:
        self.began = self.complete = True
        events.append(Finished(reason))


class StreamDecoder(Streamed, _Decoder):
    """Reads server-sent events."""

    __slots__ = ("_text_at",)
    END = "a final response"

    def __init__(self, origin: Origin, content_type: str = "", unrecognised: Unrecognised = unheard) -> None:
        super().__init__(origin, content_type, unrecognised)
        self._text_at: tuple[Any, Any, Any] | None = None

    def _take(self, event: ServerEvent | bytes, events: list[ModelEvent], last: bool = False) -> None:
        if self.closed:
            return
        payload, name = (event, b"") if isinstance(event, bytes) else (event.data, event.name)
        try:
            wire = decode_event(payload)
            kind = wire.type if isinstance(wire.type, str) else name.decode("utf-8", "replace")
            self._event(kind, wire, events)
        except UNREADABLE as error:
            if payload.strip() == b"[DONE]":
                self._cut("its stream was closed without a final response")
            elif last:
                self._cut("its stream ended inside an event")
            else:
                self._not_json("an event", error)

    def _event(self, kind: str, wire: WireEvent, events: list[ModelEvent]) -> None:
        if kind == "response.output_text.delta":
            at = (wire.output_index, wire.item_id, wire.content_index)
            text = wire.delta
            if at == self._text_at and type(text) is str and text and not wire.logprobs:
                # The path of nearly every event.
                self._items.pieces.append(text)
                events.append(TextDelta(text))
                return
            self._delta(("message", "text"), wire, events)
            self._text_at = at if self.began else None
            return
        self._text_at = None
        delta = _DELTAS.get(kind)
        if delta is not None:
            self._delta(delta, wire, events)
        else:
            self._landmark(kind, wire, events)

    def _landmark(self, kind: str, wire: WireEvent, events: list[ModelEvent]) -> None:
        """An event that begins or ends something."""
        if kind in _PARTS_DONE:
            item_kind, what = _PARTS_DONE[kind]
            text = as_text({"refusal": wire.refusal, "arguments": wire.arguments}.get(what, wire.text))
            self._said(self._items.part_done(item_kind, what, _key(wire), _part(wire), text), events)
        elif kind in {"response.output_item.added", "response.output_item.done"}:
            if bytes(wire.item)[:1] == b"{":
                item = _decode(wire.item)
                self._open(_NOTHING, events)
                before = len(events)
                act = self._items.added if kind.endswith("added") else self._items.done
                act(item, _index(wire.output_index), events)
                self.began = self.began or len(events) != before
        elif kind == "response.output_text.annotation.added":
            self._said(self._items.annotation(_key(wire), wire.annotation), events)
        elif kind in _OPENING:
            self._open(_response(wire), events)
        elif kind in _ENDING:
            response = _response(wire)
            named, own = _ENDING[kind], _text(response.status)
            self._conclude(response, own if named == "completed" and own in _ENDED else named, events)
        elif kind == "error" or wire.error:
            self._refuse(wire.error or {"message": wire.message, "code": wire.code})

    def _delta(self, delta: tuple[str, str], wire: WireEvent, events: list[ModelEvent]) -> None:
        event = self._items.delta(*delta, _key(wire), _part(wire), as_text(wire.delta))
        if wire.logprobs and isinstance(wire.logprobs, list) and isinstance(event, TextDelta):
            # In the words of Chat Completions, as every face expects them.
            event = TextDelta(event.text, extra=Raw(_encode({"logprobs": {"content": wire.logprobs}})))
        self._said(event, events)

    def _said(self, event: ModelEvent | None, events: list[ModelEvent]) -> None:
        if event is None:
            return
        if not self._opened:
            self._open(_NOTHING, events)
        self.began = True
        events.append(event)


class WholeDecoder(Whole, _Decoder):
    """Reads one JSON object."""

    __slots__ = ()

    def _read(self, body: bytes, events: list[ModelEvent]) -> None:
        self._answer(decode_response(body), events)

    def _answer(self, response: WireResponse, events: list[ModelEvent]) -> None:
        if response.object == "error":
            self._refuse(response.error or {"message": response.message, "type": response.type, "code": response.code})
        elif isinstance(response.output, list) or _text(response.status) in _ENDED:
            self._conclude(response, _text(response.status) or "completed", events)
        elif response.error:
            self._refuse(response.error)
        else:
            self._fail(ModelMalformed, "sent an answer without output.")


def _response(wire: WireEvent) -> WireResponse:
    """The event's response; an empty one where it has none, or something else in its place."""
    raw = bytes(wire.response)
    return decode_response(raw) if raw[:1] == b"{" else _NOTHING


def _key(wire: WireEvent) -> tuple[int | None, str]:
    return _index(wire.output_index), _text(wire.item_id)


def _part(wire: WireEvent) -> int | None:
    return _index(wire.content_index if wire.summary_index is None else wire.summary_index)


def _index(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
