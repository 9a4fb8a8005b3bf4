"""The dialect of Anthropic Messages and every compatible server: from bytes to events.

Owns the reading of streams and of whole answers; `anthropic_blocks.py` reads their content blocks, `anthropic_wire.py`
has the types and the writing, `sse.py` the framing, `vendor_errors.py` what errors mean.
Source: https://platform.claude.com/docs/en/api/messages, .../api/errors and .../build-with-claude/streaming (November
2026).
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Raw

from golive.core.errors import ModelError, ModelMalformed
from golive.models.anthropic_blocks import Blocks, BrokenBlock
from golive.models.anthropic_wire import (
    Counts,
    WireDelta,
    WireEvent,
    WireMessage,
    decode_event,
    decode_message,
    decode_type,
    encode_request,
)
from golive.models.call import (
    Finished,
    FinishReason,
    ModelEvent,
    ModelRequest,
    Opened,
    RefusalDelta,
    UsageReported,
)
from golive.models.decoding import UNREADABLE, Answer, Streamed, Unrecognised, Whole, is_stream, unheard
from golive.models.dialect import Decoder, Target
from golive.models.sse import ServerEvent
from golive.models.vendor_errors import Origin, from_status, from_stream

VERSION = "2023-06-01"
"""Value of `anthropic-version`."""
MAX_REQUEST_ID = 200

_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls", "max_tokens": "length",
    "model_context_window_exceeded": "length", "refusal": "content_filter",
    "pause_turn": "length",  # a long turn with the vendor's own tools, not yet at its end
}  # fmt: skip
_EVENTS = frozenset(
    {
        "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
        "message_stop", "ping", "error",
    }
)  # fmt: skip


class Anthropic:
    """See `dialect.Dialect`.

    A request that is longer than the context window has no code of its own: it is an `invalid_request_error` of status
    400 like any other, and told by its sentence (`too_long.py`). One that is too long in bytes is a 413,
    `request_too_large`; both are a ContextTooLong. An answer that reaches the window's end is cut for its length. A
    spend limit that the account's owner has set is a bad request, with nothing to tell it by.
    """

    name = "anthropic"
    beta_header: str | None = "anthropic-beta"

    def __init__(self, unrecognised: Unrecognised = unheard) -> None:
        self._unrecognised = unrecognised

    def path(self, model: str, *, streamed: bool) -> str:
        return "/messages"

    def models_path(self) -> str:
        return "/models"

    def headers(self, base_url: str, credential: str | None) -> dict[str, str]:
        headers = {"anthropic-version": VERSION}
        if credential is not None:
            headers["x-api-key"] = credential
        return headers

    def encode(self, request: ModelRequest, target: Target) -> bytes:
        return encode_request(request, target.model, target.provider)

    def refusal(
        self, origin: Origin, status: int, header: Callable[[str], str | None], body: bytes, now: float
    ) -> ModelError:
        with suppress(*UNREADABLE):  # `from_status` takes any body
            _name_request(origin, decode_message(body).request_id)
        return from_status(origin, status, header, body, now)

    def decoder(self, origin: Origin, *, streamed: bool, header: Callable[[str], str | None]) -> Decoder:
        kind = header("content-type") or ""
        made = StreamDecoder if is_stream(kind, streamed=streamed) else WholeDecoder
        return made(origin, kind, self._unrecognised)


def _name_request(origin: Origin, request_id: Any) -> None:
    """An error's body has the request's id, too: proxies drop headers."""
    if origin.request_id is None and isinstance(request_id, str) and request_id:
        origin.request_id = request_id[:MAX_REQUEST_ID]


class _Decoder(Answer):
    """What streamed and whole answers have in common: the state of the answer and the meaning of its fields."""

    __slots__ = ("_blocks", "_counts")

    def __init__(self, origin: Origin, content_type: str = "", unrecognised: Unrecognised = unheard) -> None:
        super().__init__(origin, content_type, unrecognised)
        self._blocks: Blocks | None = None
        self._counts = Counts()

    def _fail_as_told(self, told: dict[str, Any]) -> None:
        _name_request(self._origin, told.get("request_id"))
        self.failure = from_stream(self._origin, told.get("error") or told)
        self.closed = True

    def _open(self, message: WireMessage, events: list[ModelEvent]) -> Blocks:
        self._opened = True
        self._blocks = Blocks(self._origin.provider, self._origin.model, message.id or "")
        events.append(Opened(message.id or "", message.model or "", self._origin.request_id))
        return self._blocks

    def _count(self, usage: Any, events: list[ModelEvent], *, final: bool) -> None:
        """Notes a `usage` object. What a stream says of output at its beginning is no count, and would pass for one."""
        if usage is None:
            return
        self._counts = self._counts.updated(usage)
        if not final:
            self._counts = self._counts._replace(output=0, thinking=0)
        known = self._counts.usage()
        if known is not None:
            events.append(UsageReported(known))

    def _finish(self, end: WireDelta | WireMessage, blocks: Blocks, events: list[ModelEvent]) -> None:
        reason, details = end.stop_reason, end.stop_details
        if self.complete or not reason:
            return
        known = _FINISH.get(reason) or self._unknown_end("stop_reason", reason)
        if known is None:
            return
        blocks.end(events)
        if known == "content_filter" and isinstance(details, dict) and isinstance(details.get("explanation"), str):
            events.append(RefusalDelta(details["explanation"]))
        if known == "stop" and blocks.calls:
            known = "tool_calls"
        self.began = True
        self.complete = True
        events.append(Finished(known, stop_sequence=end.stop_sequence))


class StreamDecoder(Streamed, _Decoder):
    """Reads server-sent events."""

    __slots__ = ()
    END = "a stop_reason"

    def _take(self, event: ServerEvent | bytes, events: list[ModelEvent], last: bool = False) -> None:
        if self.closed:
            return
        payload, named = (event, False) if isinstance(event, bytes) else (event.data, event.name == b"error")
        try:
            if named:
                self._fail_as_told(_told(payload))
                return
            wire = decode_event(payload)
            if wire.error is not None or wire.type == "error":
                self._fail_as_told({"error": wire.error, "request_id": wire.request_id})
            else:
                self._event(wire, events)
        except BrokenBlock as broken:
            self._fail(ModelMalformed, f"{broken}.")
        except UNREADABLE as error:
            if last:
                self._cut("its stream ended inside an event")
            elif not _is_of_unknown_type(payload):
                self._not_json("an event", error)

    def _event(self, wire: WireEvent, events: list[ModelEvent]) -> None:
        kind, delta = wire.type, wire.delta
        blocks = self._blocks
        if kind == "message_start" and blocks is None:
            message = wire.message or WireMessage()
            self._open(message, events)
            self._count(message.usage, events, final=False)
            return
        if kind == "message_stop":
            self._stop()
            return
        if kind not in _EVENTS:
            return
        if blocks is None:
            if kind == "ping":
                return
            blocks = self._open(WireMessage(), events)
        if kind == "content_block_delta" and delta is not None:
            self.began = True
            blocks.delta(wire.index or 0, delta, events)
        elif kind == "content_block_start":
            self.began = True  # also where thoughts are kept from us: that the model works is to be seen
            blocks.start(wire.index or 0, wire.content_block, events)
        elif kind == "content_block_stop":
            blocks.stop(wire.index or 0, events)
        elif kind == "message_delta":
            self._count(wire.usage, events, final=True)
            if delta is not None:
                self._finish(delta, blocks, events)

    def _stop(self) -> None:
        if self.complete:
            self.closed = True
        else:
            self._cut(f"its stream ended without {self.END}")


def _told(payload: bytes) -> dict[str, Any]:
    """What an event says that is called an error, whatever its shape; mere words are its message."""
    with suppress(*UNREADABLE):
        told = msgspec.json.decode(payload)
        if isinstance(told, dict):
            return told
    return {"error": payload.decode("utf-8", "replace")}


def _is_of_unknown_type(payload: bytes) -> bool:
    """Whether an event is sound and only newer than this dialect: the API adds types, whose fields may be anything."""
    try:
        kind = decode_type(payload).type
    except UNREADABLE:
        return False
    return kind is not None and kind not in _EVENTS


class WholeDecoder(Whole, _Decoder):
    """Reads one JSON object."""

    __slots__ = ()

    def _read(self, body: bytes, events: list[ModelEvent]) -> None:
        message = decode_message(body)
        if message.error is not None or message.type == "error":
            self._fail_as_told({"error": message.error, "request_id": message.request_id})
        elif message.content is None or not message.stop_reason:
            missing = "content" if message.content is None else "a stop_reason"
            self._fail(ModelMalformed, f"sent an answer without {missing}.")
        else:
            try:
                self._whole(message, message.content, events)
            except BrokenBlock as broken:
                self._fail(ModelMalformed, f"{broken}.")

    def _whole(self, message: WireMessage, content: list[Raw], events: list[ModelEvent]) -> None:
        blocks = self._open(message, events)
        self._count(message.usage, events, final=True)
        for raw in content:
            self.began = True
            blocks.start(0, raw, events)
        self._finish(message, blocks, events)
