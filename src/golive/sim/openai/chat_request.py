"""Reads a Chat Completions request as the vendor would: what is accepted, and the vendor's own words for what is not.

Source: https://platform.openai.com/docs/api-reference/chat/create and the errors the service answers, as of 2026.
"""

import re
from typing import Any, Literal

import msgspec

from golive.sim import tokens
from golive.sim.prompt_cache import MIN_TOKENS, Segment
from golive.sim.request import TOKENS_A_MESSAGE, TOKENS_AN_IMAGE, ChatRequest, Offered, Rejected, Turn

_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_JSON_HINT = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
)


def read_chat(body: bytes) -> ChatRequest:
    """The request in a body.

    Raises:
        Rejected: with the status and the error the vendor answers.
    """
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(400, _JSON_HINT) from error
    if not isinstance(raw, dict):
        raise Rejected(400, _JSON_HINT)
    model = raw.get("model")
    if model is None or model == "":
        raise Rejected(400, "you must provide a model parameter")
    _typed(model, str, "model", "a string")
    turns, turn_costs = _turns(raw)
    tools, tool_costs = _tools(raw)
    stream = _typed(raw.get("stream") or False, bool, "stream", "a boolean")
    output, output_tokens = _output(raw.get("response_format"))
    if raw.get("n") not in (None, 1):
        raise Rejected(400, "This model supports one choice only: 'n' must be 1.", param="n", code="unsupported_value")
    _sampling(raw)
    used = sum(turn_costs) + sum(tool_costs) + output_tokens
    return ChatRequest(
        model=model,
        turns=turns,
        stream=stream,
        include_usage=_include_usage(raw.get("stream_options"), stream),
        tools=tools,
        choice=_choice(raw.get("tool_choice"), tools),
        parallel=raw.get("parallel_tool_calls") is not False,
        output=output,
        max_tokens=_max_tokens(raw),
        stop=_stop(raw.get("stop")),
        input_tokens=used,
        prompt=_prompt(raw, tool_costs, turn_costs, output_tokens) if used >= MIN_TOKENS else (),
    )


def _prompt(raw: dict[str, Any], tool_costs: list[int], turn_costs: list[int], output: int) -> tuple[Segment, ...]:
    parts = [Segment(msgspec.json.encode(raw.get("response_format")), output)]
    for name, costs in (("tools", tool_costs), ("messages", turn_costs)):
        parts += [
            Segment(msgspec.json.encode(part), cost) for part, cost in zip(raw.get(name) or (), costs, strict=True)
        ]
    return tuple(parts)


def _typed(value: Any, kind: type, param: str, wanted: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        names = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal", list: "an array",
                 dict: "an object", type(None): "null"}  # fmt: skip
        found = names.get(type(value), "something else")
        message = f"Invalid type for '{param}': expected {wanted}, but got {found} instead."
        raise Rejected(400, message, param=param, code="invalid_type")
    return value


def _invalid_value(param: str, value: Any, supported: str) -> Rejected:
    message = f"Invalid value: '{str(value)[:60]}'. Supported values are: {supported}."
    return Rejected(400, message, param=param, code="invalid_value")


def _missing(param: str) -> Rejected:
    return Rejected(400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def _turns(raw: dict[str, Any]) -> tuple[tuple[Turn, ...], list[int]]:
    messages = raw.get("messages")
    if messages is None:
        raise _missing("messages")
    _typed(messages, list, "messages", "an array of objects")
    if not messages:
        raise Rejected(
            400,
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            param="messages", code="empty_array",
        )  # fmt: skip
    turns, costs = [], []
    for position, message in enumerate(messages):
        turn, cost = _turn(message, f"messages[{position}]")
        turns.append(turn)
        costs.append(cost)
    _check_order(turns)
    return tuple(turns), costs


def _turn(message: Any, at: str) -> tuple[Turn, int]:
    _typed(message, dict, at, "an object")
    role = message.get("role")
    if role is None:
        raise _missing(f"{at}.role")
    if role not in _ROLES:
        raise _invalid_value(f"{at}.role", role, ", ".join(f"'{name}'" for name in _ROLES))
    calls = message.get("tool_calls")
    text, cost = _content(message.get("content"), f"{at}.content", optional=role == "assistant")
    ids = []
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(call.get("id"), str):
            raise _missing(f"{at}.tool_calls[{index}].function")
        _typed(function.get("arguments"), str, f"{at}.tool_calls[{index}].function.arguments", "a string")
        ids.append(call["id"])
        cost += tokens.count(str(function.get("name"))) + tokens.count(function["arguments"])
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise _missing(f"{at}.tool_call_id")
    return Turn(role, text, tuple(ids), message.get("tool_call_id")), cost + TOKENS_A_MESSAGE


def _content(content: Any, at: str, *, optional: bool) -> tuple[str, int]:
    if isinstance(content, str):
        return content, tokens.count(content)
    if content is None:
        if optional:
            return "", 0
        raise Rejected(400, f"Invalid value for '{at}': expected a string, got null.", param=at)
    _typed(content, list, at, "one of a string or array of objects")
    texts, cost = [], 0
    for index, part in enumerate(content):
        _typed(part, dict, f"{at}[{index}]", "an object")
        if part.get("type") == "text":
            texts.append(_typed(part.get("text"), str, f"{at}[{index}].text", "a string"))
        elif part.get("type") in ("image_url", "input_audio", "file", "refusal"):
            cost += TOKENS_AN_IMAGE
        else:
            supported = "'text', 'image_url', 'input_audio', and 'file'"
            raise _invalid_value(f"{at}[{index}].type", part.get("type"), supported)
    text = "\n".join(texts)
    return text, cost + tokens.count(text)


def _check_order(turns: list[Turn]) -> None:
    """Tool calls and their results must pair up, as the vendor insists."""
    open_calls: list[str] = []
    for position, turn in enumerate(turns):
        if turn.role == "tool":
            if turn.answers not in open_calls:
                raise Rejected(
                    400,
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    param=f"messages.[{position}].role",
                )
            open_calls.remove(turn.answers or "")
            continue
        _check_answered(open_calls)
        open_calls = list(turn.call_ids)
    _check_answered(open_calls)


def _check_answered(open_calls: list[str]) -> None:
    if open_calls:
        raise Rejected(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(open_calls)}",
            param="messages",
        )


