"""What comes in at /v1/responses: reading the request, and making of it a model request or an agent's run.

A provider that speaks the same dialect is sent what the client wrote, as it stands. For every other one it is
translated, and for an agent its own settings hold; there a parameter that changes the answer and cannot be honoured is
refused by name.

Source: https://platform.openai.com/docs/api-reference/responses/create (November 2026).
"""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from golive.core.errors import InvalidRequest
from golive.core.messages import Message, ToolSpec
from golive.gateway.bodies import Reader
from golive.gateway.responses_items import Items, kind_of, placed, read_items, unsealed
from golive.models.call import ModelRequest

NATIVE = "openai-responses"
"""The dialect in which this face speaks."""


class TextFormat(Struct, frozen=True):
    """`text.format`: text, json_object, or json_schema with its name and schema."""

    type: str
    name: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class TextSettings(Struct, frozen=True):
    format: TextFormat | None = None


class Reasoning(Struct, frozen=True):
    effort: str | None = None


class ConversationRef(Struct, frozen=True):
    id: str


class ResponsesBody(Struct, frozen=True, kw_only=True):
    """A response asked for. `model` is an agent's name or provider/model; see OpenAI's reference for the rest."""

    model: Annotated[str, Meta(extra_json_schema={"minLength": 1})]
    input: str | list[Raw] | None = None
    instructions: str | None = None
    stream: bool | None = None
    tools: list[Raw] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextSettings | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationRef | None = None


class _Tool(Struct, frozen=True):
    """A tool of the client's; `name` and the rest are those of a function."""

    type: str
    name: str = ""
    description: str | None = None
    parameters: Raw = Raw()


class _Allowed(Struct, frozen=True):
    """`tool_choice` where it is an object."""

    type: str
    name: str = ""
    mode: str = "auto"
    tools: list[_Tool] = []


_reader = Reader(ResponsesBody)
_tool = Reader(_Tool)
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode
_NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')
_LOGPROBS = "message.output_text.logprobs"
"""The one value of `include` that asks for more than a translated answer has."""

_ANY_VALUE = frozenset({
    "model", "input", "stream", "stream_options", "metadata", "user", "safety_identifier", "store", "service_tier",
    "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "instructions", "include",
})  # fmt: skip
"""What golive reads itself, or says nothing about the answer: taken with every value."""
_TRANSLATED = frozenset({
    "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "max_output_tokens", "temperature", "top_p",
    "max_tool_calls",
})  # fmt: skip
"""What a provider of another dialect is told in its own words. `max_tool_calls` limits built-in tools, and there are
none."""
_CONTINUED = frozenset({"previous_response_id", "conversation"})
_NO_EFFECT: dict[str, Any] = {
    "background": False, "truncation": "disabled", "top_logprobs": 0, "tools": [], "tool_choice": "auto",
    "parallel_tool_calls": True, "reasoning": {}, "text": {},
}  # fmt: skip
"""Values that ask for what is the case anyway; inside an object, null asks for nothing."""
_NATIVE_ONLY = "Ask a provider whose dialect is openai-responses, or leave {name} out."
_INSTEAD_OF_STORED = (
    "golive keeps no content of relayed calls: send the earlier items in input, ask a provider whose dialect is "
    "openai-responses, or an agent."
)
_FOR_AGENTS = {
    "tools": "Tools are the agent's own (tools.py); for a model with tools of yours use model `provider/model`.",
    "text": "Set output_schema in agent.toml.",
    "reasoning": "Set reasoning_effort in agent.toml.",
    "background": "Start it with POST /v1/agents/{agent}/runs and `background`.",
}


def read_responses(body: bytes) -> ResponsesBody:
    """The request; raises InvalidRequest naming the field."""
    asked = _reader.decode(body)
    if asked.background:
        raise InvalidRequest(
            "background cannot be true here.", remedy=_FOR_AGENTS["background"], field="background", value=True
        )
    return asked


def fields_of(body: bytes) -> dict[str, Raw]:
    """The body's members as they stand."""
    return _fields(body)


def model_request(
    asked: ResponsesBody, body: bytes, dialect: str | None, headers: tuple[tuple[str, str], ...]
) -> ModelRequest:
    """The request for a provider's model.

    Args:
        dialect: the provider's; None when there is no such provider, which the relay will say.

    Raises:
        InvalidRequest: something that a provider of this dialect cannot be asked for; `field` names it.
    """
    fields = _fields(body)
    stream = bool(asked.stream)
    if dialect == NATIVE:
        return ModelRequest(
            messages=_guessed(asked.input), max_output_tokens=asked.max_output_tokens, stream=stream, dialect=NATIVE,
            extra=_as_it_stands(asked, fields), headers=headers,
        )  # fmt: skip
    _demand(fields, _ANY_VALUE | _TRANSLATED, lambda name: _INSTEAD_OF_STORED if name in _CONTINUED else _NATIVE_ONLY)
    _demand_no_logprobs(asked)
    tools, choice = _tools(asked)
    return ModelRequest(
        messages=_instructed(asked),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=asked.parallel_tool_calls if tools else None,
        output_schema=_output_schema(asked.text),
        max_output_tokens=asked.max_output_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        reasoning_effort=asked.reasoning.effort if asked.reasoning else None,
        stream=stream,
        dialect=NATIVE,
        headers=headers,
    )


