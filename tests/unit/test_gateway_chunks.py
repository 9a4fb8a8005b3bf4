"""OpenAI's shapes from model events and frames: what is written is what was meant, byte by byte."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from golive.core.frames import Frame, text_frame
from golive.core.messages import ToolCall, Usage
from golive.gateway.face import Tail
from golive.gateway.openai_answer import WholeAnswer
from golive.gateway.openai_chunks import Chunks
from golive.gateway.openai_request import model_request, read_chat
from golive.models.call import (
    Finished,
    Metered,
    ModelEvent,
    Opened,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)

USAGE = Usage(input_tokens=5, cached_input_tokens=2, output_tokens=7, reasoning_tokens=1)
METERED = Metered(1, "p/m", Usage(1, 0, 1, 0), 0, True, True, None, 1.0)


def chunks_of(data: bytes) -> list[Any]:
    """The JSON of each event."""
    assert data == b"" or data.endswith(b"\n\n")
    return [msgspec.json.decode(event.removeprefix(b"data: ")) for event in data.split(b"\n\n") if event]


def test_every_chunk_is_one_the_sdk_knows() -> None:
    """Text, reasoning, refusal, tools, log probabilities, several choices and usage parse as the SDK's type."""
    chunks = Chunks("id-1", 12, "p/m", with_usage=True, extra=Raw(b'{"system_fingerprint":"fp"}'))
    logprobs = Raw(
        b'{"logprobs":{"content":[{"token":"b","logprob":-0.1,"bytes":null,"top_logprobs":[]}],"refusal":null}}'
    )
    events: list[ModelEvent] = [
        ReasoningDelta("why"),
        TextDelta("a"),
        TextDelta("b", 0, logprobs),
        TextDelta("other", 1),
        RefusalDelta("no", 1),
        ToolCallDelta(0, "c1", "f", ""),
        ToolCallDelta(0, None, None, '{"x"'),
        Finished("tool_calls"),
        Finished("stop", 1),
    ]
    written = chunks_of(chunks.batch(events) + chunks.usage(USAGE))
    parsed = [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in written]
    assert {chunk.id for chunk in parsed} == {"id-1"}
    assert {chunk.system_fingerprint for chunk in parsed} == {"fp"}
    assert [chunk.choices[0].index for chunk in parsed if chunk.choices and chunk.choices[0].delta.role] == [0, 1]
    assert "".join(c.choices[0].delta.content or "" for c in parsed if c.choices and c.choices[0].index == 0) == "ab"
    with_logprobs = [chunk.choices[0].logprobs for chunk in parsed if chunk.choices and chunk.choices[0].logprobs]
    assert with_logprobs[0].content is not None
    assert with_logprobs[0].content[0].token == "b"
    assert all(chunk["usage"] is None for chunk in written[:-1])
    assert written[-1]["choices"] == []
    assert written[-1]["usage"]["total_tokens"] == 12
    assert chunks.finished == {0, 1}


def test_a_whole_answer_is_the_streamed_one() -> None:
    """The same events, assembled: text, reasoning, calls, log probabilities and usage, as the SDK reads them."""
    logprobs = Raw(
        b'{"logprobs":{"content":[{"token":"b","logprob":-0.1,"bytes":null,"top_logprobs":[]}],"refusal":null}}'
    )
    answer = WholeAnswer()
    answer.add([Opened("vendor-1", "m-2024", None, 99, Raw(b'{"system_fingerprint":"fp"}'))])
    answer.add([ReasoningDelta("why"), TextDelta("a"), TextDelta("b", 0, logprobs), TextDelta("b", 0, logprobs)])
    answer.add(
        [ToolCallDelta(1, "c2", "g", "{}"), ToolCallDelta(0, "c1", "f", '{"x"'), ToolCallDelta(0, None, None, ":1}")]
    )
    assert not answer.whole
    answer.add([Finished("tool_calls"), UsageReported(USAGE), METERED])
    assert answer.whole
    parsed = ChatCompletion.model_validate_json(answer.body("run_1", "p/m", 5.0), strict=True)
    message = parsed.choices[0].message
    assert (parsed.id, parsed.model, parsed.created, parsed.system_fingerprint) == ("vendor-1", "m-2024", 99, "fp")
    assert message.content == "abb"
    assert message.model_extra == {"reasoning_content": "why"}
    assert message.tool_calls is not None
    assert [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls] == [  # type: ignore[union-attr]
        ("c1", "f", '{"x":1}'),
        ("c2", "g", "{}"),
    ]
    assert parsed.choices[0].logprobs is not None
    assert len(parsed.choices[0].logprobs.content or []) == 2
    assert parsed.usage is not None
    assert parsed.usage.prompt_tokens == 5


