"""How a request is written for Google Gemini, where it differs from other vendors."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from golive.core.errors import ModelBadRequest
from golive.core.messages import ImagePart, Message, Opaque, TextPart, ToolCall, ToolSpec
from golive.models.call import ModelRequest
from golive.models.dialect import Target
from golive.models.gemini import Gemini

HELLO = (Message("user", "Hello"),)
SKIP = "skip_thought_signature_validator"


def encode(*messages: Message, model: str = "gemini-3.5-flash", **fields: Any) -> dict[str, Any]:
    """The body of a request with these messages, to the provider `google`."""
    request = ModelRequest(messages=messages or HELLO, **fields)
    wire: dict[str, Any] = msgspec.json.decode(Gemini().encode(request, Target("google", model, "https://x/v1beta")))
    return wire


def contents(*messages: Message, model: str = "gemini-3.5-flash") -> list[tuple[str, list[dict[str, Any]]]]:
    return [(item["role"], item["parts"]) for item in encode(*messages, model=model)["contents"]]


def state(data: Any, before: int = 0, provider: str = "google") -> Opaque:
    return Opaque(provider, Raw(msgspec.json.encode(data)), before)


def signed(signature: str, before: int = 0) -> Opaque:
    return state({"thoughtSignature": signature}, before)


# ---- messages


def test_neighbours_of_one_role_become_one_content() -> None:
    """Gemini wants turns that alternate: results and the words behind them are one content of the user."""
    assert contents(
        Message("system", "S1"), Message("user", "a"), Message("system", "S2"), Message("user", "b"),
        Message("assistant", "c"), Message("assistant", "d"), Message("assistant", ""), Message("user", ""),
    ) == [
        ("user", [{"text": "a"}, {"text": "b"}]), ("model", [{"text": "c"}, {"text": "d"}]), ("user", [{"text": ""}]),
    ]  # fmt: skip


def test_all_system_messages_are_the_system_instruction() -> None:
    """Wherever they stand: Gemini has one place for them."""
    wire = encode(Message("system", "S1"), Message("user", "a"), Message("system", (TextPart("S2"), TextPart("S3"))))
    assert wire["systemInstruction"] == {"parts": [{"text": "S1"}, {"text": "S2"}, {"text": "S3"}]}


def test_a_system_message_alone_is_asked_as_the_user() -> None:
    """A request without contents would be refused."""
    assert encode(Message("system", "Say hi.")) == {
        "contents": [{"role": "user", "parts": [{"text": "Say hi."}]}],
        "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
    }


def test_a_result_carries_the_name_and_id_of_its_call() -> None:
    """Gemini matches results by name and id; an id used twice means the latest call before it."""
    assert contents(
        Message("assistant", tool_calls=(ToolCall("x", "f", "{}"),)), Message("tool", "1", tool_call_id="x"),
        Message("assistant", tool_calls=(ToolCall("x", "g", "{}", signed("s")),)),
        Message("tool", "2", tool_call_id="x"),
        Message("tool", "3", tool_call_id="lost"), Message("tool", "4", name="h"), Message("user", "done"),
    ) == [
        ("model", [{"functionCall": {"id": "x", "name": "f", "args": {}}}]),
        ("user", [{"functionResponse": {"id": "x", "name": "f", "response": {"output": "1"}}}]),
        ("model", [{"functionCall": {"id": "x", "name": "g", "args": {}}, "thoughtSignature": "s"}]),
        ("user", [
            {"functionResponse": {"id": "x", "name": "g", "response": {"output": "2"}}},
            {"functionResponse": {"id": "lost", "name": "lost", "response": {"output": "3"}}},
            {"functionResponse": {"name": "h", "response": {"output": "4"}}}, {"text": "done"},
        ]),
    ]  # fmt: skip


def test_before_gemini_3_results_are_told_apart_by_their_order() -> None:
    """Older models refuse ids, so results that a client sent in another order are put into that of the calls."""
    sent = contents(
        Message("assistant", tool_calls=(ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}"))),
        Message("tool", "of b", tool_call_id="b"), Message("tool", "of a", tool_call_id="a"),
        model="gemini-2.5-flash",
    )  # fmt: skip
    assert sent == [
        ("model", [{"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "f", "args": {}}}]),
        ("user", [
            {"functionResponse": {"name": "f", "response": {"output": "of a"}}},
            {"functionResponse": {"name": "f", "response": {"output": "of b"}}},
        ]),
    ]  # fmt: skip


def test_a_result_is_sent_as_its_text() -> None:
    """JSON in a result stays text: in Google's Struct a number of 20 digits would be rounded."""
    sent = contents(Message("tool", '{"order": 12345678901234567890}', tool_call_id="x"))
    assert sent[0][1][0]["functionResponse"]["response"] == {"output": '{"order": 12345678901234567890}'}


