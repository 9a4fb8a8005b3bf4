"""OpenAI Chat Completions as it stands on the wire: typed decoding, and encoding of requests.

Types are as loose as compatible servers are: absent, null and surplus fields are all met in practice.
Source: https://platform.openai.com/docs/api-reference/chat (November 2026), and the servers named where they differ.
"""

from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw, Struct

from golive.core.messages import ImagePart, Message, Part, ToolSpec, Usage
from golive.models.call import ModelRequest


class WireFunction(Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class WireToolCall(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: WireFunction | None = None


class WireDelta(Struct, gc=False):
    """A streamed `delta` or a whole `message`. `content` is a list of parts with Mistral's reasoning models."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None  # DeepSeek, vLLM, llama.cpp
    reasoning: str | dict[str, Any] | None = None  # OpenRouter, Groq, Ollama
    refusal: str | None = None
    tool_calls: list[WireToolCall] | None = None
    function_call: WireFunction | None = None


class WireChoice(Struct, gc=False):
    index: int | None = 0
    delta: WireDelta | None = None
    message: WireDelta | None = None
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class WireAnswer(Struct, gc=False):
    """A chunk of a stream, a whole answer, or an error object."""

    id: Any = None
    object: str | None = None
    created: Any = None
    model: str | None = None
    choices: list[WireChoice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None
    message: Any = None  # an error of older vLLM servers has its fields on top
    type: Any = None
    code: Any = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


def usage_of(wire: dict[str, Any]) -> Usage | None:
    """Usage as we count it; None when it says nothing.

    Where `total_tokens` is larger than the two together, the rest is reasoning that the server left out of
    `completion_tokens` (Gemini's and xAI's compatible servers) and bills as output.
    """
    prompt, completion = token_count(wire.get("prompt_tokens")), token_count(wire.get("completion_tokens"))
    if prompt == 0 and completion == 0:
        return None
    details, more = _part_of(wire, "prompt_tokens_details"), _part_of(wire, "completion_tokens_details")
    cached = min(token_count(details.get("cached_tokens")) or token_count(wire.get("prompt_cache_hit_tokens")), prompt)
    output = max(completion, token_count(wire.get("total_tokens")) - prompt)
    usage = Usage(prompt, cached, output, min(token_count(more.get("reasoning_tokens")), output))
    if any(map(details.get, _RARE_OF_INPUT)) or any(map(more.get, _RARE_OF_OUTPUT)):
        return _with_rare_parts(usage, details, more)
    return usage


_RARE_OF_INPUT = ("cache_write_tokens", "audio_tokens", "image_tokens")
_RARE_OF_OUTPUT = ("audio_tokens", "image_tokens")


def _with_rare_parts(usage: Usage, details: dict[str, Any], more: dict[str, Any]) -> Usage:
    size, output = usage.input_tokens, usage.output_tokens
    return msgspec.structs.replace(
        usage,
        cache_write_tokens=min(token_count(details.get("cache_write_tokens")), size - usage.cached_input_tokens),
        input_audio_tokens=min(token_count(details.get("audio_tokens")), size),
        input_image_tokens=min(token_count(details.get("image_tokens")), size),
        output_audio_tokens=min(token_count(more.get("audio_tokens")), output),
        output_image_tokens=min(token_count(more.get("image_tokens")), output),
    )


def _part_of(wire: dict[str, Any], name: str) -> dict[str, Any]:
    part = wire.get(name)
    return part if type(part) is dict else {}


MAX_TOKENS = 10**12
"""A server that reports more does not know; the ledger could not hold what it would cost."""


def token_count(value: Any) -> int:
    """A number of tokens; 0 where a server sent anything else."""
    return int(value) if type(value) in (int, float) and 0 < value < MAX_TOKENS else 0


decode_answer = msgspec.json.Decoder(WireAnswer).decode
_encode = msgspec.json.Encoder().encode
_RAW = msgspec.json.Decoder(dict[str, Raw])
_KEPT = frozenset({"model", "messages", "stream", "stream_options"})
"""Keys golive itself answers for; `extra` cannot replace them."""
MAX_ADDRESSES = 1_024
"""Addresses whose kind is remembered; there is one per provider."""
_OPENAI_HOSTS = ("api.openai.com", ".api.openai.com", ".openai.azure.com")


@lru_cache(maxsize=MAX_ADDRESSES)
def is_openai(base_url: str) -> bool:
    """Whether this is OpenAI itself (or Azure's OpenAI), where reasoning models refuse the deprecated `max_tokens`.

    Every other server is sent `max_tokens`, which all of them know; `max_completion_tokens` only some.
    """
    host = urlsplit(base_url).hostname or ""
    return host == _OPENAI_HOSTS[0] or host.endswith(_OPENAI_HOSTS[1:])


def credential_headers(base_url: str, credential: str | None) -> dict[str, str]:
    """Where OpenAI's servers look for the credential: a bearer token, or Azure's own header."""
    if credential is None:
        return {}
    if (urlsplit(base_url).hostname or "").endswith((".azure.com", ".azure-api.net")):
        return {"api-key": credential}
    return {"Authorization": f"Bearer {credential}"}


def encode_request(request: ModelRequest, model: str, output_limit_key: str) -> bytes:
    """The body of POST /chat/completions.

    Args:
        output_limit_key: `max_completion_tokens` or `max_tokens`. When `extra` has either, that one stands alone.
    """
    extra = request.extra if request.dialect == "openai-chat" else {}
    wire: dict[str, Any] = {"model": model, "messages": [_message(message) for message in request.messages]}
    if request.tools:
        wire["tools"] = [_tool(tool) for tool in request.tools]
    if request.max_output_tokens is not None and "max_tokens" not in extra and "max_completion_tokens" not in extra:
        wire[output_limit_key] = request.max_output_tokens
    options = (
        ("tool_choice", request.tool_choice), ("parallel_tool_calls", request.parallel_tool_calls),
        ("response_format", request.output_schema), ("temperature", request.temperature), ("top_p", request.top_p),
        ("stop", request.stop or None), ("seed", request.seed), ("reasoning_effort", request.reasoning_effort),
    )  # fmt: skip
    wire.update({key: value for key, value in options if value is not None})
    if extra:
        wire.update({key: raw for key, raw in extra.items() if key not in _KEPT})
    if request.stream:
        wire["stream"] = True
        wire["stream_options"] = _stream_options(extra)
    return _encode(wire)


def _stream_options(extra: dict[str, Raw]) -> dict[str, Any]:
    """Usage is always asked for: without it a streamed answer has no price."""
    options: dict[str, Any] = {}
    given = extra.get("stream_options")
    if given is not None and bytes(given).lstrip()[:1] == b"{":
        options.update(_RAW.decode(given))
    options["include_usage"] = True
    return options


def _message(message: Message) -> dict[str, Any]:
    content = message.content
    wire: dict[str, Any] = {
        "role": message.role,
        "content": content if isinstance(content, str) else [_part(part) for part in content],
    }
    if message.name is not None:
        wire["name"] = message.name
    if message.tool_calls:
        wire["content"] = wire["content"] or None
        wire["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        image = {"url": part.url} if part.detail is None else {"url": part.url, "detail": part.detail}
        return {"type": "image_url", "image_url": image}
    return {"type": "text", "text": part.text}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}
