"""Requests in Anthropic's words: the form the API demands, whatever the conversation went through before."""

from typing import Any, get_type_hints

import pytest
from anthropic.types import (
    ImageBlockParam,
    MessageCreateParams,
    MessageParam,
    OutputConfigParam,
    TextBlockParam,
    ThinkingBlockParam,
    ThinkingConfigAdaptiveParam,
    ThinkingConfigDisabledParam,
    ThinkingConfigEnabledParam,
    ToolChoiceAnyParam,
    ToolChoiceAutoParam,
    ToolChoiceNoneParam,
    ToolChoiceToolParam,
    ToolParam,
    ToolResultBlockParam,
    ToolUseBlockParam,
)
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from msgspec import Raw
from pydantic import TypeAdapter

from golive.core.messages import ImagePart, Message, TextPart, ToolCall
from golive.models.anthropic import Anthropic
from golive.models.call import ModelRequest
from golive.models.dialect import Target
from tests.unit.anthropic_kit import BETWEEN, FIND, HELLO, NEW, OLD, URL, encode, said, thought


def turns(*messages: Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = encode(messages=messages)["messages"]
    return found


# ---- the whole body


def test_the_smallest_request() -> None:
    """`max_tokens` is obligatory; nothing else is made up."""
    assert encode() == {
        "model": NEW, "max_tokens": 4_096, "messages": [{"role": "user", "content": [said("Hello")]}],
    }  # fmt: skip


def test_where_it_goes_and_with_which_headers() -> None:
    """The address and headers of the API's reference."""
    dialect = Anthropic()
    assert (dialect.path(NEW, streamed=True), dialect.models_path()) == ("/messages", "/models")
    assert dialect.headers(URL, "k") == {"anthropic-version": "2023-06-01", "x-api-key": "k"}
    assert dialect.headers(URL, None) == {"anthropic-version": "2023-06-01"}


BLOCKS = {
    "text": TextBlockParam, "image": ImageBlockParam, "tool_use": ToolUseBlockParam,
    "tool_result": ToolResultBlockParam, "thinking": ThinkingBlockParam,
}  # fmt: skip
CONFIGS = {
    "adaptive": ThinkingConfigAdaptiveParam, "disabled": ThinkingConfigDisabledParam,
    "enabled": ThinkingConfigEnabledParam,
}  # fmt: skip
CHOICES = {
    "auto": ToolChoiceAutoParam, "any": ToolChoiceAnyParam, "none": ToolChoiceNoneParam, "tool": ToolChoiceToolParam,
}  # fmt: skip


def allowed(wire: dict[str, Any], kind: Any) -> None:
    """The official client's type takes this object, and knows each of its keys."""
    assert set(wire) <= set(get_type_hints(kind)), wire
    TypeAdapter(kind).validate_python(wire)


@pytest.mark.parametrize("model", [NEW, BETWEEN, OLD])
@pytest.mark.parametrize("effort", [None, "none", "low", "high"])
@pytest.mark.parametrize("choice", [None, b'"auto"', b'"required"', b'"none"', b'{"type":"function","name":"find"}'])
def test_the_official_client_would_send_the_same(model: str, effort: str | None, choice: bytes | None) -> None:
    """Everything at once is of the official client's types; `temperature` it leaves to older models."""
    wire = encode(
        model,
        prompt_cache=True,
        stream=True,
        messages=(
            Message("system", "Be brief."), Message("user", (TextPart("See"), ImagePart("https://x.test/a.png"))),
            Message("assistant", "I will.", tool_calls=(ToolCall("a", "find", "{}"),), state=(thought(),)),
            Message("tool", "found", tool_call_id="a"),
        ),
        tools=(FIND,), tool_choice=None if choice is None else Raw(choice), parallel_tool_calls=False, stop=("END",),
        temperature=0.5, top_p=0.9, reasoning_effort=effort, max_output_tokens=9_000, seed=7,
        output_schema=Raw(b'{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object"}}}'),
    )  # fmt: skip
    assert set(wire) - {"temperature"} <= set(get_type_hints(MessageCreateParamsStreaming))
    TypeAdapter(MessageCreateParams).validate_python(wire)
    for turn in wire["messages"]:
        allowed(turn, MessageParam)
        for block in turn["content"]:
            allowed(block, BLOCKS[block["type"]])
    for block in wire["system"]:
        allowed(block, TextBlockParam)
    for tool in wire["tools"]:
        allowed(tool, ToolParam)
    allowed(wire["tool_choice"], CHOICES[wire["tool_choice"]["type"]])
    allowed(wire["output_config"], OutputConfigParam)
    if "thinking" in wire:
        allowed(wire["thinking"], CONFIGS[wire["thinking"]["type"]])


# ---- the conversation


def test_system_messages_are_the_system_prompt() -> None:
    """All of them, in order, wherever they stand."""
    wire = encode(messages=(Message("system", "One."), *HELLO, Message("system", "Two."), Message("system", " ")))
    assert wire["system"] == [said("One."), said("Two.")]
    assert wire["messages"] == [{"role": "user", "content": [said("Hello")]}]


def test_neighbours_of_one_role_become_one_turn() -> None:
    """Roles alternate; blank texts and empty messages, which the API refuses, are left out."""
    found = turns(
        Message("user", "a"), Message("user", (TextPart("b"), TextPart(""))), Message("assistant", ""),
        Message("user", " \n"), Message("assistant", "c"), Message("assistant", "d"), Message("user", "e"),
    )  # fmt: skip
    assert [(turn["role"], [block["text"] for block in turn["content"]]) for turn in found] == [
        ("user", ["a", "b"]), ("assistant", ["c", "d"]), ("user", ["e"]),
    ]  # fmt: skip


def test_tool_results_come_first_and_in_one_turn() -> None:
    """Results of several calls and what the user says meanwhile are one turn, results first, as the API demands."""
    found = turns(
        *HELLO,
        Message("assistant", "", tool_calls=(ToolCall("a", "find", '{"q": "é"}'), ToolCall("b", "pay", ""))),
        Message("tool", "1", tool_call_id="a"), Message("user", "Hurry"),
        Message("tool", (TextPart("2"), ImagePart("data:image/png;base64,aGk=")), tool_call_id="b"),
    )  # fmt: skip
    assert found[1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "a", "name": "find", "input": {"q": "é"}},
                {"type": "tool_use", "id": "b", "name": "pay", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "1"},
                {
                    "type": "tool_result", "tool_use_id": "b",
                    "content": [
                        said("2"),
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
                        },
                    ],
                },
                said("Hurry"),
            ],
        },
    ]  # fmt: skip


