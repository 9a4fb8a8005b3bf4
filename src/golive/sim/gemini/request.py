"""Reads a generateContent request as the vendor would: what is accepted, and the vendor's own words for what is not.

Field names may be written as in JSON (camelCase) or as in the protocol (snake_case), as the vendor allows.
Source: https://ai.google.dev/api/generate-content and the errors the service answers, as of 2026.
"""

import re
from typing import Any, Literal

import msgspec

from golive.sim import tokens
from golive.sim.prompt_cache import MIN_TOKENS, Segment
from golive.sim.request import TOKENS_A_MESSAGE, TOKENS_AN_IMAGE, ChatRequest, Offered, Rejected, Turn
from golive.sim.seals import Seals

_FIELDS = frozenset(
    ("contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "cachedContent",
     "model", "labels", "serviceTier", "store")
)  # fmt: skip
_CONFIG_TYPES: dict[str, type | tuple[type, ...]] = {
    "maxOutputTokens": int, "temperature": (int, float), "topP": (int, float), "topK": (int, float),
    "candidateCount": int, "stopSequences": list, "responseMimeType": str, "responseSchema": dict,
    "responseJsonSchema": dict, "thinkingConfig": dict, "seed": int, "presencePenalty": (int, float),
    "frequencyPenalty": (int, float), "responseModalities": list, "responseLogprobs": bool, "logprobs": int,
    "mediaResolution": str, "speechConfig": dict, "imageConfig": dict, "responseFormat": dict,
}  # fmt: skip
_PARTS = ("text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
          "codeExecutionResult")  # fmt: skip
_NO_SEAL = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
"""What the vendor accepts in the place of a signature for a call that came from elsewhere."""
_TOOL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_SNAKE = re.compile(r"_([a-z])")


def invalid(message: str) -> Rejected:
    """The vendor's error for a request that is not as it should be."""
    return Rejected(400, message, kind="INVALID_ARGUMENT")


def sealed_text(name: str, arguments: Any) -> str:
    """What the signature of a call is of."""
    return f"{name}\0{msgspec.json.encode(arguments, order='sorted').decode()}"


def read_object(body: bytes) -> dict[str, Any]:
    """A body's JSON object, its field names as in JSON.

    Raises:
        Rejected: it is none.
    """
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid("Invalid JSON payload received. Unexpected token.") from error
    return as_message(raw, "the request")


