"""The dialect of Gemini under anything a wire may bring: never an exception, never a silent loss, never a lie."""

import re
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from golive.core.errors import ModelError
from golive.core.messages import ImagePart, Message, Opaque, TextPart, ToolCall, Usage
from golive.models.call import (
    Finished,
    ModelEvent,
    ModelRequest,
    Opened,
    ReasoningDelta,
    StateReported,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from golive.models.dialect import Target
from golive.models.gemini import Gemini
from golive.models.openai_wire import MAX_TOKENS
from golive.models.vendor_errors import MAX_RETRY_AFTER_S, Origin

DIALECT = Gemini()
TARGET = Target("p", "gemini-3-pro-preview", "https://x/v1beta")

# ---- answers of any kind --------------------------------------------------------------------------------------------

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8), st.sampled_from(["", "NaN", "STOP", "\x00", "é👋"]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)  # fmt: skip


def mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what it should be, now and then anything."""
    return st.one_of(good, good, good, good, ODD)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with any of these fields."""
    return st.fixed_dictionaries({}, optional={key: mostly(value) for key, value in fields.items()})


COUNT = st.integers(0, 10**6) | st.sampled_from([-1, 10**13, 2**63, 1.5, "7"])
DETAILS = st.lists(mostly(some(modality=st.sampled_from(["TEXT", "AUDIO", "IMAGE"]), tokenCount=COUNT)), max_size=3)
USAGE = some(
    promptTokenCount=COUNT, cachedContentTokenCount=COUNT, candidatesTokenCount=COUNT, thoughtsTokenCount=COUNT,
    toolUsePromptTokenCount=COUNT, totalTokenCount=COUNT, promptTokensDetails=DETAILS, candidatesTokensDetails=DETAILS,
)  # fmt: skip
CALL = some(id=st.sampled_from(["", "a", "b", "ax1"]), name=st.sampled_from(["f", "g"]), args=some(x=ODD))
PART = st.one_of(
    st.fixed_dictionaries({"text": mostly(st.text(max_size=5))}),
    some(text=st.text(max_size=5), thought=st.booleans(), thoughtSignature=st.text(max_size=4)),
    some(functionCall=CALL, thoughtSignature=st.text(max_size=4)),
    some(executableCode=ODD, inlineData=ODD, new=ODD),
)
REASON = st.sampled_from(
    ["STOP", "STOP", "STOP", "MAX_TOKENS", "SAFETY", "OTHER", "MALFORMED_FUNCTION_CALL", "NEW", ""]
)
CANDIDATE = some(
    content=some(parts=st.lists(mostly(PART), max_size=4), role=st.just("model")), finishReason=REASON,
    finishMessage=st.text(max_size=5), index=st.sampled_from([0, 0, 0, 1, 127, 128]),
)  # fmt: skip
ANSWER = some(
    candidates=st.lists(mostly(CANDIDATE), max_size=3), usageMetadata=USAGE, responseId=st.text(max_size=5),
    modelVersion=st.text(max_size=5), promptFeedback=some(blockReason=st.sampled_from(["SAFETY", "NEW"])),
)  # fmt: skip
DETAIL = some(
    reason=st.sampled_from(["API_KEY_INVALID", "RATE_LIMIT_EXCEEDED", "NEW"]), violations=st.lists(some(quotaId=ODD)),
    retryDelay=st.sampled_from(["37s", "1e999s", "-1s", "nans", "1_0s", "s"]),
)  # fmt: skip
ERROR = some(
    code=st.sampled_from([400, 429, 503]), message=st.text(max_size=9), details=st.lists(mostly(DETAIL), max_size=3),
    status=st.sampled_from(["RESOURCE_EXHAUSTED", "INTERNAL", "NEW"]),
)  # fmt: skip
EVENTS = st.lists(st.one_of(ANSWER, ANSWER, ANSWER, ANSWER, some(error=ERROR), ODD), min_size=1, max_size=5)
CUTS = st.lists(st.integers(0, 4_000), max_size=6)


def read(body: bytes, *, streamed: bool, cuts: list[int]) -> tuple[list[ModelEvent], ModelError | None]:
    kind = "text/event-stream" if streamed else "application/json"
    decoder = DIALECT.decoder(Origin("p", "m"), streamed=streamed, header=lambda name: kind)
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    events: list[ModelEvent] = []
    for start, end in pairwise(edges):
        if decoder.failure is None:
            events += decoder.feed(body[start:end])
    if decoder.failure is None:
        events += decoder.end()
    assert decoder.closed
    if decoder.failure is None:
        assert decoder.complete
    return events, decoder.failure


