"""What a model answers, in Anthropic's shape, streamed and whole, and as the official client reads it."""

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
from golive.core.messages import Message, Opaque, ToolCall, Usage
from golive.gateway.anthropic_answer import WholeMessage, usage_json
from golive.gateway.anthropic_errors import anthropic_error
from golive.gateway.anthropic_events import MessageStream
from golive.models.call import (
    Finished,
    Metered,
    ModelEvent,
    Opened,
    ReasoningDelta,
    RefusalDelta,
    StateReported,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from tests.unit.test_gateway_anthropic_request import asked, refusal

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
USAGE = Usage(input_tokens=50, cached_input_tokens=20, output_tokens=7, reasoning_tokens=3, cache_write_tokens=10)
METERED = Metered(1, "p/m", Usage(1, 0, 1, 0), 0, True, True, None, 1.0)
SIGNED = b'{"type":"thinking","thinking":"hm","signature":"c2ln"}'
HI = [{"role": "user", "content": "hi"}]


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
