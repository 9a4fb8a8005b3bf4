"""What comes in on the Anthropic face: reading a Messages request, and making of it a model request or a run.

A provider that speaks Anthropic's dialect is sent the body as it stands. For every other one it is translated; what has
no counterpart and changes what is asked (documents, tools that Anthropic runs) is refused by name, and what merely
tunes it (`top_k`, `cache_control`, `service_tier`) is left out. For an agent, whose own settings say how its models are
asked, a parameter that would have no effect is refused by name; `max_tokens` alone is let pass, since Anthropic's
clients cannot leave it out.

Source: https://docs.claude.com/en/api/messages (November 2026).
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from golive.core.errors import InvalidRequest
from golive.core.messages import Message, ToolSpec
from golive.gateway.anthropic_blocks import Blocks, ClientMessage
from golive.gateway.bodies import Reader
from golive.models.call import ModelRequest

DIALECT = "anthropic"
_EFFORT_FROM = ((16_384, "high"), (4_096, "medium"), (1_024, "low"))
"""Where only a budget of thinking is given, the effort that other dialects are asked for, from so many tokens on."""
_ABOVE_HIGH = frozenset({"xhigh", "max"})


class SystemText(Struct, frozen=True):
    text: str
    type: Literal["text"] = "text"


class ClientTool(Struct, frozen=True):
    """A tool: the client's own (`input_schema`), or, by its `type`, one that Anthropic runs."""

    type: str | None = None
    name: str = ""
    description: str = ""
    input_schema: dict[str, Any] | None = None


