"""The events of a streamed response: from model events and an agent's frames to OpenAI's server-sent events.

Items open and close as the answer goes on. A text delta costs one small encode between two pieces that stay the same
through its part; a whole batch becomes one write. A response that is sent whole is written the same way, and its last
object taken.

Source: https://platform.openai.com/docs/api-reference/responses-streaming (November 2026).
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from golive.core.errors import GoliveError
from golive.core.frames import REASONING_DELTA, TEXT_DELTA, Frame
from golive.core.messages import Usage
from golive.gateway.openai_errors import failed_run
from golive.gateway.responses_output import (
    CallItem,
    Failure,
    Item,
    MessageItem,
    Part,
    ProviderItem,
    ReasoningItem,
    ResponseObject,
    Status,
    Text,
    failure,
    failure_of,
)
from golive.gateway.sealed import seal
from golive.gateway.sse import HEARTBEAT
from golive.models.call import (
    Finished,
    FinishReason,
    ModelEvent,
    ReasoningDelta,
    RefusalDelta,
    StateReported,
    TextDelta,
    ToolCallDelta,
)
from golive.runtime.api import RunResult

REASONS: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Ends of a model's answer that leave a response incomplete, and why."""

_encode = msgspec.json.Encoder().encode


class _FrameText(Struct):
    text: Raw


class _Extra(Struct):
    """What of a vendor's further fields on a text has a place here; events have logprobs in Chat Completions' words."""

    logprobs: Any = None
    annotations: Any = None


class _Kind(Struct):
    type: str = ""


_frame_text = msgspec.json.Decoder(_FrameText).decode
_extra = msgspec.json.Decoder(_Extra).decode
_kind = msgspec.json.Decoder(_Kind).decode


