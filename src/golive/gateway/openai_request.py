"""What comes in on the OpenAI face: reading a chat completion request, and making of it a model request or a run.

For a provider's model every parameter that golive does not answer for itself is handed on verbatim. For an agent, whose
own settings say how its models are asked, a parameter that would have no effect is refused by name.

Source: https://platform.openai.com/docs/api-reference/chat/create (November 2026).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from golive.core.errors import InvalidRequest
from golive.core.messages import ImagePart, Message, Part, Role, TextPart, ToolCall, ToolSpec
from golive.gateway.bodies import Reader
from golive.models.call import ModelRequest


class ChatText(Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class ChatRefusal(Struct, frozen=True, tag_field="type", tag="refusal"):
    refusal: str


class ImageUrl(Struct, frozen=True):
    url: str
    detail: str | None = None


class ChatImage(Struct, frozen=True, tag_field="type", tag="image_url"):
    image_url: ImageUrl


class ChatFunction(Struct, frozen=True):
    name: str
    arguments: str = ""


class ChatToolCall(Struct, frozen=True):
    id: str
    function: ChatFunction
    type: Literal["function"] = "function"


class ChatMessage(Struct, frozen=True):
    """A message as OpenAI's SDKs send it; further fields, such as those of an answer sent back, mean nothing."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ChatText | ChatImage | ChatRefusal] | None = None
    name: str | None = None
    tool_calls: list[ChatToolCall] | None = None
    tool_call_id: str | None = None

    def message(self) -> Message:
        """The same in our vocabulary."""
        content = self.content
        role: Role = "system" if self.role == "developer" else self.role
        return Message(
            role,
            content if type(content) is str else _parts(content),
            self.name,
            tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in self.tool_calls or ()),
            self.tool_call_id,
        )


class StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


class ChatBody(Struct, frozen=True, kw_only=True):
    """A chat completion request. `model` is an agent's name or provider/model; see OpenAI's reference for the rest."""

    model: Annotated[str, Meta(extra_json_schema={"minLength": 1})]
    messages: Annotated[list[ChatMessage], Meta(extra_json_schema={"minItems": 1})]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with a chunk of usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


def _parts(content: str | list[ChatText | ChatImage | ChatRefusal] | None) -> str | tuple[Part, ...]:
    if content is None or isinstance(content, str):
        return content or ""
    parts: list[Part] = []
    for part in content:
        if isinstance(part, ChatImage):
            parts.append(ImagePart(part.image_url.url, part.image_url.detail))
        else:
            parts.append(TextPart(part.text if isinstance(part, ChatText) else part.refusal))
    return tuple(parts)


_reader = Reader(ChatBody)
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_OURS = frozenset({"model", "messages", "stream"})


def read_chat(body: bytes) -> ChatBody:
    """The request; raises InvalidRequest naming the field."""
    chat = _reader.decode(body)
    if not chat.messages:
        raise InvalidRequest("messages is empty.", remedy="Send at least one message.", field="messages", value=[])
    return chat


def model_request(chat: ChatBody, body: bytes, headers: tuple[tuple[str, str], ...]) -> ModelRequest:
    """The request for a provider's model: understood for every dialect, and verbatim for this one.

    Raises:
        InvalidRequest: a tool is not what it says it is; `field` names it.
    """
    extra = {name: raw for name, raw in _fields(body).items() if name not in _OURS}
    said = _Said(extra) if extra.keys() - _PLAIN else _NOTHING_SAID
    return ModelRequest(
        messages=tuple([message.message() for message in chat.messages]),
        tools=said.tools,
        max_output_tokens=chat.max_completion_tokens or chat.max_tokens,
        stream=bool(chat.stream),
        extra=extra,
        only_there=said.only_there,
        headers=headers,
        **said.options,
    )