def read_generate(body: bytes, model: str, seals: Seals, *, streamed: bool) -> ChatRequest:
    """The request in a body.

    Args:
        model: from the address.
        seals: judge the signatures that come back.

    Raises:
        Rejected: with the status and the error the vendor answers.
    """
    raw = read_object(body)
    if "generateContentRequest" in raw:  # a question for the number of tokens wraps the request
        raw = as_message(raw["generateContentRequest"], "generate_content_request")
    for name in raw:
        if name not in _FIELDS:
            raise invalid(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    config = _config(raw.get("generationConfig"))
    turns, parts = _contents(raw.get("contents"), seals)
    if raw.get("systemInstruction") is not None:
        system = [_part(part, "system_instruction") for part in _parts(raw["systemInstruction"], "system_instruction")]
        turns = (Turn("system", _text(system)), *turns)
        parts.insert(0, _segment(raw["systemInstruction"], system))
    tools, tool_parts = _tools(raw.get("tools"))
    output, output_tokens = _output(config)
    parts = [*tool_parts, *parts]
    used = sum(part.tokens for part in parts) + output_tokens
    return ChatRequest(
        model=model,
        turns=turns,
        stream=streamed,
        include_usage=True,
        tools=tools,
        choice=_choice(raw.get("toolConfig"), tools),
        parallel=True,
        output=output,
        max_tokens=config.get("maxOutputTokens"),
        input_tokens=used,
        prompt=tuple(parts) if used >= MIN_TOKENS else (),
        stop=tuple(str(text) for text in config.get("stopSequences") or ()),
        sealed=True,
        thinks=as_message(config.get("thinkingConfig") or {}, "thinking_config").get("includeThoughts") is not False,
    )


def _camel(name: str) -> str:
    return _SNAKE.sub(lambda found: found.group(1).upper(), name)


def as_message(raw: Any, at: str) -> dict[str, Any]:
    """An object with its field names as in JSON."""
    if not isinstance(raw, dict):
        raise invalid(f"Invalid value at '{at}': expected an object.")
    return {_camel(name): value for name, value in raw.items()}


def _listed(raw: Any, at: str) -> list[Any]:
    if not isinstance(raw, list):
        raise invalid(f"Invalid value at '{at}': expected a list.")
    return raw


def _config(raw: Any) -> dict[str, Any]:
    config = {name: value for name, value in as_message(raw or {}, "generation_config").items() if value is not None}
    for name, value in config.items():
        kind = _CONFIG_TYPES.get(name)
        if kind is None:
            wrong = f"Unknown name \"{name}\" at 'generation_config': Cannot find field."
            raise invalid(f"Invalid JSON payload received. {wrong}")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise invalid(f"Invalid value at 'generation_config.{name}': {str(value)[:60]}")
    if config.get("maxOutputTokens", 1) < 1:
        raise invalid("max_output_tokens must be positive.")
    if not 0 <= config.get("temperature", 0) <= 2:
        raise invalid(f"temperature must be in the range [0.0, 2.0], but got {config['temperature']}.")
    if not 0 <= config.get("topP", 0) <= 1:
        raise invalid(f"top_p must be in the range [0.0, 1.0], but got {config['topP']}.")
    if config.get("candidateCount", 1) != 1:
        raise invalid("Multiple candidates is not enabled for this model")
    if len(config.get("stopSequences", ())) > 5:
        raise invalid("The number of stop sequences must be at most 5.")
    return config


def _contents(raw: Any, seals: Seals) -> tuple[tuple[Turn, ...], list[Segment]]:
    contents = _listed(raw or [], "contents")
    if not contents:
        raise invalid("* GenerateContentRequest.contents: contents is not specified")
    turns: list[Turn] = []
    segments = []
    open_calls: list[str] = []
    for at, given in enumerate(contents):
        content = as_message(given, f"contents[{at}]")
        role = content.get("role") or "user"
        if role not in ("user", "model", "function"):
            raise invalid("Please use a valid role: user, model.")
        parts = [_part(part, f"contents[{at}].parts[{i}]") for i, part in enumerate(_parts(content, f"contents[{at}]"))]
        _check_seals(parts, seals)
        answered = [part for part in parts if "functionResponse" in part]
        if len(answered) != len(open_calls):
            raise invalid(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        turns += [
            Turn("tool", _response(part["functionResponse"]), answers=call)
            for part, call in zip(answered, open_calls, strict=True)
        ]
        open_calls = [str(part["functionCall"].get("id") or "") for part in parts if "functionCall" in part]
        text = _text(parts)
        if text or not answered:
            turns.append(Turn("assistant" if role == "model" else "user", text, tuple(open_calls)))
        segments.append(_segment(given, parts))
    if open_calls:
        raise invalid("Please ensure that function call turn is followed by a function response turn.")
    return tuple(turns), segments


def _parts(content: Any, at: str) -> list[Any]:
    parts = _listed(as_message(content, at).get("parts") or [], f"{at}.parts")
    if not parts:
        raise invalid(f"* GenerateContentRequest.{at}.parts: contents.parts must not be empty.")
    return parts


def _part(raw: Any, at: str) -> dict[str, Any]:
    part = as_message({"text": raw} if isinstance(raw, str) else raw, at)
    kinds = [name for name in _PARTS if part.get(name) is not None]
    if len(kinds) != 1:
        raise invalid(
            f"* GenerateContentRequest.{at}.data: required oneof field 'data' must have one initialized field"
        )
    if kinds[0] == "text":
        if not isinstance(part["text"], str):
            raise invalid(f"Invalid value at '{at}.text' (TYPE_STRING)")
        return part
    value = part[kinds[0]] = as_message(part[kinds[0]], f"{at}.{kinds[0]}")
    if kinds[0] == "inlineData" and not (isinstance(value.get("data"), str) and value.get("mimeType")):
        raise invalid(f"* GenerateContentRequest.{at}.inline_data: mime_type and data must be set")
    if kinds[0] == "fileData" and not str(value.get("fileUri")).startswith(("https://", "gs://")):
        raise invalid(f"Unsupported file uri: {str(value.get('fileUri'))[:60]}")
    if kinds[0] in ("functionCall", "functionResponse") and not isinstance(value.get("name"), str):
        raise invalid(f"* GenerateContentRequest.{at}.{kinds[0]}.name: Name cannot be empty.")
    return part


def _check_seals(parts: list[dict[str, Any]], seals: Seals) -> None:
    """A call comes back with the signature it went out with."""
    for position, part in enumerate(parts):
        call = part.get("functionCall")
        if call is None:
            continue
        seal = part.get("thoughtSignature")
        if seal is None and seals.demands(str(call.get("id"))):
            raise invalid(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                "work correctly, and missing thought_signature may lead to degraded model performance. Additional "
                f"data, function call `default_api:{call['name']}`, position {position + 1}."
            )
        text = sealed_text(call["name"], call.get("args") or {})
        if seal is not None and seal not in _NO_SEAL and not seals.valid(text, seal):
            raise invalid("Thought signature is not valid")


def _response(response: dict[str, Any]) -> str:
    value = response.get("response")
    if isinstance(value, dict) and len(value) == 1 and set(value) <= {"output", "result"}:
        value = next(iter(value.values()))
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _text(parts: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))


def _segment(raw: Any, parts: list[dict[str, Any]]) -> Segment:
    cost = TOKENS_A_MESSAGE
    for part in parts:
        if "text" in part:
            cost += tokens.count(part["text"])
        elif "inlineData" in part or "fileData" in part:
            cost += TOKENS_AN_IMAGE
        else:
            told = part.get("functionCall") or part.get("functionResponse") or {}
            cost += tokens.count(str(told.get("name")))
            cost += tokens.count(msgspec.json.encode(told.get("args") or told.get("response") or {}).decode())
    return Segment(msgspec.json.encode(raw), cost)


def _tools(raw: Any) -> tuple[tuple[Offered, ...], list[Segment]]:
    offered, segments = [], []
    for at, given in enumerate(_listed(raw or [], "tools")):
        declarations = as_message(given, f"tools[{at}]").get("functionDeclarations") or []
        for index, one in enumerate(_listed(declarations, f"tools[{at}].function_declarations")):
            declared = as_message(one, f"tools[{at}].function_declarations[{index}]")
            name = declared.get("name")
            if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
                raise invalid(
                    f"* GenerateContentRequest.tools[{at}].function_declarations[{index}].name: Invalid function name. "
                    "Must start with a letter or an underscore."
                )
            schema = declared.get("parametersJsonSchema") or _lowered(declared.get("parameters") or {"type": "object"})
            if not isinstance(schema, dict) or schema.get("type") != "object":
                raise invalid(
                    f"* GenerateContentRequest.tools[{at}].function_declarations[{index}].parameters: must be of type "
                    "OBJECT"
                )
            offered.append(Offered(name, str(declared.get("description") or ""), schema))
            data = msgspec.json.encode(one)
            segments.append(Segment(data, tokens.count(data.decode())))
    return tuple(offered), segments


def _lowered(schema: Any) -> Any:
    """The vendor's schema with its types as JSON Schema writes them."""
    if isinstance(schema, list):
        return [_lowered(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value.lower() if name == "type" and isinstance(value, str) else _lowered(value)
        for name, value in schema.items()
    }


def _choice(raw: Any, tools: tuple[Offered, ...]) -> Literal["auto", "none", "required"] | Offered:
    config = as_message(
        as_message(raw or {}, "tool_config").get("functionCallingConfig") or {}, "function_calling_config"
    )
    mode = str(config.get("mode") or "AUTO").upper()
    if mode not in ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"):
        raise invalid(f"Invalid value at 'tool_config.function_calling_config.mode': \"{mode[:60]}\"")
    allowed = _listed(config.get("allowedFunctionNames") or [], "allowed_function_names")
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise invalid("Allowed function names is only allowed when mode is ANY.")
    known = [tool for tool in tools if tool.name in allowed]
    if len(known) < len(allowed):
        raise invalid("allowed_function_names must be a subset of the declared functions.")
    if mode == "NONE":
        return "none"
    if mode != "ANY":
        return "auto"
    return known[0] if len(known) == 1 else "required"


def _output(config: dict[str, Any]) -> tuple[Literal["text", "json_object"] | dict[str, Any], int]:
    schema = config.get("responseJsonSchema") or _lowered(config.get("responseSchema"))
    if schema is None:
        return ("json_object" if config.get("responseMimeType") == "application/json" else "text"), 0
    if config.get("responseMimeType") != "application/json":
        raise invalid("A response schema is only allowed with a response mime type of application/json.")
    return schema, tokens.count(msgspec.json.encode(schema).decode())
