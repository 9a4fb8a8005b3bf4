"""Anthropic Messages as they stand on the wire: typed decoding, usage, and encoding of requests.

Types are as loose as compatible servers are. `anthropic_turns.py` has the conversation, `anthropic_models.py` what a
model takes. Source: https://platform.claude.com/docs/en/api/messages, and under .../build-with-claude/ the pages
streaming, prompt-caching and structured-outputs (November 2026).
"""

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from golive.core.messages import ToolSpec, Usage
from golive.models.anthropic_models import Traits, reasoning, traits_of
from golive.models.anthropic_turns import conversation
from golive.models.call import ModelRequest

DEFAULT_MAX_TOKENS = 4_096
"""`max_tokens` where the request sets none: the API demands one."""
MAX_TOKENS = 10**12
"""A server that reports more does not know; the ledger could not hold what it would cost."""
JSON_INSTRUCTION = "Answer with one JSON object and nothing else: no words around it and no code fence."
"""Stands for OpenAI's `json_object`, which has no counterpart here."""


# ---- decoding -------------------------------------------------------------------------------------------------------


class WireDelta(Struct, gc=False):
    """What a block's delta or a message's may hold."""

    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: Raw = Raw()
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None


class WireBlock(Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw()
    citations: Raw = Raw()


class WireMessage(Struct, gc=False):
    """A whole answer, or the beginning of a streamed one. An error object has `error`."""

    id: str | None = None
    type: str | None = None
    model: str | None = None
    content: list[Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None
    usage: Any = None
    error: Any = None
    request_id: Any = None


class WireEvent(Struct, gc=False):
    type: str | None = None
    index: int | None = None
    delta: WireDelta | None = None
    content_block: Raw = Raw()
    message: WireMessage | None = None
    usage: Any = None
    error: Any = None
    request_id: Any = None


class WireType(Struct, gc=False):
    """The one field that every event has, for those that are not known."""

    type: str | None = None


decode_event = msgspec.json.Decoder(WireEvent).decode
decode_type = msgspec.json.Decoder(WireType).decode
decode_message = msgspec.json.Decoder(WireMessage).decode
decode_block = msgspec.json.Decoder(WireBlock).decode


class Counts(NamedTuple):
    """Usage in Anthropic's terms, where `input` leaves the cached tokens out.

    A stream reports it several times, each time as the sum so far, and may leave out what has not changed.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    thinking: int = 0

    def updated(self, wire: Any) -> "Counts":
        """These with what a `usage` object says; anything in it that is no count is passed over."""
        if not isinstance(wire, dict):
            return self
        details = wire.get("output_tokens_details")
        return Counts(
            _count(wire.get("input_tokens")) or self.input,
            _count(wire.get("cache_read_input_tokens")) or self.cache_read,
            _count(wire.get("cache_creation_input_tokens")) or self.cache_write,
            _count(wire.get("output_tokens")) or self.output,
            _count(details.get("thinking_tokens") if isinstance(details, dict) else None) or self.thinking,
        )

    def usage(self) -> Usage | None:
        """Usage as we count it: the cached tokens are part of the input. None when it says nothing."""
        total = self.input + self.cache_read + self.cache_write
        if not total and not self.output:
            return None
        return Usage(total, self.cache_read, self.output, min(self.thinking, self.output), self.cache_write)


def _count(value: Any) -> int:
    return int(value) if type(value) in (int, float) and 0 < value < MAX_TOKENS else 0


# ---- encoding -------------------------------------------------------------------------------------------------------

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_KEPT = frozenset({"model", "stream"})
"""Keys golive itself answers for; `extra` cannot replace them."""
_MARK = {"type": "ephemeral"}
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_SUBSCHEMAS = ("items", "additionalProperties", "not")
_LISTS_OF_SCHEMAS = ("anyOf", "allOf", "oneOf", "prefixItems")
_MAPS_OF_SCHEMAS = ("properties", "$defs", "definitions")


def encode_request(request: ModelRequest, model: str, provider: str) -> bytes:
    """The body of POST /messages.

    What a model does not take is left out where the answer is still the one that was asked for: `temperature` and
    `top_p` (the temperature stays where only one may), also while it thinks, and thinking where a tool is forced or the
    conversation does not allow it. `seed` has no counterpart. Everything else is for the API to refuse.
    """
    extra = request.extra if request.dialect == "anthropic" else {}
    if "messages" in extra:  # a whole request of the caller's own, which is sent as it was written
        return _encode({"model": model, **_without_ours(extra), **({"stream": True} if request.stream else {})})
    talk = conversation(request.messages, provider, model)
    max_tokens = DEFAULT_MAX_TOKENS if request.max_output_tokens is None else request.max_output_tokens
    wire: dict[str, Any] = {
        "model": model, "max_tokens": max_tokens,
        "messages": [{"role": turn.role, "content": turn.content} for turn in talk.turns],
    }  # fmt: skip
    output: dict[str, Any] = {}
    if request.output_schema is not None:
        _ask_for_json(request.output_schema, output, talk.system)
    choice = _tool_choice(request) if request.tools or "tools" in extra else None
    traits = traits_of(model)
    may_think = not _is_forced(choice) and (traits.thinking == "adaptive" or talk.allows_budget())
    thinking, effort = reasoning(request.reasoning_effort, traits, max_tokens, may_think=may_think)
    if effort is not None:
        output["effort"] = effort
    tools = [_tool(tool) for tool in request.tools]
    options = (
        ("system", talk.system), ("tools", tools), ("tool_choice", choice), ("thinking", thinking),
        ("output_config", output), ("stop_sequences", request.stop),
    )  # fmt: skip
    wire.update({name: value for name, value in options if value})
    wire |= _sampling(request, traits, thinks=thinking is not None and thinking["type"] != "disabled")
    if request.prompt_cache and not any(name == "cache_control" or _is_marked(raw) for name, raw in extra.items()):
        _mark(tools, talk.system, talk.last_of_user())
    wire |= _without_ours(extra)
    if request.stream:
        wire["stream"] = True
    return _encode(wire)


def _without_ours(extra: dict[str, Raw]) -> dict[str, Raw]:
    return {name: raw for name, raw in extra.items() if name not in _KEPT}


def _is_forced(choice: Any) -> bool:
    return isinstance(choice, dict) and choice["type"] in ("any", "tool")


def _mark(*prefixes: list[Any]) -> None:
    """Marks the ends of what later requests will repeat: the tools, the system prompt, the conversation so far."""
    for blocks in prefixes:
        if blocks:
            blocks[-1]["cache_control"] = _MARK


def _is_marked(raw: Raw) -> bool:
    """Whether the caller set cache marks of its own: more of ours could exceed the API's four, or break their order."""
    return b'"cache_control"' in bytes(raw)


def _tool(tool: ToolSpec) -> dict[str, Any]:
    """A tool; the API demands a schema that says it is an object's."""
    schema: Any = tool.parameters
    try:
        fields = _fields(schema)
        if "type" not in fields:
            schema = {"type": "object", **fields}
    except msgspec.DecodeError:
        pass  # not an object: for the API to refuse
    wire: dict[str, Any] = {"name": tool.name, "input_schema": schema}
    if tool.description:
        wire["description"] = tool.description
    return wire


def _tool_choice(request: ModelRequest) -> Any:
    """`tool_choice` from OpenAI's forms; any other form verbatim, for the API to refuse."""
    choice: dict[str, Any] | None = None
    if request.tool_choice is not None:
        given = _decode(request.tool_choice)
        if isinstance(given, str) and given in _CHOICES:
            choice = {"type": _CHOICES[given]}
        elif isinstance(given, dict) and given.get("type") == "function":
            function = given.get("function", given)
            choice = {"type": "tool", "name": function.get("name") if isinstance(function, dict) else None}
        elif given is not None:
            return request.tool_choice
    if request.parallel_tool_calls is False:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            return {**choice, "disable_parallel_tool_use": True}
    return choice


def _sampling(request: ModelRequest, traits: Traits, *, thinks: bool) -> dict[str, float]:
    """`temperature`, which ends at 1 here, and `top_p`, as far as the model takes them."""
    if thinks or traits.sampling == "none":
        return {}
    taken: dict[str, float] = {}
    if request.temperature is not None:
        taken["temperature"] = min(request.temperature, 1.0)
    if request.top_p is not None and (not taken or traits.sampling == "free"):
        taken["top_p"] = request.top_p
    return taken


def _ask_for_json(wanted: Raw, output: dict[str, Any], system: list[dict[str, Any]]) -> None:
    """OpenAI's `response_format`; one that is not known goes on verbatim, for the API to refuse."""
    given = _decode(wanted)
    kind = given.get("type") if isinstance(given, dict) else None
    if kind == "json_schema" and isinstance(given.get("json_schema"), dict):
        output["format"] = {"type": "json_schema", "schema": _closed(given["json_schema"].get("schema"))}
    elif kind == "json_object":
        system.append({"type": "text", "text": JSON_INSTRUCTION})
    elif kind != "text":
        output["format"] = wanted


def _closed(schema: Any) -> Any:
    """The schema with `additionalProperties: false` on every object that leaves it open, which the API demands."""
    if not isinstance(schema, dict):
        return schema
    closed = dict(schema)
    for name in _SUBSCHEMAS:
        if name in schema:
            closed[name] = _closed(schema[name])
    for name in _LISTS_OF_SCHEMAS:
        if isinstance(schema.get(name), list):
            closed[name] = [_closed(item) for item in schema[name]]
    for name in _MAPS_OF_SCHEMAS:
        if isinstance(schema.get(name), dict):
            closed[name] = {key: _closed(item) for key, item in schema[name].items()}
    if schema.get("type") == "object" or "properties" in schema:
        closed.setdefault("additionalProperties", False)
    return closed
