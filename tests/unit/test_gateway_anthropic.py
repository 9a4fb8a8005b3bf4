"""Anthropic's shapes: what a client writes, in our vocabulary, and what a model answers, in Anthropic's."""

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message as SdkMessage
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from pydantic import TypeAdapter

from golive.core.errors import GoliveError, InvalidRequest, ModelAuthFailed, ModelCut, ModelRateLimited, Overloaded
from golive.core.frames import text_frame
from golive.core.messages import ImagePart, Message, Opaque, TextPart, ToolCall, ToolSpec, Usage
from golive.gateway.anthropic_answer import WholeMessage, usage_json
from golive.gateway.anthropic_errors import anthropic_error
from golive.gateway.anthropic_events import MessageStream
from golive.gateway.anthropic_request import agent_messages, model_request, read_messages
from golive.gateway.sealed import seal
from golive.models.call import (
    Finished,
    Metered,
    ModelEvent,
    ModelRequest,
    Opened,
    ReasoningDelta,
    RefusalDelta,
    StateReported,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
USAGE = Usage(input_tokens=50, cached_input_tokens=20, output_tokens=7, reasoning_tokens=3, cache_write_tokens=10)
METERED = Metered(1, "p/m", Usage(1, 0, 1, 0), 0, True, True, None, 1.0)
SIGNED = b'{"type":"thinking","thinking":"hm","signature":"c2ln"}'
HI = [{"role": "user", "content": "hi"}]


# ---- requests -------------------------------------------------------------------------------------------------------


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
    )
    assert request.only_there == (
        "messages[0].content[0] (document)", "messages[0].content[1] (image of file)",
        "messages[0].content[2].content[0] (document)", "tools[0] (web_search_20250305)",
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


# ---- answers --------------------------------------------------------------------------------------------------------


def stream_of(*batches: list[ModelEvent], usage: Usage | None = None) -> tuple[list[Any], SdkMessage]:
    """The events of a streamed answer, each one checked, and what the SDK makes of them."""
    stream = MessageStream("run_1", Opened("msg_9", "m-9"), "p/m")
    written = b"".join([stream.batch(batch) for batch in batches])
    assert stream.whole
    return parsed(written + stream.end(usage))


def parsed(written: bytes) -> tuple[list[Any], SdkMessage]:
    """Each event as the SDK's type; the order of blocks; the message put together by the SDK."""
    events: list[Any] = []
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    opened: int | None = None
    for piece in written.split(b"\n\n")[:-1]:
        name, _, data = piece.partition(b"\n")
        event = EVENT.validate_json(data.removeprefix(b"data: "), strict=True)
        assert name == b"event: " + event.type.encode()
        if event.type == "content_block_start":
            assert opened is None
            opened = event.index
        elif event.type in ("content_block_delta", "content_block_stop"):
            assert event.index == opened
            opened = None if event.type == "content_block_stop" else opened
        events.append(event)
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    assert opened is None
    assert (events[0].type, events[-2].type, events[-1].type) == ("message_start", "message_delta", "message_stop")
    return events, SdkMessage.model_validate(snapshot.to_dict())


def whole_of(*batches: list[ModelEvent]) -> SdkMessage:
    """The same answer, sent whole."""
    answer = WholeMessage()
    answer.add([Opened("msg_9", "m-9")])
    for batch in batches:
        answer.add(batch)
    assert answer.whole
    return SdkMessage.model_validate_json(answer.body("run_1", "p/m", 0.0), strict=True)


def both(*batches: list[ModelEvent], usage: Usage | None = None) -> SdkMessage:
    """The message, which is the same streamed and whole."""
    _, streamed = stream_of(*batches, usage=usage)
    reported: list[ModelEvent] = [UsageReported(usage)] if usage else []
    whole = whole_of(*batches, reported)
    assert streamed.to_dict() == whole.to_dict()
    return whole


def blocks(message: SdkMessage) -> list[dict[str, Any]]:
    """The content as plain data."""
    return [block.to_dict() for block in message.content]


def test_text_thinking_and_tools_are_blocks_in_order() -> None:
    """Each kind has its block; a signature ends the thoughts; usage excludes what the cache gave and took."""
    message = both(
        [ReasoningDelta("h"), ReasoningDelta("m"), StateReported(Opaque("p", Raw(SIGNED)))],
        [TextDelta("Look"), TextDelta("ing."), ToolCallDelta(0, "c1", "find", ""), ToolCallDelta(0, arguments='{"q":')],
        [ToolCallDelta(0, arguments='"é"}'), ToolCallDelta(1, "c2", "pay", "{}"), Finished("tool_calls")],
        usage=USAGE,
    )
    assert (message.id, message.model, message.stop_reason) == ("msg_9", "m-9", "tool_use")
    assert blocks(message) == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "c1", "name": "find", "input": {"q": "é"}},
        {"type": "tool_use", "id": "c2", "name": "pay", "input": {}},
    ]
    assert message.usage.to_dict() == {
        "input_tokens": 20, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 10, "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3},
    }  # fmt: skip


