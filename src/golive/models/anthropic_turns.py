"""A conversation in the form Anthropic's Messages take it: a system prompt, and turns of user and assistant in blocks.

Owns what becomes which block, the order of blocks, and the ids of tool calls.
Source: https://platform.claude.com/docs/en/api/messages (November 2026).
"""

import base64
import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Raw

from golive.core.messages import ImagePart, Message, Opaque, Part, ToolCall

Block = dict[str, Any] | Raw
"""A block that was made here, or a provider's own that goes back as it came."""

_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9_-]")
_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.ASCII)
_MEDIA_TYPES = {"image/jpg": "image/jpeg"}
"""Names in use that the API does not know."""
_object = msgspec.json.Decoder(dict[str, Raw]).decode


class Turn(NamedTuple):
    """One turn; neighbours never have the same role."""

    role: str
    content: list[Block]


class Conversation(NamedTuple):
    """The text blocks of the system prompt, and the turns."""

    system: list[dict[str, Any]]
    turns: list[Turn]

    def allows_budget(self) -> bool:
        """Whether thinking by budget may be asked for.

        Tool results must follow a turn that began with thoughts, and an answer that was begun for the model leaves no
        room for any: the API refuses the request otherwise.
        """
        if not self.turns or self.turns[-1].role == "assistant":
            return False
        if len(self.turns) == 1 or not _has_result(self.turns[-1].content):
            return True
        return isinstance(self.turns[-2].content[0], Raw)

    def last_of_user(self) -> list[Block]:
        """The blocks of the user's last turn, each made here; none where there is no such turn."""
        return next((turn.content for turn in reversed(self.turns) if turn.role == "user"), [])


def conversation(messages: Iterable[Message], provider: str, model: str) -> Conversation:
    """The messages for this model.

    System messages go into the system prompt, wherever they stand. Neighbours of one role become one turn, tool results
    first, as the API demands. Blank texts and messages that have nothing else are left out: the API refuses them. So is
    `name`, which it does not know, and the state of other models. Where text and thoughts alternate within one
    message, its thoughts come first.
    """
    system: list[dict[str, Any]] = []
    turns: list[Turn] = []
    ids = _Ids()
    for message in messages:
        if message.role == "system":
            system += _text(message.text())
        elif message.role == "assistant":
            _add(turns, "assistant", _answer(message, provider, model, ids))
        elif message.role == "tool":
            _add(turns, "user", [_result(message, ids)])
        else:
            _add(turns, "user", _content(message.content))
    for turn in turns:
        if _has_result(turn.content):
            turn.content.sort(key=lambda block: not _is_result(block))
    return Conversation(system, turns)


class _Ids:
    """Ids as the API takes them: letters, digits, `_` and `-`, and no two calls of a conversation with the same one.

    Other providers use other characters, and some count from 0 in every answer.
    """

    __slots__ = ("_now", "_used")

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._now: dict[str, str] = {}

    def of_call(self, call_id: str) -> str:
        """An id for a new call."""
        plain = chosen = _plain(call_id)
        number = 1
        while chosen in self._used:
            number += 1
            chosen = f"{plain}-{number}"
        self._used.add(chosen)
        self._now[call_id] = chosen
        return chosen

    def of_result(self, call_id: str) -> str:
        """The id of the latest call that was named so."""
        return self._now.get(call_id) or _plain(call_id)


def _plain(call_id: str) -> str:
    return _NOT_IN_AN_ID.sub(lambda found: f"-{ord(found[0]):x}-", call_id) or "call"


def _add(turns: list[Turn], role: str, blocks: list[Block]) -> None:
    if not blocks:
        return
    if turns and turns[-1].role == role:
        turns[-1].content.extend(blocks)
    else:
        turns.append(Turn(role, blocks))


def _is_result(block: Block) -> bool:
    return isinstance(block, dict) and block["type"] == "tool_result"


def _has_result(blocks: list[Block]) -> bool:
    return any(_is_result(block) for block in blocks)


def _answer(message: Message, provider: str, model: str, ids: _Ids) -> list[Block]:
    """Text and tool calls with the model's own blocks between them. State alone is no answer the API would take."""
    text = _content(message.content)
    if not text and not message.tool_calls:
        return []
    own = [state for state in message.state if state.is_for(provider, model)]
    blocks: list[Block] = [*_before(own, 0), *text]
    for number, call in enumerate(message.tool_calls, 1):
        blocks.append(_call(call, ids))
        blocks += _before(own, number)
    blocks += [state.data for state in own if state.before > len(message.tool_calls)]
    return blocks


def _before(states: list[Opaque], number: int) -> list[Block]:
    return [state.data for state in states if state.before == number]


def _call(call: ToolCall, ids: _Ids) -> Block:
    return {"type": "tool_use", "id": ids.of_call(call.id), "name": call.name, "input": _input(call.arguments)}


def _input(arguments: str) -> Any:
    """The arguments verbatim where they are an object; what a model wrote instead goes in as a text of that name."""
    data = arguments.encode("utf-8", "replace")
    try:
        _object(data)
    except (msgspec.DecodeError, RecursionError):
        return {"arguments": data.decode()} if arguments.strip() else {}
    return Raw(data)


def _result(message: Message, ids: _Ids) -> Block:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": ids.of_result(message.tool_call_id or "")}
    content = message.content if isinstance(message.content, str) else _content(message.content)
    if content:
        block["content"] = content
    return block


def _content(content: str | tuple[Part, ...]) -> list[Block]:
    blocks: list[Block] = []
    if isinstance(content, str):
        blocks += _text(content)
        return blocks
    for part in content:
        if isinstance(part, ImagePart):
            blocks.append({"type": "image", "source": _source(part.url)})
        else:
            blocks += _text(part.text)
    return blocks


def _text(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if text.strip() else []


def _source(url: str) -> dict[str, str]:
    """An address, or the bytes of a data URL (RFC 2397) in base64. What is neither is for the API to refuse."""
    found = _DATA_URL.match(url)
    if found is None:
        return {"type": "url", "url": url}
    data = url[found.end() :]
    if not found[2].lower().endswith(";base64"):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    media_type = found[1].lower()
    return {"type": "base64", "media_type": _MEDIA_TYPES.get(media_type, media_type), "data": data}
