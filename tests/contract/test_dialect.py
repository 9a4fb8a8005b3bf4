"""The contract of a dialect: whatever a vendor's bytes look like, the events say the same.

A dialect joins by adding a `Speaker` of its own in `speakers/` to SPEAKERS: how that vendor writes each situation.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.core.errors import ModelCut, ModelError, ModelMalformed, ModelRateLimited, ModelUnavailable
from golive.core.messages import Usage
from golive.models.call import (
    Finished,
    ModelEvent,
    Opened,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from golive.models.dialect import Dialect
from golive.models.vendor_errors import Origin
from tests.contract.speakers.anthropic import ANTHROPIC
from tests.contract.speakers.gemini import GEMINI
from tests.contract.speakers.openai_chat import OPENAI
from tests.contract.speakers.openai_responses import OPENAI_RESPONSES
from tests.contract.speakers.speaker import Speaker

SPEAKERS = {
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
    "openai-chat": OPENAI,
    "openai-responses": OPENAI_RESPONSES,
}

Outcome = tuple[list[ModelEvent], ModelError | None]


def decode(
    dialect: Dialect, body: bytes, *, streamed: bool, cuts: list[int] | None = None, kind: str | None = None
) -> Outcome:
    """All events of a body that came in pieces cut at `cuts`, and the failure at its end. `kind`: its content type."""
    if kind is None:
        kind = "text/event-stream" if streamed else "application/json"
    headers = {"content-type": kind}
    decoder = dialect.decoder(Origin("p", "m", request_id="req_1"), streamed=streamed, header=headers.get)
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts or []), len(body)]
    events: list[ModelEvent] = []
    for start, end in pairwise(edges):
        if decoder.failure is None and end > start:
            events += decoder.feed(body[start:end])
    if decoder.failure is None:
        events += decoder.end()
    return events, decoder.failure


def text(events: list[ModelEvent], kind: type = TextDelta) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))  # type: ignore[union-attr]


def calls(events: list[ModelEvent]) -> dict[int, tuple[str | None, str | None, str]]:
    """The tool calls put together as a consumer does: id and name from the first fragment only."""
    found: dict[int, tuple[str | None, str | None, str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            if event.index not in found:
                found[event.index] = (event.id, event.name, event.arguments)
            else:
                assert event.id is None
                assert event.name is None
                first = found[event.index]
                found[event.index] = (first[0], first[1], first[2] + event.arguments)
    return found


def of_kind(events: list[ModelEvent], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture(params=sorted(SPEAKERS))
def speaker(request: pytest.FixtureRequest) -> Speaker:
    return SPEAKERS[request.param]


@pytest.fixture(params=["streamed", "whole"])
def say(request: pytest.FixtureRequest, speaker: Speaker) -> Callable[[str], Outcome]:
    """Decodes a situation, as the stream or the whole answer that the vendor would send."""
    streamed = request.param == "streamed"
    bodies = speaker.streamed if streamed else speaker.whole
    return lambda situation: decode(speaker.dialect, bodies[situation], streamed=streamed)


Say = Callable[[str], Outcome]


def test_text_comes_whole_and_in_order(speaker: Speaker, say: Say) -> None:
    """An answer opens once with the vendor's ids, says its text, and finishes once."""
    events, failure = say("text")
    assert failure is None
    assert of_kind(events, Opened) == [speaker.opened]
    assert type(events[0]) is Opened
    assert text(events) == "Grüß dich 👋"
    assert of_kind(events, Finished) == [Finished("stop")]


def test_usage_carries_cached_and_reasoning_tokens(say: Say) -> None:
    """The last usage reported has all of it, the cached and reasoning parts included."""
    events, _ = say("text")
    assert of_kind(events, UsageReported)[-1] == UsageReported(Usage(11, 4, 7, 2))


def test_reasoning_is_kept_apart_from_the_answer(say: Say) -> None:
    """Thoughts are reasoning, never text, and come before it."""
    events, _ = say("reasoning")
    assert text(events, ReasoningDelta) == "hm so"
    assert text(events) == "Yes"


def test_a_refusal_is_its_own_kind(speaker: Speaker, say: Say) -> None:
    """A model that declines has said no text; Gemini's wire has no such kind."""
    if "refusal" not in speaker.streamed:
        assert speaker.dialect.name == "gemini"
        return
    events, _ = say("refusal")
    assert text(events, RefusalDelta) == "I cannot."
    assert text(events) == ""


def test_parallel_tool_calls_are_told_apart(say: Say) -> None:
    """Two calls, in fragments that alternate or whole, come out as two, and the answer finishes for them."""
    events, _ = say("tools")
    assert calls(events) == {0: ("call_a", "find", '{"q":"é"}'), 1: ("call_b", "pay", "{}")}
    assert of_kind(events, Finished) == [Finished("tool_calls")]


def test_a_truncated_answer_says_so(say: Say) -> None:
    """An answer at its token limit finishes for its length."""
    assert of_kind(say("length")[0], Finished) == [Finished("length")]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_an_end_that_nobody_knows_keeps_the_answer_and_is_told(speaker: Speaker, streamed: bool) -> None:
    """What was said stands, as cut short and never as whole; the vendor's word goes on, with the request's id."""
    bodies = speaker.streamed if streamed else speaker.whole
    told: list[tuple[str, str | None, str]] = []
    dialect = type(speaker.dialect)(lambda *said: told.append(said))  # type: ignore[call-arg]  # each takes a listener
    events, failure = decode(dialect, bodies["unknown end"], streamed=streamed)
    assert failure is None
    assert text(events) == "to be con"
    assert of_kind(events, Finished) == [Finished("length")]
    word = "incomplete: sunspots" if speaker.dialect.name == "openai-responses" else "sunspots"
    assert told == [("p/m", "req_1", word)]


