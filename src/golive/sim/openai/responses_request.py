"""Reads a Responses request as the vendor would: what is accepted, and the vendor's own words for what is not.

Earlier responses can be gone on with; single items cannot be referred to.
Source: https://platform.openai.com/docs/api-reference/responses/create and the errors the service answers, as of 2026.
"""

from collections.abc import Callable, Sequence
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
from golive.sim.openai.stored import StoredResponses
from golive.sim.prompt_cache import MIN_TOKENS, Segment
from golive.sim.request import TOKENS_A_MESSAGE, TOKENS_AN_IMAGE, ChatRequest, Offered, Rejected, Turn
from golive.sim.seals import Seals

_ALLOWED = (
    "model input instructions tools tool_choice stream stream_options store include reasoning text max_output_tokens "
    "max_tool_calls metadata parallel_tool_calls previous_response_id conversation prompt prompt_cache_key "
    "prompt_cache_options prompt_cache_retention safety_identifier service_tier temperature top_p top_logprobs "
    "truncation user background context_management moderation access_programs image"
)
_FIELDS = frozenset(_ALLOWED.split())
_ROLES = ("system", "assistant", "user", "developer")
_MIN_OUTPUT = 16
ENCRYPTED = "reasoning.encrypted_content"


def read_responses(body: bytes, seals: Seals, stored: StoredResponses, owner: str) -> ChatRequest:
    """The request in a body.

    Args:
        seals: judge the encrypted reasoning that comes back.
        stored: earlier responses, of which those of `owner` can be gone on with.

    Raises:
        Rejected: with the status and the error the vendor answers.
    """
    raw = read_object(body)
    for name in raw:
        if name not in _FIELDS:
            raise Rejected(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    previous = raw.get("previous_response_id")
    earlier, own = _earlier(previous, stored, owner), _items(raw)
    turns, parts = _input(raw.get("instructions"), earlier, own, seals)
    tools, tool_parts = _tools(raw)
    output, output_tokens = _output(raw.get("text"))
    sampling(raw)
    parts = [*tool_parts, *parts]
    used = sum(part.tokens for part in parts) + output_tokens
    reasoning = typed(raw.get("reasoning") or {}, dict, "reasoning", "an object")
    include = typed(raw.get("include") or [], list, "include", "an array")
    return ChatRequest(
        model=raw["model"],
        turns=turns,
        stream=typed(raw.get("stream") or False, bool, "stream", "a boolean"),
        include_usage=True,
        tools=tools,
        choice=_choice(raw.get("tool_choice"), tools),
        parallel=raw.get("parallel_tool_calls") is not False,
        output=output,
        max_tokens=token_limit(raw, "max_output_tokens", _MIN_OUTPUT),
        input_tokens=used,
        prompt=tuple(parts) if used >= MIN_TOKENS else (),
        sealed=ENCRYPTED in include,
        thinks=reasoning.get("effort") != "none",
        previous=previous,
        keep=_keeper(raw, [*earlier, *own], stored, owner),
    )


def _earlier(previous: Any, stored: StoredResponses, owner: str) -> list[Any]:
    """What was said up to the response that the request goes on with; its instructions do not count."""
    if previous is None:
        return []
    name = typed(previous, str, "previous_response_id", "a string")
    items = stored.items(owner, name)
    if items is None:
        message = f"Previous response with id '{name}' not found."
        raise Rejected(400, message, param="previous_response_id", code="previous_response_not_found")
    return items


def _keeper(
    raw: dict[str, Any], items: list[Any], stored: StoredResponses, owner: str
) -> Callable[[str, Sequence[Any]], None] | None:
    store = raw.get("store")
    if store is not None and not typed(store, bool, "store", "a boolean"):
        return None
    return lambda response, output: stored.keep(owner, response, [*items, *output])


def _items(raw: dict[str, Any]) -> list[Any]:
    given = raw.get("input")
    if given is None:
        raise missing("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    typed(items, list, "input", "one of a string or array of input items")
    if not items:
        raise Rejected(400, "Invalid 'input': empty array.", param="input", code="empty_array")
    return list(items)


def _input(
    instructions: Any, earlier: list[Any], own: list[Any], seals: Seals
) -> tuple[tuple[Turn, ...], list[Segment]]:
    """Turns and parts of the whole conversation; only `own` items are the request's, and named in its errors."""
    before = list(earlier)
    if instructions is not None:
        text = typed(instructions, str, "instructions", "a string")
        before.insert(0, {"role": "system", "content": text})
    read = [_item(item, "previous_response_id", seals) for item in before]
    read += [_item(item, f"input[{position}]", seals) for position, item in enumerate(own)]
    items = before + own
    _check_reasoning(items, seals)
    _check_pairs(items)
    segments = [Segment(msgspec.json.encode(item), cost) for item, (_, cost) in zip(items, read, strict=True)]
    return _joined([turn for turn, _ in read if turn is not None]), segments


def _joined(turns: list[Turn]) -> tuple[Turn, ...]:
    """Calls side by side, and the text before them, are one turn of the assistant."""
    joined: list[Turn] = []
    for turn in turns:
        before = joined[-1] if joined else None
        if before is not None and turn.call_ids and before.role == "assistant":
            joined[-1] = Turn("assistant", before.text, before.call_ids + turn.call_ids)
        else:
            joined.append(turn)
    return tuple(joined)


def _item(item: Any, at: str, seals: Seals) -> tuple[Turn | None, int]:
    typed(item, dict, at, "an object")
    kind = item.get("type", "message")
    if kind == "message":
        role = item.get("role")
        if role not in _ROLES:
            raise invalid_value(f"{at}.role", role, ", ".join(f"'{name}'" for name in _ROLES))
        text, cost = _content(item.get("content"), f"{at}.content")
        return Turn(role, text), cost + TOKENS_A_MESSAGE
    if kind == "function_call":
        for name in ("call_id", "name", "arguments"):
            if item.get(name) is None:
                raise missing(f"{at}.{name}")
            typed(item[name], str, f"{at}.{name}", "a string")
        cost = tokens.count(item["name"]) + tokens.count(item["arguments"])
        return Turn("assistant", "", (item["call_id"],)), cost + TOKENS_A_MESSAGE
    if kind == "function_call_output":
        if item.get("output") is None:
            raise missing(f"{at}.output")
        text, cost = _content(item["output"], f"{at}.output")
        call = typed(item.get("call_id"), str, f"{at}.call_id", "a string")
        return Turn("tool", text, answers=call), cost + TOKENS_A_MESSAGE
    if kind == "reasoning":
        return None, _reasoning(item, at, seals)
    if kind == "item_reference":
        message = f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
        raise Rejected(404, message, param="input")
    raise invalid_value(f"{at}.type", kind, "'message', 'function_call', 'function_call_output', and 'reasoning'")


def _reasoning(item: dict[str, Any], at: str, seals: Seals) -> int:
    name = typed(item.get("id"), str, f"{at}.id", "a string")
    summary = typed(item.get("summary"), list, f"{at}.summary", "an array of objects")
    sealed = item.get("encrypted_content")
    if sealed is not None and not seals.valid(name, sealed):
        raise Rejected(
            400,
            f"The encrypted content for item {name} could not be verified. Reason: Encrypted content could not be "
            "decrypted or parsed.",
            code="invalid_encrypted_content",
        )
    return sum(tokens.count(str(part.get("text"))) for part in summary if isinstance(part, dict))


def _content(content: Any, at: str) -> tuple[str, int]:
    if isinstance(content, str):
        return content, tokens.count(content)
    typed(content, list, at, "one of a string or array of objects")
    texts, cost = [], 0
    for index, part in enumerate(content):
        typed(part, dict, f"{at}[{index}]", "an object")
        kind = part.get("type")
        if kind in ("input_text", "output_text"):
            texts.append(typed(part.get("text"), str, f"{at}[{index}].text", "a string"))
        elif kind == "input_image":
            if part.get("file_id") is None:
                check_image(part.get("image_url"), f"{at}[{index}].image_url")
            cost += TOKENS_AN_IMAGE
        elif kind in ("input_file", "input_audio", "refusal"):
            cost += TOKENS_AN_IMAGE
        else:
            supported = "'input_text', 'input_image', 'output_text', 'refusal', 'input_file', and 'input_audio'"
            raise invalid_value(f"{at}[{index}].type", kind, supported)
    text = "\n".join(texts)
    return text, cost + tokens.count(text)


def _check_reasoning(items: list[Any], seals: Seals) -> None:
    """Reasoning has what followed it after it, and a call that came with reasoning has it before."""
    reasoned = False
    for item in items:
        kind = item.get("type", "message")
        reasoned = kind == "reasoning" or (reasoned and (kind == "function_call" or item.get("role") == "assistant"))
        if kind == "function_call" and not reasoned and seals.demands(item["call_id"]):
            raise Rejected(
                400,
                f"Item '{item.get('id') or item['call_id']}' of type 'function_call' was provided without its required "
                "'reasoning' item.",
                param="input",
            )
    if items[-1].get("type") == "reasoning":
        message = f"Item '{items[-1]['id']}' of type 'reasoning' was provided without its required following item."
        raise Rejected(400, message, param="input")


def _check_pairs(items: list[Any]) -> None:
    calls: list[str] = []
    for item in items:
        if item.get("type") == "function_call":
            calls.append(item["call_id"])
        elif item.get("type") == "function_call_output":
            if item["call_id"] not in calls:
                message = f"No tool call found for function call output with call_id {item['call_id']}."
                raise Rejected(400, message, param="input")
            calls.remove(item["call_id"])
    if calls:
        raise Rejected(400, f"No tool output found for function call {calls[0]}.", param="input")


def _tools(raw: dict[str, Any]) -> tuple[tuple[Offered, ...], list[Segment]]:
    offered, segments = [], []
    for index, tool in enumerate(typed(raw.get("tools") or [], list, "tools", "an array of objects")):
        typed(tool, dict, f"tools[{index}]", "an object")
        if tool.get("type") != "function":
            raise invalid_value(f"tools[{index}].type", tool.get("type"), "'function'")
        one, cost = read_tool(tool, f"tools[{index}]")
        offered.append(one)
        segments.append(Segment(msgspec.json.encode(tool), cost))
    return tuple(offered), segments


def _choice(choice: Any, tools: tuple[Offered, ...]) -> Literal["auto", "none", "required"] | Offered:
    if choice in (None, "auto", "none", "required"):
        chosen: Literal["auto", "none", "required"] = choice or "auto"
        return chosen
    name = choice.get("name") if isinstance(choice, dict) and choice.get("type") == "function" else choice
    for tool in tools:
        if tool.name == name:
            return tool
    message = f"Tool choice '{str(name)[:60]}' not found in 'tools' parameter."
    raise Rejected(400, message, param="tool_choice")


def _output(text: Any) -> tuple[Literal["text", "json_object"] | dict[str, Any], int]:
    wanted = typed(text or {}, dict, "text", "an object").get("format") or {"type": "text"}
    kind = typed(wanted, dict, "text.format", "an object").get("type")
    if kind == "text":
        return "text", 0
    if kind == "json_object":
        return "json_object", 0
    if kind != "json_schema":
        raise invalid_value("text.format.type", kind, "'json_object', 'json_schema', and 'text'")
    if not isinstance(wanted.get("name"), str):
        raise missing("text.format.name")
    schema = typed(wanted.get("schema"), dict, "text.format.schema", "an object")
    return schema, tokens.count(msgspec.json.encode(schema).decode())
