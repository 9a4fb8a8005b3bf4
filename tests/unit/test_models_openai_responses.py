"""What is special to OpenAI Responses and to the servers that are almost compatible: reading."""

import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from golive.core.errors import (
    ContentRefused,
    ContextTooLong,
    ModelCut,
    ModelError,
    ModelMalformed,
    ModelRateLimited,
    ModelUnavailable,
)
from golive.core.messages import Opaque, Usage
from golive.models.call import (
    Finished,
    ModelEvent,
    Opened,
    ReasoningDelta,
    StateReported,
    TextDelta,
    UsageReported,
)
from golive.models.openai_responses import OpenAIResponses
from golive.models.openai_responses_wire import usage_of_response
from golive.models.vendor_errors import Origin
from tests.contract.speakers.openai_responses import (
    FIND,
    HALF,
    OPENAI_RESPONSES,
    PAY,
    REFUSED,
    added,
    completed,
    created,
    delta,
    done,
    incomplete,
    message,
    part,
    reasoning,
    response,
    sse,
)
from tests.contract.test_dialect import decode, of_kind, text

DIALECT = OpenAIResponses()
_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def stream(*events: dict[str, Any]) -> tuple[list[ModelEvent], ModelError | None]:
    return decode(DIALECT, sse(*events), streamed=True)


def whole(body: Any) -> tuple[list[ModelEvent], ModelError | None]:
    return decode(DIALECT, msgspec.json.encode(body), streamed=False)


def kinds(events: list[ModelEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


# ---- the official client

NOT_TYPED = {"broken", "unknown end", "unknown end of nothing"}
"""Situations of the contract that the vendor's own types do not have."""


@pytest.mark.parametrize("situation", sorted(set(OPENAI_RESPONSES.streamed) - {*NOT_TYPED, "cut in an event"}))
def test_the_official_client_parses_what_the_contract_reads(situation: str) -> None:
    """Every event of the contract's streams is one of the vendor's own types, all required fields included."""
    for block in OPENAI_RESPONSES.streamed[situation].decode().strip().split("\n\n"):
        name, data = block.split("\n")
        event = _EVENT.validate_python(json.loads(data.removeprefix("data: ")))
        assert event.type == name.removeprefix("event: ")


@pytest.mark.parametrize("situation", sorted(set(OPENAI_RESPONSES.whole) - NOT_TYPED))
def test_the_official_client_parses_the_whole_answers(situation: str) -> None:
    """So are the whole answers."""
    assert Response.model_validate_json(OPENAI_RESPONSES.whole[situation]).id == "resp_1"


def test_the_text_is_that_of_the_official_client() -> None:
    """Two messages and a refusal between them: the text is what the client's `output_text` says."""
    body = response([message("one "), REFUSED | {"id": "msg_2"}, message("two", "msg_3")])
    assert text(whole(body)[0]) == Response.model_validate(body).output_text == "one two"


# ---- state of the provider


def test_encrypted_reasoning_is_reported_with_its_place() -> None:
    """Each reasoning item comes once, as it stood, with the number of calls before it."""
    first, second = reasoning("a", encrypted_content="x"), reasoning(item_id="rs_2", encrypted_content="y", later=[1.5])
    items = [first, FIND, second, PAY]
    events, failure = stream(
        created(), added(reasoning(encrypted_content="half")), done(first), added(FIND, 1), done(FIND, 1),
        added(second, 2), done(second, 2), added(PAY, 3), done(PAY, 3), completed(*items),
    )  # fmt: skip
    assert failure is None
    states = of_kind(events, StateReported)
    assert [(state.state.provider, state.state.before, state.call) for state in states] == [
        ("p", 0, None),
        ("p", 1, None),
    ]
    assert [msgspec.json.decode(state.state.data) for state in states] == [first, second]
    again = of_kind(whole(response(items))[0], StateReported)
    assert again == states


def test_encrypted_reasoning_that_only_the_final_response_has() -> None:
    """Azure fills it in at the end: it is reported then, and stands before the call it led to."""
    full = reasoning(encrypted_content="x")
    events, _ = stream(
        created(), added(reasoning()), done(reasoning()), added(FIND, 1), done(FIND, 1), completed(full, FIND)
    )
    assert of_kind(events, StateReported) == [
        StateReported(Opaque("p", msgspec.Raw(msgspec.json.encode(full)), 0, "m"))
    ]


def test_reasoning_that_is_not_encrypted_is_no_state() -> None:
    """An id alone would point at what the provider did not keep."""
    assert of_kind(whole(response([reasoning("a"), reasoning(encrypted_content=None)]))[0], StateReported) == []


# ---- ends


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("max_output_tokens", "length"),
        ("max_tokens", "length"),
        ("steered", "length"),
        ("content_filter", "content_filter"),
    ],
)
def test_incomplete_answers_say_why(reason: str, ours: Any) -> None:
    """The limit and the filter are told apart, in both forms; a call that was cut by the limit is no finished call."""
    events, failure = stream(*HALF, incomplete(reason, message("half"), FIND))
    assert failure is None
    assert of_kind(events, Finished) == [Finished(ours)]
    assert of_kind(whole(incomplete(reason)["response"])[0], Finished) == [Finished(ours)]
    named_completed = {"type": "response.completed", "response": incomplete(reason)["response"]}
    assert of_kind(stream(*HALF, named_completed)[0], Finished) == [Finished(ours)]


