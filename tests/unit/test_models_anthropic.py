"""What is special to answers of Anthropic Messages: state, blocks, how they end, and what breaks them."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from golive.core.errors import (
    ModelCut,
    ModelMalformed,
)
from golive.core.messages import Opaque
from golive.models import anthropic_blocks
from golive.models.anthropic import Anthropic
from golive.models.call import (
    Finished,
    Opened,
    ReasoningDelta,
    RefusalDelta,
    StateReported,
    TextDelta,
    ToolCallDelta,
)
from golive.models.vendor_errors import Origin
from tests.contract.speakers.anthropic import (
    PING,
    REFUSED,
    THOUGHT,
    arguments,
    begin,
    close,
    delta,
    finish,
    message,
    sse,
    start,
    text,
    tool,
)
from tests.contract.test_dialect import Outcome, calls, decode, of_kind
from tests.contract.test_dialect import text as text_of

DIALECT = Anthropic()


def stream(*events: dict[str, Any]) -> Outcome:
    return decode(DIALECT, sse(*events), streamed=True)


def whole(content: list[dict[str, Any]], stop: str | None = "end_turn", **more: Any) -> Outcome:
    return decode(DIALECT, msgspec.json.encode(message(content, stop, **more)), streamed=False)


def states(outcome: Outcome) -> list[tuple[dict[str, Any], int]]:
    """What was reported as state, and before which call it stands."""
    reported: list[StateReported] = of_kind(outcome[0], StateReported)
    assert all(item.state.provider == "p" and item.call is None for item in reported)
    return [(msgspec.json.decode(item.state.data), item.state.before) for item in reported]


# ---- thoughts, and what the vendor's own tools did


def test_thoughts_are_reported_whole_for_the_way_back() -> None:
    """Each block with its signature, redacted ones as they are, and how many tool calls came before."""
    hidden = {"type": "redacted_thinking", "data": "x=="}
    outcome = stream(
        start(), begin(0, "thinking", thinking="", signature=""), delta(0, "thinking_delta", thinking="hm "),
        delta(0, "thinking_delta", thinking="so"), delta(0, "signature_delta", signature="sig=="), close(0),
        begin(1, "redacted_thinking", data="x=="), close(1), tool(2, "find", "a"), arguments(2, "{}"),
        close(2), begin(3, "thinking", thinking="", signature=""), delta(3, "signature_delta", signature="s3"),
        close(3), tool(4, "find", "b"), close(4), *finish("tool_use"),
    )  # fmt: skip
    silent = {"type": "thinking", "thinking": "", "signature": "s3"}
    assert outcome[1] is None
    assert states(outcome) == [(THOUGHT, 0), (hidden, 0), (silent, 1)]
    assert text_of(outcome[0], ReasoningDelta) == "hm so"
    found = whole([THOUGHT, hidden, {"type": "tool_use", "id": "a", "name": "f", "input": {}}, silent], "tool_use")
    assert states(found) == [(THOUGHT, 0), (hidden, 0), (silent, 1)]


def test_thoughts_that_were_cut_are_no_state() -> None:
    """Without its signature the API would refuse the block."""
    outcome = stream(start(), begin(0, "thinking", thinking=""), delta(0, "thinking_delta", thinking="hm"))
    assert type(outcome[1]) is ModelCut
    assert states(outcome) == []
    assert text_of(outcome[0], ReasoningDelta) == "hm"


def test_thoughts_without_a_signature() -> None:
    """Compatible servers sign nothing, and want them back all the same."""
    outcome = stream(start(), begin(0, "thinking", thinking="hm"), close(0), *text("Yes", index=1), *finish("end_turn"))
    assert states(outcome) == [({"type": "thinking", "thinking": "hm"}, 0)]


def test_tools_of_the_vendor_are_no_calls_of_ours() -> None:
    """What they did is state for the way back; the arguments are put together."""
    use = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "é"}}
    result = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"encrypted_content": "x"}]}
    outcome = stream(
        start(), begin(0, "server_tool_use", id="srv_1", name="web_search", input={}), arguments(0, ""),
        arguments(0, '{"query":'), arguments(0, '"é"}'), close(0),
        begin(1, "web_search_tool_result", tool_use_id="srv_1", content=[{"encrypted_content": "x"}]), close(1),
        *text("It rains.", index=2), *finish("end_turn"),
    )  # fmt: skip
    assert states(outcome) == [(use, 0), (result, 0)]
    assert calls(outcome[0]) == {}
    assert of_kind(outcome[0], Finished) == [Finished("stop")]
    assert states(whole([use, result])) == [(use, 0), (result, 0)]


def test_citations_come_with_the_text() -> None:
    """Each as a field of the vendor's, streamed and whole."""
    citation = {"type": "char_location", "cited_text": "rain"}
    extra = Raw(b'{"citations":[{"type":"char_location","cited_text":"rain"}]}')
    events, _ = stream(
        start(), begin(0, "text", text="It "), delta(0, "text_delta", text="rains."),
        delta(0, "citations_delta", citation=citation), close(0), *finish("end_turn"),
    )  # fmt: skip
    assert of_kind(events, TextDelta) == [TextDelta("It "), TextDelta("rains."), TextDelta("", extra=extra)]
    events, _ = whole([{"type": "text", "text": "It rains.", "citations": [citation]}])
    assert of_kind(events, TextDelta) == [TextDelta("It rains.", extra=extra)]