def test_an_answer_without_reported_usage_has_the_metered_one() -> None:
    """Usage is never missing and never 0 for text that was sent: the meter's bound stands in."""
    tail = Tail()
    tail.see([METERED])
    assert tail.usage == METERED.usage
    tail = Tail()
    tail.see([UsageReported(USAGE), METERED])
    assert tail.usage == USAGE


@given(st.lists(st.text(), min_size=1))
def test_any_text_arrives_as_it_was(texts: list[str]) -> None:
    """Line breaks, quotes, lone controls and every script survive the way through a chunk, from events and frames."""
    events: list[ModelEvent] = [TextDelta(text) for text in texts]
    from_events = chunks_of(Chunks("i", 1, "m", with_usage=False).batch(events))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in from_events) == "".join(texts)
    frames = [text_frame(1, index + 1, "m", "answer", text) for index, text in enumerate(texts)]
    chunks = Chunks("i", 1, "m", with_usage=False)
    chunks.role()
    from_frames = chunks_of(chunks.frames(frames))
    assert [chunk["choices"][0]["delta"]["content"] for chunk in from_frames] == texts


def test_an_agents_tools_and_drafts_stay_inside() -> None:
    """Of a run's frames only the answer and the reasoning become chunks."""
    frames = [
        Frame(1, 1, "c", "tool", "tool.started", Raw(b"{}")),
        text_frame(1, 3, "m", "draft", "no"),
        text_frame(1, 6, "m", "reasoning", "hmm"),
        text_frame(1, 9, "m", "answer", "yes"),
    ]
    chunks = Chunks("i", 1, "m", with_usage=False)
    chunks.role()
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(chunks.frames(frames))]
    assert deltas == [{"reasoning_content": "hmm"}, {"content": "yes"}]


def test_a_request_for_a_provider_keeps_every_parameter_as_it_stood() -> None:
    """Messages are understood; all else, known to golive or not, is kept byte for byte."""
    body = (
        b'{"model":"p/m","stream":true,"temperature":0.10,"x":{"y": [1,  2]},"max_tokens":9,"messages":['
        b'{"role":"developer","content":"d"},{"role":"user","content":[{"type":"text","text":"t"},'
        b'{"type":"image_url","image_url":{"url":"https://e/x.png","detail":"low"}}]},'
        b'{"role":"assistant","content":null,"refusal":null,"audio":null,"tool_calls":[{"id":"c","type":"function",'
        b'"function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"r"}]}'
    )
    request = model_request(read_chat(body), body, ())
    assert {name: bytes(raw) for name, raw in request.extra.items()} == {
        "temperature": b"0.10",
        "x": b'{"y": [1,  2]}',
        "max_tokens": b"9",
    }
    assert (request.stream, request.max_output_tokens) == (True, 9)
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool"]
    assert request.messages[1].text() == "t"
    assert request.messages[2].tool_calls == (ToolCall("c", "f", "{}"),)
    assert request.messages[3].tool_call_id == "c"


def test_arguments_in_a_million_pieces_are_put_together_in_time() -> None:
    """A quarter of a million fragments make one call; the work grows with them, not with their square."""
    whole = WholeAnswer()
    whole.add([ToolCallDelta(0, "call_1", "f", "")])
    for _ in range(250_000):
        whole.add([ToolCallDelta(0, None, None, "abcd")])
    whole.add([Finished("tool_calls")])
    (choice,) = msgspec.json.decode(whole.body("run_1", "sim/m", 0.0))["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == "abcd" * 250_000