def test_usage_known_at_the_start_is_told_at_the_start() -> None:
    """Anthropic's own usage comes with message_start; what came later, or was metered, with message_delta."""
    events, message = stream_of(
        [Opened("msg_9"), UsageReported(Usage(50, 20, 0, 0, 10))], [TextDelta("x"), Finished("stop")], usage=USAGE
    )
    assert events[0].message.usage.input_tokens == 20
    assert events[0].message.usage.output_tokens == 0
    assert message.usage.output_tokens == 7


def test_fragments_that_alternate_come_out_one_behind_the_other() -> None:
    """Blocks never overlap: what arrives while a call is open waits until it is whole, and nothing is lost."""
    message = both(
        [ToolCallDelta(0, "a", "f", '{"x"'), ToolCallDelta(1, "b", "g", "{"), TextDelta("meanwhile")],
        [ToolCallDelta(0, arguments=":1}"), ToolCallDelta(1, arguments="}"), Finished("tool_calls")],
    )
    assert [block["type"] for block in blocks(message)] == ["tool_use", "tool_use", "text"]
    assert [block.get("input") for block in blocks(message)] == [{"x": 1}, {}, None]


def test_the_second_call_does_not_wait_for_the_end() -> None:
    """Where a call is whole when the next begins, the next is streamed as it comes."""
    stream = MessageStream("run_1", Opened(), "p/m")
    stream.batch([ToolCallDelta(0, "a", "f", '{"x":1}')])
    assert b'"name":"g"' in stream.batch([ToolCallDelta(1, "b", "g", "{")])


@pytest.mark.parametrize("arguments", ["", "  ", "not json", '{"x":', "[1]", '{"x":1}}'])
def test_arguments_that_are_no_object_still_arrive(arguments: str) -> None:
    """`input` must be an object: what the model wrote instead stands in one, as it is."""
    (block,) = blocks(whole_of([ToolCallDelta(0, "a", "f", arguments), Finished("tool_calls")]))
    assert block["input"] == ({"INVALID_JSON": arguments} if arguments.strip() else {})


def test_arguments_behind_a_whole_call_are_malformed() -> None:
    """A call that was closed cannot be gone on with; that is an error and not a loss."""
    stream = MessageStream("run_1", Opened(), "p/m")
    stream.batch([ToolCallDelta(0, "a", "f", "{}"), ToolCallDelta(1, "b", "g", "{}")])
    with pytest.raises(GoliveError) as broken:
        stream.batch([ToolCallDelta(0, arguments="x")])
    assert broken.value.code == "model.malformed"
    assert not stream.whole


def test_other_vendors_state_is_sealed_and_comes_back() -> None:
    """A provider's state travels in a redacted_thinking block, and is its own again in the next request."""
    signature, turn = Opaque("gem", Raw(b'"sig"')), Opaque("gem", Raw(b'{"type":"reasoning","id":"rs"}'), 1)
    message = both(
        [ToolCallDelta(0, "c1", "f", "{}"), StateReported(signature, call=0), StateReported(turn)],
        [Finished("tool_calls")],
    )
    request = asked(messages=[{"role": "assistant", "content": blocks(message)}])
    assert request.messages == (
        Message("assistant", "", tool_calls=(ToolCall("c1", "f", "{}", signature),), state=(turn,)),
    )