def test_a_picture_in_a_result_stands_beside_it() -> None:
    """Results are text; their pictures follow as parts of the same content."""
    parts = (TextPart("see"), ImagePart("data:image/gif;base64,R0lG"))
    assert contents(Message("tool", parts, tool_call_id="x"))[0][1] == [
        {"functionResponse": {"id": "x", "name": "x", "response": {"output": "see"}}},
        {"inlineData": {"mimeType": "image/gif", "data": "R0lG"}},
    ]


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}), ("", {}), (" \n", {}), ("{}", {}),
        ('{"a": ', {"arguments": '{"a": '}), ("[1]", {"arguments": "[1]"}), ('"x"', {"arguments": '"x"'}),
        ('{"a": NaN}', {"arguments": '{"a": NaN}'}), ("[" * 5_000, {"arguments": "[" * 5_000}),
        ('{"a": 1} trailing', {"arguments": '{"a": 1} trailing'}),
    ],
)  # fmt: skip
def test_arguments_are_an_object_whatever_the_model_wrote(arguments: str, args: Any) -> None:
    """Gemini takes objects alone: anything else goes as {"arguments": the text}, so that nothing is lost."""
    sent = contents(Message("assistant", tool_calls=(ToolCall("x", "f", arguments),)))
    assert sent[0][1][0]["functionCall"]["args"] == args


# ---- pictures


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("data:image/png;base64,iVBO", {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}),
        ("data:image/webp;charset=x;BASE64,UklG", {"inlineData": {"mimeType": "image/webp", "data": "UklG"}}),
        ("data:image/svg+xml,%3Csvg/%3E", {"inlineData": {"mimeType": "image/svg+xml", "data": "PHN2Zy8+"}}),
        ("data:;base64,iVBO", {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}),
        (
            "https://x.test/a.JPG?w=1#f",
            {"fileData": {"fileUri": "https://x.test/a.JPG?w=1#f", "mimeType": "image/jpeg"}},
        ),
        ("gs://bucket/a.heic", {"fileData": {"fileUri": "gs://bucket/a.heic", "mimeType": "image/heic"}}),
        ("https://x.test/png", {"fileData": {"fileUri": "https://x.test/png"}}),
        ("https://[odd/a.png", {"fileData": {"fileUri": "https://[odd/a.png", "mimeType": "image/png"}}),
    ],
)
def test_pictures_go_inside_or_by_address(url: str, part: dict[str, Any]) -> None:
    """A data: URL is taken apart, whatever its encoding; an address is left to Google, its type told where it shows."""
    assert contents(Message("user", (ImagePart(url, detail="high"),))) == [("user", [part])]


@pytest.mark.parametrize("url", ["", "picture.png", "data:image/png;base64", "://x", "https://"])
def test_a_picture_that_is_nowhere_is_told(url: str) -> None:
    """Neither a data: URL nor an address: the error names it, and says that nothing was sent."""
    with pytest.raises(ModelBadRequest) as caught:
        contents(Message("user", (ImagePart(url),)))
    assert (caught.value.fields["field"], caught.value.fields["value"]) == ("a picture's url", url)
    assert caught.value.fields["sent"] is False


# ---- state


def test_state_goes_back_to_its_place() -> None:
    """Signatures onto text and calls, other parts between the calls as they came."""
    code = {"executableCode": {"code": "1"}}
    message = Message(
        "assistant", "Hm.",
        tool_calls=(ToolCall("a", "f", "{}", signed("s1")), ToolCall("b", "g", "{}", signed("s2"))),
        state=(signed("t"), state(code, 1), signed("end", 2), state(code, 9)),
    )  # fmt: skip
    assert contents(Message("user", "x"), message)[1][1] == [
        {"text": "Hm.", "thoughtSignature": "t"},
        {"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": "s1"},
        code,
        {"functionCall": {"id": "b", "name": "g", "args": {}}, "thoughtSignature": "s2"},
        {"text": "", "thoughtSignature": "end"},
        code,
    ]