def of(events: list[ModelEvent], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def check_usage(usage: Usage) -> None:
    """No count is negative, huge, or larger than what it is a part of."""
    parts = msgspec.structs.asdict(usage)
    assert all(type(count) is int and 0 <= count < 3 * MAX_TOKENS for count in parts.values())
    assert max(usage.cached_input_tokens, usage.input_audio_tokens, usage.input_image_tokens) <= usage.input_tokens
    assert max(usage.reasoning_tokens, usage.output_audio_tokens, usage.output_image_tokens) <= usage.output_tokens


def check(events: list[ModelEvent], failure: ModelError | None) -> None:
    """What every reading of every body owes its readers."""
    choices = {event.choice for event in events if hasattr(event, "choice")}
    finished = [event.choice for event in of(events, Finished)]
    assert len(finished) == len(set(finished))
    assert len(of(events, Opened)) <= 1
    if failure is None:
        assert choices == set(finished) != set()
    else:
        assert isinstance(failure, ModelError)
        assert failure.fields["provider"] == "p"
    for choice in choices:
        calls = [event for event in of(events, ToolCallDelta) if event.choice == choice]
        assert [event.index for event in calls] == list(range(len(calls)))
        assert len({event.id for event in calls}) == len(calls)
        assert all(event.id and event.name is not None for event in calls)
    for event in of(events, UsageReported):
        check_usage(event.usage)
    assert all(event.text for event in events if isinstance(event, TextDelta | ReasoningDelta))
    msgspec.json.encode([event for event in events if not isinstance(event, Opened)])  # the journal can hold it


def send_back(events: list[ModelEvent]) -> None:
    """Whatever was decoded can be asked with again, and is all there."""
    states = [event for event in of(events, StateReported) if event.choice == 0]
    own = {event.call: event.state for event in states if event.call is not None}
    calls = tuple(
        ToolCall(event.id, event.name, event.arguments, own.get(event.index))
        for event in of(events, ToolCallDelta) if event.choice == 0
    )  # fmt: skip
    said = "".join(event.text for event in of(events, TextDelta) if event.choice == 0)
    message = Message("assistant", said, tool_calls=calls, state=tuple(e.state for e in states if e.call is None))
    wire = msgspec.json.decode(DIALECT.encode(ModelRequest(messages=(Message("user", "x"), message)), TARGET))
    parts = wire["contents"][1]["parts"] if len(wire["contents"]) > 1 else []
    assert [part["functionCall"]["id"] for part in parts if "functionCall" in part] == [call.id for call in calls]
    assert said in [part.get("text") for part in parts] or not said
    for event in states:
        kept = msgspec.json.decode(event.state.data)
        assert any(kept.items() <= part.items() for part in parts)


@given(
    EVENTS,
    CUTS,
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from([b"", b"", b"data: {", b"\xff", b": x"]),
)
@settings(max_examples=4_000)
def test_any_stream_is_read_or_told(events: list[Any], cuts: list[int], newline: bytes, tail: bytes) -> None:
    """Events of every shape, cut anywhere: the same events and the same failure, whole or not at all, and fit to be
    sent back."""
    body = b"".join(b"data: " + msgspec.json.encode(event) + newline * 2 for event in events) + tail
    at_once = read(body, streamed=True, cuts=[])
    check(*at_once)
    send_back(at_once[0])
    in_pieces = read(body, streamed=True, cuts=cuts)
    assert in_pieces[0] == at_once[0]
    assert (type(in_pieces[1]), str(in_pieces[1])) == (type(at_once[1]), str(at_once[1]))


@given(st.one_of(ANSWER, EVENTS, some(error=ERROR)), CUTS)
@settings(max_examples=2_000)
def test_any_body_is_read_or_told(item: Any, cuts: list[int]) -> None:
    """Whole answers, and arrays of them."""
    body = msgspec.json.encode(item)
    at_once = read(body, streamed=False, cuts=[])
    check(*at_once)
    send_back(at_once[0])
    assert read(body, streamed=False, cuts=cuts)[0] == at_once[0]


# ---- nothing is lost ------------------------------------------------------------------------------------------------

SAID = st.lists(
    st.one_of(
        st.tuples(st.just("text"), st.text(min_size=1, max_size=6)),
        st.tuples(st.just("thought"), st.text(min_size=1, max_size=6)),
        st.tuples(st.just("call"), st.sampled_from(["f", "g"])),
        st.tuples(st.just("other"), st.sampled_from(["executableCode", "inlineData", "future"])),
    ),
    min_size=1,
    max_size=8,
)


@given(SAID, st.data())
@settings(max_examples=1_000)
def test_everything_a_model_says_comes_through(said: list[tuple[str, str]], data: st.DataObject) -> None:
    """Text, thoughts, calls and parts of other kinds, spread over events in any way, all arrive in order."""
    wire: list[dict[str, Any]] = []
    for kind, value in said:
        part: dict[str, Any] = {
            "text": {"text": value}, "thought": {"text": value, "thought": True}, "other": {value: {"x": 1}},
            "call": {"functionCall": {"name": value}},
        }[kind]  # fmt: skip
        if not wire or data.draw(st.booleans()):
            wire.append({"candidates": [{"content": {"parts": []}}]})
        wire[-1]["candidates"][0]["content"]["parts"].append(part)
    wire[-1]["candidates"][0]["finishReason"] = "STOP"
    body = b"".join(b"data: " + msgspec.json.encode(event) + b"\r\n\r\n" for event in wire)
    events, failure = read(body, streamed=True, cuts=data.draw(CUTS))
    assert failure is None
    heard: list[tuple[str, str]] = []
    for event in events:
        match event:
            case TextDelta():
                heard.append(("text", event.text))
            case ReasoningDelta():
                heard.append(("thought", event.text))
            case ToolCallDelta():
                heard.append(("call", event.name or ""))
            case StateReported():
                heard.append(("other", next(iter(msgspec.json.decode(event.state.data)))))
            case _:
                pass
    assert heard == said
    assert of(events, Finished) == [Finished("tool_calls" if any(kind == "call" for kind, _ in said) else "stop")]


# ---- errors and requests --------------------------------------------------------------------------------------------


@given(
    st.one_of(some(error=ERROR), st.lists(some(error=ERROR), max_size=2), ERROR, ODD).map(msgspec.json.encode)
    | st.binary(max_size=60),
    st.sampled_from([301, 400, 401, 403, 404, 413, 429, 499, 500, 503, 504]),
)
@settings(max_examples=1_000)
def test_any_error_is_mapped(body: bytes, status: int) -> None:
    """Every answer of every status is an error of the tree, with a wait that can be kept."""
    error = DIALECT.refusal(Origin("p", "m"), status, {"retry-after": "3"}.get, body, 0.0)
    assert isinstance(error, ModelError)
    assert error.status == status
    wait = error.fields["retry_after_s"]
    assert wait is None or 0 <= wait <= MAX_RETRY_AFTER_S


STATES = st.lists(
    st.builds(
        Opaque, st.sampled_from(["p", "q"]),
        mostly(some(text=st.text(max_size=3), thoughtSignature=st.text(max_size=3), new=ODD)).map(
            lambda data: Raw(msgspec.json.encode(data))
        ),
        st.integers(-1, 4),
    ),
    max_size=3,
).map(tuple)  # fmt: skip
TEXT = st.text(max_size=6)
CALLS = st.lists(
    st.builds(
        ToolCall, st.sampled_from(["", "a", "b"]), st.sampled_from(["f", "g"]),
        st.sampled_from(["", "{}", "[", '{"a": 1}', "null", "1e999"]) | TEXT,
        st.none() | STATES.filter(bool).map(lambda states: states[0]),
    ),
    max_size=3,
).map(tuple)  # fmt: skip
PICTURE = st.sampled_from(["data:image/png;base64,AA==", "data:,x", "https://x.test/a.png", "gs://b/c"])
CONTENT = TEXT | st.lists(TEXT.map(TextPart) | PICTURE.map(ImagePart), max_size=3).map(tuple)
MESSAGES = st.lists(
    st.one_of(
        st.builds(Message, st.sampled_from(["system", "user"]), CONTENT),
        st.builds(Message, st.just("assistant"), CONTENT, tool_calls=CALLS, state=STATES),
        st.builds(Message, st.just("tool"), CONTENT, tool_call_id=st.none() | st.sampled_from(["a", "b"])),
    ),
    min_size=1,
    max_size=6,
).map(tuple)


@given(MESSAGES, st.sampled_from(["gemini-2.5-pro", "gemini-3-pro-preview"]))
@settings(max_examples=400)
def test_any_conversation_is_written_as_gemini_wants_it(messages: tuple[Message, ...], model: str) -> None:
    """Two roles in turn, no empty content, arguments that are objects, each picture and call there."""
    wire = msgspec.json.decode(DIALECT.encode(ModelRequest(messages=messages), TARGET._replace(model=model)))
    roles = [content["role"] for content in wire["contents"]]
    assert all(first != second for first, second in pairwise(roles))
    parts = [part for content in wire["contents"] for part in content["parts"]]
    assert all(content["parts"] for content in wire["contents"])
    made = [part["functionCall"] for part in parts if "functionCall" in part]
    assert [call["name"] for call in made] == [call.name for message in messages for call in message.tool_calls]
    assert all(type(call["args"]) is dict for call in made)
    pictures = sum(isinstance(part, ImagePart) for message in messages for part in message.content)
    instructions = wire.get("systemInstruction", {"parts": []})["parts"]
    assert sum("inlineData" in part or "fileData" in part for part in parts + instructions) == pictures
    results = [part["functionResponse"]["response"]["output"] for part in parts if "functionResponse" in part]
    assert sorted(results) == sorted(message.text() for message in messages if message.role == "tool")


@given(st.text(min_size=1, max_size=30))
@settings(max_examples=500)
def test_any_model_name_stays_in_its_segment(model: str) -> None:
    """Whatever the name, the path has the method at its end and no query but our own."""
    pattern = r"/(models|tunedModels)/[A-Za-z0-9._~%-]*:generateContent"
    assert re.fullmatch(pattern, DIALECT.path(model, streamed=False))
    assert re.fullmatch(pattern.replace(":g", ":streamG") + r"\?alt=sse", DIALECT.path(model, streamed=True))
