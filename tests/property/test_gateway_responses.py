"""/v1/responses under Hypothesis: whatever a model says makes a stream that the SDK's types accept, whatever a client
sends is a request or an error of ours."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from golive.core.errors import InvalidRequest, ModelCut
from golive.core.messages import Opaque, Usage
from golive.gateway.responses_events import ResponseStream
from golive.gateway.responses_face import ResponsesAsked
from golive.gateway.responses_output import ResponseObject
from golive.models.call import (
    Finished,
    ModelEvent,
    Opened,
    ReasoningDelta,
    RefusalDelta,
    StateReported,
    TextDelta,
    ToolCallDelta,
)

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
_STATE = st.builds(Opaque, st.sampled_from(["p", "q"]), st.just(Raw(b'{"s":"x"}')), st.integers(0, 2))
_EVENTS: st.SearchStrategy[ModelEvent] = st.one_of(
    st.builds(TextDelta, _TEXT, st.sampled_from([0, 0, 0, 1])),
    st.builds(ReasoningDelta, _TEXT),
    st.builds(RefusalDelta, _TEXT),
    st.builds(ToolCallDelta, st.integers(0, 2), st.none() | _TEXT, st.none() | _TEXT, _TEXT),
    st.builds(StateReported, _STATE, st.none() | st.integers(0, 3)),
)


def _written(events: list[ModelEvent], cuts: set[int], end: str) -> bytes:
    writer = ResponseStream(ResponseObject("resp_run_1", 5, "p/m", {}), "run_1")
    out, batch = b"", []
    for index, event in enumerate([Opened(), *events, *([] if end == "error" else [Finished(end)])]):  # type: ignore[arg-type]
        batch.append(event)
        if index in cuts:
            out += writer.batch(batch)
            batch = []
    out += writer.batch(batch)
    return out + (writer.error(ModelCut("It broke off.")) if end == "error" else writer.end(Usage(1, 0, 1)))


def _most_open(told: list[dict[str, Any]]) -> int:
    """How many messages and reasonings stand open at once; calls may come in turns."""
    opened: set[int] = set()
    most = 0
    for event in told:
        if event["type"].startswith("response.output_item.") and event["item"]["type"] != "function_call":
            change = opened.add if event["type"].endswith("added") else opened.discard
            change(event["output_index"])
            most = max(most, len(opened))
    return most


def _texts(item: dict[str, Any]) -> list[str]:
    if item["type"] == "function_call":
        return [item["arguments"]]
    parts = item["summary"] if item["type"] == "reasoning" else item["content"]
    return [part.get("text", part.get("refusal")) for part in parts]


@settings(max_examples=600)
@given(
    st.lists(_EVENTS, max_size=12), st.sets(st.integers(0, 12)),
    st.sampled_from(["stop", "length", "tool_calls", "content_filter", "error"]),
)  # fmt: skip
def test_whatever_a_model_says_is_a_stream_of_the_dialect(events: list[ModelEvent], cuts: set[int], end: str) -> None:
    """Every event is valid for the SDK and numbered; the deltas of each text are its whole; what was opened is closed
    once, and not when the answer broke off; and batches make no difference."""
    out = _written(events, cuts, end)
    assert out == _written(events, set(), end)
    told = [msgspec.json.decode(event.partition(b"\ndata: ")[2]) for event in out.split(b"\n\n") if event]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    for event in told:
        EVENT.validate_python(event)
    said: dict[int, list[str]] = {}
    for event in told:
        if event["type"].endswith(".delta"):
            place = event.get("content_index", event.get("summary_index", 0))
            texts = said.setdefault(event["output_index"], [])
            texts += [""] * (place + 1 - len(texts))
            texts[place] += event["delta"]
    output = told[-1]["response"]["output"]
    for index, item in enumerate(output):
        assert _texts(item) == said.get(index, [""] if item["type"] == "function_call" else [])
    done = sorted((event["output_index"], event["item"]["id"]) for event in told if event["type"].endswith("item.done"))
    opened = [(event["output_index"], event["item"]["id"]) for event in told if event["type"].endswith("item.added")]
    assert opened == [(index, item["id"]) for index, item in enumerate(output)]
    assert len({item["id"] for item in output}) == len(output)
    assert _most_open(told) <= 1
    if end == "error":
        assert told[-1]["type"] == "response.failed"
    else:
        assert done == opened
        assert told[-1]["type"] == ("response.completed" if end in ("stop", "tool_calls") else "response.incomplete")


# ---- requests -------------------------------------------------------------------------------------------------------

_WORDS = st.sampled_from([
    "message", "function_call", "function_call_output", "reasoning", "item_reference", "input_text", "output_text",
    "refusal", "input_image", "input_file", "user", "assistant", "system", "function", "web_search", "allowed_tools",
    "auto", "required", "json_schema", "text", "golive.", "golive.e30=", "x",
])  # fmt: skip
_KEYS = st.sampled_from([
    "type", "role", "content", "text", "refusal", "image_url", "call_id", "name", "arguments", "output", "mode",
    "tools", "encrypted_content", "format", "schema", "effort", "id", "strict", "parameters", "\x00",
])  # fmt: skip
_ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=10,
)
_ITEM = st.fixed_dictionaries(
    {"type": _WORDS},
    optional={"role": _WORDS, "content": _ANYTHING, "call_id": _WORDS, "name": _WORDS, "arguments": _WORDS,
              "output": _ANYTHING, "encrypted_content": _WORDS},
)  # fmt: skip
_OPTIONS = ("tools", "tool_choice", "text", "reasoning", "include", "metadata", "conversation", "prompt", "x")
_BODY = st.fixed_dictionaries(
    {"model": st.sampled_from(["p/m", "support"]), "input": st.one_of(_ANYTHING, st.lists(_ITEM, max_size=5))},
    optional=dict.fromkeys(_OPTIONS, _ANYTHING),
)


def _refused(body: dict[str, Any], dialect: str | None) -> InvalidRequest | None:
    try:
        asked = ResponsesAsked(msgspec.json.encode(body), lambda ref: dialect)
        said = asked.model_request(()).messages if "/" in asked.model else asked.agent_input()
    except InvalidRequest as error:
        return error
    assert said or not body["input"]
    return None


@settings(max_examples=2_000)
@given(_BODY, st.sampled_from(["openai-responses", "openai-chat", "gemini", None]))
def test_whatever_a_client_sends_is_a_request_or_an_error_of_ours(body: dict[str, Any], dialect: str | None) -> None:
    """Nothing but InvalidRequest is raised, it names a field, and what is taken says something."""
    error = _refused(body, dialect)
    assert error is None or (error.fields["field"] and error.message)
