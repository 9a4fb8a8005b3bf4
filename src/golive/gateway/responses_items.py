"""The items of a Responses request's `input`, in our vocabulary.

Owns which items there are, and how those of one assistant's turn become one message. A provider's state travels through
the client in a reasoning item's `encrypted_content`, sealed (`sealed.py`) whatever the provider's dialect is.

Source: https://platform.openai.com/docs/api-reference/responses/create (November 2026).
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from golive.core.errors import InvalidRequest
from golive.core.messages import ImagePart, Message, Opaque, Part, Role, TextPart, ToolCall
from golive.gateway.bodies import Reader
from golive.gateway.sealed import SEAL, unseal

T = TypeVar("T")


class InputText(Struct, frozen=True, tag_field="type", tag="input_text"):
    text: str


class OutputText(Struct, frozen=True, tag_field="type", tag="output_text"):
    text: str


class RefusalText(Struct, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


class InputImage(Struct, frozen=True, tag_field="type", tag="input_image"):
    image_url: str | None = None
    detail: str | None = None


class InputFile(Struct, frozen=True, tag_field="type", tag="input_file"):
    """A document; only a provider that speaks the same dialect can be sent one."""


Content = list[InputText | OutputText | RefusalText | InputImage | InputFile]


class MessageItem(Struct, frozen=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | Content = ""


class CallItem(Struct, frozen=True):
    call_id: str
    name: str
    arguments: str = ""


class CallOutputItem(Struct, frozen=True):
    call_id: str
    output: str | Content = ""


class ReasoningItem(Struct, frozen=True):
    encrypted_content: str | None = None


class _Kind(Struct, frozen=True):
    type: str | None = None


_kind = Reader(_Kind)
_message = Reader(MessageItem)
_call = Reader(CallItem)
_output = Reader(CallOutputItem)
_reasoning = Reader(ReasoningItem)
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode
_OUR_ID = re.compile(rb'"(?:msg|fc|rs)_[0-9a-hjkmnp-tv-z]{26}(?:_[0-9]+)?"')
"""Ids of items as `responses_events.py` makes them; OpenAI's own are longer."""


class Items:
    """Reads items one by one; `messages` gives what they say."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._content: list[Part] = []
        self._calls: list[ToolCall] = []
        self._state: list[Opaque] = []
        self._of_calls: dict[str, Opaque] = {}
        self._answering = False

    def add(self, raw: Raw) -> None:
        """Takes in the next item.

        Raises:
            InvalidRequest: it is of a kind that only a provider of the same dialect knows, or does not fit its kind.
        """
        match kind_of(raw):
            case "message":
                self._add_message(_message.decode(bytes(raw)))
            case "function_call":
                call = _call.decode(bytes(raw))
                self._answering = True
                self._calls.append(ToolCall(call.call_id, call.name, call.arguments))
            case "function_call_output":
                output = _output.decode(bytes(raw))
                self._end_answer()
                self._messages.append(Message("tool", _parts(output.output, "output"), tool_call_id=output.call_id))
            case "reasoning":
                self._add_reasoning(_reasoning.decode(bytes(raw)))
            case kind:
                raise InvalidRequest(
                    f"Items of type {kind[:60]!r} are only understood by a provider of dialect openai-responses.",
                    remedy="Send message, function_call, function_call_output and reasoning items.",
                    field="type",
                    value=kind[:60],
                )

    def messages(self) -> tuple[Message, ...]:
        """All messages so far."""
        self._end_answer()
        if not self._of_calls:
            return tuple(self._messages)
        return tuple(self._with_state(message) for message in self._messages)

    def _add_message(self, item: MessageItem) -> None:
        content = _parts(item.content, "content")
        if item.role == "assistant":
            if self._content and not self._calls:
                self._end_answer()
            self._answering = True
            self._content += [TextPart(content)] if isinstance(content, str) else content
            return
        self._end_answer()
        role: Role = "system" if item.role == "developer" else item.role
        self._messages.append(Message(role, content))

    def _add_reasoning(self, item: ReasoningItem) -> None:
        """What another server encrypted means nothing here, and a provider's state is for that provider alone."""
        if item.encrypted_content is None or not item.encrypted_content.startswith(SEAL):
            return
        sealed = unseal(item.encrypted_content, "encrypted_content")
        if sealed.call is not None:
            self._of_calls[sealed.call] = sealed.state
            return
        self._answering = True
        self._state.append(sealed.state)

    def _end_answer(self) -> None:
        """What the assistant said, called and was thinking in one turn becomes one message."""
        if not self._answering:
            return
        content = self._content
        text = content[0].text if len(content) == 1 and isinstance(content[0], TextPart) else tuple(content) or ""
        if content or self._calls:  # reasoning without what it led to is left out: no provider takes it alone
            message = Message("assistant", text, tool_calls=tuple(self._calls), state=tuple(self._state))
            self._messages.append(message)
        self._content, self._calls, self._state, self._answering = [], [], [], False

    def _with_state(self, message: Message) -> Message:
        if not any(call.id in self._of_calls for call in message.tool_calls):
            return message
        calls = tuple(msgspec.structs.replace(call, state=self._of_calls.get(call.id)) for call in message.tool_calls)
        return msgspec.structs.replace(message, tool_calls=calls)


