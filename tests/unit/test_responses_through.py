"""Items that golive does not read, on their way from a provider of Responses to a client of Responses and back."""

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from golive.core.messages import Message, Opaque, ToolCall
from golive.gateway.openai_answer import WholeAnswer
from golive.gateway.openai_chunks import Chunks
from golive.gateway.responses_face import ResponsesAsked
from golive.models.call import Finished, ModelEvent, ModelRequest, Opened, StateReported, TextDelta
from golive.models.dialect import Target
from golive.models.openai_responses import OpenAIResponses
from tests.contract.speakers.openai_responses import (
    CITED,
    FIND,
    OPENAI_RESPONSES,
    SEARCH,
    added,
    annotated,
    cited,
    completed,
    created,
    delta,
    done,
    message,
    part,
    reasoning,
    response,
    sse,
)
from tests.contract.test_dialect import Outcome, decode, of_kind
from tests.contract.test_dialect import text as text_of

DIALECT = OpenAIResponses()
TARGET = Target("p", "m", "https://p.test/v1")
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
RUN = "run_06gzxqp33e09qezgn5vwsx236n"
THOUGHT = reasoning("hm", encrypted_content="x")
CODE = {
    "id": "ci_1", "type": "code_interpreter_call", "status": "completed", "code": "1+1", "container_id": "c",
    "outputs": [{"type": "logs", "logs": "2"}],
}  # fmt: skip
MCP = {"id": "mcp_1", "type": "mcp_call", "name": "n", "arguments": "{}", "server_label": "s", "output": "é👋"}
CUSTOM = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_a", "name": "sql", "input": "select 1"}
IMAGE = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "aGk="}
NEW = {"type": "a_kind_of_next_year", "x": [1, 2.5, None, {"y": "é"}]}
ITEMS = (SEARCH, CODE, MCP, CUSTOM, IMAGE, NEW)


def stream(*events: dict[str, Any]) -> Outcome:
    return decode(DIALECT, sse(*events), streamed=True)


def whole(*output: dict[str, Any]) -> Outcome:
    return decode(DIALECT, msgspec.json.encode(response(list(output))), streamed=False)


def states(events: list[ModelEvent]) -> list[tuple[Any, int]]:
    return [(msgspec.json.decode(one.state.data), one.state.before) for one in of_kind(events, StateReported)]


def notes(events: list[ModelEvent]) -> list[Any]:
    return [
        note
        for event in of_kind(events, TextDelta)
        if event.extra is not None
        for note in msgspec.json.decode(event.extra)["annotations"]
    ]


def asked(dialect: str | None, **body: Any) -> ResponsesAsked:
    return ResponsesAsked(msgspec.json.encode({"model": "p/m", "input": "Hi", **body}), lambda ref: dialect)


# ---- from the provider ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["type"])
def test_an_item_that_is_not_read_is_state_once(item: dict[str, Any]) -> None:
    """Told with its own event, in the final response, in both or in a whole answer; verbatim, in its place."""
    outcomes = [
        stream(created(), added(item), done(item), added(FIND, 1), done(FIND, 1), completed(item, FIND)),
        stream(created(), done(item), completed(FIND)),
        stream(created(), added(item), completed(item, FIND)),
        whole(item, FIND),
    ]
    for events, failure in outcomes:
        assert failure is None
        assert states(events) == [(item, 0)]
        assert of_kind(events, Finished) == [Finished("tool_calls")]
    events, _ = whole(FIND, item, item | {"id": "another"})
    assert states(events) == [(item, 1), (item | {"id": "another"}, 1)]


