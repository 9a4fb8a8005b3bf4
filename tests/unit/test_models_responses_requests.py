"""What golive asks of OpenAI Responses: every body is one the official client's types know."""

from typing import Any, get_type_hints

import msgspec
import pytest
from msgspec import Raw
from openai.types.responses import FunctionToolParam, ResponseInputParam, response_create_params
from openai.types.responses.response_format_text_config_param import ResponseFormatTextConfigParam
from openai.types.shared_params import Reasoning
from pydantic import TypeAdapter

from golive.core.errors import ModelBadRequest
from golive.core.messages import ImagePart, Message, Opaque, TextPart, ToolCall, ToolSpec
from golive.models.call import ModelRequest
from golive.models.dialect import Target
from golive.models.openai_responses import OpenAIResponses
from tests.contract.speakers.openai_responses import reasoning

DIALECT = OpenAIResponses()
HELLO = (Message("user", "Hello"),)
KNOWN = set(get_type_hints(response_create_params.ResponseCreateParamsStreaming))
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}


def encode(request: ModelRequest) -> dict[str, Any]:
    """The body, every part of which the official client's types know."""
    wire: dict[str, Any] = msgspec.json.decode(
        DIALECT.encode(request, Target("acme", "m-1", "http://localhost:8000/v1"))
    )
    assert set(wire) <= KNOWN
    TypeAdapter(str | ResponseInputParam).validate_python(wire["input"])
    TypeAdapter(list[FunctionToolParam]).validate_python(wire.get("tools", []))
    TypeAdapter(Reasoning).validate_python(wire.get("reasoning", {}))
    if "text" in wire:
        TypeAdapter(ResponseFormatTextConfigParam).validate_python(wire["text"].get("format", {"type": "text"}))
    TypeAdapter(response_create_params.ToolChoice).validate_python(wire.get("tool_choice", "auto"))
    return wire


def state(provider: str, before: int, **fields: Any) -> Opaque:
    item = reasoning(item_id=f"rs_{before}", encrypted_content="x") | fields
    return Opaque(provider, Raw(msgspec.json.encode(item)), before)


def test_a_plain_request() -> None:
    """Nothing is kept by the provider, and nothing is asked for that was not asked of us."""
    hello = [{"type": "message", "role": "user", "content": "Hello"}]
    assert encode(ModelRequest(messages=HELLO, stream=False)) == {"model": "m-1", "input": hello, "store": False}
    assert encode(ModelRequest(messages=HELLO)) == {"model": "m-1", "input": hello, "store": False, "stream": True}


def test_a_whole_conversation_is_written() -> None:
    """Instructions, parts with pictures, calls, results, a word of the system in the middle."""
    request = ModelRequest(
        messages=(
            Message("system", "Be brief."), Message("system", (TextPart("Be"), TextPart("kind."))),
            Message("user", (TextPart("What is this?"), ImagePart("https://x/y.png", "low"), ImagePart("data:z"))),
            Message("assistant", "I look.", tool_calls=(ToolCall("c1", "f", '{"a":1'), ToolCall("c2", "g", ""))),
            Message("tool", "42", tool_call_id="c1"),
            Message("tool", (TextPart("see"), ImagePart("https://x/z.png")), tool_call_id="c2"),
            Message("system", "Now answer."),
            Message("assistant", ""),
        ),
        tools=(ToolSpec("f", "Finds.", Raw(msgspec.json.encode(SCHEMA))), ToolSpec("g", "", Raw(b"{}"))),
        tool_choice=Raw(b'"required"'), parallel_tool_calls=False, temperature=0.0, top_p=0.5, seed=7,
        max_output_tokens=99,
    )  # fmt: skip
    wire = encode(request)
    assert wire["instructions"] == "Be brief.\n\nBe\nkind."
    assert wire["input"] == [
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
            {"type": "input_image", "image_url": "data:z", "detail": "auto"},
        ]},
        {"type": "message", "role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1'},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
        {"type": "function_call_output", "call_id": "c2", "output": [
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "https://x/z.png", "detail": "auto"},
        ]},
        {"type": "message", "role": "system", "content": "Now answer."},
        {"type": "message", "role": "assistant", "content": ""},
    ]  # fmt: skip
    assert wire["tools"] == [
        {"type": "function", "name": "f", "parameters": SCHEMA, "strict": False, "description": "Finds."},
        {"type": "function", "name": "g", "parameters": {}, "strict": False},
    ]
    kept = ("tool_choice", "parallel_tool_calls", "temperature", "top_p", "max_output_tokens", "store")
    assert [wire[key] for key in kept] == ["required", False, 0.0, 0.5, 99, False]


