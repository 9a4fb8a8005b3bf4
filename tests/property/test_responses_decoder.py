"""Whatever a server sends in place of OpenAI Responses: events or an error of ours, the same however it was cut."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from golive.core.errors import ModelError
from golive.core.messages import Usage
from golive.models.call import Finished, ModelEvent, Opened, ReasoningDelta, StateReported, TextDelta, UsageReported
from golive.models.openai_responses import OpenAIResponses
from tests.contract.speakers.openai_responses import (
    added,
    arguments,
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
CASES = 600

# ---- nonsense of every shape that JSON has

_IDS = st.sampled_from(["", "a", "b", "msg_1", "rs_1", "fc_call_a"])
_NUMBERS = st.one_of(
    st.integers(min_value=-3, max_value=3),
    st.sampled_from([2**31, 2**63, 2**64, 10**30, -(10**30), 10**12, 1e300, -0.0, 0.5]),
)
_WORDS = st.one_of(
    st.text(max_size=5),
    st.sampled_from([
        "message", "reasoning", "function_call", "web_search_call", "output_text", "refusal", "summary_text",
        "completed", "incomplete", "failed", "cancelled", "in_progress", "max_output_tokens", "content_filter",
        "server_error", "error",
    ]),
)  # fmt: skip
_ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, _WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(_WORDS, inner, max_size=2)),
    max_leaves=3,
)


def _object(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with any of the fields, each mostly of its kind and sometimes of any."""
    return st.fixed_dictionaries(
        {}, optional={name: st.one_of(value, value, _ANYTHING) for name, value in fields.items()}
    )


_PARTS = st.lists(_object(type=_WORDS, text=_WORDS, refusal=_WORDS), max_size=3)
_ITEMS = _object(
    type=st.sampled_from(["message", "reasoning", "function_call"]), id=_IDS, call_id=_IDS, name=_IDS, arguments=_WORDS,
    content=_PARTS, summary=_PARTS, encrypted_content=_WORDS, status=_WORDS,
)  # fmt: skip
_USAGE = _object(
    input_tokens=_NUMBERS, output_tokens=_NUMBERS, total_tokens=_NUMBERS,
    input_tokens_details=_object(cached_tokens=_NUMBERS, cache_write_tokens=_NUMBERS),
    output_tokens_details=_object(reasoning_tokens=_NUMBERS),
)  # fmt: skip
_RESPONSES = _object(
    id=_IDS, object=_WORDS, created_at=_NUMBERS, model=_WORDS, status=_WORDS, usage=_USAGE, service_tier=_WORDS,
    error=_object(code=_WORDS, message=_WORDS, type=_WORDS), incomplete_details=_object(reason=_WORDS),
    output=st.lists(_ITEMS, max_size=4),
)  # fmt: skip
_NAMES = st.sampled_from([
    f"response.{name}" for name in (
        "created", "in_progress", "output_item.added", "output_item.done", "content_part.added", "output_text.delta",
        "output_text.done", "refusal.delta", "refusal.done", "function_call_arguments.delta",
        "function_call_arguments.done", "reasoning_summary_text.delta", "reasoning_summary_text.done",
        "reasoning_text.delta", "completed", "incomplete", "failed", "cancelled", "sunspots",
    )
])  # fmt: skip
_EVENTS = _object(
    delta=_WORDS, text=_WORDS, arguments=_WORDS, refusal=_WORDS, item_id=_IDS, output_index=_NUMBERS,
    content_index=_NUMBERS, summary_index=_NUMBERS, item=_ITEMS, response=_RESPONSES,
    logprobs=_ANYTHING, error=_ANYTHING,
)  # fmt: skip
_STREAM = st.lists(st.tuples(_NAMES, _EVENTS), max_size=8)


def check(events: list[ModelEvent], failure: ModelError | None) -> None:
    """What holds for every answer, whatever came."""
    assert len(of_kind(events, Opened)) <= 1
    assert not events or type(events[0]) is Opened
    finished = of_kind(events, Finished)
    assert len(finished) == (0 if failure is not None else 1)
    assert not finished or events[-1] == finished[0]
    made = calls(events)
    assert failure is not None or sorted(made) == list(range(len(made)))
    assert all(isinstance(part, str) for each in made.values() for part in each)
    assert len({each[0] for each in made.values()}) == len(made)
    for reported in of_kind(events, UsageReported):
        usage: Usage = reported.usage
        assert 0 <= usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens < 10**12
        assert 0 <= usage.reasoning_tokens <= usage.output_tokens < 10**12
    for state in of_kind(events, StateReported):
        assert msgspec.json.decode(state.state.data)["type"] not in ("", "message", "function_call")
        assert failure is not None or 0 <= state.state.before <= len(made)
    msgspec.json.encode(events)  # everything can be journalled
    str(failure).encode()