@pytest.mark.parametrize("store", [True, False, None])
def test_of_a_response_that_is_kept_the_reasoning_goes_with_what_it_led_to(store: bool | None) -> None:
    """The provider looks it up by its id, and refuses the item without it; where nothing is kept there is nothing to
    look up, and before a message or a call it is not asked for."""
    thought, other = reasoning("hm"), reasoning("so", item_id="rs_2")
    output = [thought, SEARCH, other, message("Paris"), FIND]
    final = {"type": "response.completed", "response": response(output, store=store)}
    kept = [(thought, 0), (SEARCH, 0)] if store else [(SEARCH, 0)]
    for events, failure in (
        stream(created(store=store), *(done(item, index) for index, item in enumerate(output)), final),
        stream(final),
        decode(DIALECT, msgspec.json.encode(final["response"]), streamed=False),
    ):
        assert (failure, states(events)) == (None, kept)
        seen, _ = answered(events)
        sent = asked("openai-responses", input=seen[-1]["response"]["output"]).model_request(()).extra["input"]
        found = [(item["type"], item.get("id")) for item in msgspec.json.decode(sent)]
        assert found[: len(kept)] == [(item["type"], item["id"]) for item, _ in kept]
        assert found[len(kept) :] == [("message", None), ("function_call", None)]


def test_notes_on_a_text_come_once() -> None:
    """As they are told, or when their message is whole, after the text they are about; none is made up."""
    second = CITED | {"title": "B"}
    before = (created(), added(message("")), part(), delta("Paris"))
    outcomes = [
        stream(*before, annotated(CITED), annotated(second, 1), completed(cited("Paris", CITED, second))),
        stream(
            *before, annotated(CITED), done(cited("Paris", CITED, second)), completed(cited("Paris", CITED, second))
        ),
        stream(*before, completed(cited("Paris", CITED, second))),
        stream(completed(cited("Paris", CITED, second))),
        whole(cited("Paris", CITED, second)),
    ]
    for events, failure in outcomes:
        assert failure is None
        assert (text_of(events), notes(events)) == ("Paris", [CITED, second])
    odd = cited("Paris")
    odd["content"][0]["annotations"] = {"0": CITED}
    for events, failure in (whole(odd), stream(*before, annotated("no note"), completed(odd))):  # type: ignore[arg-type]
        assert (failure, text_of(events), notes(events)) == (None, "Paris", [])


# ---- to a client of the same dialect --------------------------------------------------------------------------------


def answered(events: list[ModelEvent], dialect: str = "openai-responses") -> tuple[list[dict[str, Any]], Any]:
    """The events that a client sees, and the whole answer of one that does not stream."""
    face = asked(dialect)
    writer = face.streamed(RUN, Opened("resp_1", "m-1", created=7), 0.0)
    data = writer.batch(events) + writer.end(None)
    seen = [json.loads(block.split(b"data: ", 1)[1]) for block in data.split(b"\n\n") if block]
    collected = face.collected()
    collected.add(events)
    return seen, json.loads(collected.body(RUN, "p/m", 0.0))


@pytest.mark.parametrize("situation", [OPENAI_RESPONSES.streamed, OPENAI_RESPONSES.whole], ids=["streamed", "whole"])
def test_a_client_gets_the_items_as_they_came_and_in_their_order(situation: dict[str, bytes]) -> None:
    """Each as the vendor's own client knows it, in its events and in the response, with the notes on the text."""
    events, _ = decode(DIALECT, situation["search"], streamed=situation is OPENAI_RESPONSES.streamed)
    seen, body = answered(events)
    for event in seen:
        EVENT.validate_python(event)
    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    Response.model_validate(body)
    for output in (seen[-1]["response"]["output"], body["output"]):
        assert [item["type"] for item in output] == ["reasoning", "web_search_call", "message"]
        assert output[1] == SEARCH
        assert output[2]["content"][0]["text"] == "Paris"
        assert output[2]["content"][0]["annotations"] == [CITED]
    told = [event for event in seen if event.get("item") == SEARCH]
    assert [(event["type"], event["output_index"]) for event in told] == [
        ("response.output_item.added", 1), ("response.output_item.done", 1),
    ]  # fmt: skip
    (note,) = [event for event in seen if event["type"] == "response.output_text.annotation.added"]
    assert (note["annotation"], note["annotation_index"], note["output_index"]) == (CITED, 0, 2)
    assert [event["delta"] for event in seen if event["type"] == "response.output_text.delta"] == ["Paris"]


