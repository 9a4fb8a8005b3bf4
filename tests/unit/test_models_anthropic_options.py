"""What a request asks for in Anthropic's words: tools, effort, sampling, structured output, the provider's cache."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from golive.core.messages import Message, ToolCall, ToolSpec
from golive.models.anthropic_wire import JSON_INSTRUCTION
from tests.unit.anthropic_kit import BETWEEN, FIND, HELLO, MARK, NEW, OLD, encode, said, thought

# ---- tools


@pytest.mark.parametrize(
    ("given", "parallel", "sent"),
    [
        (None, None, None),
        (b'"auto"', None, {"type": "auto"}),
        (b'"none"', False, {"type": "none"}),
        (b'"required"', True, {"type": "any"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (b"null", None, None),
        (
            b'{"type":"function","function":{"name":"find"}}', False,
            {"type": "tool", "name": "find", "disable_parallel_tool_use": True},
        ),
        (b'{"type":"allowed_tools"}', False, {"type": "allowed_tools"}),
        (b'"sometimes"', None, "sometimes"),
    ],
)  # fmt: skip
def test_tool_choice(given: bytes | None, parallel: bool | None, sent: Any) -> None:
    """Every form of OpenAI's; one that is not known goes on as it is, and the API refuses it."""
    choice = None if given is None else Raw(given)
    assert encode(tools=(FIND,), tool_choice=choice, parallel_tool_calls=parallel).get("tool_choice") == sent


def test_no_choice_without_tools() -> None:
    """The API refuses a choice among none."""
    assert "tool_choice" not in encode(tool_choice=Raw(b'"auto"'), parallel_tool_calls=False)


def test_a_schema_says_that_it_is_an_objects() -> None:
    """The API demands a type, which OpenAI's does not; a description that is empty is left out."""
    wire = encode(tools=(ToolSpec("a", "", Raw(b'{"properties":{}}')), ToolSpec("b", "B.", Raw(b"null"))))
    assert wire["tools"] == [
        {"name": "a", "input_schema": {"type": "object", "properties": {}}},
        {"name": "b", "description": "B.", "input_schema": None},
    ]


# ---- what models differ in


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "sent"),
    [
        ("claude-opus-5-5", "minimal", {"type": "adaptive", "display": "summarized"}, "low"),
        ("claude-opus-5-5", "none", None, "low"),
        ("claude-fable-5-1", "none", None, "low"),
        ("claude-mythos-preview", "high", {"type": "adaptive", "display": "summarized"}, "high"),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None),
        ("claude-haiku-5-5", "none", {"type": "disabled"}, None),
        ("claude-sonnet-5", "none", {"type": "disabled"}, None),
        ("claude-opus-4-7", "none", None, None),
        ("claude-opus-4-6", "max", {"type": "adaptive", "display": "summarized"}, "max"),
        ("claude-opus-4-5-20251101", "medium", {"type": "enabled", "budget_tokens": 5_000}, "medium"),
        ("claude-sonnet-4-5-20250929", "high", {"type": "enabled", "budget_tokens": 8_000}, None),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "low", {"type": "enabled", "budget_tokens": 2_000}, None),
        ("claude-sonnet-4-20250514", "minimal", {"type": "enabled", "budget_tokens": 2_000}, None),
        ("claude-3-7-sonnet-20250219", "high", {"type": "enabled", "budget_tokens": 8_000}, None),
        ("claude-3-haiku-20240307", "high", None, None),
        ("claude-next", "medium", {"type": "adaptive", "display": "summarized"}, "medium"),
        ("deepseek-chat", "high", None, "high"),
        ("deepseek-chat", "none", {"type": "disabled"}, None),
        ("claude-opus-5-5", None, None, None),
    ],
)
def test_effort(model: str, effort: str | None, thinking: dict[str, Any] | None, sent: str | None) -> None:
    """Each model is asked to think in the way it knows, told by any of its names."""
    wire = encode(model, reasoning_effort=effort, max_output_tokens=10_000)
    assert wire.get("thinking") == thinking
    assert wire.get("output_config", {}).get("effort") == sent


