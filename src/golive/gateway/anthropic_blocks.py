"""The messages of an Anthropic request, in our vocabulary.

Owns which content blocks there are, how one message with tool results becomes several of ours, and the provider's state
that a client carries: signed thinking for the provider it is sent to, and what golive sealed into a `redacted_thinking`
block (`sealed.py`) for the provider that gave it. What only Anthropic's own API can say is noted and not dropped.

Source: https://docs.claude.com/en/api/messages (November 2026).
"""

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from golive.core.errors import InvalidRequest
from golive.core.messages import ImagePart, Message, Opaque, Part, TextPart, ToolCall
from golive.gateway.bodies import Reader
from golive.gateway.sealed import SEAL, unseal


class ClientMessage(Struct, frozen=True):
    """A message as Anthropic's SDKs send it: a text, or content blocks."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Raw]


class _Kind(Struct, frozen=True):
    type: str


class _Text(Struct, frozen=True):
    text: str


class _Source(Struct, frozen=True):
    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""


class _Image(Struct, frozen=True):
    source: _Source


class _ToolUse(Struct, frozen=True):
    id: str
    name: str
    input: dict[str, Raw]


class _ToolResult(Struct, frozen=True):
    tool_use_id: str
    content: str | list[Raw] = ""
    is_error: bool | None = None


class _Thinking(Struct, frozen=True):
    thinking: str
    signature: str = ""


class _Redacted(Struct, frozen=True):
    data: str


_kind, _text, _image = Reader(_Kind), Reader(_Text), Reader(_Image)
_tool_use, _tool_result = Reader(_ToolUse), Reader(_ToolResult)
_thinking, _redacted = Reader(_Thinking), Reader(_Redacted)
_raw_messages = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_raw_blocks = msgspec.json.Decoder(list[Raw]).decode
_encode = msgspec.json.Encoder().encode


class _Turn:
    """One message of the client's, while its blocks are read."""

    __slots__ = ("calls", "parts", "results", "sealed_calls", "state")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.calls: list[ToolCall] = []
        self.state: list[Opaque] = []
        self.sealed_calls: dict[str, Opaque] = {}
        self.results: list[Message] = []