def test_a_signature_without_text_stands_on_an_empty_one() -> None:
    """And a second one on the same text does, too: no part has two, and none is dropped."""
    assert contents(Message("assistant", "", state=(signed("t"),))) == [
        ("model", [{"text": "", "thoughtSignature": "t"}])
    ]
    assert contents(Message("assistant", "Hm.", state=(signed("t"), signed("u")))) == [
        ("model", [{"text": "Hm.", "thoughtSignature": "t"}, {"text": "", "thoughtSignature": "u"}])
    ]


def test_state_of_another_provider_stays_away() -> None:
    """Signatures are the provider's own: another one gets the text and the calls alone, also of the same vendor."""
    message = Message(
        "assistant", "Hm.", tool_calls=(ToolCall("a", "f", "{}", state({"thoughtSignature": "s"}, provider="vertex")),),
        state=(state({"thoughtSignature": "t"}, provider="vertex"), state("not an object")),
    )  # fmt: skip
    assert contents(message, model="gemini-2.5-pro")[0][1] == [
        {"text": "Hm."}, {"functionCall": {"name": "f", "args": {}}},
    ]  # fmt: skip


def foreign_turns() -> tuple[Message, ...]:
    """Calls that another provider's model made: in an earlier turn, and two steps of the current one."""
    two = (ToolCall("b", "g", "{}"), ToolCall("c", "h", "{}", state({"thoughtSignature": "s"}, provider="other")))
    return (
        Message("user", "1"), Message("assistant", tool_calls=(ToolCall("a", "f", "{}"),)),
        Message("tool", "x", tool_call_id="a"), Message("user", "2"), Message("assistant", tool_calls=two),
        Message("tool", "y", tool_call_id="b"), Message("tool", "z", tool_call_id="c"),
        Message("assistant", tool_calls=(ToolCall("d", "f", "{}", signed("real")),)),
        Message("tool", "w", tool_call_id="d"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "dummy"),
    [
        ("gemini-3-pro-preview", SKIP), ("gemini-3.8-flash", SKIP), ("gemini-4-argon", SKIP), ("gemini-10-pro", SKIP),
        ("models/gemini-flash-latest", SKIP), ("gemini-2.5-pro", None), ("gemini-1.5-flash", None),
        ("gemini-pro", None), ("gemma-4-31b-it", None),
    ],
)  # fmt: skip
def test_calls_of_other_providers_pass_gemini_3s_check(model: str, dummy: str | None) -> None:
    """Gemini 3 refuses a first call of a step of the current turn without a signature; a real one is never replaced."""
    signatures = [
        [part.get("thoughtSignature") for part in parts if "functionCall" in part]
        for _, parts in contents(*foreign_turns(), model=model)
    ]
    assert [found for found in signatures if found] == [[None], [dummy, None], ["real"]]


# ---- tools and output


def test_tools_keep_their_json_schema() -> None:
    """parametersJsonSchema takes the schema as it is."""
    schema = {"type": "object", "properties": {"x": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/X"}]}}}
    tools = (ToolSpec("f", "", Raw(msgspec.json.encode(schema))), ToolSpec("g", "Does g.", Raw(b"{}")))
    assert encode(tools=tools)["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "parametersJsonSchema": schema},
                {"name": "g", "description": "Does g.", "parametersJsonSchema": {}},
            ]
        }
    ]


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}), ("none", {"mode": "NONE"}), ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        ({"type": "function", "name": "f"}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (
            {"type": "allowed_tools", "allowed_tools": {
                "mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}],
            }},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"tools": [{"type": "function", "name": "g"}]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["g"]},
        ),
    ],
)  # fmt: skip
def test_tool_choice_is_a_calling_mode(choice: Any, config: dict[str, Any]) -> None:
    """OpenAI's words in Gemini's."""
    wire = encode(tool_choice=Raw(msgspec.json.encode(choice)))
    assert wire["toolConfig"] == {"functionCallingConfig": config}