def test_a_budget_is_kept_below_the_limit() -> None:
    """Under its least size there is no thinking by budget, and just above it the least."""
    assert "thinking" not in encode(OLD, reasoning_effort="high", max_output_tokens=1_024)
    assert encode(OLD, reasoning_effort="low", max_output_tokens=1_025)["thinking"]["budget_tokens"] == 1_024


CALLED = Message("assistant", "", tool_calls=(ToolCall("a", "find", "{}"),))
RESULT = Message("tool", "1", tool_call_id="a")


@pytest.mark.parametrize(
    ("messages", "thinks"),
    [
        ((*HELLO, CALLED, RESULT), False),
        ((*HELLO, msgspec.structs.replace(CALLED, state=(thought(),)), RESULT), True),
        ((*HELLO, CALLED, RESULT, Message("assistant", "So."), Message("user", "And?")), True),
        ((RESULT,), True),
        ((*HELLO, Message("assistant", "I th")), False),
        ((), False),
    ],
)
def test_no_budget_where_the_conversation_does_not_allow_it(messages: tuple[Message, ...], thinks: bool) -> None:
    """A tool loop that another provider began, and an answer begun for the model, would be refused with a budget."""
    assert ("thinking" in encode(OLD, messages=messages, reasoning_effort="high")) is thinks


def test_a_forced_tool_is_called_without_thinking() -> None:
    """The API refuses both together; the effort stays."""
    wire = encode(BETWEEN, tools=(FIND,), tool_choice=Raw(b'"required"'), reasoning_effort="low")
    assert "thinking" not in wire
    assert wire["output_config"] == {"effort": "low"}


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        (NEW, None, {}),
        (NEW, "none", {}),
        ("claude-opus-4-7", None, {}),
        (BETWEEN, None, {"temperature": 1.0}),
        (BETWEEN, "low", {}),
        (BETWEEN, "none", {"temperature": 1.0}),
        (OLD, "high", {}),
        ("kimi-k3", None, {"temperature": 1.0, "top_p": 0.9}),
        ("kimi-k3", "none", {"temperature": 1.0, "top_p": 0.9}),
    ],
)
def test_sampling(model: str, effort: str | None, sent: dict[str, float]) -> None:
    """Temperature ends at 1, stands alone where only one may, and is left out where it would be refused."""
    wire = encode(model, temperature=1.7, top_p=0.9, reasoning_effort=effort)
    assert {name: wire[name] for name in ("temperature", "top_p") if name in wire} == sent


def test_top_p_alone() -> None:
    """It is sent where no temperature stands in its way."""
    assert encode(OLD, top_p=0.9)["top_p"] == 0.9


# ---- structured output


def test_a_schema_is_closed() -> None:
    """`additionalProperties: false` on every object that leaves it open; the rest is the caller's."""
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"type": "object", "properties": {"type": {"type": "string"}}}},
            "b": {"anyOf": [{"$ref": "#/$defs/c"}, {"type": "object", "additionalProperties": True}, True]},
        },
        "$defs": {"c": {"type": "object", "properties": {}}},
        "required": ["a"],
    }
    given = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
    closed = encode(output_schema=Raw(msgspec.json.encode(given)))["output_config"]["format"]
    assert closed == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {
                "a": {
                    "type": "array",
                    "items": {
                        "type": "object", "properties": {"type": {"type": "string"}}, "additionalProperties": False,
                    },
                },
                "b": {"anyOf": [{"$ref": "#/$defs/c"}, {"type": "object", "additionalProperties": True}, True]},
            },
            "$defs": {"c": {"type": "object", "properties": {}, "additionalProperties": False}},
            "required": ["a"],
            "additionalProperties": False,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "system", "config"),
    [
        (b'{"type":"json_object"}', [said(JSON_INSTRUCTION)], None),
        (b'{"type":"text"}', None, None),
        (b'{"type":"json_schema","json_schema":7}', None, {"format": {"type": "json_schema", "json_schema": 7}}),
        (b'{"type":"grammar"}', None, {"format": {"type": "grammar"}}),
    ],
)
def test_other_formats(given: bytes, system: Any, config: Any) -> None:
    """JSON without a schema is asked for in words; forms that are not known are for the API to refuse."""
    wire = encode(output_schema=Raw(given))
    assert (wire.get("system"), wire.get("output_config")) == (system, config)


