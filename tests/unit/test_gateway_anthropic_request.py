"""What a client of Anthropic's writes, in our vocabulary: verbatim for one dialect, translated for the others."""

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from pydantic import TypeAdapter

from golive.core.errors import GoliveError, InvalidRequest
from golive.core.messages import ImagePart, Message, Opaque, TextPart, ToolCall, ToolSpec, Usage
from golive.gateway.anthropic_request import agent_messages, model_request, read_messages
from golive.gateway.sealed import seal
from golive.models.call import (
    Metered,
    ModelRequest,
)
from golive.models.estimate import IMAGE_TOKENS, MESSAGE_TOKENS, input_bound

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
USAGE = Usage(input_tokens=50, cached_input_tokens=20, output_tokens=7, reasoning_tokens=3, cache_write_tokens=10)
METERED = Metered(1, "p/m", Usage(1, 0, 1, 0), 0, True, True, None, 1.0)
SIGNED = b'{"type":"thinking","thinking":"hm","signature":"c2ln"}'
HI = [{"role": "user", "content": "hi"}]


def asked(**fields: Any) -> ModelRequest:
    """The model request for a body with these fields."""
    body = msgspec.json.encode({"model": "p/m", "max_tokens": 9, "messages": HI, **fields})
    return model_request(read_messages(body), body, ())


def said(*content: Any, role: str = "user") -> tuple[Message, ...]:
    """The messages that one message of these blocks becomes."""
    return asked(messages=[{"role": role, "content": list(content)}]).messages


def test_instructions_stand_in_front_as_one_text() -> None:
    """`system` is a text or blocks; either way one message that every server takes."""
    blocks = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    assert asked(system="Be brief.").messages == (Message("system", "Be brief."), Message("user", "hi"))
    assert asked(system=blocks).messages[0] == Message("system", "a\n\nb")
    assert asked(system="").messages == (Message("user", "hi"),)


def test_texts_and_pictures_are_parts() -> None:
    """A single text stays a text; pictures come as their address or as a data URL."""
    png = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
    web = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    assert said({"type": "text", "text": "a"}) == (Message("user", "a"),)
    assert said({"type": "text", "text": "a"}, png, web) == (
        Message("user", (TextPart("a"), ImagePart("data:image/png;base64,QUJD"), ImagePart("https://x/y.png"))),
    )


def test_tool_calls_and_results_are_ours() -> None:
    """Calls stand on the assistant's message; each result is a message of its own, before what is said beside it."""
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1.50}}
    assert said({"type": "text", "text": "wait"}, use, role="assistant") == (
        Message("assistant", "wait", tool_calls=(ToolCall("t1", "f", '{"x":1.5}'),)),
    )
    text = [{"type": "text", "text": "sun"}, {"type": "text", "text": "ny"}]
    assert said(
        {"type": "tool_result", "tool_use_id": "t1", "content": "sunny"},
        {"type": "tool_result", "tool_use_id": "t2", "content": text, "is_error": True},
        {"type": "tool_result", "tool_use_id": "t3", "is_error": True},
        {"type": "text", "text": "and?"},
    ) == (
        Message("tool", "sunny", tool_call_id="t1"),
        Message("tool", (TextPart("Error: sun"), TextPart("ny")), tool_call_id="t2"),
        Message("tool", "Error: ", tool_call_id="t3"),
        Message("user", "and?"),
    )