def agent_input(asked: ResponsesBody, body: bytes) -> tuple[Message, ...]:
    """What an agent's run begins with.

    Raises:
        InvalidRequest: a parameter or item that an agent cannot honour; `field` names it.
    """
    _demand(
        _fields(body), _ANY_VALUE | _CONTINUED,
        lambda name: _FOR_AGENTS.get(name, "Leave {name} out, or set it in agent.toml."),
    )  # fmt: skip
    _demand_no_logprobs(asked)
    for index, raw in enumerate(asked.input if isinstance(asked.input, list) else ()):
        if kind_of(raw) in ("function_call", "function_call_output"):
            raise InvalidRequest(
                f"input[{index}] speaks of a tool call, and an agent's tool calls are its own.",
                remedy="Send messages with text.",
                field=f"input[{index}].type",
            )
    return tuple(msgspec.structs.replace(message, state=()) for message in _instructed(asked))


# ---- what is said ---------------------------------------------------------------------------------------------------


def _instructed(asked: ResponsesBody) -> tuple[Message, ...]:
    """The messages, instructions first."""
    if isinstance(asked.input, str):
        said: tuple[Message, ...] = (Message("user", asked.input),) if asked.input else ()
    else:
        said = read_items(asked.input or ())
    if not said:
        raise InvalidRequest("input is empty.", remedy="Send a text or at least one item.", field="input", value=None)
    return (Message("system", asked.instructions), *said) if asked.instructions else said


def _guessed(given: str | list[Raw] | None) -> tuple[Message, ...]:
    """What is only counted, since the provider is sent the items themselves: one that cannot be read counts as text."""
    if not isinstance(given, list):
        return (Message("user", given or ""),)
    read, strange = Items(), []
    for raw in given:
        try:
            if kind_of(raw) != "reasoning":
                read.add(raw)
                continue
        except InvalidRequest:
            pass
        strange.append(Message("user", bytes(raw).decode(errors="replace")))
    return (*read.messages(), *strange)


def _as_it_stands(asked: ResponsesBody, fields: dict[str, Raw]) -> dict[str, Raw]:
    """The client's own fields for a provider of the same dialect, which keeps the answer unless told otherwise."""
    extra = {"store": Raw(b"true")} | {name: raw for name, raw in fields.items() if name not in ("model", "stream")}
    if isinstance(asked.input, list):
        provider, _, model = asked.model.partition("/")
        extra["input"] = Raw(_encode(unsealed(asked.input, provider, model)))
    return extra


# ---- what is wanted -------------------------------------------------------------------------------------------------


def _demand(fields: dict[str, Raw], taken: frozenset[str], remedy: Callable[[str], str]) -> None:
    """Refuses the first member that is not taken and says something."""
    for name, raw in fields.items():
        if name in taken or bytes(raw) == b"null":
            continue
        if name in _NO_EFFECT and _plain(msgspec.json.decode(raw)) == _NO_EFFECT[name]:
            continue
        raise InvalidRequest(
            f"{name[:60]} cannot be honoured for this model.",
            remedy=remedy(name).replace("{name}", name[:60]),
            field=name[:60],
        )


def _plain(value: Any) -> Any:
    """An object without the members that ask for nothing."""
    if not isinstance(value, dict):
        return value
    return {name: one for name, one in value.items() if one not in (None, {"type": "text"})}


def _demand_no_logprobs(asked: ResponsesBody) -> None:
    if _LOGPROBS in (asked.include or ()):
        raise InvalidRequest(
            f"include {_LOGPROBS!r} cannot be honoured for this model.",
            remedy=_NATIVE_ONLY.replace("{name}", "it"),
            field="include",
            value=_LOGPROBS,
        )


def _tools(asked: ResponsesBody) -> tuple[tuple[ToolSpec, ...], Raw | None]:
    """The functions that the model may call, and which of them it is to call (in the words of Chat Completions)."""
    tools = tuple(placed(f"tools[{index}]", _function, raw) for index, raw in enumerate(asked.tools or ()))
    choice = asked.tool_choice
    if choice is None or (choice in ("auto", "none") and not tools):
        return tools, None
    if isinstance(choice, str):
        return tools, Raw(_encode(choice))
    try:
        wanted = msgspec.convert(choice, _Allowed)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"tool_choice cannot be read: {error}.", remedy="Send auto, none, required, or a function's name.",
            field="tool_choice",
        ) from None  # fmt: skip
    if wanted.type == "function":
        return tools, Raw(_encode({"type": "function", "function": {"name": wanted.name}}))
    if wanted.type == "allowed_tools":
        names = {tool.name for tool in wanted.tools}
        return tuple(tool for tool in tools if tool.name in names), Raw(_encode(wanted.mode))
    raise _built_in(wanted.type, "tool_choice.type")


def _function(raw: Raw) -> ToolSpec:
    tool = _tool.decode(bytes(raw))
    if tool.type != "function":
        raise _built_in(tool.type, "type")
    if not tool.name:
        raise InvalidRequest("name is missing.", remedy="Name the function.", field="name")
    parameters = _NO_PARAMETERS if bytes(tool.parameters) in (b"", b"null") else tool.parameters
    return ToolSpec(tool.name, tool.description or "", parameters)


def _built_in(kind: str, field: str) -> InvalidRequest:
    return InvalidRequest(
        f"{field} is {kind[:60]!r}, a tool that runs with OpenAI: this provider does not have it.",
        remedy="Ask a provider whose dialect is openai-responses, or send tools of type function.",
        field=field,
        value=kind[:60],
    )


def _output_schema(text: TextSettings | None) -> Raw | None:
    """`text.format` in the words of Chat Completions."""
    wanted = text.format if text else None
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type != "json_schema":
        return Raw(_encode({"type": wanted.type}))
    inner = {"name": wanted.name, "schema": wanted.schema, "strict": wanted.strict, "description": wanted.description}
    given = {name: value for name, value in inner.items() if value is not None}
    return Raw(_encode({"type": "json_schema", "json_schema": given}))