class ChatToolFunction(Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: Raw = Raw(b"null")


class ChatTool(Struct, frozen=True):
    """A tool as the request offers it."""

    type: str = "function"
    function: ChatToolFunction | None = None


_NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')
_TRANSLATED: dict[str, Any] = {
    "temperature": float, "top_p": float, "seed": int, "reasoning_effort": str, "parallel_tool_calls": bool,
    "stop": str | tuple[str, ...], "tool_choice": Raw, "response_format": dict[str, Any],
}  # fmt: skip
"""Parameters that have a place in every dialect, with their types."""


def _says_nothing(name: str, raw: Raw) -> bool:
    return name in _NO_EFFECT and bool(msgspec.json.decode(raw) == _NO_EFFECT[name])


class _Said:
    """What a request says beside messages and length, in our vocabulary; the names of what has no place in it."""

    def __init__(self, extra: Mapping[str, Raw]) -> None:
        self.tools: tuple[ToolSpec, ...] = ()
        self.options: dict[str, Any] = {}
        unsaid: list[str] = []
        for name, raw in extra.items():
            if name in _PLAIN or bytes(raw) == b"null":
                continue
            if name == "tools":
                self._offer(raw, unsaid)
            elif (name in _TRANSLATED and self._translate(name, raw)) or _says_nothing(name, raw):
                continue
            else:
                unsaid.append(name)
        if not self.tools:
            self.options.pop("tool_choice", None)
        self.only_there = tuple(unsaid)

    def _translate(self, name: str, raw: Raw) -> bool:
        """Whether the value is one that every dialect can be told; this dialect's own server judges the others."""
        try:
            value = msgspec.json.decode(raw, type=_TRANSLATED[name])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False
        if name == "response_format":
            if value.get("type") == "text":
                return True
            name, value = "output_schema", raw
        elif name == "stop" and isinstance(value, str):
            value = (value,)
        self.options[name] = value
        return True

    def _offer(self, raw: Raw, unsaid: list[str]) -> None:
        try:
            offered = msgspec.json.decode(raw, type=tuple[ChatTool, ...])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            unsaid.append("tools")
            return
        tools = []
        for place, tool in enumerate(offered):
            function = tool.function
            if tool.type != "function" or function is None:
                unsaid.append(f"tools[{place}] ({tool.type[:60]})")
            else:
                parameters = _NO_PARAMETERS if bytes(function.parameters) == b"null" else function.parameters
                tools.append(ToolSpec(function.name, function.description or "", parameters))
        self.tools = tuple(tools)


# ---- agents ---------------------------------------------------------------------------------------------------------

# Parameters that say nothing about the answer, or that golive answers for itself.
_HARMLESS = frozenset(
    {*_OURS, "stream_options", "metadata", "user", "safety_identifier", "prompt_cache_key", "store", "service_tier"}
)
_NO_EFFECT: dict[str, Any] = {
    "n": 1,
    "tools": [],
    "functions": [],
    "stop": [],
    "logprobs": False,
    "logit_bias": {},
    "modalities": ["text"],
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "parallel_tool_calls": True,
    "response_format": {"type": "text"},
}
"""Values that ask for what is the case anyway."""
_PLAIN = frozenset({*_HARMLESS, "max_tokens", "max_completion_tokens"})
"""Parameters that a provider's model needs nothing more for."""
_NOTHING_SAID = _Said({})
_INSTEAD = {
    "tools": "Tools are the agent's own (tools.py); for a model with tools of yours use model `provider/model`.",
    "functions": "Tools are the agent's own (tools.py); for a model with tools of yours use model `provider/model`.",
    "n": "Send one request for each answer.",
    "response_format": "Set output_schema in agent.toml.",
    "temperature": "Set temperature in agent.toml.",
    "reasoning_effort": "Set reasoning_effort in agent.toml.",
    "max_tokens": "Set max_output_tokens in agent.toml.",
    "max_completion_tokens": "Set max_output_tokens in agent.toml.",
}


def agent_messages(chat: ChatBody, body: bytes) -> tuple[Message, ...]:
    """The input of an agent's run.

    Raises:
        InvalidRequest: a parameter or message that an agent cannot honour; `field` names it.
    """
    for name, raw in _fields(body).items():
        if name in _HARMLESS or bytes(raw) == b"null":
            continue
        if name in _NO_EFFECT and msgspec.json.decode(raw) == _NO_EFFECT[name]:
            continue
        raise InvalidRequest(
            f"{name} cannot be set for an agent: agent.toml says how its models are asked.",
            remedy=_INSTEAD.get(name, f"Leave {name} out."),
            field=name,
        )
    for index, message in enumerate(chat.messages):
        if message.role == "tool" or message.tool_calls:
            field = f"messages[{index}].{'role' if message.role == 'tool' else 'tool_calls'}"
            raise InvalidRequest(
                f"{field} speaks of a tool call, and an agent's tool calls are its own.",
                remedy="Send system, user and assistant messages with text.",
                field=field,
            )
    return tuple(message.message() for message in chat.messages)
