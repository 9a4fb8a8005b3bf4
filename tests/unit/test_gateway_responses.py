"""/v1/responses without a server: items read as messages, settings translated, and what a run's outcome reads as."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw
from openai.types.responses import Response

from golive.core.errors import InvalidRequest, ModelCut, ModelRateLimited
from golive.core.messages import ImagePart, Message, Opaque, TextPart, ToolCall, Usage
from golive.gateway.responses_events import ResponseStream
from golive.gateway.responses_face import ResponsesAsked, run_response
from golive.gateway.responses_items import read_items, unsealed
from golive.gateway.responses_output import ResponseObject
from golive.gateway.sealed import seal
from golive.models.call import Finished, ModelRequest, Opened, StateReported, TextDelta, ToolCallDelta
from golive.runtime.api import RunResult

_encode = msgspec.json.encode


def raws(*items: Any) -> list[Raw]:
    return [Raw(_encode(item)) for item in items]


def asked(dialect: str | None = "openai-chat", **body: Any) -> ModelRequest:
    """The model request for a body."""
    return ResponsesAsked(_encode({"model": "p/m", "input": "Hi", **body}), lambda ref: dialect).model_request(())


def result(outcome: Any, **fields: Any) -> RunResult:
    known: dict[str, Any] = {
        "run": "run_1", "agent": "support", "version": "d", "version_name": "1", "conversation": "c",
        "state": "finished",
        "reason": "done", "message": "", "text": "", "output": None, "usage": Usage(3, 0, 2), "cost_microusd": 0,
        "priced": True, "estimated": False, "steps": 1, "tool_calls": 0, "created_at": 5.0, "started_at": 5.0,
        "finished_at": 6.0, "metadata": {},
    }  # fmt: skip
    return RunResult(outcome=outcome, **{**known, **fields})


def told(outcome: Any, **fields: Any) -> dict[str, Any]:
    """The response that such a run is, valid for the SDK's type."""
    response: dict[str, Any] = msgspec.json.decode(run_response(result(outcome, **fields), {}))
    Response.model_validate(response)
    return response


# ---- items ----------------------------------------------------------------------------------------------------------


def test_items_of_one_turn_become_one_message() -> None:
    """Text and calls of an assistant stand together, outputs and what people say apart; a developer is the system."""
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    picture = {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"}
    assert read_items(
        raws(
            {"role": "developer", "content": "Be brief."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "See"}, picture]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
            {**call, "call_id": "1"},
            {**call, "call_id": "2"},
            {"type": "function_call_output", "call_id": "1", "output": "one"},
            {"type": "function_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "two"}]},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            {"role": "assistant", "content": "Yes."},
        )
    ) == (
        Message("system", "Be brief."),
        Message("user", (TextPart("See"), ImagePart("https://x/y.png", "low"))),
        Message("assistant", "I look.", tool_calls=(ToolCall("1", "f", "{}"), ToolCall("2", "f", "{}"))),
        Message("tool", "one", tool_call_id="1"),
        Message("tool", (TextPart("two"),), tool_call_id="2"),
        Message("assistant", "No."),
        Message("assistant", "Yes."),
    )


def test_state_stands_on_the_turn_and_the_call_it_came_with() -> None:
    """A sealed state comes back where it was, another server's is left out, and reasoning alone is no turn."""
    ours, of_call = Opaque("p", Raw(b'{"x":1}'), before=1), Opaque("p", Raw(b'{"y":2}'))
    messages = read_items(
        raws(
            {"type": "reasoning", "summary": [], "encrypted_content": "gAAA-another-server"},
            {"type": "reasoning", "summary": [], "encrypted_content": seal(ours)},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "reasoning", "summary": [], "encrypted_content": seal(of_call, "c")},
            {"type": "function_call_output", "call_id": "c", "output": "x"},
            {"type": "reasoning", "summary": [], "encrypted_content": seal(ours)},
            {"role": "user", "content": "Hi"},
        )
    )
    assert messages == (
        Message("assistant", "", tool_calls=(ToolCall("c", "f", "{}", of_call),), state=(ours,)),
        Message("tool", "x", tool_call_id="c"),
        Message("user", "Hi"),
    )