def kind_of(raw: Raw) -> str:
    """The item's type; a message may leave it out. Raises InvalidRequest when it is not an object."""
    return _kind.decode(bytes(raw)).type or "message"


def read_items(items: Sequence[Raw]) -> tuple[Message, ...]:
    """All items as messages; raises InvalidRequest naming the item's place."""
    read = Items()
    for index, raw in enumerate(items):
        placed(f"input[{index}]", read.add, raw)
    return read.messages()


def placed(place: str, read: Callable[[Raw], T], raw: Raw) -> T:
    """What `read` makes of a part of the request; what is wrong with it is told with its place."""
    try:
        return read(raw)
    except InvalidRequest as error:
        inner = str(error.fields.get("field") or "body")
        where = place if inner == "body" else f"{place}.{inner}"
        rest = error.message.removeprefix(inner)
        told = f"{place}: {rest}" if rest is error.message else f"{where}{rest}"
        raise InvalidRequest(told, remedy=error.remedy, **{**error.fields, "field": where}) from None


def unsealed(items: Sequence[Raw], provider: str, model: str) -> list[Raw]:
    """The items for a provider of the same dialect: the state that this model gave, that of others left out.

    Ids that golive made up mean nothing to the provider, which would look for them among its own.
    """
    opened = [
        placed(f"input[{index}]", lambda raw: _opened(raw, provider, model), raw) for index, raw in enumerate(items)
    ]
    return [raw for raw in opened if raw is not None]


def _opened(raw: Raw, provider: str, model: str) -> Raw | None:
    kind = kind_of(raw)
    fields = _fields(raw)
    ours = _OUR_ID.fullmatch(bytes(fields.get("id", b""))) is not None
    if kind == "reasoning":
        content = _reasoning.decode(bytes(raw)).encrypted_content
        if content is not None and content.startswith(SEAL):
            sealed = unseal(content, "encrypted_content")
            return sealed.data if sealed.state.is_for(provider, model) else None
        return None if ours else raw
    if not ours:
        return raw
    return Raw(_encode({name: value for name, value in fields.items() if name != "id"}))


def _parts(content: str | Content, field: str) -> str | tuple[Part, ...]:
    if isinstance(content, str):
        return content
    return tuple(_part(part, f"{field}[{index}]") for index, part in enumerate(content))


def _part(part: InputText | OutputText | RefusalText | InputImage | InputFile, field: str) -> Part:
    if isinstance(part, InputText | OutputText):
        return TextPart(part.text)
    if isinstance(part, RefusalText):
        return TextPart(part.refusal)
    if isinstance(part, InputImage) and part.image_url is not None:
        return ImagePart(part.image_url, part.detail)
    raise InvalidRequest(
        f"{field} is a file, which only a provider of dialect openai-responses can be sent.",
        remedy="Send text, or pictures as image_url (an https address or a data: URL).",
        field=field,
    )