def test_anthropics_own_blocks_pass_as_they_are() -> None:
    """Redacted thoughts and what Anthropic's tools did are blocks a client knows; citations stay with their text."""
    redacted = {"type": "redacted_thinking", "data": "ENC"}
    citation = {
        "type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None, "file_id": None,
        "start_char_index": 0, "end_char_index": 1,
    }  # fmt: skip
    extra = Raw(msgspec.json.encode({"citations": [citation]}))
    message = both([
        StateReported(Opaque("p", Raw(msgspec.json.encode(redacted)))), TextDelta("cited"), TextDelta("", extra=extra),
        Finished("stop"),
    ])  # fmt: skip
    assert blocks(message) == [redacted, {"type": "text", "text": "cited", "citations": [citation]}]


@pytest.mark.parametrize(
    ("events", "reason", "sequence"),
    [
        ([Finished("stop")], "end_turn", None),
        ([Finished("stop", stop_sequence="END")], "stop_sequence", "END"),
        ([Finished("length")], "max_tokens", None),
        ([Finished("tool_calls")], "tool_use", None),
        ([Finished("content_filter")], "refusal", None),
        ([RefusalDelta("I can"), RefusalDelta("not."), Finished("stop")], "refusal", None),
    ],
)
def test_each_end_has_its_reason(events: list[ModelEvent], reason: str, sequence: str | None) -> None:
    """Every reason to finish in Anthropic's words; a refusal in the model's own words is text and a refusal."""
    message = both([TextDelta("x")], events)
    assert (message.stop_reason, message.stop_sequence) == (reason, sequence)
    assert blocks(message) == [{"type": "text", "text": "xI cannot." if len(events) == 3 else "x"}]
    assert (message.stop_details is not None) is (reason == "refusal")


def test_a_filters_remark_is_no_text() -> None:
    """What a filter explains stands in stop_details, and the answer stays what the model wrote."""
    message = both([TextDelta("x"), RefusalDelta("policy"), Finished("content_filter")])
    assert blocks(message) == [{"type": "text", "text": "x"}]
    assert message.stop_details is not None
    assert message.stop_details.explanation == "policy"


def test_an_answer_without_an_end_is_not_whole() -> None:
    """Neither shape takes an answer for whole that no Finished has ended; another choice's end does not count."""
    stream, answer = MessageStream("run_1", Opened(), "p/m"), WholeMessage()
    events: list[ModelEvent] = [TextDelta("x"), Finished("stop", 1), METERED]
    stream.batch(events)
    answer.add(events)
    assert not stream.whole
    assert not answer.whole
    ended = stream.error(ModelCut("It broke off.")).decode()
    assert ended.startswith("event: error\ndata: {")
    assert msgspec.json.decode(ended.partition("data: ")[2]) == {
        "type": "error",
        "error": {"type": "api_error", "message": "It broke off.", "code": "model.cut"},
        "request_id": "run_1",
    }


def test_an_agents_frames_are_text_and_thinking() -> None:
    """Answer and reasoning are shown, tools and drafts stay inside."""
    stream = MessageStream("run_1", Opened(), "support")
    frames = [
        text_frame(1, 1, "i", "reasoning", "hm"), text_frame(1, 2, "i", "answer", 'a"b'),
        text_frame(1, 3, "i", "draft", "no"), text_frame(1, 4, "i", "answer", "c"),
    ]  # fmt: skip
    written = stream.begin() + stream.frames(frames)
    assert written.count(b"content_block_start") == 4  # each name stands twice
    assert written.count(b"thinking_delta") == 1
    assert b'"text":"a\\"b"' in written
    assert b"no" not in written.replace(b"null", b"")