def test_a_block_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has to be kept until a block is whole has a limit."""
    monkeypatch.setattr(anthropic_blocks, "MAX_STATE_CHARACTERS", 10)
    pieces = [delta(0, "thinking_delta", thinking="12345") for _ in range(3)]
    events, failure = stream(start(), begin(0, "thinking", thinking=""), *pieces)
    assert type(failure) is ModelMalformed
    assert text_of(events, ReasoningDelta) == "123451234512345"


# ---- tool calls


def test_a_call_without_arguments_has_an_empty_object() -> None:
    """The API sends no piece for it, or an empty one."""
    events, _ = stream(start(), tool(0, "a", "1"), close(0), tool(1, "b", "2"), arguments(1, ""), *finish("tool_use"))
    assert calls(events) == {0: ("1", "a", "{}"), 1: ("2", "b", "{}")}


def test_arguments_that_come_at_once() -> None:
    """A compatible server gives them with the block's start, and does not close it."""
    events, _ = stream(start(), begin(0, "tool_use", id="1", name="a", input={"q": "é"}), *finish("tool_use"))
    assert calls(events) == {0: ("1", "a", '{"q":"é"}')}


def test_calls_with_the_same_id_or_none_are_told_apart() -> None:
    """Results are matched by id."""
    blocks: list[dict[str, Any]] = [{"type": "tool_use", "id": "a", "name": "f", "input": {}} for _ in range(3)]
    events, _ = whole([*blocks, {"type": "tool_use", "name": "f", "input": None}], "tool_use")
    assert [found[0] for found in calls(events).values()] == ["a", "ax1", "ax2", "toolu_msg1x3"]
    assert calls(events)[3][2] == "{}"


def test_a_block_that_begins_again_is_another() -> None:
    """A server that gives every block the index 0 and closes none still makes two calls."""
    events, _ = stream(
        start(), tool(0, "a", "1"), arguments(0, "{}"), tool(0, "b", "2"), arguments(0, '{"x":1}'), *finish("tool_use")
    )
    assert calls(events) == {0: ("1", "a", "{}"), 1: ("2", "b", '{"x":1}')}


def test_arguments_of_no_call_are_malformed() -> None:
    """They would be lost silently."""
    _, failure = stream(start(), arguments(3, "{}"), *finish("tool_use"))
    assert type(failure) is ModelMalformed


def test_calls_that_end_the_turn_are_calls() -> None:
    """A compatible server that says end_turn after a call means tool_use."""
    events, _ = stream(start(), tool(0, "a", "1"), close(0), *finish("end_turn"))
    assert of_kind(events, Finished) == [Finished("tool_calls")]


# ---- how answers end