class ToolChoice(Struct, frozen=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class OutputFormat(Struct, frozen=True):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(Struct, frozen=True):
    effort: str | None = None
    format: OutputFormat | None = None


class Thinking(Struct, frozen=True):
    type: str
    budget_tokens: int | None = None


class RequestMetadata(Struct, frozen=True):
    user_id: str | None = None
    conversation_id: str | None = None


class MessagesBody(Struct, frozen=True, kw_only=True):
    """A Messages request. `model` is an agent's name or provider/model; see Anthropic's reference for the rest."""

    model: Annotated[str, Meta(extra_json_schema={"minLength": 1})]
    messages: Annotated[list[ClientMessage], Meta(extra_json_schema={"minItems": 1})]
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    system: str | list[SystemText] | None = None
    stream: bool | None = None
    tools: list[ClientTool] | None = None
    tool_choice: ToolChoice | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    metadata: RequestMetadata | None = None


_reader = Reader(MessagesBody)
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode
_OURS = frozenset({"model", "stream"})
_ONLY_THERE = ("container", "mcp_servers")
"""Parameters without which another question would be asked, and which only Anthropic's own API has."""


def read_messages(body: bytes) -> MessagesBody:
    """The request; raises InvalidRequest naming the field."""
    asked = _reader.decode(body)
    if not asked.model:
        raise InvalidRequest("model is empty.", remedy="Name an agent, or provider/model.", field="model", value="")
    if not asked.messages:
        raise InvalidRequest("messages is empty.", remedy="Send at least one message.", field="messages", value=[])
    return asked


def model_request(asked: MessagesBody, body: bytes, headers: tuple[tuple[str, str], ...]) -> ModelRequest:
    """The request for a provider's model: understood for every dialect, and verbatim for Anthropic's own.

    Raises:
        InvalidRequest: a content block or a tool is not what it says it is; `field` names it.
    """
    blocks = Blocks(asked.model.partition("/")[0])
    messages = _system(asked) + blocks.messages(asked.messages)
    tools = _tools(asked, blocks.only_there)
    extra = {name: raw for name, raw in _fields(body).items() if name not in _OURS}
    only_there = [*blocks.only_there, *(name for name in _ONLY_THERE if bytes(extra.get(name, b"null")) != b"null")]
    extra["messages"] = blocks.without_ours(extra["messages"])
    config = asked.output_config or OutputConfig()
    choice = asked.tool_choice
    return ModelRequest(
        messages=messages,
        tools=tools,
        tool_choice=None if choice is None or not tools else _choice(choice),
        parallel_tool_calls=False if tools and choice is not None and choice.disable_parallel_tool_use else None,
        output_schema=_output_schema(config.format or asked.output_format),
        max_output_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        stop=tuple(asked.stop_sequences or ()),
        reasoning_effort=_effort(config.effort, asked.thinking),
        stream=bool(asked.stream),
        dialect=DIALECT,
        extra=extra,
        only_there=tuple(only_there),
        headers=headers,
    )


def _system(asked: MessagesBody) -> tuple[Message, ...]:
    """The instructions, as one message in front; every server takes a single text."""
    system = asked.system
    text = system if isinstance(system, str) else "\n\n".join(block.text for block in system or ())
    return (Message("system", text),) if text else ()


def _tools(asked: MessagesBody, only_there: list[str]) -> tuple[ToolSpec, ...]:
    tools: list[ToolSpec] = []
    for index, tool in enumerate(asked.tools or ()):
        if tool.type not in (None, "custom"):
            only_there.append(f"tools[{index}] ({tool.type[:60]})")
            continue
        if not tool.name or tool.input_schema is None:
            field = f"tools[{index}].{'input_schema' if tool.name else 'name'}"
            raise InvalidRequest(f"{field} is missing.", remedy=f"Add {field}.", field=field)
        tools.append(ToolSpec(tool.name, tool.description, Raw(_encode(tool.input_schema))))
    return tuple(tools)


def _choice(choice: ToolChoice) -> Raw:
    """The choice of tools in OpenAI's words, which are ours."""
    if choice.type == "tool":
        if not choice.name:
            raise InvalidRequest(
                "tool_choice.name is missing.", remedy="Add tool_choice.name.", field="tool_choice.name"
            )
        return Raw(_encode({"type": "function", "function": {"name": choice.name}}))
    return Raw(_encode({"auto": "auto", "any": "required", "none": "none"}[choice.type]))


def _output_schema(wanted: OutputFormat | None) -> Raw | None:
    """The output's schema in OpenAI's words, which are ours."""
    if wanted is None:
        return None
    schema = {"name": "output", "schema": wanted.schema, "strict": True}
    return Raw(_encode({"type": "json_schema", "json_schema": schema}))


def _effort(effort: str | None, thinking: Thinking | None) -> str | None:
    """The effort in the words that all dialects know, also where a budget of thinking stands for it; None: unsaid."""
    if effort is not None:
        return "high" if effort in _ABOVE_HIGH else effort
    if thinking is None or thinking.type != "enabled":
        return None
    budget = thinking.budget_tokens or 0
    return next((named for tokens, named in _EFFORT_FROM if budget >= tokens), None)


# ---- agents ---------------------------------------------------------------------------------------------------------

# Parameters that say nothing about the answer, that golive answers for itself, or that a client cannot leave out.
_HARMLESS = frozenset(
    {*_OURS, "messages", "system", "max_tokens", "metadata", "service_tier", "cache_control", "diagnostics"}
)
_NO_EFFECT: dict[str, tuple[Any, ...]] = {
    "tools": ([],),
    "tool_choice": ({"type": "auto"}, {"type": "none"}),
    "stop_sequences": ([],),
    "thinking": ({"type": "disabled"},),
    "output_config": ({},),
    "speed": ("standard",),
}
"""Values that ask for what is the case anyway."""
_INSTEAD = {
    "tools": "Tools are the agent's own (tools.py); for a model with tools of yours use model `provider/model`.",
    "tool_choice": "Tools are the agent's own (tools.py); for a model with tools of yours use model `provider/model`.",
    "thinking": "Set reasoning_effort in agent.toml.",
    "output_config": "Set output_schema or reasoning_effort in agent.toml.",
    "output_format": "Set output_schema in agent.toml.",
}


def agent_messages(asked: MessagesBody, body: bytes) -> tuple[Message, ...]:
    """The input of an agent's run. Thinking that a client hands back is left out: agents keep their own.

    Raises:
        InvalidRequest: a parameter or message that an agent cannot honour; `field` names it.
    """
    for name, raw in _fields(body).items():
        if name in _HARMLESS or bytes(raw) == b"null":
            continue
        if name in _NO_EFFECT and msgspec.json.decode(raw) in _NO_EFFECT[name]:
            continue
        raise InvalidRequest(
            f"{name} cannot be set for an agent: agent.toml says how its models are asked.",
            remedy=_INSTEAD.get(name, f"Leave {name} out, or set it in agent.toml."),
            field=name,
        )
    blocks = Blocks("")
    messages = _system(asked) + blocks.messages(asked.messages)
    if blocks.tool_place is not None:
        raise InvalidRequest(
            f"{blocks.tool_place} speaks of a tool call, and an agent's tool calls are its own.",
            remedy="Send user and assistant messages with text and pictures.",
            field=blocks.tool_place,
        )
    if blocks.only_there:
        place = blocks.only_there[0]
        raise InvalidRequest(
            f"{place} is not something that an agent can be sent.",
            remedy="Send text, and pictures as base64 or by their address.",
            field=place.partition(" ")[0],
        )
    return tuple(Message(message.role, message.content) for message in messages)