@pytest.mark.parametrize("reason", [None, "sunspots", 7])
def test_an_answer_that_is_incomplete_for_no_known_reason_is_cut_short(reason: Any) -> None:
    """A truncated answer never passes for a whole one; what had come stays."""
    cut = incomplete(reason, message("half"))
    for events, failure in (stream(*HALF, cut), whole(cut["response"])):
        assert failure is None
        assert text(events) == "half"
        assert of_kind(events, Finished) == [Finished("length")]


def test_a_status_that_is_not_known_is_no_whole_answer() -> None:
    """Nor is the answer thrown away for it."""
    events, failure = whole(response([message("x")], "sunspots"))
    assert (failure, text(events), of_kind(events, Finished)) == (None, "x", [Finished("length")])


@pytest.mark.parametrize("status", ["cancelled", "in_progress", "queued"])
def test_a_status_that_is_no_end_is_cut(status: str) -> None:
    """A background answer that is still on its way is none."""
    assert type(whole(response([message("x")], status))[1]) is ModelCut


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "down"}, ModelUnavailable),
        ({"code": "rate_limit_exceeded", "message": "slow"}, ModelRateLimited),
        ({"code": "context_length_exceeded", "message": "long"}, ContextTooLong),
        ({"code": "invalid_prompt", "message": "no"}, ContentRefused),
        ({"code": "image_content_policy_violation", "message": "no"}, ContentRefused),
        ({"code": "something_new", "message": "?"}, ModelUnavailable),
        (None, ModelUnavailable),
        ("in words", ModelUnavailable),
        ([7], ModelUnavailable),
    ],
)
def test_failed_answers_are_mapped_by_their_code(error: Any, kind: type) -> None:
    """In a stream, as an event, and whole: the same error; what the failed answer used is reported."""
    failed = response([], "failed", error=error, usage={"input_tokens": 5, "output_tokens": 1})
    for events, failure in (stream(*HALF, {"type": "response.failed", "response": failed}), whole(failed)):
        assert type(failure) is kind
        assert of_kind(events, UsageReported) == [UsageReported(Usage(5, 0, 1))]
        assert of_kind(events, Finished) == []


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None},
        {"type": "error", "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "slow"}},
        {"type": "no.type.we.know", "error": {"code": 429, "message": "slow"}},
    ],
)
def test_errors_in_a_stream(event: dict[str, Any]) -> None:
    """Flat as documented, nested as sent, and LiteLLM's, which is no event at all."""
    events, failure = stream(*HALF, event, completed(message("never read")))
    assert type(failure) is ModelRateLimited
    assert failure.fields["vendor_message"] == "slow"
    assert text(events) == "half"


@pytest.mark.parametrize(
    "body", [{"object": "error", "message": "no", "code": 404}, {"error": {"code": "server_error"}}]
)
def test_an_error_in_place_of_an_answer(body: dict[str, Any]) -> None:
    """vLLM's flat error and OpenAI's."""
    events, failure = whole(body)
    assert isinstance(failure, ModelError)
    assert type(failure) is not ModelMalformed
    assert events == []


def test_done_is_no_end() -> None:
    """`[DONE]` behind the final response is ignored; without one the stream is cut."""
    events, failure = decode(DIALECT, sse(*HALF, completed()) + b"data: [DONE]\n\n", streamed=True)
    assert (failure, text(events)) == (None, "half")
    assert type(decode(DIALECT, sse(*HALF) + b"data: [DONE]\n\n", streamed=True)[1]) is ModelCut


def test_a_decoder_knows_how_far_it_is() -> None:
    """Begun with the first text, complete and closed with the final response: limits and connections hang on it."""
    decoder = DIALECT.decoder(Origin("p", "m"), streamed=True, header={"content-type": "text/event-stream"}.get)
    seen = []
    for event in (*HALF, completed(message("half"))):
        decoder.feed(sse(event))
        seen.append((decoder.began, decoder.complete, decoder.closed))
    assert seen == [(False, False, False)] * 3 + [(True, False, False), (True, True, True)]


def test_what_follows_the_end_is_ignored() -> None:
    """A second final response, with a second usage, changes nothing."""
    events, failure = stream(*HALF, completed(), delta("more"), completed(usage={"input_tokens": 99}))
    assert failure is None
    assert text(events) == "half"
    assert of_kind(events, UsageReported) == [UsageReported(Usage(11, 4, 7, 2))]
    assert len(of_kind(events, Finished)) == 1