@pytest.mark.parametrize(
    ("reason", "finished"),
    [
        ("end_turn", "stop"), ("max_tokens", "length"), ("stop_sequence", "stop"), ("tool_use", "tool_calls"),
        ("pause_turn", "length"), ("refusal", "content_filter"), ("model_context_window_exceeded", "length"),
    ],
)  # fmt: skip
def test_stop_reasons(reason: str, finished: str) -> None:
    """Every documented one."""
    for events, failure in (stream(start(), *finish(reason)), whole([], reason)):
        assert failure is None
        assert [item.reason for item in of_kind(events, Finished)] == [finished]


def test_which_stop_sequence_ended_it() -> None:
    """The vendor says it, and so do we."""
    events, _ = stream(start(), *text("a"), *finish("stop_sequence", stop_sequence="END"))
    assert of_kind(events, Finished) == [Finished("stop", stop_sequence="END")]


def test_a_call_that_ends_for_an_unknown_reason_is_kept_too() -> None:
    """As cut short; thoughts of the same answer stay state."""
    events, failure = stream(start(), tool(0, "find", "call_a"), arguments(0, '{"q":1}'), close(0), *finish("bored"))
    assert failure is None
    assert calls(events) == {0: ("call_a", "find", '{"q":1}')}
    assert of_kind(events, Finished) == [Finished("length")]


def test_a_refusal_without_words() -> None:
    """It finishes as filtered, and no words are made up; those it has come with it."""
    for details in ({}, {"stop_details": None}, {"stop_details": {"explanation": None}}, {"stop_details": [1]}):
        events, _ = stream(start(), *finish("refusal", **details))
        assert of_kind(events, RefusalDelta) == []
        assert of_kind(events, Finished) == [Finished("content_filter")]
    assert of_kind(stream(start(), *finish("refusal", **REFUSED))[0], RefusalDelta) == [RefusalDelta("I cannot.")]


def test_a_stream_that_stops_without_a_reason_is_cut() -> None:
    """`message_stop` alone does not say that the answer is whole."""
    events, failure = stream(start(), *text("half"), {"type": "message_stop"})
    assert type(failure) is ModelCut
    assert text_of(events) == "half"


def test_a_reason_without_message_stop_is_whole() -> None:
    """A server that hangs up after the reason has said all."""
    events, failure = stream(start(), *text("all"), *finish("end_turn")[:1])
    assert failure is None
    assert of_kind(events, Finished) == [Finished("stop")]


def test_nothing_counts_after_the_end() -> None:
    """Neither another reason nor another answer."""
    events, failure = stream(
        start(), *text("a"), *finish("end_turn")[:1], *finish("max_tokens"), start(), *text("b"), *finish("bored")
    )
    assert failure is None
    assert text_of(events) == "a"
    assert of_kind(events, Finished) == [Finished("stop")]
    assert len(of_kind(events, Opened)) == 1


@pytest.mark.parametrize("answer", [{}, {"content": []}, {"stop_reason": "end_turn"}, {"content": [1], "id": 5}])
def test_a_whole_answer_that_is_none(answer: dict[str, Any]) -> None:
    """Without content, or without a reason, it is malformed."""
    events, failure = decode(DIALECT, msgspec.json.encode(answer), streamed=False)
    assert type(failure) is ModelMalformed
    assert events == []


# ---- what is new, and what is odd


def test_what_is_not_known_is_passed_over() -> None:
    """Event types, kinds of blocks and kinds of deltas that the vendor may add, whatever their fields are."""
    events, failure = stream(
        PING, start(), {"type": "thought_budget", "delta": 7, "index": "x", "usage": [], "message": "m"},
        begin(0, "hologram", depth=3), delta(0, "hologram_delta", pixels=[1]), arguments(0, "{"),
        delta(0, "signature_delta", signature="s"), close(0), delta(9, "signature_delta", signature="s"),
        delta(9, "citations_delta"), close(7), *text("a", index=1), *finish("end_turn"),
    )  # fmt: skip
    assert failure is None
    assert text_of(events) == "a"
    assert of_kind(events, StateReported) == []


