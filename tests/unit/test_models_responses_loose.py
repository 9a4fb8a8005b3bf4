"""What servers that are almost compatible make of OpenAI Responses: nothing of it is lost or said twice."""

from typing import Any

import msgspec
import pytest

from golive.core.errors import (
    ModelError,
)
from golive.models.call import (
    Finished,
    ModelEvent,
    Opened,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from golive.models.openai_responses import OpenAIResponses
from tests.contract.speakers.openai_responses import (
    FIND,
    HALF,
    PAY,
    REFUSED,
    added,
    arguments,
    arguments_done,
    call,
    completed,
    created,
    delta,
    done,
    message,
    reasoning,
    response,
    sse,
)
from tests.contract.test_dialect import calls, decode, of_kind, text

DIALECT = OpenAIResponses()


def stream(*events: dict[str, Any]) -> tuple[list[ModelEvent], ModelError | None]:
    return decode(DIALECT, sse(*events), streamed=True)


def whole(body: Any) -> tuple[list[ModelEvent], ModelError | None]:
    return decode(DIALECT, msgspec.json.encode(body), streamed=False)


def kinds(events: list[ModelEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


# ---- servers that leave events out


def test_text_that_only_the_final_response_has() -> None:
    """Nothing but the end: all of it is delivered, once."""
    events, failure = stream(created(), completed(reasoning("hm"), message("Yes"), REFUSED | {"id": "m2"}, FIND))
    assert failure is None
    assert kinds(events) == [
        "Opened", "UsageReported", "ReasoningDelta", "TextDelta", "RefusalDelta", "ToolCallDelta", "ToolCallDelta",
        "Finished",
    ]  # fmt: skip
    assert (text(events), text(events, ReasoningDelta), text(events, RefusalDelta)) == ("Yes", "hm", "I cannot.")
    assert calls(events) == {0: ("call_a", "find", '{"q":"é"}')}


def test_deltas_without_an_item() -> None:
    """LiteLLM begins with a delta; the answer opens without ids, and its text is not repeated at the end."""
    events, failure = stream(delta("Yes", item_id="a"), completed(message("Yes, sir")))
    assert failure is None
    assert events[0] == Opened(request_id="req_1")
    assert [event.text for event in of_kind(events, TextDelta)] == ["Yes", ", sir"]


def test_an_empty_first_delta_opens_nothing() -> None:
    """The answer opens before its first text, also where an empty piece came ahead of everything."""
    events, _ = stream(delta(""), delta(""), delta("Yes"), delta("!"), completed(message("Yes!?")))
    assert kinds(events) == ["Opened", "TextDelta", "TextDelta", "UsageReported", "TextDelta", "Finished"]
    assert text(events) == "Yes!?"


def test_text_that_only_ends_have() -> None:
    """A part's end, an item's end, the final response: each adds what was not said, none says it twice."""
    end = {
        "type": "response.output_text.done",
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "text": "a b",
    }
    two = message("", content=[{"type": "output_text", "text": "a b"}, {"type": "output_text", "text": " c"}])
    events, _ = stream(created(), added(message("")), delta("a"), end, end, done(two), done(two), completed(two))
    assert [event.text for event in of_kind(events, TextDelta)] == ["a", " b", " c"]


def test_ends_of_two_parts_without_deltas_or_indices() -> None:
    """The second part's end is not taken for more of the first."""
    ends = [
        {"type": "response.output_text.done", "item_id": "m", "output_index": 0, "content_index": place, "text": words}
        for place, words in enumerate(("ab", "abc", "b"))
    ]
    assert text(stream(*ends, completed())[0]) == "ababcb"


def test_a_text_that_changed_stands_as_it_was_said() -> None:
    """A final text that denies the streamed one is not said again behind it."""
    events, failure = stream(*HALF, done(message("whole")), completed(message("HALF and more")))
    assert failure is None
    assert text(events) == "half"


def test_a_stream_without_a_final_output() -> None:
    """vLLM's final response may list nothing: what was streamed is the answer."""
    for output in ([], None, "none"):
        events, failure = stream(
            *HALF, added(FIND, 1), {"type": "response.completed", "response": response([]) | {"output": output}}
        )
        assert failure is None
        assert text(events) == "half"
        assert calls(events) == {0: ("call_a", "find", "")}
        assert of_kind(events, Finished) == [Finished("tool_calls")]


def test_arguments_only_at_the_end() -> None:
    """In the end of the arguments, in the end of the item, or in the final response, as text or as an object."""
    want = {0: ("call_a", "find", '{"q":"é"}')}
    endings: list[list[dict[str, Any]]] = [
        [arguments_done('{"q":"é"}', "fc_call_a", 0)], [arguments_done({"q": "é"}, "fc_call_a", 0)], [done(FIND)],
        [completed(FIND | {"arguments": {"q": "é"}})],
        [arguments('{"q"', "fc_call_a", 0), arguments_done('{"q":"é"}', "fc_call_a", 0), done(FIND)],
    ]  # fmt: skip
    for ending in endings:
        assert calls(stream(created(), added(FIND), *ending, completed(FIND))[0]) == want
        assert calls(stream(created(), *ending, completed(FIND))[0]) == want


def test_a_call_of_which_only_arguments_came() -> None:
    """Its name and id come with the final response, and go first."""
    events, _ = stream(arguments('{"q":', "fc_call_a", 0), arguments('"é"}', "fc_call_a", 0), completed(FIND))
    assert of_kind(events, ToolCallDelta) == [ToolCallDelta(0, "call_a", "find", '{"q":"é"}')]


def test_a_call_that_nothing_names_is_shown_at_the_end() -> None:
    """The loop answers that there is no such tool; silence would lose the call."""
    events, _ = stream(created(), arguments("{}", "fc_9", 0), completed())
    assert of_kind(events, ToolCallDelta) == [ToolCallDelta(0, "fc_9", "", "{}")]


# ---- servers that number and name wrongly


def test_one_index_for_everything() -> None:
    """LiteLLM numbers every item 0: a message and two calls are told apart."""
    events, failure = stream(
        created(), added(message("")), delta("x"), done(message("x")), added(FIND),
        arguments('{"q":"é"}', "fc_call_a", 0), done(FIND), added(PAY),
        arguments("{}", "fc_call_b", 0), done(PAY), completed(message("x"), FIND, PAY),
    )  # fmt: skip
    assert failure is None
    assert text(events) == "x"
    assert calls(events) == {0: ("call_a", "find", '{"q":"é"}'), 1: ("call_b", "pay", "{}")}


def test_a_new_id_with_every_event() -> None:
    """Text and reasoning whose ids change on the way are said once."""
    events, _ = stream(
        created(), added(reasoning(item_id="r1")), delta("h", "reasoning_summary_text", "r2"),
        delta("m", "reasoning_summary_text", "r3"), done(reasoning("hm", item_id="r4")), added(message("", "m1"), 1),
        delta("Y", item_id="m2", index=1), delta("es", item_id="m3", index=1), done(message("Yes", "m4"), 1),
        completed(reasoning("hm", item_id="r5"), message("Yes", "m5")),
    )  # fmt: skip
    assert (text(events, ReasoningDelta), text(events)) == ("hm", "Yes")


def test_no_indices_at_all() -> None:
    """Lemonade sends neither index: items are told apart by their ids and their order."""
    bare = []
    for event in (
        created(), added(message("")), delta("a"), done(message("a")), added(message("", "msg_2"), 1),
        delta("b", item_id="msg_2", index=1), done(message("b", "msg_2"), 1), added(FIND, 2), added(PAY, 3),
        arguments('{"q":"é"}', "fc_call_a", 2), arguments("{}", "fc_call_b", 3), done(FIND, 2), done(PAY, 3),
        completed(message("a"), message("b", "msg_2"), FIND, PAY),
    ):  # fmt: skip
        bare.append({key: value for key, value in event.items() if key not in {"output_index", "content_index"}})
    events, failure = stream(*bare)
    assert failure is None
    assert text(events) == "ab"
    assert calls(events) == {0: ("call_a", "find", '{"q":"é"}'), 1: ("call_b", "pay", "{}")}


@pytest.mark.parametrize("streamed", [True, False])
def test_two_calls_with_one_id_are_two_calls(streamed: bool) -> None:
    """Each keeps its arguments, and each gets an id of its own, by which its result is matched."""
    items = [call("f", f'{{"x":{place}}}', "same", "same") for place in range(3)]
    parts = [event for place, item in enumerate(items) for event in (added(item, place), done(item, place))]
    events, failure = stream(created(), *parts, completed(*items)) if streamed else whole(response(items))
    assert failure is None
    made = calls(events)
    assert [made[index][1:] for index in sorted(made)] == [("f", f'{{"x":{place}}}') for place in range(3)]
    assert len({made[index][0] for index in made}) == 3


def test_an_item_that_begins_again_is_another() -> None:
    """The same index and the same id behind the end of the first: still two calls."""
    items = [call("f", f'{{"x":{place}}}', "same", "same") for place in range(2)]
    events, _ = stream(created(), *(event for item in items for event in (added(item), done(item))), completed(*items))
    assert [each[2] for each in calls(events).values()] == ['{"x":0}', '{"x":1}']


def test_calls_without_ids_get_different_ones() -> None:
    """Results are matched by id: neither call_id nor id, and still two."""
    items = [{"type": "function_call", "name": "f", "arguments": "{}"}] * 2
    made = calls(whole(response(items))[0])
    assert len({made[index][0] for index in made}) == 2
    assert all(made[index][0] for index in made)


def test_a_stream_named_by_its_events_alone() -> None:
    """`type` may stand in the event's name only."""
    body = b"".join(
        b"event: %s\ndata: %s\n\n" % (event.pop("type").encode(), msgspec.json.encode(event))
        for event in (created(), delta("x"), completed())
    )
    assert text(decode(DIALECT, body, streamed=True)[0]) == "x"
