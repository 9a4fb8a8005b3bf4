"""Reads a Messages request as the vendor would: what is accepted, and the vendor's own words for what is not.

Source: https://docs.anthropic.com/en/api/messages and the errors the service answers, as of 2026.
"""

import re
from typing import Any, Literal, NamedTuple

import msgspec

from golive.sim import tokens
from golive.sim.anthropic.blocks import Block, invalid, read_block, text_of
from golive.sim.prompt_cache import MIN_TOKENS, TTL_S, Segment
from golive.sim.request import TOKENS_A_MESSAGE, ChatRequest, Offered, Rejected, Turn
from golive.sim.seals import Seals

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_MAX_MARKS = 4
_MIN_BUDGET = 1_024
_ALLOWED = (
    "model messages max_tokens system tools tool_choice stream temperature top_p top_k stop_sequences metadata "
    "thinking cache_control output_config service_tier container inference_geo diagnostics speed"
)
_FIELDS = frozenset(_ALLOWED.split())
_TTLS = {"5m": TTL_S, "1h": 3_600.0}
_Choice = Literal["auto", "none", "required"] | Offered


class _Part(NamedTuple):
    """A part of the prompt, as it is cached."""

    raw: Any
    tokens: int
    mark: Any


def read_messages(body: bytes, seals: Seals, *, counting: bool = False) -> ChatRequest:
    """The request in a body.

    Args:
        seals: judge the signatures of thinking that comes back.
        counting: the question is for the number of tokens only.

    Raises:
        Rejected: with the status and the error the vendor answers.
    """
    raw = _object(body)
    if not isinstance(raw.get("model"), str):
        raise invalid("model: Field required" if raw.get("model") is None else "model: Input should be a valid string")
    for name in raw:
        if name not in _FIELDS:
            raise invalid(f"{name}: Extra inputs are not permitted")
    max_tokens = None if counting else _max_tokens(raw)
    tools, parts = _tools(raw.get("tools"))
    system, system_parts = _system(raw.get("system"))
    turns, message_parts = _messages(raw, seals)
    output, output_tokens = _output(raw.get("output_config"))
    choice, parallel = _choice(raw.get("tool_choice"), tools)
    thinks = _thinking(raw, max_tokens, forced=choice not in ("auto", "none"))
    _sampling(raw)
    parts += system_parts + message_parts
    _check_marks(raw, parts)
    used = sum(part.tokens for part in parts) + output_tokens
    return ChatRequest(
        model=raw["model"],
        turns=system + turns,
        stream=_boolean(raw.get("stream"), "stream"),
        include_usage=True,
        tools=tools,
        choice=choice,
        parallel=parallel,
        output=output,
        max_tokens=max_tokens,
        input_tokens=used,
        prompt=_prompt(raw, parts) if used >= MIN_TOKENS else (),
        stop=_stop(raw.get("stop_sequences")),
        sealed=True,
        thinks=thinks,
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid("The request body is not valid JSON: unexpected character") from error
    if not isinstance(raw, dict):
        raise invalid("Input should be an object")
    return raw


def _boolean(value: Any, at: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise invalid(f"{at}: Input should be a valid boolean")
    return bool(value)


def _max_tokens(raw: dict[str, Any]) -> int:
    value = raw.get("max_tokens")
    if value is None:
        raise invalid("max_tokens: Field required")
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid("max_tokens: Input should be a valid integer")
    if value < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    return value


def _tools(given: Any) -> tuple[tuple[Offered, ...], list[_Part]]:
    if given is not None and not isinstance(given, list):
        raise invalid("tools: Input should be a valid list")
    offered, parts = [], []
    for at, tool in enumerate(given or ()):
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
            raise invalid(f"tools.{at}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        schema = tool.get("input_schema")
        if not isinstance(schema, dict):
            raise invalid(f"tools.{at}.custom.input_schema: Field required")
        if schema.get("type") != "object":
            raise invalid(f"tools.{at}.custom.input_schema.type: Input should be 'object'")
        offered.append(Offered(name, str(tool.get("description") or ""), schema))
        bare = {key: value for key, value in tool.items() if key != "cache_control"}
        parts.append(_Part(bare, tokens.count(msgspec.json.encode(bare).decode()), tool.get("cache_control")))
    if len({tool.name for tool in offered}) < len(offered):
        raise invalid("tools: Tool names must be unique.")
    return tuple(offered), parts


def _system(given: Any) -> tuple[tuple[Turn, ...], list[_Part]]:
    if given is None:
        return (), []
    if isinstance(given, str):
        given = [{"type": "text", "text": given}]
    if not isinstance(given, list):
        raise invalid("system: Input should be a valid list")
    texts, parts = [], []
    for at, block in enumerate(given):
        if not isinstance(block, dict) or block.get("type") != "text" or not isinstance(block.get("text"), str):
            raise invalid(f"system.{at}: Input should be a valid text block")
        texts.append(block["text"])
        parts.append(_Part(["system", block["text"]], tokens.count(block["text"]), block.get("cache_control")))
    if parts:
        parts[0] = parts[0]._replace(tokens=parts[0].tokens + TOKENS_A_MESSAGE)
    return (Turn("system", "\n".join(texts)),) if texts else (), parts


def _messages(raw: dict[str, Any], seals: Seals) -> tuple[tuple[Turn, ...], list[_Part]]:
    messages = raw.get("messages")
    if messages is None:
        raise invalid("messages: Field required")
    if not isinstance(messages, list):
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    read = [_message(message, f"messages.{at}", seals) for at, message in enumerate(messages)]
    if read[0][0] == "assistant":
        raise invalid('messages: first message must use the "user" role')
    last = read[-1]
    if last[0] == "assistant" and (texts := text_of(last[1])) and texts != texts.rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")
    _check_pairs(read)
    _check_thinking(raw, read)
    turns: list[Turn] = []
    parts = []
    for role, blocks in read:
        turns += _turns(role, blocks)
        for at, block in enumerate(blocks):
            parts.append(_Part([role, block.raw], block.tokens + (TOKENS_A_MESSAGE if at == 0 else 0), block.mark))
    return tuple(turns), parts


def _message(message: Any, at: str, seals: Seals) -> tuple[str, list[Block]]:
    if not isinstance(message, dict):
        raise invalid(f"{at}: Input should be an object")
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant", "system"):
        raise invalid(f"{at}.role: Input should be 'user' or 'assistant'")
    if content is None:
        raise invalid(f"{at}.content: Field required")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise invalid(f"{at}.content: Input should be a valid list")
    if not content:
        raise invalid(f"{at}: all messages must have non-empty content except for the optional final assistant message")
    blocks = [read_block(block, f"{at}.content.{index}", role) for index, block in enumerate(content)]
    _check_seals(blocks, at, seals)
    return role, blocks


def _check_seals(blocks: list[Block], at: str, seals: Seals) -> None:
    """Thinking comes back as it went out, and a call that came with thinking does not come back without."""
    for index, block in enumerate(blocks):
        if block.kind == "thinking" and not seals.valid(block.text, block.signature):
            raise invalid(f"{at}.content.{index}: Invalid `signature` in `thinking` block")
    if blocks[0].kind in ("thinking", "redacted_thinking"):
        return
    if any(block.kind == "tool_use" and seals.demands(block.id) for block in blocks):
        raise _no_thinking(at, blocks[0].kind)


def _no_thinking(at: str, kind: str) -> Rejected:
    return invalid(
        f"{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{kind}`. When `thinking` is "
        "enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of "
        "`tool_use` and `tool_result` blocks)."
    )


def _check_thinking(raw: dict[str, Any], read: list[tuple[str, list[Block]]]) -> None:
    """With thinking switched on, the assistant's last message of a round of tools begins with thinking."""
    thinking = raw.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return
    for at in range(len(read) - 1, -1, -1):
        role, blocks = read[at]
        if role == "assistant" and blocks[0].kind not in ("thinking", "redacted_thinking"):
            raise _no_thinking(f"messages.{at}", blocks[0].kind)
        if role == "assistant" or all(block.kind != "tool_result" for block in blocks):
            return


def _check_pairs(read: list[tuple[str, list[Block]]]) -> None:
    """Tool calls and their results pair up, in neighbouring messages."""
    asked: list[str] = []
    seen: set[str] = set()
    for at, (_, blocks) in enumerate(read):
        answered = [block.id for block in blocks if block.kind == "tool_result"]
        for index, block in enumerate(blocks):
            if block.kind == "tool_result" and block.id not in asked:
                raise invalid(
                    f"messages.{at}.content.{index}: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{block.id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous "
                    "message."
                )
        _check_answered([one for one in asked if one not in answered], at - 1)
        asked = [block.id for block in blocks if block.kind == "tool_use"]
        if seen.intersection(asked) or len(set(asked)) < len(asked):
            raise invalid("messages: `tool_use` ids must be unique")
        seen.update(asked)
    _check_answered(asked, len(read) - 1)


def _check_answered(missing: list[str], at: int) -> None:
    if missing:
        raise invalid(
            f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message."
        )


def _turns(role: str, blocks: list[Block]) -> list[Turn]:
    turns = [Turn("tool", block.text, answers=block.id) for block in blocks if block.kind == "tool_result"]
    calls = tuple(block.id for block in blocks if block.kind == "tool_use")
    text = text_of(blocks)
    if text or not turns:
        turns.append(Turn(role, text, calls))
    return turns


def _output(given: Any) -> tuple[Literal["text"] | dict[str, Any], int]:
    wanted = given.get("format") if isinstance(given, dict) else given
    if wanted is None:
        return "text", 0
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        raise invalid("output_config.format.type: Input should be 'json_schema'")
    schema = wanted.get("schema")
    if not isinstance(schema, dict):
        raise invalid("output_config.format.schema: Field required")
    return schema, tokens.count(msgspec.json.encode(schema).decode())


def _choice(given: Any, tools: tuple[Offered, ...]) -> tuple[_Choice, bool]:
    if given is None:
        return "auto", True
    kind = given.get("type") if isinstance(given, dict) else None
    if kind not in ("auto", "any", "tool", "none"):
        raise invalid("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    if not tools:
        raise invalid("tool_choice may only be specified while providing tools.")
    parallel = not _boolean(given.get("disable_parallel_tool_use"), "tool_choice.disable_parallel_tool_use")
    if kind != "tool":
        plain: dict[str, Literal["auto", "none", "required"]] = {"auto": "auto", "any": "required", "none": "none"}
        return plain[kind], parallel
    for tool in tools:
        if tool.name == given.get("name"):
            return tool, parallel
    raise invalid(f"tool_choice: Tool '{given.get('name')}' not found in provided tools")


def _thinking(raw: dict[str, Any], max_tokens: int | None, *, forced: bool) -> bool:
    """Whether thinking may be shown; off only where the client says so."""
    given = raw.get("thinking")
    if given is None:
        return True
    kind = given.get("type") if isinstance(given, dict) else None
    if kind not in ("enabled", "adaptive", "disabled", "between_tools"):
        raise invalid("thinking: Input tag does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'")
    if kind == "enabled":
        budget = given.get("budget_tokens")
        if not isinstance(budget, int) or budget < _MIN_BUDGET:
            raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if max_tokens is not None and max_tokens <= budget:
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
        if raw.get("temperature") not in (None, 1):
            raise invalid("`temperature` may only be set to 1 when thinking is enabled.")
        if forced:
            raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    return bool(kind != "disabled")


def _sampling(raw: dict[str, Any]) -> None:
    for name in ("temperature", "top_p"):
        value = raw.get(name)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise invalid(f"{name}: Input should be a valid number")
        if not 0 <= value <= 1:
            bound = "less than or equal to 1" if value > 1 else "greater than or equal to 0"
            raise invalid(f"{name}: Input should be {bound}")


def _stop(given: Any) -> tuple[str, ...]:
    texts = given or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise invalid("stop_sequences: Input should be a valid list of strings")
    if not all(text.strip() for text in texts):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    return tuple(texts)


def _check_marks(raw: dict[str, Any], parts: list[_Part]) -> None:
    marks = [part.mark for part in parts if part.mark is not None]
    for mark in [*marks, raw.get("cache_control") or {"type": "ephemeral"}]:
        if not isinstance(mark, dict) or mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in list(_TTLS):
            raise invalid("cache_control: Input should be {'type': 'ephemeral'} with a ttl of '5m' or '1h'")
    if len(marks) > _MAX_MARKS:
        raise invalid(f"A maximum of {_MAX_MARKS} blocks with cache_control may be provided. Found {len(marks)}.")


def _prompt(raw: dict[str, Any], parts: list[_Part]) -> tuple[Segment, ...]:
    if raw.get("cache_control"):
        parts = [*parts[:-1], parts[-1]._replace(mark=raw["cache_control"])]
    return tuple(
        Segment(msgspec.json.encode(part.raw), part.tokens, part.mark and _TTLS[part.mark.get("ttl", "5m")])
        for part in parts
    )