def test_the_client_sends_them_back_and_the_provider_sees_them_again() -> None:
    """The next request: reasoning opened, the items verbatim, the message with its notes and without our id."""
    events, _ = decode(DIALECT, OPENAI_RESPONSES.streamed["search"], streamed=True)
    _, body = answered(events)
    result = {"type": "custom_tool_call_output", "call_id": "call_a", "output": "1"}
    request = asked("openai-responses", input=[*body["output"], CUSTOM, result]).model_request(())
    sent = json.loads(DIALECT.encode(request, TARGET))["input"]
    assert sent[:2] == [THOUGHT, SEARCH]
    assert (sent[2]["content"][0]["annotations"], "id" in sent[2]) == ([CITED], False)
    assert sent[3:] == [CUSTOM, result]


# ---- to everybody else ----------------------------------------------------------------------------------------------


def test_state_of_another_dialect_stays_sealed() -> None:
    """A block of Anthropic's has a type too, and is no item."""
    block = Raw(b'{"type":"server_tool_use","id":"srvtoolu_1"}')
    seen, _ = answered([TextDelta("a"), StateReported(Opaque("p", block, 0, "m")), Finished("stop")], "anthropic")
    assert [item["type"] for item in seen[-1]["response"]["output"]] == ["message", "reasoning"]


def test_a_conversation_that_golive_holds_sends_them_back_too() -> None:
    """Before the text or the call they led to; what another dialect kept under the same name is left out."""
    kept = [
        Opaque("p", Raw(msgspec.json.encode(data)), before, "m")
        for data, before in (
            (THOUGHT, 0), (SEARCH, 0), (CODE, 1), ({"type": "thinking", "thinking": "t"}, 0),
            ({"type": "server_tool_use", "id": "s"}, 0), ({"type": "web_search_tool_result"}, 0), ({"text": "g"}, 0),
        )
    ]  # fmt: skip
    said = Message("assistant", "Paris", tool_calls=(ToolCall("c", "f", "{}"),), state=tuple(kept))
    request = ModelRequest(messages=(Message("user", "Hi"), said, Message("tool", "1", tool_call_id="c")))
    sent = json.loads(DIALECT.encode(request, TARGET))
    assert [item["type"] for item in sent["input"]] == [
        "message", "reasoning", "web_search_call", "message", "function_call", "code_interpreter_call",
        "function_call_output",
    ]  # fmt: skip
    assert sent["include"] == ["reasoning.encrypted_content"]


def test_a_search_does_not_make_a_model_one_that_reasons() -> None:
    """One that does not would refuse to be asked for its reasoning."""
    said = Message("assistant", "Paris", state=(Opaque("p", Raw(msgspec.json.encode(SEARCH)), 0, "m"),))
    sent = json.loads(DIALECT.encode(ModelRequest(messages=(said, Message("user", "Hi"))), TARGET))
    assert [item["type"] for item in sent["input"]] == ["web_search_call", "message", "message"]
    assert "include" not in sent


def test_notes_break_no_other_face() -> None:
    """Chat Completions have no place for them; nor does odd data in the place of log probabilities."""
    events: list[ModelEvent] = [
        Opened("c", "m"), TextDelta("Paris"), TextDelta("", extra=Raw(b'{"annotations":[{"type":"url_citation"}]}')),
        TextDelta("!", extra=Raw(b'{"logprobs":{"content":5,"refusal":null}}')), Finished("stop"),
    ]  # fmt: skip
    collected = WholeAnswer()
    collected.add(events)
    (choice,) = json.loads(collected.body(RUN, "m", 0.0))["choices"]
    assert (choice["message"]["content"], choice["logprobs"]) == ("Paris!", {"content": None, "refusal": None})
    chunks = Chunks("c", 7, "m", with_usage=False).batch(events)
    told = [json.loads(block.removeprefix(b"data: ")) for block in chunks.split(b"\n\n") if block]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in told) == "Paris!"
    seen, body = answered(events, "anthropic")
    assert body["output"][0]["content"][0]["text"] == "Paris!"
    assert seen[-1]["response"]["output"] == body["output"]
