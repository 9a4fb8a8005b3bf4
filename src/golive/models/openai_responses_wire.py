"""OpenAI Responses as it stands on the wire: typed decoding, and encoding of requests.

Types are loose where servers are: what is absent, null or of another kind is met in practice (vLLM, LiteLLM, Ollama).
Source: https://platform.openai.com/docs/api-reference/responses (November 2026).
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

from golive.core.errors import ModelBadRequest
from golive.core.messages import ImagePart, Message, Opaque, Part, ToolSpec, Usage
from golive.models.call import ModelRequest
from golive.models.dialect import Target
from golive.models.openai_wire import token_count, usage_of
from golive.models.vendor_errors import Origin

NAME = "openai-responses"
ENCRYPTED = "reasoning.encrypted_content"
"""The value of `include` that makes reasoning come in a form that can be given back."""


class WireResponse(Struct, gc=False):
    """A response object, whole or so far, or an error object in its place."""

    id: Any = None
    object: Any = None
    created_at: Any = None
    model: Any = None
    status: Any = None
    error: Any = None
    incomplete_details: Any = None
    output: Any = None
    usage: Any = None
    store: Any = None
    service_tier: Any = None
    message: Any = None  # an error of vLLM has its fields on top
    type: Any = None
    code: Any = None


class WireEvent(Struct, gc=False):
    """An event of a stream. `item` and `response` are read only where they are wanted: they can be long."""

    type: Any = None
    delta: Any = None
    item_id: Any = None
    output_index: Any = None
    content_index: Any = None
    summary_index: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    annotation: Any = None
    logprobs: Any = None
    item: Raw = Raw()
    response: Raw = Raw()
    error: Any = None
    code: Any = None
    message: Any = None


decode_event = msgspec.json.Decoder(WireEvent).decode
decode_response = msgspec.json.Decoder(WireResponse).decode
_encode = msgspec.json.Encoder().encode
_KEPT = frozenset({"model", "stream"})
"""Keys golive itself answers for; `extra` cannot replace them."""
_BLOCKS = frozenset({"thinking", "redacted_thinking"})
_MERGED = ("text", "reasoning")
"""Objects of which `extra` may give a part: its keys stand above ours."""


def usage_of_response(wire: Any) -> Usage | None:
    """Usage as we count it; None when it says nothing. Some servers (LiteLLM) use the names of Chat Completions."""
    if type(wire) is not dict:
        return None
    given = wire.get("input_tokens_details")
    usage = usage_of(
        {
            "prompt_tokens": wire.get("input_tokens", wire.get("prompt_tokens")),
            "completion_tokens": wire.get("output_tokens", wire.get("completion_tokens")),
            "total_tokens": wire.get("total_tokens"),
            "prompt_tokens_details": given if type(given) is dict else wire.get("prompt_tokens_details"),
            "completion_tokens_details": wire.get("output_tokens_details", wire.get("completion_tokens_details")),
        }
    )
    written = token_count(given.get("cache_write_tokens")) if type(given) is dict else 0
    if usage is None or not written:
        return usage
    fresh = usage.input_tokens - usage.cached_input_tokens
    return msgspec.structs.replace(usage, cache_write_tokens=min(written, fresh))


def encode_request(request: ModelRequest, target: Target) -> bytes:
    """The body of POST /responses.

    Nothing is kept by the provider (`store` false) unless `extra` says so. Functions are not `strict`, as in Chat
    Completions: by default this API would make every argument required. `seed` and a message's `name` have no place
    here and are left out; `stop` has none either and is refused, since without it the answer would go on.

    Raises:
        ModelBadRequest: the request has stop sequences.
    """
    if request.stop:
        raise Origin(target.provider, target.model).error(
            ModelBadRequest, f"speaks {NAME}, which has no stop sequences (`stop`).", sent=False,
            remedy="Leave `stop` out, or use a model whose provider speaks another dialect.",
        )  # fmt: skip
    extra = request.extra if request.dialect == NAME else {}
    wire: dict[str, Any] = {"model": target.model}
    if "input" not in extra:
        instructions, messages = _split(request.messages)
        if instructions:
            wire["instructions"] = instructions
        wire["input"] = [item for message in messages for item in _items(message, target)]
    wire["store"] = False
    if request.tools:
        wire["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        wire["tool_choice"] = _tool_choice(request.tool_choice)
    if request.output_schema is not None:
        wire["text"] = {"format": _flat(msgspec.json.decode(request.output_schema))}
    if request.reasoning_effort is not None:
        wire["reasoning"] = {"effort": request.reasoning_effort, "summary": "auto"}
    if _reasons(request, target):
        # Not for every model: those that do not reason refuse it.
        wire["include"] = [ENCRYPTED]
    options = (
        ("parallel_tool_calls", request.parallel_tool_calls), ("max_output_tokens", request.max_output_tokens),
        ("temperature", request.temperature), ("top_p", request.top_p),
    )  # fmt: skip
    wire.update({key: value for key, value in options if value is not None})
    if extra:
        _add(extra, wire)
    if request.stream:
        wire["stream"] = True
    return _encode(wire)


def _add(extra: dict[str, Raw], wire: dict[str, Any]) -> None:
    """Puts the caller's own fields over ours."""
    ours = {key: wire[key] for key in (*_MERGED, "include") if key in wire}
    wire.update({key: raw for key, raw in extra.items() if key not in _KEPT})
    for key, own in ours.items():
        if key not in extra:
            continue
        given = msgspec.json.decode(extra[key])
        if isinstance(own, dict) and isinstance(given, dict):
            wire[key] = own | given
        elif isinstance(own, list) and isinstance(given, list):
            wire[key] = [*given, *(value for value in own if value not in given)]


