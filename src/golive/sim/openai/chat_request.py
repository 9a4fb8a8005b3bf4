"""Reads a Chat Completions request as the vendor would: what is accepted, and the vendor's own words for what is not.

Source: https://platform.openai.com/docs/api-reference/chat/create and the errors the service answers, as of 2026.
"""

from typing import Any, Literal

import msgspec

from golive.sim import tokens
from golive.sim.openai.checks import (
    check_image,
    invalid_value,
    missing,
    read_object,
    read_tool,
    sampling,
    token_limit,
    typed,
)  # fmt: skip
from golive.sim.prompt_cache import MIN_TOKENS, Segment
from golive.sim.request import TOKENS_A_MESSAGE, TOKENS_AN_IMAGE, ChatRequest, Offered, Rejected, Turn

_ROLES = ("system", "assistant", "user", "function", "tool", "developer")


def read_chat(body: bytes) -> ChatRequest:
    """The request in a body.

    Raises:
        Rejected: with the status and the error the vendor answers.
    """
    raw = read_object(body)
    turns, turn_costs = _turns(raw)
    tools, tool_costs = _tools(raw)
    stream = typed(raw.get("stream") or False, bool, "stream", "a boolean")
    output, output_tokens = _output(raw.get("response_format"))
    if raw.get("n") not in (None, 1):
        raise Rejected(400, "This model supports one choice only: 'n' must be 1.", param="n", code="unsupported_value")
    sampling(raw)
    used = sum(turn_costs) + sum(tool_costs) + output_tokens
    return ChatRequest(
        model=raw["model"],
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


def _turns(raw: dict[str, Any]) -> tuple[tuple[Turn, ...], list[int]]:
    messages = raw.get("messages")
    if messages is None:
        raise missing("messages")
    typed(messages, list, "messages", "an array of objects")
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
    typed(message, dict, at, "an object")
    role = message.get("role")
    if role is None:
        raise missing(f"{at}.role")
    if role not in _ROLES:
        raise invalid_value(f"{at}.role", role, ", ".join(f"'{name}'" for name in _ROLES))
    calls = message.get("tool_calls")
    text, cost = _content(message.get("content"), f"{at}.content", optional=role == "assistant")
    ids = []
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(call.get("id"), str):
            raise missing(f"{at}.tool_calls[{index}].function")
        typed(function.get("arguments"), str, f"{at}.tool_calls[{index}].function.arguments", "a string")
        ids.append(call["id"])
        cost += tokens.count(str(function.get("name"))) + tokens.count(function["arguments"])
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise missing(f"{at}.tool_call_id")
    return Turn(role, text, tuple(ids), message.get("tool_call_id")), cost + TOKENS_A_MESSAGE


def _content(content: Any, at: str, *, optional: bool) -> tuple[str, int]:
    if isinstance(content, str):
        return content, tokens.count(content)
    if content is None:
        if optional:
            return "", 0
        raise Rejected(400, f"Invalid value for '{at}': expected a string, got null.", param=at)
    typed(content, list, at, "one of a string or array of objects")
    texts, cost = [], 0
    for index, part in enumerate(content):
        typed(part, dict, f"{at}[{index}]", "an object")
        if part.get("type") == "text":
            texts.append(typed(part.get("text"), str, f"{at}[{index}].text", "a string"))
        elif part.get("type") == "image_url":
            image = typed(part.get("image_url"), dict, f"{at}[{index}].image_url", "an object")
            check_image(image.get("url"), f"{at}[{index}].image_url.url")
            cost += TOKENS_AN_IMAGE
        elif part.get("type") in ("input_audio", "file", "refusal"):
            cost += TOKENS_AN_IMAGE
        else:
            supported = "'text', 'image_url', 'input_audio', and 'file'"
            raise invalid_value(f"{at}[{index}].type", part.get("type"), supported)
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
    for index, tool in enumerate(typed(raw["tools"], list, "tools", "an array of objects")):
        typed(tool, dict, f"tools[{index}]", "an object")
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict):
            raise missing(f"tools[{index}].function")
        one, cost = read_tool(function, f"tools[{index}].function")
        offered.append(one)
        costs.append(cost)
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
    raise invalid_value("tool_choice", name, "'none', 'auto', 'required', and the names of 'tools'")


def _include_usage(options: Any, stream: bool) -> bool:
    if options is None:
        return False
    typed(options, dict, "stream_options", "an object")
    if not stream:
        raise Rejected(
            400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    return options.get("include_usage") is True


def _output(wanted: Any) -> tuple[Literal["text", "json_object"] | dict[str, Any], int]:
    if wanted is None:
        return "text", 0
    typed(wanted, dict, "response_format", "an object")
    kind = wanted.get("type")
    if kind == "text":
        return "text", 0
    if kind == "json_object":
        return "json_object", 0
    if kind != "json_schema":
        raise invalid_value("response_format.type", kind, "'json_object', 'json_schema', and 'text'")
    described = wanted.get("json_schema")
    if not isinstance(described, dict) or not isinstance(described.get("name"), str):
        raise missing("response_format.json_schema.name")
    schema = described.get("schema") or {"type": "object"}
    typed(schema, dict, "response_format.json_schema.schema", "an object")
    return schema, tokens.count(msgspec.json.encode(schema).decode())


def _max_tokens(raw: dict[str, Any]) -> int | None:
    limits = [token_limit(raw, name, 1) for name in ("max_completion_tokens", "max_tokens")]
    return min((limit for limit in limits if limit is not None), default=None)


def _stop(stop: Any) -> tuple[str, ...]:
    texts = [stop] if isinstance(stop, str) else typed(stop or [], list, "stop", "one of a string or array of strings")
    return tuple(typed(text, str, f"stop[{index}]", "a string") for index, text in enumerate(texts) if text != "")