def test_options_are_translated_and_stand_verbatim_beside_it() -> None:
    """Tools, choice, schema, limits and effort in our words for every dialect; the client's own for Anthropic's."""
    tool = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}
    schema = {"type": "json_schema", "schema": {"type": "object"}}
    request = asked(
        tools=[tool], tool_choice={"type": "any", "disable_parallel_tool_use": True}, stop_sequences=["x"],
        temperature=0.5, top_p=0.9, top_k=4, output_config={"format": schema, "effort": "max"},
        metadata={"user_id": "u"}, stream=True, vendor_thing=[1],
    )  # fmt: skip
    assert request.tools == (ToolSpec("f", "d", Raw(b'{"type":"object"}')),)
    assert request.tool_choice == Raw(b'"required"')
    assert (request.parallel_tool_calls, request.stop, request.max_output_tokens) == (False, ("x",), 9)
    assert (request.temperature, request.top_p, request.reasoning_effort) == (0.5, 0.9, "high")
    assert request.output_schema is not None
    assert msgspec.json.decode(request.output_schema)["json_schema"]["schema"] == {"type": "object"}
    assert (request.dialect, request.stream, request.only_there) == ("anthropic", True, ())
    verbatim = {name: msgspec.json.decode(raw) for name, raw in request.extra.items()}
    assert set(verbatim) == {
        "max_tokens", "messages", "tools", "tool_choice", "stop_sequences", "temperature", "top_p", "top_k",
        "output_config", "metadata", "vendor_thing",
    }  # fmt: skip
    assert verbatim["tools"] == [tool]
    assert verbatim["messages"] == HI


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, b'"auto"'),
        ({"type": "any"}, b'"required"'),
        ({"type": "none"}, b'"none"'),
        ({"type": "tool", "name": "f"}, b'{"type":"function","function":{"name":"f"}}'),
    ],
)
def test_each_choice_of_tools_has_its_word(choice: dict[str, Any], expected: bytes) -> None:
    """The four choices, in OpenAI's words; without tools none is sent."""
    tools = [{"name": "f", "input_schema": {}}]
    assert asked(tools=tools, tool_choice=choice).tool_choice == Raw(expected)
    assert asked(tools=tools, tool_choice=choice).parallel_tool_calls is None
    assert asked(tool_choice=choice).tool_choice is None


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"type": "enabled", "budget_tokens": 1_024}, "low"),
        ({"type": "enabled", "budget_tokens": 4_096}, "medium"),
        ({"type": "enabled", "budget_tokens": 32_000}, "high"),
        ({"type": "enabled", "budget_tokens": 1}, None),
        ({"type": "adaptive"}, None),
        ({"type": "disabled"}, None),
    ],
)
def test_a_budget_of_thinking_is_an_effort_elsewhere(thinking: dict[str, Any], effort: str | None) -> None:
    """Dialects that know no budget are asked for an effort; what leaves it to the model asks for none."""
    assert asked(thinking=thinking).reasoning_effort == effort
    assert asked(thinking=thinking, output_config={"effort": "low"}).reasoning_effort == "low"


def test_signed_thinking_is_state_of_the_provider_that_is_asked() -> None:
    """Signed and redacted thoughts go back verbatim, in their place among the tool calls."""
    redacted = {"type": "redacted_thinking", "data": "ENC"}
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    body = b'{"model":"p/m","messages":[{"role":"assistant","content":[%s,%s,%s]}]}' % (
        SIGNED.replace(b",", b" , "), msgspec.json.encode(use), msgspec.json.encode(redacted),
    )  # fmt: skip
    (message,) = model_request(read_messages(body), body, ()).messages
    assert message.state == (
        Opaque("p", Raw(SIGNED.replace(b",", b" , "))),
        Opaque("p", Raw(msgspec.json.encode(redacted)), 1),
    )


def test_sealed_state_goes_back_to_who_gave_it_and_never_to_anthropic() -> None:
    """What golive sealed for another provider is opened for it, on its call too; Anthropic is sent the rest only."""
    of_call = seal(Opaque("gem", Raw(b'"sig"')), "t1")
    of_turn = seal(Opaque("gem", Raw(b'{"a":1}'), 1))
    content = [
        {"type": "redacted_thinking", "data": of_turn},
        {"type": "thinking", "thinking": "shown by golive", "signature": ""},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {}, "cache_control": None},
        {"type": "redacted_thinking", "data": of_call},
    ]
    request = asked(messages=[{"role": "assistant", "content": content[:2]}, {"role": "assistant", "content": content}])
    assert request.messages[0].state == (Opaque("gem", Raw(b'{"a":1}'), 1),)
    assert request.messages[1].tool_calls == (ToolCall("t1", "f", "{}", Opaque("gem", Raw(b'"sig"'))),)
    assert msgspec.json.decode(request.extra["messages"]) == [{"role": "assistant", "content": [content[2]]}]