def test_an_end_that_nobody_knows_of_nothing_is_no_answer(say: Say) -> None:
    """Where nothing was said there is nothing to keep, and the next target may be asked."""
    events, failure = say("unknown end of nothing")
    assert type(failure) is ModelMalformed
    assert "sunspots' which is not known" in str(failure).replace(",", "")
    assert of_kind(events, Finished) == []


PAGE = b"<!DOCTYPE html>\n<html><p>key sk-live-abcdef0123456789%b\n\n<p>data: none</html>\n" % (b"<br>" * 200)


@pytest.mark.parametrize("kind", ["text/html; charset=UTF-8", "text/event-stream", ""])
@pytest.mark.parametrize("cuts", [[], [1, 2, 20, 24, 25], list(range(len(PAGE)))], ids=["at once", "cut", "bytes"])
def test_a_page_in_the_place_of_a_stream_is_malformed_and_shown(speaker: Speaker, kind: str, cuts: list[int]) -> None:
    """A proxy's page with status 200 is no answer that broke off: its type and beginning are named, secrets are not."""
    found = decode(speaker.dialect, PAGE, streamed=True, cuts=cuts, kind=kind)
    assert found[0] == []
    assert type(found[1]) is ModelMalformed
    assert f"content type {kind!r}" in str(found[1]) if kind else "content type none" in str(found[1])
    assert "'<!DOCTYPE html>\\n<html><p>key [secret]<br>" in str(found[1])
    assert len(str(found[1])) < 400


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_page_in_the_place_of_a_body_is_malformed(speaker: Speaker, kind: str) -> None:
    """The same where no stream was asked for."""
    events, failure = decode(speaker.dialect, PAGE, streamed=False, kind=kind)
    assert (events, type(failure)) == ([], ModelMalformed)
    assert ("content type 'text/html'" in str(failure)) == (kind == "text/html")


@pytest.mark.parametrize("body", [b"", b"\n\n", b": ping\n\n: ping\n\n", b"retry: 5\nid: 1\n\nevent: x\n\n"])
def test_a_stream_that_ends_before_it_begins_is_cut(speaker: Speaker, body: bytes) -> None:
    """Nothing, and what a server sends to keep a connection open, is not taken for a page."""
    assert type(decode(speaker.dialect, body, streamed=True)[1]) is ModelCut


def test_a_page_behind_the_beginning_of_an_answer_is_a_cut(speaker: Speaker) -> None:
    """A proxy that gives up in the middle: what came stays, and the answer broke off."""
    body = speaker.streamed["cut"] + PAGE
    events, failure = decode(speaker.dialect, body, streamed=True)
    assert (text(events), type(failure)) == ("half", ModelCut)


def test_an_error_inside_an_answer_is_mapped(say: Say) -> None:
    """An error object in place of an answer, or in the middle of one, becomes the error it names."""
    _, failure = say("error")
    assert type(failure) is ModelRateLimited
    assert failure.fields["vendor_message"] == "too fast"
    assert failure.fields["request_id"] == "req_1"


def test_broken_json_is_malformed(say: Say) -> None:
    """Bytes that are not the dialect's are an error and never an answer."""
    events, failure = say("broken")
    assert type(failure) is ModelMalformed
    assert of_kind(events, Finished) == []


@pytest.mark.parametrize("situation", ["cut", "cut in an event"])
def test_a_stream_that_breaks_off_never_finishes(speaker: Speaker, situation: str) -> None:
    """A stream without an end mark is cut; what came before stays, and no Finished is made up."""
    events, failure = decode(speaker.dialect, speaker.streamed[situation], streamed=True)
    assert type(failure) is ModelCut
    assert text(events) == "half"
    assert of_kind(events, Finished) == []


@given(cuts=st.lists(st.integers(min_value=0, max_value=5_000), max_size=30))
@pytest.mark.parametrize("name", sorted(SPEAKERS))
def test_how_the_network_cuts_the_bytes_changes_nothing(name: str, cuts: list[int]) -> None:
    """Any splitting of a body, also inside a character or a line end, gives the same events and the same failure."""
    speaker = SPEAKERS[name]
    for streamed, bodies in ((True, speaker.streamed), (False, speaker.whole)):
        for body in bodies.values():
            for variant in (body, body.replace(b"\n", b"\r\n")) if streamed else (body,):
                at_once, failure = decode(speaker.dialect, variant, streamed=streamed)
                in_pieces, other = decode(speaker.dialect, variant, streamed=streamed, cuts=cuts)
                assert in_pieces == at_once
                assert type(other) is type(failure)
                assert str(other) == str(failure)


@pytest.mark.parametrize("name", sorted(SPEAKERS))
def test_byte_by_byte_is_the_same(name: str) -> None:
    """The worst network: one byte a read."""
    speaker = SPEAKERS[name]
    for body in speaker.streamed.values():
        assert (
            decode(speaker.dialect, body, streamed=True, cuts=list(range(len(body))))[0]
            == decode(speaker.dialect, body, streamed=True)[0]
        )


@given(garbage=st.binary(max_size=300))
@pytest.mark.parametrize("name", sorted(SPEAKERS))
@pytest.mark.parametrize("streamed", [True, False])
def test_garbage_is_an_error_and_never_an_exception(name: str, streamed: bool, garbage: bytes) -> None:
    """No bytes make a decoder raise, and none but a whole answer make it succeed."""
    events, failure = decode(SPEAKERS[name].dialect, garbage, streamed=streamed)
    assert isinstance(failure, ModelCut | ModelMalformed | ModelUnavailable)
    assert of_kind(events, Finished) == []