def _tools(raw: dict[str, Any]) -> tuple[tuple[Offered, ...], list[int]]:
    if raw.get("tools") is None:
        return (), []
    offered, costs = [], []
    for index, tool in enumerate(_typed(raw["tools"], list, "tools", "an array of objects")):
        _typed(tool, dict, f"tools[{index}]", "an object")
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict):
            raise _missing(f"tools[{index}].function")
        name = function.get("name")
        if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
            raise Rejected(
                400,
                f"Invalid 'tools[{index}].function.name': string does not match pattern. Expected a string that "
                "matches the pattern '^[a-zA-Z0-9_-]+$'.",
                param=f"tools[{index}].function.name", code="invalid_value",
            )  # fmt: skip
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        if not isinstance(parameters, dict) or parameters.get("type") != "object":
            raise Rejected(
                400, f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'.",
                param=f"tools[{index}].function.parameters", code="invalid_function_parameters",
            )  # fmt: skip
        offered.append(Offered(name, str(function.get("description") or ""), parameters))
        costs.append(tokens.count(msgspec.json.encode(function).decode()))
    return tuple(offered), costs


def _choice(choice: Any, tools: tuple[Offered, ...]) -> Literal["auto", "none", "required"] | Offered:
    if choice is None:
        return "auto"
    if not tools:
        message = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."
        raise Rejected(400, message, param="tool_choice")
    if choice in ("auto", "none", "required"):
        chosen: Literal["auto", "none", "required"] = choice
        return chosen
    name = (
        choice["function"].get("name")
        if isinstance(choice, dict) and isinstance(choice.get("function"), dict)
        else choice
    )
    for tool in tools:
        if tool.name == name:
            return tool
    raise _invalid_value("tool_choice", name, "'none', 'auto', 'required', and the names of 'tools'")


def _include_usage(options: Any, stream: bool) -> bool:
    if options is None:
        return False
    _typed(options, dict, "stream_options", "an object")
    if not stream:
        raise Rejected(
            400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    return options.get("include_usage") is True


def _output(wanted: Any) -> tuple[Literal["text", "json_object"] | dict[str, Any], int]:
    if wanted is None:
        return "text", 0
    _typed(wanted, dict, "response_format", "an object")
    kind = wanted.get("type")
    if kind == "text":
        return "text", 0
    if kind == "json_object":
        return "json_object", 0
    if kind != "json_schema":
        raise _invalid_value("response_format.type", kind, "'json_object', 'json_schema', and 'text'")
    described = wanted.get("json_schema")
    if not isinstance(described, dict) or not isinstance(described.get("name"), str):
        raise _missing("response_format.json_schema.name")
    schema = described.get("schema") or {"type": "object"}
    _typed(schema, dict, "response_format.json_schema.schema", "an object")
    return schema, tokens.count(msgspec.json.encode(schema).decode())


def _max_tokens(raw: dict[str, Any]) -> int | None:
    limits = []
    for name in ("max_completion_tokens", "max_tokens"):
        value = raw.get(name)
        if value is None:
            continue
        if _typed(value, int, name, "an integer") < 1:
            raise Rejected(
                400, f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead.",
                param=name, code="integer_below_min_value",
            )  # fmt: skip
        limits.append(value)
    return min(limits, default=None)


def _stop(stop: Any) -> tuple[str, ...]:
    texts = [stop] if isinstance(stop, str) else _typed(stop or [], list, "stop", "one of a string or array of strings")
    return tuple(_typed(text, str, f"stop[{index}]", "a string") for index, text in enumerate(texts) if text != "")


def _sampling(raw: dict[str, Any]) -> None:
    for name, high in (("temperature", 2), ("top_p", 1)):
        value = raw.get(name)
        if value is None:
            continue
        _typed(value, (int, float), name, "a decimal")  # type: ignore[arg-type]
        if not 0 <= value <= high:
            wanted = f"Expected a value between 0 and {high}, but got {value} instead."
            message = f"Invalid '{name}': decimal out of range. {wanted}"
            raise Rejected(400, message, param=name, code="decimal_out_of_range")