@pytest.mark.parametrize("body", [{}, {"output": None}, {"choices": [{"message": {"content": "x"}}]}, {"output": {}}])
def test_an_answer_without_output_is_malformed(body: dict[str, Any]) -> None:
    """Also an answer of Chat Completions, where the configuration names the wrong dialect."""
    assert type(whole(body)[1]) is ModelMalformed


# ---- fields


def test_parts_of_a_summary_are_paragraphs() -> None:
    """Streamed or whole, two parts do not run into each other, nor come twice."""
    item = reasoning("One.", "Two.")
    for events, _ in (
        stream(
            created(), added(reasoning()), delta("One.", "reasoning_summary_text", "rs_1"),
            delta("Tw", "reasoning_summary_text", "rs_1", summary_index=1),
            delta("o.", "reasoning_summary_text", "rs_1", summary_index=1), done(item), completed(item),
        ),
        whole(response([item])),
    ):  # fmt: skip
        assert text(events, ReasoningDelta) == "One.\n\nTwo."


def test_reasoning_in_full_is_reasoning() -> None:
    """vLLM's open models show their thoughts themselves."""
    item = reasoning(content=[{"type": "reasoning_text", "text": "hm"}])
    for events in (
        stream(created(), delta("hm", "reasoning_text", "rs_1"), done(item), completed(item))[0],
        whole(response([item]))[0],
    ):
        assert text(events, ReasoningDelta) == "hm"
        assert text(events) == ""


def test_items_and_events_that_nobody_knows_are_ignored() -> None:
    """New events, items of tools that the provider runs itself, fields of other kinds: the answer is read."""
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    events, failure = stream(
        created(), {"type": "response.sunspots", "delta": {"x": 1}, "item": 7, "response": "r"}, added(search),
        {"type": "response.output_item.added", "item": None}, {"type": "response.output_item.done"}, done(search),
        added(message(""), 1), part(index=1), delta("x", index=1), {"type": 7},
        {"type": "response.completed", "response": response([]) | {"output": [search, message("x"), 7, None]}},
    )  # fmt: skip
    assert failure is None
    assert text(events) == "x"
    assert of_kind(events, Finished) == [Finished("stop")]


def test_logprobs_stay_with_their_text() -> None:
    """In the form of Chat Completions, which is what faces hand on; none where there are none."""
    one = {"token": "x", "logprob": -0.5, "top_logprobs": []}
    events, _ = stream(created(), delta("x", logprobs=[one]), delta("y"), completed())
    first, second = of_kind(events, TextDelta)
    assert msgspec.json.decode(first.extra) == {"logprobs": {"content": [one]}}
    assert second.extra is None


def test_a_service_tier_is_handed_on() -> None:
    """As with Chat Completions."""
    opened = stream(created(service_tier="flex"), completed())[0][0]
    assert opened == Opened("resp_1", "m-1", "req_1", 7, msgspec.Raw(b'{"service_tier":"flex"}'))


@pytest.mark.parametrize("created_at", [7, 7.9, "7", None, -1, 1e300, True, {}])
def test_a_time_of_any_kind(created_at: Any) -> None:
    """Seconds as the client's types have them (a float), or nothing."""
    opened = whole(response([], created_at=created_at))[0][0]
    assert isinstance(opened, Opened)
    assert opened.created == (7 if created_at in (7, 7.9) else 0)


COUNTED = {"input_tokens": 10, "output_tokens": 5}


@pytest.mark.parametrize(
    ("wire", "ours"),
    [
        (COUNTED | {"input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}}, Usage(10, 4, 5, 0, 3)),
        (COUNTED | {"input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 99}}, Usage(10, 4, 5, 0, 6)),
        (COUNTED | {"output_tokens_details": {"reasoning_tokens": 99}}, Usage(10, 0, 5, 5)),
        (COUNTED | {"total_tokens": 45, "input_tokens_details": None}, Usage(10, 0, 35)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2}}, Usage(10, 2, 5)),
        ({"input_tokens": -3, "output_tokens": "many", "input_tokens_details": 7}, None),
        ({"input_tokens": 10**30, "output_tokens": 1e300}, None),
        ({}, None), (None, None), ("many", None),
    ],
)  # fmt: skip
def test_usage_of_almost_compatible_servers(wire: Any, ours: Usage | None) -> None:
    """Cache reads and writes, Chat's names, hidden reasoning in the total, and nonsense."""
    assert usage_of_response(wire) == ours


def test_a_json_answer_to_a_streaming_request_is_read() -> None:
    """What the server sends is told by its Content-Type, not by what was asked."""
    decoder = DIALECT.decoder(Origin("p", "m"), streamed=True, header={"content-type": "application/json"}.get)
    assert decoder.feed(msgspec.json.encode(response([message("x")]))) == []
    assert text(decoder.end()) == "x"
    assert decoder.failure is None