def test_an_empty_result_is_a_result() -> None:
    """A tool that said nothing has answered all the same."""
    found = turns(
        *HELLO, Message("assistant", tool_calls=(ToolCall("a", "f", "{}"),)), Message("tool", "", tool_call_id="a")
    )
    assert found[-1]["content"] == [{"type": "tool_result", "tool_use_id": "a"}]


@pytest.mark.parametrize("arguments", ['{"a": [1,,2]}', '"text"', "[]", "NaN", '{"a": 1} tail', "[" * 100_000])
def test_arguments_that_are_no_object_go_in_as_text(arguments: str) -> None:
    """The API takes objects alone; what a model wrote instead is kept, not lost."""
    found = turns(*HELLO, Message("assistant", tool_calls=(ToolCall("a", "f", arguments),)))
    assert found[-1]["content"][0]["input"] == {"arguments": arguments}


def test_arguments_are_sent_as_they_were_written() -> None:
    """Byte by byte, so that the provider's cache still knows the conversation."""
    request = ModelRequest(messages=(*HELLO, Message("assistant", tool_calls=(ToolCall("a", "f", '{"b": 1, "a":2}'),))))
    assert b'"input":{"b": 1, "a":2}' in Anthropic().encode(request, Target("p", NEW, URL))


def test_ids_of_other_providers_are_made_fit() -> None:
    """Characters the API refuses are written otherwise, equal ids told apart, and results still find their calls."""
    found = turns(
        *HELLO,
        Message("assistant", tool_calls=(ToolCall("f:0", "f", "{}"), ToolCall("f.0", "f", "{}"))),
        Message("tool", "1", tool_call_id="f:0"), Message("tool", "2", tool_call_id="f.0"),
        Message("assistant", tool_calls=(ToolCall("f:0", "f", "{}"), ToolCall("", "f", "{}"))),
        Message("tool", "3", tool_call_id="f:0"), Message("tool", "4", tool_call_id=""),
        Message("tool", "5", tool_call_id="é"),
    )  # fmt: skip
    ids = [block.get("id") or block["tool_use_id"] for turn in found[1:] for block in turn["content"]]
    first, second, again, empty = "f-3a-0", "f-2e-0", "f-3a-0-2", "call"
    assert ids == [first, second, first, second, again, empty, again, empty, "-e9-"]


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://x.test/a.png", {"type": "url", "url": "https://x.test/a.png"}),
        ("data:image/JPG;base64,aGk=", {"type": "base64", "media_type": "image/jpeg", "data": "aGk="}),
        ("data:image/webp;name=a;base64,aGk=", {"type": "base64", "media_type": "image/webp", "data": "aGk="}),
        ("data:image/gif,h%69", {"type": "base64", "media_type": "image/gif", "data": "aGk="}),
        ("data:nothing", {"type": "url", "url": "data:nothing"}),
    ],
)
def test_pictures(url: str, source: dict[str, str]) -> None:
    """Addresses stay addresses, data URLs become base64; what is neither is left for the API to refuse."""
    assert turns(Message("user", (ImagePart(url, "low"),)))[0]["content"] == [{"type": "image", "source": source}]


# ---- the provider's own state


def test_thoughts_go_back_to_their_provider_in_order() -> None:
    """Each before the tool call that it came before; those of other providers are stripped."""
    message = Message(
        "assistant", "So.", tool_calls=(ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}")),
        state=(thought("1"), thought("x", "other"), thought("2"), thought("3", before=1), thought("4", before=2)),
    )  # fmt: skip
    blocks = turns(*HELLO, message)[1]["content"]
    assert [block.get("thinking") or block.get("text") or block["id"] for block in blocks] == [
        "1", "2", "So.", "a", "3", "b", "4",
    ]  # fmt: skip
    assert blocks[0] == {"type": "thinking", "thinking": "1", "signature": "s=="}


def test_thoughts_alone_are_no_turn() -> None:
    """The API refuses an answer that ends with thoughts."""
    assert turns(*HELLO, Message("assistant", "", state=(thought(),)), Message("user", "And?")) == [
        {"role": "user", "content": [said("Hello"), said("And?")]}
    ]