def test_a_provider_of_the_same_dialect_gets_its_own_state_opened() -> None:
    """Its items come as it gave them out, those of another provider or model not at all, all else byte for byte."""
    item = Raw(b'{"type":"reasoning","id":"rs_1","summary":[]}')
    other = Raw(b'{ "type" : "web_search_call",  "id":"ws_1", "golive.":1 }')
    given = [
        other, *raws({"type": "reasoning", "encrypted_content": seal(Opaque("p", item))}),
        *raws({"type": "reasoning", "encrypted_content": seal(Opaque("q", item))}),
        *raws({"type": "reasoning", "encrypted_content": seal(Opaque("p", item, model="other"))}),
        *raws({"type": "reasoning", "encrypted_content": "golive-like"}),
    ]  # fmt: skip
    assert unsealed(given, "p", "m") == [other, item, given[4]]
    ours, theirs = "06gzxqp33e09qezgn5vwsx236n", "67ccd2bf17f0819081ff3bb2cf6508e60bb6a6b452d3795b"
    for kind, prefix in (("message", "msg"), ("function_call", "fc")):
        known, made_up = raws({"type": kind, "id": f"{prefix}_{theirs}"}, {"type": kind, "id": f"{prefix}_{ours}_2"})
        assert unsealed([known, made_up], "p", "m") == [known, *raws({"type": kind})]
    known, made_up = raws({"type": "reasoning", "id": f"rs_{theirs}"}, {"type": "reasoning", "id": f"rs_{ours}"})
    assert unsealed([known, made_up], "p", "m") == [known]
    request = asked("openai-responses", input=[msgspec.json.decode(raw) for raw in given[1:2]], vendor={"a": [1.50]})
    assert bytes(request.extra["input"]) == b"[" + bytes(item) + b"]"
    assert bytes(request.extra["vendor"]) == b'{"a":[1.5]}'
    assert bytes(request.extra["store"]) == b"true"
    assert {"model", "stream"}.isdisjoint(request.extra)


def test_items_that_only_the_provider_knows_are_counted_as_text() -> None:
    """What golive cannot read goes to a provider of the same dialect, and counts in the bound of a cut call."""
    strange = {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}}
    request = asked("openai-responses", input=[{"role": "user", "content": "Hi"}, strange], tools=[{"type": "x"}])
    assert request.messages == (Message("user", "Hi"), Message("user", _encode(strange).decode()))
    assert msgspec.json.decode(request.extra["input"])[1] == strange


@pytest.mark.parametrize("kind", ["custom", "shell", "image_generation", "web_search"])
def test_a_provider_of_the_same_dialect_is_sent_its_own_tools(kind: str) -> None:
    """Whatever they answer with comes through."""
    tool = {"type": kind, "name": "x"}
    assert msgspec.json.decode(asked("openai-responses", tools=[tool]).extra["tools"]) == [tool]


# ---- settings -------------------------------------------------------------------------------------------------------


def test_settings_are_translated() -> None:
    """Tools, choice, schema, effort and limits are told to another dialect as what they are."""
    tools = [{"type": "function", "name": name, "description": "D"} for name in "fg"]
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    request = asked(
        tools=tools, tool_choice=allowed, parallel_tool_calls=False, text={"format": schema, "verbosity": "low"},
        reasoning={"effort": "high", "summary": "auto"}, temperature=0, top_p=1, max_output_tokens=7,
    )  # fmt: skip
    assert [(tool.name, tool.description) for tool in request.tools] == [("g", "D")]
    assert msgspec.json.decode(request.tools[0].parameters) == {"type": "object", "properties": {}}
    assert request.tool_choice is not None
    assert bytes(request.tool_choice) == b'"required"'
    assert request.output_schema is not None
    assert msgspec.json.decode(request.output_schema) == {
        "type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
    }  # fmt: skip
    assert (request.parallel_tool_calls, request.reasoning_effort, request.max_output_tokens) == (False, "high", 7)
    assert (request.temperature, request.top_p, request.extra) == (0, 1, {})
    assert asked(text={"format": {"type": "json_object"}}).output_schema == Raw(b'{"type":"json_object"}')
    assert asked(tools=tools, tool_choice="none").tool_choice == Raw(b'"none"')
    assert asked(tool_choice="auto", parallel_tool_calls=True, tools=[]).tool_choice is None