# ---- the provider's cache


def marks(wire: Any) -> int:
    return msgspec.json.encode(wire).count(b'"cache_control"')


def test_cache_marks_stand_at_the_ends_of_what_repeats() -> None:
    """The last tool, the end of the system prompt, the user's last turn; never more than the four allowed."""
    wire = encode(
        prompt_cache=True, tools=(FIND, FIND),
        messages=(Message("system", "A"), Message("system", "B"), *HELLO, CALLED, RESULT, Message("assistant", "Be")),
    )  # fmt: skip
    assert wire["tools"][-1]["cache_control"] == MARK
    assert wire["system"][-1]["cache_control"] == MARK
    assert wire["messages"][-2]["content"][-1]["cache_control"] == MARK
    assert marks(wire) == 3


def test_no_marks_when_none_are_wanted() -> None:
    """Neither on request, nor without anything to mark."""
    assert marks(encode(messages=(Message("system", "A"), *HELLO), tools=(FIND,))) == 0
    assert marks(encode(prompt_cache=True, messages=(Message("assistant", "A"),))) == 0


@pytest.mark.parametrize(
    "extra",
    [
        {"cache_control": Raw(b'{"type":"ephemeral"}')},
        {"tools": Raw(b'[{"name":"a","input_schema":{},"cache_control":{"type":"ephemeral","ttl":"1h"}}]')},
    ],
)
def test_callers_who_mark_are_left_to_it(extra: dict[str, Raw]) -> None:
    """With marks of the caller's own none is added: four is the most, and the long-lived come first."""
    wire = encode(prompt_cache=True, messages=(Message("system", "A"), *HELLO), dialect="anthropic", extra=extra)
    assert marks(wire) == 1


# ---- what is handed on


def test_extra_replaces_what_was_encoded() -> None:
    """Verbatim, all but the model and whether it streams."""
    extra = {
        "system": Raw(b'"s"'), "tools": Raw(b'[{"type":"t"}]'),
        "max_tokens": Raw(b"5"), "thinking": Raw(b'{"type":"disabled"}'), "top_k": Raw(b"3"), "model": Raw(b'"other"'),
        "stream": Raw(b"true"),
    }  # fmt: skip
    wire = encode(
        messages=(Message("system", "A"), *HELLO), tools=(FIND,), dialect="anthropic", extra=extra,
        tool_choice=Raw(b'"auto"'), reasoning_effort="high", prompt_cache=True,
    )  # fmt: skip
    assert wire == {
        "model": NEW, "max_tokens": 5, "system": "s",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": MARK}]}],
        "tools": [{"type": "t"}], "tool_choice": {"type": "auto"}, "thinking": {"type": "disabled"},
        "output_config": {"effort": "high"}, "top_k": 3,
    }  # fmt: skip


def test_a_whole_request_of_the_callers_is_sent_as_it_was_written() -> None:
    """With messages of its own it is a whole request: nothing is added that the caller did not write."""
    extra = {"messages": Raw(b'[{"role":"user","content":"x"}]'), "max_tokens": Raw(b"5"), "model": Raw(b'"other"')}
    wire = encode(
        messages=(Message("system", "A"), *HELLO), tools=(FIND,), dialect="anthropic", extra=extra, stream=True,
        tool_choice=Raw(b'"auto"'), reasoning_effort="high", prompt_cache=True, temperature=0.5,
    )  # fmt: skip
    assert wire == {"model": NEW, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], "stream": True}


def test_extra_of_another_dialect_stays_there() -> None:
    """What only OpenAI understands is not sent to Anthropic."""
    assert "logprobs" not in encode(dialect="openai-chat", extra={"logprobs": Raw(b"true")})


def test_streaming_is_asked_for() -> None:
    """One word; usage comes by itself."""
    assert encode(stream=True)["stream"] is True