_CUTS = st.lists(st.integers(min_value=0, max_value=5_000), max_size=8)


@given(parts=_STREAM, cuts=_CUTS)
@settings(max_examples=CASES)
def test_any_events_in_any_order(parts: list[tuple[str, dict[str, Any]]], cuts: list[int]) -> None:
    """One opening, one end or one error, every call and usage in order: whatever the events hold."""
    body = sse(*({"type": name} | event for name, event in parts))
    at_once = decode(DIALECT, body, streamed=True)
    check(*at_once)
    in_pieces = decode(DIALECT, body, streamed=True, cuts=cuts)
    assert in_pieces[0] == at_once[0]
    assert str(in_pieces[1]) == str(at_once[1])


@given(body=_RESPONSES)
@settings(max_examples=CASES)
def test_any_response_object(body: Any) -> None:
    """A whole answer of any fields is an answer or an error."""
    check(*decode(DIALECT, msgspec.json.encode(body), streamed=False))


# ---- the same answer, told in full and with gaps

_TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=12)
_TOLD = st.lists(st.tuples(st.sampled_from(["message", "reasoning", "call"]), st.lists(_TEXT, max_size=4)), max_size=4)


@given(told=_TOLD, gaps=st.integers(min_value=0, max_value=2**40))
@settings(max_examples=CASES)
def test_nothing_is_lost_or_said_twice_whatever_is_left_out(told: list[tuple[str, list[str]]], gaps: int) -> None:
    """Any of a stream's events but the last may be missing (of deltas, only those at a text's end): the answer is the
    same, since the final response has it all."""
    output: list[dict[str, Any]] = []
    events = [created()]
    for index, (kind, pieces) in enumerate(told):
        full = "".join(pieces)
        keep = (gaps >> index * 8) & 7
        if kind == "message":
            item = message(full, f"msg_{index}")
            parts = [delta(piece, item_id=item["id"], index=index) for piece in pieces[:keep]]
        elif kind == "reasoning":
            item = reasoning(full, item_id=f"rs_{index}")
            parts = [delta(piece, "reasoning_summary_text", item["id"], index) for piece in pieces[:keep]]
        else:
            item = call("f", full, f"call_{index}")
            parts = [arguments(piece, item["id"], index) for piece in pieces[:keep]]
        output.append(item)
        first, last = (gaps >> index * 8 + 3) & 1, (gaps >> index * 8 + 4) & 1
        events += [added(item, index)] * first + parts + [done(item, index)] * last
    read, failure = decode(DIALECT, sse(*events, completed(*output)), streamed=True)
    assert failure is None
    plain, _ = decode(DIALECT, msgspec.json.encode(response(output)), streamed=False)
    for kind in (TextDelta, ReasoningDelta):
        wanted = "message" if kind is TextDelta else "reasoning"
        said = "".join(piece for told_kind, pieces in told if told_kind == wanted for piece in pieces)
        assert sorted(text(read, kind)) == sorted(text(plain, kind)) == sorted(said)
    assert sorted(calls(read).values()) == sorted(calls(plain).values())
    assert of_kind(read, Finished) == of_kind(plain, Finished)


def test_one_text_of_ten_megabytes() -> None:
    """In a single event it is refused; in a whole answer, or in pieces, it is read."""
    huge = "x" * 10_485_760
    body = sse(created(), delta(huge), completed())
    events, failure = decode(DIALECT, body, streamed=True, cuts=list(range(0, len(body), 65_536)))
    assert failure is not None
    assert failure.code == "model.malformed"
    assert text(events) == ""
    assert text(decode(DIALECT, msgspec.json.encode(response([message(huge)])), streamed=False)[0]) == huge
    pieces = [delta(huge[:1_048_576]) for _ in range(10)]
    assert text(decode(DIALECT, sse(*pieces, completed()), streamed=True)[0]) == huge