@pytest.mark.parametrize("dialect", ["openai-chat", "anthropic", None])
def test_an_unknown_parameter_is_never_dropped(dialect: str | None) -> None:
    """What golive does not know is refused by name, unless it asks for nothing."""
    assert asked(dialect, vendor_thing=None).extra == {}
    with pytest.raises(InvalidRequest) as refused:
        asked(dialect, vendor_thing={"deep": 1})
    assert refused.value.fields["field"] == "vendor_thing"


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_a_runs_outcome_reads_as_a_status() -> None:
    """Completed and escalated are completed, partial is incomplete, refused has a refusal; others are no answers."""
    done = told("completed", text="Yes.")
    assert (done["id"], done["status"], done["created_at"], done["model"]) == ("resp_run_1", "completed", 5, "support")
    assert done["output"] == [
        {
            "id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": "Yes.", "annotations": [], "logprobs": []}],
        }
    ]  # fmt: skip
    assert told("escalated", text="Somebody will call.")["status"] == "completed"
    partial = told("partial", message="The model was too slow.")
    assert (partial["status"], partial["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert partial["output"][0]["content"][0]["text"] == "The model was too slow."
    refused = told("refused", text="Well.", message="Not that.")
    assert (refused["status"], refused["incomplete_details"]) == ("completed", None)
    assert [part["type"] for part in refused["output"][0]["content"]] == ["output_text", "refusal"]
    assert refused["output"][0]["content"][1]["refusal"] == "Not that."
    failed = told("failed", text="So far", reason="model.rate_limited", message="Busy.")
    assert (failed["status"], failed["output"][0]["status"]) == ("failed", "incomplete")
    assert failed["error"] == {
        "code": "rate_limit_exceeded", "message": "Busy.", "type": "model.rate_limited", "param": None,
    }  # fmt: skip
    assert told("cancelled", reason="cancelled")["status"] == "cancelled"
    assert told(None, state="queued", text="")["status"] == "queued"
    assert told(None, state="running", text="So far")["output"][0]["status"] == "in_progress"


# ---- streams --------------------------------------------------------------------------------------------------------


def stream() -> ResponseStream:
    return ResponseStream(ResponseObject("resp_run_1", 5, "p/m", {}), "run_1")


def datas(data: bytes) -> list[dict[str, Any]]:
    return [msgspec.json.decode(event.partition(b"\ndata: ")[2]) for event in data.split(b"\n\n") if event]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelCut("It broke off."), "server_error"),
        (ModelRateLimited("Slow down.", status=429), "rate_limit_exceeded"),
        (InvalidRequest("No."), "invalid_prompt"),
    ],
)
def test_a_stream_that_fails_at_once_is_a_whole_stream(error: Any, code: str) -> None:
    """Also when nothing was said before: it is created, in progress, and failed."""
    events = datas(stream().error(error))
    assert [event["type"] for event in events] == ["response.created", "response.in_progress", "response.failed"]
    assert events[-1]["response"]["error"]["code"] == code
    assert events[-1]["response"]["error"]["type"] == error.code


def test_a_call_that_was_cut_short_is_incomplete() -> None:
    """Of an answer that ran out of tokens the last item alone is incomplete."""
    writer = stream()
    writer.batch([Opened(), TextDelta("I look."), ToolCallDelta(0, "a", "f", "{}"), ToolCallDelta(1, "b", "g", '{"x')])
    writer.batch([Finished("length")])
    last = datas(writer.end(None))[-1]["response"]
    assert [item["status"] for item in last["output"]] == ["completed", "completed", "incomplete"]
    assert [item.get("arguments") for item in last["output"]] == [None, "{}", '{"x']
    assert last["usage"] is None


def test_log_probabilities_of_all_pieces_are_kept() -> None:
    """Each delta has its own, the part at its end all of them."""
    writer = stream()
    one, two = (dict[str, Any](token=text, logprob=-0.5, bytes=[1], top_logprobs=[]) for text in "ab")
    pieces = [TextDelta(piece["token"], extra=Raw(_encode({"logprobs": {"content": [piece]}}))) for piece in (one, two)]
    events = datas(writer.batch([Opened(), *pieces, Finished("stop")]) + writer.end(None))
    assert [event["logprobs"] for event in events if event["type"] == "response.output_text.delta"] == [[one], [two]]
    assert [event["logprobs"] for event in events if event["type"] == "response.output_text.done"] == [[one, two]]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == [one, two]


def test_the_state_of_a_call_names_the_call() -> None:
    """It is read back onto that call and no other."""
    state = Opaque("p", Raw(b'{"s":1}'))
    writer = stream()
    writer.batch(
        [Opened(), ToolCallDelta(0, "a", "f", "{}"), ToolCallDelta(1, "b", "g", "{}"), StateReported(state, 1)]
    )
    writer.batch([Finished("tool_calls")])
    output = datas(writer.end(None))[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["function_call", "function_call", "reasoning"]
    calls = read_items(raws(*output))[0].tool_calls
    assert calls == (ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}", state))