def _split(messages: tuple[Message, ...]) -> tuple[str, tuple[Message, ...]]:
    """The system's words at the beginning, and the messages after them. Where there are no others, all are messages:
    the API refuses an empty input."""
    first = next((place for place, message in enumerate(messages) if message.role != "system"), 0)
    return "\n\n".join(message.text() for message in messages[:first]), messages[first:]


def _items(message: Message, target: Target) -> Iterator[dict[str, Any] | Raw]:
    """The input items of one message: reasoning, and what tools of the provider's own did, stand before the text or the
    call they led to."""
    if message.role == "tool":
        yield {"type": "function_call_output", "call_id": message.tool_call_id or "", "output": _content(message)}
        return
    states = [state for state in message.state if _is_for(state, target) and _is_item(_kind(state.data))]
    yield from (state.data for state in states if state.before == 0)
    if message.content or not message.tool_calls:
        yield {"type": "message", "role": message.role, "content": _content(message)}
    for place, call in enumerate(message.tool_calls):
        if place:
            yield from (state.data for state in states if state.before == place)
        yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
    last = max(len(message.tool_calls), 1)
    yield from (state.data for state in states if state.before >= last)


def _is_for(state: Opaque, target: Target) -> bool:
    return state.is_for(target.provider, target.model)


def _kind(data: Raw) -> str:
    """The type of an item; "" where it has none."""
    item = msgspec.json.decode(data)
    kind = item.get("type") if isinstance(item, dict) else None
    return kind if isinstance(kind, str) else ""


def _is_item(kind: str) -> bool:
    """Whether state is an item of this dialect. The provider may have spoken another one when it was kept: Gemini's
    parts have no type, Anthropic's blocks those that are left out here."""
    return bool(kind) and kind not in _BLOCKS and not kind.endswith(("_tool_result", "_tool_use"))


def _content(message: Message) -> str | list[dict[str, Any]]:
    content = message.content
    if isinstance(content, str):
        return content
    return [_part(part, "output_text" if message.role == "assistant" else "input_text") for part in content]


def _part(part: Part, text: str) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return {"type": "input_image", "image_url": part.url, "detail": part.detail or "auto"}
    return {"type": text, "text": part.text}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    wire: dict[str, Any] = {"type": "function", "name": tool.name, "parameters": tool.parameters, "strict": False}
    if tool.description:
        wire["description"] = tool.description
    return wire


def _tool_choice(given: Raw) -> Any:
    """Chat's choices, without their inner object: {"type": "function", "function": {"name": …}} and its relatives."""
    choice = _flat(msgspec.json.decode(given))
    if isinstance(choice, dict) and isinstance(choice.get("tools"), list):
        choice["tools"] = [_flat(tool) for tool in choice["tools"]]
    return choice


def _flat(given: Any) -> Any:
    """An object whose fields stand under the name of its type, with them beside the type."""
    kind = given.get("type") if isinstance(given, dict) else None
    inner = given.get(kind) if isinstance(kind, str) else None
    return {"type": kind, **inner} if isinstance(inner, dict) else given


def _reasons(request: ModelRequest, target: Target) -> bool:
    """Whether the model is known to reason: it was asked to, or has."""
    if request.reasoning_effort is not None:
        return request.reasoning_effort != "none"
    states = (state for message in request.messages for state in message.state)
    return any(_is_for(state, target) and _kind(state.data) == "reasoning" for state in states)