def test_what_only_anthropic_knows_is_named() -> None:
    """Documents, files and tools that Anthropic runs stand in `only_there`, for other dialects to refuse."""
    document = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x"}}
    file = {"type": "image", "source": {"type": "file", "file_id": "f"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [document]}
    request = asked(
        messages=[{"role": "user", "content": [document, file, result]}],
        tools=[{"type": "web_search_20250305", "name": "web_search"}],
        mcp_servers=[{"name": "m"}],
        container=None,
    )
    assert request.only_there == (
        "messages[0].content[0] (document)", "messages[0].content[1] (image of file)",
        "messages[0].content[2].content[0] (document)", "tools[0] (web_search_20250305)",
        "mcp_servers",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": 5}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "i", "name": "n", "input": 1}]}]},
            "messages[0].content[0].input",
        ),
        (
            {"messages": [{"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]}
            ]}]},
            "messages[0].content[0].content[0].source",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "redacted_thinking", "data": "golive.!"}]}]},
            "messages[0].content[0].data",
        ),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"system": [{"type": "text"}]}, "system[0].text"),
        ({"stop_sequences": "x"}, "stop_sequences"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(fields: dict[str, Any], field: str) -> None:
    """Hostile and mistaken bodies are refused with the place, what stands there, and what to do."""
    with pytest.raises(InvalidRequest) as refused:
        asked(**fields)
    assert refused.value.fields["field"] == field
    assert refused.value.message.startswith(field)
    assert refused.value.remedy


def refusal(act: Callable[[], object]) -> GoliveError | None:
    """The error that it ends in, if any."""
    try:
        act()
    except GoliveError as error:
        return error
    return None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image", "tool_use", "tool_result", "thinking", "redacted_thinking", "odd"])},
    optional={
        name: JSON | st.just("golive.eyJ9")
        for name in ("text", "source", "id", "name", "input", "tool_use_id", "content", "thinking", "signature", "data")
    },
)


@given(st.lists(st.fixed_dictionaries({"role": JSON | st.just("user"), "content": JSON | st.lists(BLOCK | JSON)})))
def test_any_messages_are_read_or_refused_with_a_field(messages: list[Any]) -> None:
    """Whatever JSON stands as messages, it is read or refused by name, for a model and for an agent."""
    body = msgspec.json.encode({"model": "p/m", "messages": messages})
    for read in (lambda given: model_request(given, body, ()), lambda given: agent_messages(given, body)):
        refused = refusal(lambda read=read: read(read_messages(body)))  # type: ignore[misc]
        assert refused is None or refused.fields["field"].startswith("messages")


def test_an_agent_is_sent_texts_and_pictures() -> None:
    """What the client says counts; what golive itself had shown (thinking) is left out, harmless fields do not harm."""
    body = msgspec.json.encode({
        "model": "support", "max_tokens": 100, "system": "French.", "metadata": {"user_id": "u"}, "stream": True,
        "tools": [], "tool_choice": {"type": "auto"}, "thinking": {"type": "disabled"}, "temperature": None,
        "messages": [*HI, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "yo"},
        ]}],
    })  # fmt: skip
    assert agent_messages(read_messages(body), body) == (
        Message("system", "French."), Message("user", "hi"), Message("assistant", "yo"),
    )  # fmt: skip


def test_what_is_sent_verbatim_is_bounded_once() -> None:
    """A picture's bytes are no tokens, though they stand in the verbatim body too; a document's bytes are counted."""
    png = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 100_000}}
    document = {"type": "document", "source": {"type": "base64", "media_type": "x/y", "data": "A" * 100_000}}
    assert input_bound(asked(messages=[{"role": "user", "content": [png]}])) < IMAGE_TOKENS + 100
    assert input_bound(asked(messages=[{"role": "user", "content": [document]}])) > 100_000
    assert input_bound(asked(system="x" * 500)) - input_bound(asked()) == 500 + MESSAGE_TOKENS


def test_forged_seals_are_refused() -> None:
    """A seal that golive did not write is a 400 that names its field, whatever is in it."""
    for inside in (b"", b"{}", b'{"provider":"p","data":nul}', b"\xff"):
        data = "golive." + base64.urlsafe_b64encode(inside).decode()
        with pytest.raises(InvalidRequest) as refused:
            said({"type": "redacted_thinking", "data": data}, role="assistant")
        assert refused.value.fields["field"] == "messages[0].content[0].data"