def test_the_systems_words_alone_are_input() -> None:
    """The API refuses an empty input, so that they are not taken for instructions."""
    wire = encode(ModelRequest(messages=(Message("system", "Begin."),)))
    assert wire["input"] == [{"type": "message", "role": "system", "content": "Begin."}]
    assert "instructions" not in wire


def test_an_assistants_parts_are_output() -> None:
    """What the model said is told from what it was told."""
    wire = DIALECT.encode(
        ModelRequest(messages=(Message("assistant", (TextPart("a"), TextPart("b"))),)), Target("acme", "m", "http://x")
    )
    assert msgspec.json.decode(wire)["input"][0]["content"] == [
        {"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}
    ]  # fmt: skip


def test_reasoning_goes_back_before_what_it_led_to() -> None:
    """In its order among text and calls, as it stood, and only to the provider it came from."""
    calls = (ToolCall("c1", "f", "{}"), ToolCall("c2", "g", "{}"))
    states = (state("acme", 0, status="completed"), state("acme", 1), state("acme", 2), state("other", 0))
    wire = encode(ModelRequest(messages=(*HELLO, Message("assistant", "I look.", tool_calls=calls, state=states))))
    assert [item.get("id") or item.get("call_id") or item["content"] for item in wire["input"]] == [
        "Hello", "rs_0", "I look.", "c1", "rs_1", "c2", "rs_2",
    ]  # fmt: skip
    assert wire["input"][1] == reasoning(item_id="rs_0", encrypted_content="x", status="completed")
    assert wire["include"] == ["reasoning.encrypted_content"]


def test_a_message_that_lost_its_calls_keeps_its_reasoning() -> None:
    """Every item is sent once, whatever became of the calls it stood between."""
    states = (state("acme", 0), state("acme", 1), state("acme", 3))
    for calls in ((), (ToolCall("c1", "f", "{}"),)):
        wire = encode(ModelRequest(messages=(*HELLO, Message("assistant", "x", tool_calls=calls, state=states))))
        assert [item["id"] for item in wire["input"] if item["type"] == "reasoning"] == ["rs_0", "rs_1", "rs_3"]


def test_state_of_another_dialect_is_left_out() -> None:
    """A provider's name may have stood for another API when the conversation began."""
    foreign = Opaque("acme", Raw(b'{"type":"thinking","signature":"s"}'))
    wire = encode(ModelRequest(messages=(*HELLO, Message("assistant", "x", state=(foreign,)))))
    assert [item["type"] for item in wire["input"]] == ["message", "message"]


@pytest.mark.parametrize(
    ("chat", "ours"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ({"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "f"}),
        ({"type": "custom", "custom": {"name": "f"}}, {"type": "custom", "name": "f"}),
        (
            {"type": "allowed_tools", "allowed_tools": {
                "mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}]}},
            {"type": "allowed_tools", "mode": "auto",
             "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]},
        ),
        ({"type": "function", "name": "f"}, {"type": "function", "name": "f"}),
    ],
)  # fmt: skip
def test_tool_choices_of_chat_are_flat_here(chat: Any, ours: Any) -> None:
    """Each form of Chat Completions; one that is flat already stays."""
    assert encode(ModelRequest(messages=HELLO, tool_choice=Raw(msgspec.json.encode(chat))))["tool_choice"] == ours


@pytest.mark.parametrize("chat", [b"7", b"[]", b"{}", b'{"type":[]}', b'{"type":"function","function":7}', b"null"])
def test_a_tool_choice_that_is_none_is_the_providers_to_refuse(chat: bytes) -> None:
    """Nonsense is handed on, and breaks nothing here."""
    body = DIALECT.encode(ModelRequest(messages=HELLO, tool_choice=Raw(chat)), Target("acme", "m", "http://x"))
    assert msgspec.json.decode(body)["tool_choice"] == msgspec.json.decode(chat)


def test_structured_output_is_flat_here() -> None:
    """Chat's `response_format` becomes `text.format`."""
    inner = {"name": "answer", "schema": SCHEMA, "strict": True, "description": "d"}
    chat = Raw(msgspec.json.encode({"type": "json_schema", "json_schema": inner}))
    assert encode(ModelRequest(messages=HELLO, output_schema=chat))["text"] == {
        "format": {"type": "json_schema", **inner}
    }
    plain = encode(ModelRequest(messages=HELLO, output_schema=Raw(b'{"type":"json_object"}')))
    assert plain["text"] == {"format": {"type": "json_object"}}


@pytest.mark.parametrize(
    ("effort", "include"), [("low", ["reasoning.encrypted_content"]), ("none", None), (None, None)]
)
def test_reasoning_is_asked_for_where_the_model_reasons(effort: str | None, include: list[str] | None) -> None:
    """Models that do not reason refuse both, so neither is sent of our own accord."""
    wire = encode(ModelRequest(messages=HELLO, reasoning_effort=effort))
    assert wire.get("reasoning") == (None if effort is None else {"effort": effort, "summary": "auto"})
    assert wire.get("include") == include


def test_stop_sequences_are_refused_by_name() -> None:
    """The API has none, and without them the answer would go on where it should end."""
    with pytest.raises(ModelBadRequest, match="stop") as refused:
        encode(ModelRequest(messages=HELLO, stop=("END",)))
    assert refused.value.fields["sent"] is False


# ---- extra


def raw(**fields: Any) -> dict[str, Raw]:
    return {key: Raw(msgspec.json.encode(value)) for key, value in fields.items()}


def test_extra_of_this_dialect_stands_above_ours() -> None:
    """A client's own fields pass verbatim, its input, tools and `store` included; model and stream are golive's."""
    tools = [{"type": "function", "name": "w", "parameters": None, "strict": None}]
    extra = raw(
        input="Hi", tools=tools, store=True, metadata={"a": "b"}, model="dear", stream=False, max_output_tokens=16,
        previous_response_id="resp_0",
    )  # fmt: skip
    request = ModelRequest(
        messages=(Message("system", "Be brief."), *HELLO), tools=(ToolSpec("f", "", Raw(b"{}")),), max_output_tokens=9,
        dialect="openai-responses", extra=extra,
    )  # fmt: skip
    assert encode(request) == {
        "model": "m-1", "stream": True, "input": "Hi", "tools": tools, "store": True, "metadata": {"a": "b"},
        "max_output_tokens": 16, "previous_response_id": "resp_0",
    }  # fmt: skip


def test_instructions_in_extra_replace_ours() -> None:
    """What was verbatim stays so."""
    request = ModelRequest(
        messages=(Message("system", "Be brief."), *HELLO),
        dialect="openai-responses",
        extra=raw(instructions="Be long."),
    )
    assert encode(request)["instructions"] == "Be long."


def test_extra_of_another_dialect_is_left_out() -> None:
    """Chat's fields mean nothing here."""
    assert (
        "top_k" not in DIALECT.encode(ModelRequest(messages=HELLO, extra=raw(top_k=1)), Target("a", "m", "x")).decode()
    )


def test_parts_of_text_and_reasoning_in_extra_are_added_to_ours() -> None:
    """A client's verbosity does not undo the schema, nor its `include` the state."""
    request = ModelRequest(
        messages=HELLO, output_schema=Raw(b'{"type":"json_object"}'), reasoning_effort="low",
        dialect="openai-responses", extra=raw(
            text={"verbosity": "low"}, reasoning={"summary": "detailed"}, include=["message.output_text.logprobs"]
        ),
    )  # fmt: skip
    wire = encode(request)
    assert wire["text"] == {"format": {"type": "json_object"}, "verbosity": "low"}
    assert wire["reasoning"] == {"effort": "low", "summary": "detailed"}
    assert wire["include"] == ["message.output_text.logprobs", "reasoning.encrypted_content"]


def test_extra_of_another_kind_replaces_ours() -> None:
    """What is no object or list cannot be merged: it is the provider's to refuse."""
    request = ModelRequest(
        messages=HELLO, output_schema=Raw(b'{"type":"json_object"}'), reasoning_effort="low",
        dialect="openai-responses", extra=raw(text=None, reasoning=7, include={}),
    )  # fmt: skip
    wire = msgspec.json.decode(DIALECT.encode(request, Target("acme", "m", "http://x")))
    assert (wire["text"], wire["reasoning"], wire["include"]) == (None, 7, {})


def test_the_paths() -> None:
    """One path for both, and the probe's."""
    assert DIALECT.path("m", streamed=True) == DIALECT.path("m", streamed=False) == "/responses"
    assert DIALECT.models_path() == "/models"


def test_the_credential_goes_where_the_server_looks_for_it() -> None:
    """As with Chat Completions."""
    assert DIALECT.headers("http://localhost/v1", "k") == {"Authorization": "Bearer k"}
    assert DIALECT.headers("https://me.openai.azure.com/openai/v1", "k") == {"api-key": "k"}
    assert DIALECT.headers("http://localhost/v1", None) == {}