EVENTS = st.lists(
    st.one_of(
        st.builds(TextDelta, st.text(max_size=4)),
        st.builds(ReasoningDelta, st.text(min_size=1, max_size=4)),
        st.builds(ToolCallDelta, st.integers(0, 2), arguments=st.sampled_from(["{", "}", '"a":1', "{}", "", " ", "x"])),
        st.builds(
            StateReported,
            st.builds(Opaque, st.just("p"), st.sampled_from([Raw(SIGNED), Raw(b'"s"'), Raw(b'{"type":5}')])),
            call=st.none() | st.integers(0, 3),
        ),
    ),
    max_size=12,
)


@given(EVENTS, st.integers(1, 5))
def test_any_answer_streams_in_order_and_loses_no_text(events: list[ModelEvent], size: int) -> None:
    """However the pieces come, blocks stand one behind the other, all text and all arguments arrive, or it fails."""
    begun: set[int] = set()
    given_events: list[ModelEvent] = []
    for event in events:
        if isinstance(event, ToolCallDelta) and event.index not in begun:
            begun.add(event.index)
            given_events.append(ToolCallDelta(event.index, f"c{event.index}", "f", event.arguments))
        else:
            given_events.append(event)
    given_events.append(Finished("stop"))
    stream = MessageStream("run_1", Opened(), "p/m")
    batches = [given_events[start : start + size] for start in range(0, len(given_events), size)]
    pieces: list[bytes] = []
    broken = refusal(lambda: pieces.extend(stream.batch(batch) for batch in batches))
    if broken is not None:
        assert broken.code == "model.malformed"
        return
    written = b"".join(pieces) + stream.end(None)
    seen: dict[str, str] = {"text": "", "thinking": "", "partial_json": ""}
    order: list[int] = []
    for piece in written.split(b"\n\n")[:-1]:
        event = msgspec.json.decode(piece.partition(b"data: ")[2])
        if event["type"] == "content_block_start":
            order.append(event["index"])
        for name, value in event.get("delta", {}).items():
            if name in seen:
                seen[name] += value
    assert order == list(range(len(order)))
    assert sorted(seen["text"]) == sorted("".join(e.text for e in given_events if isinstance(e, TextDelta)))
    assert sorted(seen["partial_json"]) == sorted(
        "".join(e.arguments for e in given_events if isinstance(e, ToolCallDelta))
    )


def test_usage_never_goes_below_zero() -> None:
    """A vendor whose parts are more than their sum does not make a negative count."""
    assert msgspec.json.decode(usage_json(Usage(5, 20, 1, 0, 30)))["input_tokens"] == 0


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (InvalidRequest("bad", field="model"), 400, "invalid_request_error", "request.invalid"),
        (Overloaded("full"), 529, "overloaded_error", "server.overloaded"),
        (ModelRateLimited("x", status=429, vendor_message="slow", vendor_code="rl"), 429, "rate_limit_error", "rl"),
        (ModelAuthFailed("no", status=401), 502, "api_error", "model.auth"),
        (ModelCut("cut"), 502, "api_error", "model.cut"),
    ],
)
def test_errors_have_anthropics_shape(error: GoliveError, status: int, kind: str, code: str) -> None:
    """Status and type as Anthropic's clients know them, golive's or the vendor's code beside it."""
    told, _, body = anthropic_error(error, "run_1")
    answer = msgspec.json.decode(body)
    assert told == status
    assert (answer["type"], answer["request_id"]) == ("error", "run_1")
    assert (answer["error"]["type"], answer["error"]["code"]) == (kind, code)


def test_forged_seals_are_refused() -> None:
    """A seal that golive did not write is a 400 that names its field, whatever is in it."""
    for inside in (b"", b"{}", b'{"provider":"p","data":nul}', b"\xff"):
        data = "golive." + base64.urlsafe_b64encode(inside).decode()
        with pytest.raises(InvalidRequest) as refused:
            said({"type": "redacted_thinking", "data": data}, role="assistant")
        assert refused.value.fields["field"] == "messages[0].content[0].data"