def test_a_stream_without_its_start() -> None:
    """A proxy that drops the first event loses the ids, not the answer; and the names of events are not needed."""
    body = b"".join(b"data: " + msgspec.json.encode(e) + b"\n\n" for e in [*text("a"), *finish("end_turn")])
    events, failure = decode(DIALECT, body, streamed=True)
    assert failure is None
    assert of_kind(events, Opened) == [Opened("", "", "req_1")]
    assert text_of(events) == "a"


def test_the_server_says_how_it_answers() -> None:
    """Where JSON comes though a stream was asked for, it is read as what it is."""
    body = msgspec.json.encode(message([{"type": "text", "text": "a"}], "end_turn"))
    decoder = DIALECT.decoder(Origin("p", "m"), streamed=True, header={"content-type": "application/json"}.get)
    assert decoder.feed(body) == []
    assert text_of(decoder.end()) == "a"


def test_an_answer_has_begun_with_its_first_block() -> None:
    """Also where thoughts are kept from us, so that silence is not taken for a dead server; a ping is none."""
    decoder = DIALECT.decoder(Origin("p", "m"), streamed=True, header={}.get)
    decoder.feed(sse(PING, start()))
    assert decoder.began is False
    decoder.feed(sse(begin(0, "thinking", thinking="", signature="")))
    assert decoder.began is True


@pytest.mark.parametrize(
    "event",
    [
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":7}}',
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":NaN}}',
        b'{"type":"content_block_start","index":1.5,"content_block":{"type":"text"}}',
        b'{"type":"content_block_start"}',
        b'{"type":"content_block_start","content_block":[]}',
        b'{"type":"content_block_start","content_block":{"type":"redacted_thinking","data":"\xff"}}',
        b'{"type":"content_block_start","content_block":{"type":"tool_use","input":{"a":"\xff"}}}',
        b'{"type":"message_delta","delta":{"stop_reason":{}}}',
        b'{"type":"content_block_delta","delta":' + b"[" * 100_000,
        b"[]",
        b"[DONE]",
    ],
)
def test_events_of_wrong_types_are_malformed(event: bytes) -> None:
    """Known events whose fields are none, at any depth; what came before stays."""
    body = sse(start(), *text("half")[:2]) + b"data: " + event + b"\n\n" + sse(*finish("end_turn"))
    events, failure = decode(DIALECT, body, streamed=True)
    assert type(failure) is ModelMalformed
    assert text_of(events) == "half"
    assert of_kind(events, Finished) == []


def test_ten_megabytes_of_one_token() -> None:
    """In many events they are an answer; in one event they are malformed, and are not piled up."""
    piece = "a" * 65_536
    events, failure = stream(start(), *text(*[piece] * 160), *finish("max_tokens"))
    assert failure is None
    assert len(text_of(events)) == 160 * 65_536
    body = sse(start()) + b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"'
    events, failure = decode(DIALECT, body + b"a" * 10_000_000, streamed=True, cuts=[5_000_000, 9_000_000])
    assert type(failure) is ModelMalformed


def test_state_is_of_the_provider_by_its_name() -> None:
    """That is how it finds its way back."""
    decoder = DIALECT.decoder(Origin("acme", "m"), streamed=False, header={}.get)
    decoder.feed(msgspec.json.encode(message([THOUGHT], "end_turn")))
    reported = [event for event in decoder.end() if isinstance(event, StateReported)]
    assert reported == [StateReported(Opaque("acme", Raw(msgspec.json.encode(THOUGHT)), model="m"))]


def test_pieces_of_a_call_are_handed_on_as_they_come() -> None:
    """Fragment by fragment, with id and name first."""
    events, _ = stream(start(), tool(0, "f", "a"), arguments(0, '{"a"'), arguments(0, ":1}"), *finish("tool_use"))
    assert of_kind(events, ToolCallDelta) == [
        ToolCallDelta(0, "a", "f", ""), ToolCallDelta(0, arguments='{"a"'), ToolCallDelta(0, arguments=":1}"),
    ]  # fmt: skip