@pytest.mark.parametrize("field", ["tool_choice", "output_schema"])
@pytest.mark.parametrize("value", ["any", {"type": "custom"}, {"type": 5}, [], None])
def test_what_gemini_has_no_word_for_is_told(field: str, value: Any) -> None:
    """An unknown choice or format is an error of the request, with its name, and nothing is sent."""
    with pytest.raises(ModelBadRequest) as caught:
        encode(**{field: Raw(msgspec.json.encode(value))})
    assert caught.value.fields["field"] == {"output_schema": "response_format"}.get(field, field)
    assert caught.value.fields["sent"] is False


@pytest.mark.parametrize(
    ("format_", "config"),
    [
        ({"type": "text"}, {}), ({"type": "json_object"}, {"responseMimeType": "application/json"}),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "string"}}},
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "string"}},
        ),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, {"responseMimeType": "application/json"}),
    ],
)  # fmt: skip
def test_structured_output(format_: Any, config: dict[str, Any]) -> None:
    """response_format becomes a MIME type and a JSON Schema."""
    wire = encode(output_schema=Raw(msgspec.json.encode(format_)), model="gemini-2.0-flash")
    assert wire.get("generationConfig", {}) == config


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-3.5-flash", None, {"includeThoughts": True}),
        ("gemini-3.5-flash", "none", {"includeThoughts": True, "thinkingLevel": "MINIMAL"}),
        ("gemini-3.5-flash", "high", {"includeThoughts": True, "thinkingLevel": "HIGH"}),
        ("gemini-3.5-flash", "xhigh", {"includeThoughts": True, "thinkingLevel": "HIGH"}),
        ("gemini-3.1-pro-preview", "minimal", {"includeThoughts": True, "thinkingLevel": "LOW"}),
        ("gemini-4-argon", "medium", {"includeThoughts": True, "thinkingLevel": "MEDIUM"}),
        ("gemini-3-pro-image-preview", None, None), ("gemini-2.5-flash-lite", None, None),
        ("gemini-2.5-flash-lite", "low", {"includeThoughts": True, "thinkingBudget": 1024}),
        ("gemini-2.5-flash", None, {"includeThoughts": True}), ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "medium", {"includeThoughts": True, "thinkingBudget": 8192}),
        ("gemini-2.5-pro", "none", {"includeThoughts": True, "thinkingBudget": 128}),
        ("gemini-2.5-pro", "xhigh", {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-2.0-flash", None, None), ("gemma-4-31b-it", None, None), ("my-own", None, None),
        ("my-own", "low", {"includeThoughts": True, "thinkingLevel": "LOW"}),
    ],
)  # fmt: skip
def test_thinking_is_asked_for_in_the_models_words(model: str, effort: str | None, config: Any) -> None:
    """Levels since Gemini 3, budgets before; thoughts shown where there are any; nothing to others."""
    wire = encode(model=model, reasoning_effort=effort)
    assert wire.get("generationConfig", {}).get("thinkingConfig") == config


# ---- extra


def extra(**fields: Any) -> dict[str, Raw]:
    return {key: Raw(msgspec.json.encode(value)) for key, value in fields.items()}


def test_extra_in_geminis_words_stands_above_ours() -> None:
    """Whole contents, instructions and tools are handed on as they are; the two generationConfig are put together."""
    given = extra(
        contents=[{"role": "user", "parts": [{"videoMetadata": {}}]}], systemInstruction={"parts": []},
        tools=[{"googleSearch": {}}], safetySettings=[], generationConfig={"topK": 3, "temperature": 1},
    )  # fmt: skip
    wire = encode(
        Message("system", "S"), *HELLO, tools=(ToolSpec("f", "", Raw(b"{}")),), temperature=0.5, seed=1,
        dialect="gemini", extra=given, model="gemini-2.0-flash",
    )  # fmt: skip
    assert wire == {
        "contents": [{"role": "user", "parts": [{"videoMetadata": {}}]}], "systemInstruction": {"parts": []},
        "tools": [{"googleSearch": {}}], "safetySettings": [],
        "generationConfig": {"topK": 3, "temperature": 1, "seed": 1},
    }  # fmt: skip


def test_extra_of_another_dialect_is_left_out() -> None:
    """What a client said in OpenAI's words means nothing here."""
    assert "logit_bias" not in encode(extra=extra(logit_bias={"1": 2}))


def test_a_generation_config_that_is_no_object_is_googles_to_refuse() -> None:
    """Handed on verbatim, like everything in `extra`."""
    assert encode(dialect="gemini", extra=extra(generationConfig=5), seed=1)["generationConfig"] == 5
