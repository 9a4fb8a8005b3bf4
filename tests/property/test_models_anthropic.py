"""Answers of Anthropic Messages, hostile and sound: never an exception, and the same as the official client reads."""

from typing import Any

import anthropic
import httpx2
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from golive.models.anthropic import Anthropic
from golive.models.call import ReasoningDelta, StateReported, UsageReported
from tests.contract.speakers.anthropic import close, delta, finish, message, sse, start, text, tool
from tests.contract.test_dialect import calls, decode, of_kind
from tests.contract.test_dialect import text as text_of
from tests.property.test_damaged_answers import is_sound

DIALECT = Anthropic()

# ---- hostile

TYPES = (
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
    "message_stop", "ping", "error", "news",
)  # fmt: skip
KINDS = (
    "text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "web_search_tool_result", "text_delta",
    "input_json_delta", "thinking_delta", "signature_delta", "citations_delta", "hologram",
)  # fmt: skip
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=5),
    st.just([]), st.just({}), st.just([{"type": "text"}]),
)  # fmt: skip
WORDS = st.sampled_from(["", "a", "é👋", '{"a":', "1}", "end_turn", "tool_use", "max_tokens", "refusal", "bored"])
FIELDS = {
    "text": WORDS, "thinking": WORDS, "signature": WORDS, "data": WORDS, "id": WORDS,
    "name": WORDS, "input": st.just({"a": 1}), "partial_json": WORDS, "citation": st.just({"type": "x"}),
    "stop_reason": WORDS, "stop_sequence": WORDS, "stop_details": st.just({"explanation": "No."}),
    "content": st.just([]), "tool_use_id": WORDS,
}  # fmt: skip
COUNTS = st.dictionaries(
    st.sampled_from(
        [
            "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
            "output_tokens_details",
        ]
    ),
    st.one_of(st.integers(-5, 50), ODD, st.fixed_dictionaries({"thinking_tokens": st.one_of(st.integers(), ODD)})),
)  # fmt: skip
INNER = st.fixed_dictionaries({"type": st.sampled_from(KINDS)}, optional=FIELDS) | st.fixed_dictionaries(
    {"type": st.one_of(st.sampled_from(KINDS), ODD)},
    optional={name: st.one_of(value, ODD) for name, value in FIELDS.items()},
)
EVENTS = st.fixed_dictionaries(
    {"type": st.one_of(st.sampled_from(TYPES), ODD)},
    optional={
        "index": st.one_of(st.integers(0, 3), ODD), "delta": st.one_of(INNER, ODD),
        "content_block": st.one_of(INNER, ODD), "message": st.one_of(INNER, ODD), "usage": st.one_of(COUNTS, ODD),
        "error": st.one_of(st.none(), INNER, ODD),
    },
)  # fmt: skip


@settings(max_examples=1_200)
@given(events=st.lists(EVENTS, max_size=8), cuts=st.lists(st.integers(0, 3_000), max_size=5), named=st.booleans())
def test_any_events_in_any_pieces(events: list[dict[str, Any]], cuts: list[int], named: bool) -> None:
    """Known names with unknown values, in any order: sound, and the same however the bytes were cut."""
    lines = b"".join(
        (b"event: x\n" if named else b"") + b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events
    )
    body = sse(start()) + lines + sse(*finish("end_turn"))
    at_once = decode(DIALECT, body, streamed=True)
    is_sound(at_once)
    in_pieces = decode(DIALECT, body, streamed=True, cuts=cuts)
    assert in_pieces[0] == at_once[0]
    assert str(in_pieces[1]) == str(at_once[1])


@settings(max_examples=1_200)
@given(content=st.lists(st.one_of(INNER, ODD), max_size=5), usage=st.one_of(COUNTS, ODD), reason=st.one_of(WORDS, ODD))
def test_any_whole_answer(content: list[Any], usage: Any, reason: Any) -> None:
    """The same for an answer that is not streamed."""
    body = msgspec.json.encode(message(content, reason, usage=usage))
    is_sound(decode(DIALECT, body, streamed=False))


# ---- sound

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
BLOCKS = st.one_of(
    st.tuples(st.just("text"), st.text(min_size=1, max_size=30)),
    st.tuples(st.just("thinking"), st.text(max_size=30)),
    st.tuples(st.just("tool_use"), st.dictionaries(st.text(max_size=4), VALUES, max_size=3)),
)


def pieces(whole: str, size: int) -> list[str]:
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def written(blocks: list[tuple[str, Any]], size: int) -> bytes:
    """The stream of these blocks, in deltas of `size` characters."""
    events: list[dict[str, Any]] = []
    for index, (kind, value) in enumerate(blocks):
        if kind == "text":
            events += text(*pieces(value, size), index=index)
        elif kind == "thinking":
            opened = {"type": "thinking", "thinking": "", "signature": ""}
            events.append({"type": "content_block_start", "index": index, "content_block": opened})
            events += [delta(index, "thinking_delta", thinking=piece) for piece in pieces(value, size)]
            events += [delta(index, "signature_delta", signature=f"s{index}"), close(index)]
        else:
            events.append(tool(index, "f", f"toolu_{index}"))
            written_out = msgspec.json.encode(value).decode()
            events += [delta(index, "input_json_delta", partial_json=piece) for piece in pieces(written_out, size)]
            events.append(close(index))
    reason = "tool_use" if any(kind == "tool_use" for kind, _ in blocks) else "end_turn"
    return sse(start(), *events, *finish(reason))


def read_officially(body: bytes) -> Any:
    """The message that the official client puts together."""
    head = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, headers=head, content=body))
    with (
        httpx2.Client(transport=transport) as http,
        anthropic.Anthropic(api_key="k", base_url="http://test", http_client=http, max_retries=0) as client,
        client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]) as stream,
    ):
        return stream.get_final_message()


@settings(max_examples=150)
@given(blocks=st.lists(BLOCKS, max_size=4), size=st.integers(1, 9))
def test_the_official_client_reads_the_same(blocks: list[tuple[str, Any]], size: int) -> None:
    """Text, thoughts with their signatures, tool calls and usage, out of the same bytes."""
    body = written(blocks, size)
    events, failure = decode(DIALECT, body, streamed=True)
    official = read_officially(body)
    assert failure is None
    assert text_of(events) == "".join(block.text for block in official.content if block.type == "text")
    thoughts = [block.model_dump() for block in official.content if block.type == "thinking"]
    assert text_of(events, ReasoningDelta) == "".join(thought["thinking"] for thought in thoughts)
    assert [msgspec.json.decode(item.state.data) for item in of_kind(events, StateReported)] == thoughts
    assert [(call[0], call[1], msgspec.json.decode(call[2])) for call in calls(events).values()] == [
        (block.id, block.name, block.input) for block in official.content if block.type == "tool_use"
    ]
    usage = of_kind(events, UsageReported)[-1].usage
    cached = official.usage.cache_read_input_tokens
    assert usage.input_tokens == official.usage.input_tokens + cached + official.usage.cache_creation_input_tokens
    assert (usage.cached_input_tokens, usage.output_tokens) == (cached, official.usage.output_tokens)