class Blocks:
    """Reads the messages of one request.

    Args:
        provider: whose own signed thinking the client hands back.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self.only_there: list[str] = []
        """Places of what no other dialect can say."""
        self.tool_place: str | None = None
        """The first place that speaks of a tool call."""
        self._ours: set[tuple[int, int]] = set()

    def messages(self, messages: list[ClientMessage]) -> tuple[Message, ...]:
        """All messages; raises InvalidRequest naming the field."""
        read: list[Message] = []
        for index, message in enumerate(messages):
            if isinstance(message.content, str):
                read.append(Message(message.role, message.content))
            else:
                read += self._turn(index, message.role, message.content)
        return tuple(read)

    def without_ours(self, raw: Raw) -> Raw:
        """The same messages, verbatim, for Anthropic: without the blocks that golive made and Anthropic cannot know."""
        if not self._ours:
            return raw
        kept: list[dict[str, Raw]] = []
        for index, message in enumerate(_raw_messages(raw)):
            places = {block for place, block in self._ours if place == index}
            if places:
                blocks = [block for at, block in enumerate(_raw_blocks(message["content"])) if at not in places]
                if not blocks:
                    continue
                message["content"] = Raw(_encode(blocks))
            kept.append(message)
        return Raw(_encode(kept))

    def _turn(self, index: int, role: Literal["user", "assistant", "system"], blocks: list[Raw]) -> list[Message]:
        turn = _Turn()
        for at, raw in enumerate(blocks):
            place = f"messages[{index}].content[{at}]"
            try:
                if self._read(turn, raw, place):
                    self._ours.add((index, at))
            except InvalidRequest as error:
                raise _placed(error, place) from None
        calls = tuple(
            msgspec.structs.replace(call, state=turn.sealed_calls[call.id]) if call.id in turn.sealed_calls else call
            for call in turn.calls
        )
        read = turn.results
        if turn.parts or calls or turn.state or not read:
            read.append(Message(role, _content(turn.parts), tool_calls=calls, state=tuple(turn.state)))
        return read

    def _read(self, turn: _Turn, raw: Raw, place: str) -> bool:
        """Takes in a block; True when it is one that golive made up itself."""
        body = bytes(raw)
        match _kind.decode(body).type:
            case "text":
                turn.parts.append(TextPart(_text.decode(body).text))
            case "image":
                self._image(turn.parts, body, place)
            case "tool_use":
                call = _tool_use.decode(body)
                turn.calls.append(ToolCall(call.id, call.name, _encode(call.input).decode()))
                self.tool_place = self.tool_place or place
            case "tool_result":
                turn.results.append(self._result(body, place))
                self.tool_place = self.tool_place or place
            case "thinking":
                if not _thinking.decode(body).signature:
                    return True
                turn.state.append(Opaque(self._provider, raw, len(turn.calls)))
            case "redacted_thinking":
                return self._redacted(turn, raw, place)
            case kind:
                self.only_there.append(f"{place} ({kind[:60]})")
        return False

    def _redacted(self, turn: _Turn, raw: Raw, place: str) -> bool:
        data = _redacted.decode(bytes(raw)).data
        if not data.startswith(SEAL):
            turn.state.append(Opaque(self._provider, raw, len(turn.calls)))
            return False
        sealed = unseal(data, f"{place}.data")
        if sealed.call is None:
            turn.state.append(sealed.state)
        else:
            turn.sealed_calls[sealed.call] = sealed.state
        return True

    def _image(self, parts: list[Part], body: bytes, place: str) -> None:
        source = _image.decode(body).source
        if source.type == "base64":
            parts.append(ImagePart(f"data:{source.media_type};base64,{source.data}"))
        elif source.type == "url":
            parts.append(ImagePart(source.url))
        else:
            self.only_there.append(f"{place} (image of {source.type[:60]})")

    def _result(self, body: bytes, place: str) -> Message:
        """A tool's result. That it is an error is said in its text, since other dialects have no field for it."""
        result = _tool_result.decode(body)
        parts: list[Part] = []
        if isinstance(result.content, str):
            parts.append(TextPart(result.content))
        else:
            for at, raw in enumerate(result.content):
                self._result_part(parts, raw, f"{place}.content[{at}]")
        if result.is_error:
            first = parts[0] if parts else None
            if isinstance(first, TextPart):
                parts[0] = TextPart(f"Error: {first.text}")
            else:
                parts.insert(0, TextPart("Error"))
        return Message("tool", _content(parts), tool_call_id=result.tool_use_id)

    def _result_part(self, parts: list[Part], raw: Raw, place: str) -> None:
        body = bytes(raw)
        try:
            kind = _kind.decode(body).type
            if kind == "text":
                parts.append(TextPart(_text.decode(body).text))
            elif kind == "image":
                self._image(parts, body, place)
            else:
                self.only_there.append(f"{place} ({kind[:60]})")
        except InvalidRequest as error:
            raise _placed(error, place) from None


def _content(parts: list[Part]) -> str | tuple[Part, ...]:
    """One text alone is a text: every server takes that."""
    if not parts:
        return ""
    first = parts[0]
    return first.text if len(parts) == 1 and isinstance(first, TextPart) else tuple(parts)


def _placed(error: InvalidRequest, place: str) -> InvalidRequest:
    """The same error, said of a block in its place."""
    field = str(error.fields.get("field") or "body")
    if field.startswith("messages["):
        return error
    where = place if field == "body" else f"{place}.{field}"
    rest = error.message.removeprefix(field).removeprefix("The body").lstrip()
    remedy = error.remedy.replace(field, where, 1)
    return InvalidRequest(f"{where} {rest}", remedy=remedy, **{**error.fields, "field": where})