class ResponseStream:
    """Writes the events of one response; see `face.Streamed`."""

    __slots__ = (
        "_begun", "_calls", "_delta_head", "_finish", "_items", "_message", "_native", "_out", "_part", "_reasoning",
        "_response", "_run", "_sequence", "last",
    )  # fmt: skip
    heartbeat = HEARTBEAT

    def __init__(self, response: ResponseObject, run: str, *, native: bool = False) -> None:
        """`run` makes the ids of the items; `native`: the provider speaks this dialect, and its state is items."""
        self._response = response
        self._native = native
        self._run = run.removeprefix("run_")
        self._sequence = 0
        self._begun = False
        self._finish: FinishReason | None = None
        self._items: list[Item] = []
        self._message: MessageItem | None = None
        self._part: Part | None = None
        self._delta_head = b""
        self._reasoning: ReasoningItem | None = None
        self._calls: dict[int, CallItem] = {}
        self._out: list[bytes] = []
        self.last = b""
        """The response as the last event tells it."""

    @property
    def whole(self) -> bool:
        return self._finish is not None

    def begin(self) -> bytes:
        self._begun = True
        for name in ("response.created", "response.in_progress"):
            self._tell(name, b'"response":' + self._response.json("in_progress"))
        return self._taken()

    def batch(self, events: list[ModelEvent]) -> bytes:
        """A batch of a relayed answer. Only the first choice is an answer in this dialect."""
        out = self._out
        if not self._begun:
            out.append(self.begin())
        for event in events:
            if type(event) is TextDelta:
                if event.choice == 0:
                    self.text(_encode(event.text), event.extra)
            elif getattr(event, "choice", 1) == 0:
                self._other(event)
        return self._taken()

    def frames(self, frames: list[Frame]) -> bytes:
        for frame in frames:
            if frame.channel == "answer" and frame.event == TEXT_DELTA:
                self.text(bytes(_frame_text(frame.data).text))
            elif frame.event == REASONING_DELTA:
                self._think(bytes(_frame_text(frame.data).text))
        return self._taken()

    def end(self, usage: Usage | None) -> bytes:
        return self._end(REASONS.get(self._finish or "stop"), usage)

    def run_end(self, result: RunResult) -> bytes:
        reason = None
        if result.outcome == "refused":
            self._refuse(_encode(result.message or "The request was refused."))
        elif not result.text and result.message:
            self.text(_encode(result.message))
        if result.outcome == "partial":
            reason = "max_output_tokens"
        return self._end(reason, result.usage)

    def error(self, error: GoliveError) -> bytes:
        return self._fail(failure_of(error))

    def failed_run(self, result: RunResult) -> bytes:
        status, told = failed_run(result)
        error = told["error"]
        return self._fail(failure(status, error.message, error.code), result.usage)

    def text(self, text_json: bytes, extra: Raw | None = None) -> None:
        """A piece of the answer, given as the JSON of its text."""
        part = self._part
        if part is None or part.refuses:
            part = self._open_part(refuses=False)
        logprobs = b"[]"
        if extra is not None:
            more = _extra(extra)
            new = _list(more.logprobs.get("content")) if isinstance(more.logprobs, dict) else []
            part.logprobs += new
            logprobs = _encode(new)
            if not new and text_json == b'""':
                self._annotate(part, _list(more.annotations))
                return
        part.text.add(text_json)
        self._out.append(
            b'%b%b,"logprobs":%b,"sequence_number":%d}\n\n' % (self._delta_head, text_json, logprobs, self._sequence)
        )
        self._sequence += 1

    def so_far(self, status: Status, usage: Usage | None) -> bytes:
        """The response as it stands, without an answer's end."""
        of_items: Status = "incomplete" if status == "cancelled" else "in_progress"
        return self._response.json(status, [item.json(of_items) for item in self._items], usage=usage)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _tell(self, name: str, members: bytes) -> None:
        self._out.append(
            b'event: %b\ndata: {"type":"%b",%b,"sequence_number":%d}\n\n'
            % (name.encode(), name.encode(), members, self._sequence)
        )
        self._sequence += 1

    def _taken(self) -> bytes:
        data = b"".join(self._out)
        self._out.clear()
        return data

    def _other(self, event: ModelEvent) -> None:
        match event:
            case ReasoningDelta():
                self._think(_encode(event.text))
            case RefusalDelta():
                self._refuse(_encode(event.text))
            case ToolCallDelta():
                self._call(event)
            case StateReported():
                self._keep(event)
            case Finished():
                self._finish = event.reason

    # ---- items -------------------------------------------------------------------------------------------------------

    def _new_id(self, prefix: str, kind: type[Item]) -> str:
        before = sum(1 for item in self._items if isinstance(item, kind))
        return f"{prefix}_{self._run}" + (f"_{before + 1}" if before else "")

    def _open(self, item: Item) -> None:
        self._items.append(item)
        self._tell(
            "response.output_item.added", b'"output_index":%d,"item":%b' % (item.index, item.json("in_progress"))
        )

    def _open_part(self, *, refuses: bool) -> Part:
        message = self._message
        if message is None:
            self._close_reasoning()
            message = self._message = MessageItem(self._new_id("msg", MessageItem), len(self._items))
            self._open(message)
        else:
            self._close_part()
        part = self._part = Part(len(message.parts), refuses=refuses)
        place = _place(message, part)
        self._tell("response.content_part.added", place + b',"part":' + part.json())
        message.parts.append(part)
        kind = b"refusal" if refuses else b"output_text"
        self._delta_head = b'event: response.%b.delta\ndata: {"type":"response.%b.delta",%b,"delta":' % (
            kind, kind, place,
        )  # fmt: skip
        return part

    def _annotate(self, part: Part, notes: list[Any]) -> None:
        """Notes on the text before; they come apart from any text."""
        message = self._message
        assert message is not None
        for note in notes:
            index = len(part.annotations)
            part.annotations.append(note)
            members = b',"annotation_index":%d,"annotation":%b' % (index, _encode(note))
            self._tell("response.output_text.annotation.added", _place(message, part) + members)

    def _refuse(self, text_json: bytes) -> None:
        part = self._part
        if part is None or not part.refuses:
            part = self._open_part(refuses=True)
        part.text.add(text_json)
        self._out.append(b'%b%b,"sequence_number":%d}\n\n' % (self._delta_head, text_json, self._sequence))
        self._sequence += 1

    def _think(self, text_json: bytes) -> None:
        item = self._reasoning or self._open_reasoning()
        place = b'"item_id":"%b","output_index":%d,"summary_index":0' % (item.id.encode(), item.index)
        if item.summary is None:
            self._tell("response.reasoning_summary_part.added", place + b',"part":' + item.summary_part())
            item.summary = Text()
        item.summary.add(text_json)
        self._tell("response.reasoning_summary_text.delta", place + b',"delta":' + text_json)

    def _open_reasoning(self) -> ReasoningItem:
        self._close_message("completed")
        item = self._reasoning = ReasoningItem(self._new_id("rs", ReasoningItem), len(self._items))
        self._open(item)
        return item

    def _keep(self, event: StateReported) -> None:
        """The provider's state goes into the reasoning item that it ends; what else is an item here stays one."""
        if self._native and event.call is None and _kind(event.state.data).type not in ("", "reasoning"):
            self._close_message("completed")
            self._close_reasoning()
            item_of_provider = ProviderItem(bytes(event.state.data), len(self._items))
            self._open(item_of_provider)
            self._close(item_of_provider, "completed")
            return
        call = None
        if event.call is not None:
            known = self._calls.get(event.call)
            call = known.call_id if known is not None else None
            self._close_reasoning()
        item = self._reasoning or self._open_reasoning()
        item.sealed = seal(event.state, call)
        self._close_reasoning()

    def _call(self, event: ToolCallDelta) -> None:
        item = self._calls.get(event.index)
        if item is None:
            self._close_message("completed")
            self._close_reasoning()
            item = CallItem(self._new_id("fc", CallItem), len(self._items), event.id or "", event.name or "")
            self._calls[event.index] = item
            self._open(item)
        if event.arguments:
            arguments = _encode(event.arguments)
            item.arguments.add(arguments)
            place = b'"item_id":"%b","output_index":%d,"delta":%b' % (item.id.encode(), item.index, arguments)
            self._tell("response.function_call_arguments.delta", place)

    # ---- ends --------------------------------------------------------------------------------------------------------

    def _close(self, item: Item, status: Status) -> None:
        self._tell("response.output_item.done", b'"output_index":%d,"item":%b' % (item.index, item.json(status)))

    def _close_part(self) -> None:
        message, part = self._message, self._part
        if message is None or part is None:
            return
        place, text = _place(message, part), part.text.json()
        if part.refuses:
            self._tell("response.refusal.done", place + b',"refusal":' + text)
        else:
            self._tell(
                "response.output_text.done", place + b',"logprobs":%b,"text":%b' % (_encode(part.logprobs), text)
            )
        self._tell("response.content_part.done", place + b',"part":' + part.json())
        self._part = None

    def _close_message(self, status: Status) -> None:
        message = self._message
        if message is not None:
            self._close_part()
            self._close(message, status)
            self._message = None

    def _close_reasoning(self) -> None:
        item = self._reasoning
        if item is None:
            return
        if item.summary is not None:
            place = b'"item_id":"%b","output_index":%d,"summary_index":0' % (item.id.encode(), item.index)
            self._tell("response.reasoning_summary_text.done", place + b',"text":' + item.summary.json())
            self._tell("response.reasoning_summary_part.done", place + b',"part":' + item.summary_part())
        self._close(item, "completed")
        self._reasoning = None

    def _end(self, reason: str | None, usage: Usage | None) -> bytes:
        """Closes what is open, and the response."""
        status: Status = "completed" if reason is None else "incomplete"
        last = self._items[-1] if self._items else None
        self._close_reasoning()
        self._close_message(status)
        for item in self._calls.values():
            ended = status if item is last else "completed"
            place = b'"item_id":"%b","output_index":%d' % (item.id.encode(), item.index)
            done = place + b',"arguments":%b,"name":%b' % (item.arguments.json(), _encode(item.name))
            self._tell("response.function_call_arguments.done", done)
            self._close(item, ended)
        output = [item.json(status if item is last else "completed") for item in self._items]
        self.last = self._response.json(status, output, usage=usage, reason=reason)
        self._tell(f"response.{status}", b'"response":' + self.last)
        return self._taken()

    def _fail(self, failure: Failure, usage: Usage | None = None) -> bytes:
        """Ends a broken response: nothing that is open is called done."""
        if not self._begun:
            self._out.append(self.begin())
        output = [item.json("incomplete") for item in self._items]
        self.last = self._response.json("failed", output, usage=usage, failure=failure)
        self._tell("response.failed", b'"response":' + self.last)
        return self._taken()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _place(message: MessageItem, part: Part) -> bytes:
    return b'"item_id":"%b","output_index":%d,"content_index":%d' % (message.id.encode(), message.index, part.index)
