"""What the simulated vendor accepts and refuses, and the order of turns it reads out of a request."""

from typing import Any

import msgspec
import pytest

from golive.sim.openai.chat_request import read_chat
from golive.sim.request import ChatRequest, Offered, Rejected

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
FORCED_G = {"type": "function", "function": {"name": "g"}}
CALL = {
    "role": "assistant",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "done"}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": parts}


def read(**fields: Any) -> ChatRequest:
    return read_chat(msgspec.json.encode({"model": "sim-text", "messages": [USER], **fields}))


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": None}, None, None),
        ({"model": 3}, "model", "invalid_type"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": ["hi"]}, "messages[0]", "invalid_type"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content", "invalid_type"),
        ({"messages": [user({"type": "smell"})]}, "messages[0].content[0].type", "invalid_value"),
        ({"messages": [USER, RESULT]}, "messages.[1].role", None),
        ({"messages": [USER, CALL, USER]}, "messages", None),
        ({"messages": [USER, CALL]}, "messages", None),
        ({"messages": [USER, CALL, RESULT, RESULT]}, "messages.[3].role", None),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"n": 2}, "n", "unsupported_value"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"temperature": 3}, "temperature", "decimal_out_of_range"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "invalid_value"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}]},
            "tools[0].function.parameters", "invalid_function_parameters",
        ),
        ({"tool_choice": "auto"}, "tool_choice", None),
        ({"tools": [TOOL], "tool_choice": FORCED_G}, "tool_choice", "invalid_value"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema.name", "missing_required_parameter",
        ),
    ],
)  # fmt: skip
def test_an_invalid_request_is_refused_as_the_vendor_does(
    fields: dict[str, Any], param: str | None, code: str | None
) -> None:
    """Status 400, with the parameter and the code the vendor gives."""
    with pytest.raises(Rejected) as caught:
        read(**fields)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)
    assert caught.value.kind == "invalid_request_error"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"model": "\xff"}'])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    """Broken JSON, other JSON, and invalid UTF-8 are 400 and not a crash."""
    with pytest.raises(Rejected) as caught:
        read_chat(body)
    assert caught.value.status == 400


def test_parallel_results_count_as_one_round() -> None:
    """Turns of a script follow rounds of the loop, however many tools ran side by side in each."""
    calls = {
        "role": "assistant",
        "tool_calls": [
            {"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in (1, 2)
        ],
    }
    results = [{"role": "tool", "tool_call_id": f"c{n}", "content": ""} for n in (2, 1)]
    assert read().rounds() == 0
    assert read(messages=[USER, calls, *results]).rounds() == 1
    assert read(messages=[USER, calls, *results, calls, *results]).rounds() == 2
    assert read(messages=[USER, calls, *results, USER]).rounds() == 0


def test_what_is_understood() -> None:
    """The parts of a request that behaviour depends on."""
    request = read(
        messages=[{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}],
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "f"}},
        parallel_tool_calls=False,
        stream=True,
        stream_options={"include_usage": True},
        max_tokens=9,
        max_completion_tokens=7,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    )
    assert request.said() == "one\ntwo"
    assert isinstance(request.choice, Offered)
    assert (request.choice.name, request.parallel, request.include_usage, request.max_tokens) == ("f", False, True, 7)
    assert request.output == {"type": "object"}


def test_input_tokens_are_counted_over_everything_sent() -> None:
    """Messages, tool calls, tools and schemas all cost; more of them costs more."""
    bare = read().input_tokens
    assert bare == 5  # "hi" and four a message
    assert read(tools=[TOOL]).input_tokens > bare
    assert read(messages=[USER, CALL, RESULT]).input_tokens > bare
