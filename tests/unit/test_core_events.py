"""core/events.py: what is written today is read by every later version, and what was written before is read today."""

from typing import Any

import msgspec
import pytest

from golive.core import events
from golive.core.events import BODIES, Body, Event, TextBlock, decode_body, encode_body
from golive.core.messages import Message, ToolCall, Usage

USAGE = Usage(10, 2, 3, 1)
SAMPLES: list[Body] = [
    events.RunAccepted(
        agent="support",
        version_name="1.0.0",
        source="relay",
        input=(Message("user", "Grüß dich 🦉"),),
        conversation="c1",
        principal="key_1",
        deadline_s=300.0,
        max_steps=15,
        on_disconnect="continue",
        metadata={"a": "b"},
    ),
    events.RunStarted(holder="server-1", waited_ms=1.5),
    events.StepStarted(step=1, tier="default"),
    events.TextReset(step=2, item="msg_2", length=5),
    events.TextBlock(item="m1", channel="answer", text='a"\\\n\u2028🦉', pos=7),
    events.ModelStarted(step=1, attempt=1, target="openai/gpt"),
    events.ModelFailed(
        step=1,
        attempt=1,
        target="openai/gpt",
        code="model.unavailable",
        message="503",
        status=503,
        vendor_code="overloaded",
        vendor_message="busy",
        request_id="req_1",
        retry_after_s=2.0,
        latency_ms=3.0,
        usage=USAGE,
        cost_microusd=9,
        usage_estimated=True,
    ),
    events.ModelFinished(
        step=1,
        attempt=2,
        target="openai/gpt",
        item="m1",
        finish_reason="tool_calls",
        usage=USAGE,
        cost_microusd=12,
        priced=True,
        tool_calls=(ToolCall("call_1", "refund", '{"order":'),),
        response_model="gpt-1",
        request_id="req_2",
        first_token_ms=4.0,
        latency_ms=9.0,
        usage_estimated=True,
    ),
    events.StepRouted(1, "direct", "cheap", "supervisor", target="x/y", usage=USAGE, cost_microusd=7, latency_ms=2.0),
    events.StepJudged(1, False, "unsure", target="x/y", usage=USAGE, cost_microusd=7, saved_microusd=1, cached=True),
    events.HistorySummarised(1, "They met.", "run_0", 3, 900, target="x/y", usage=USAGE, usage_estimated=True),
    events.TextHeld(1, "m1", "We are closed.", "Is it Sunday?"),
    events.ToolStarted(1, 1, "run/1", "call_1", "refund", "{}", "refund order 1"),
    events.ToolFinished(1, 1, "run/1", "call_1", "refund", False, "it failed", "tool.raised", 5.0),
    events.CancelRequested(by="key_1", reason="changed my mind", undo=True),
    events.DecisionRequested(
        id="dec_1",
        about="unknown_effect",
        choices=("done", "again"),
        default="done",
        asked_at=1.0,
        expires_at=9.0,
        question="Was it paid?",
        subject="refund",
        key="run/1",
    ),
    events.DecisionMade(id="dec_1", choice="done", at=2.0, by="key_1", note="I looked", content="paid"),
    events.AlarmRaised("price.missing", "no price", {"target": "x/y"}),
    events.RunFinished(
        "partial",
        "deadline",
        "so far",
        usage=USAGE,
        cost_microusd=21,
        steps=2,
        duration_ms=10.0,
        missing=(events.Missing("tool", "refund", "tool.timeout"),),
    ),
]


def _event(kind: str, body: bytes) -> Event:
    return Event("t", "run_1", 1, 1, "", "sha", 0.0, kind, body)


def test_each_kind_has_a_sample() -> None:
    """A kind added without a sample below fails here, so no kind goes untested."""
    assert {sample.kind for sample in SAMPLES} == set(BODIES)


@pytest.mark.parametrize("body", SAMPLES, ids=lambda body: body.kind)
def test_a_body_is_read_as_it_was_written(body: Body) -> None:
    """Encoding and decoding gives the same body, and the JSON is an object."""
    data = encode_body(body)
    assert decode_body(_event(body.kind, data)) == body
    assert isinstance(msgspec.json.decode(data), dict)


@pytest.mark.parametrize("output", [{"a": [1, None]}, [1], "x", 3, False, None])
def test_the_parsed_answer_is_kept(output: Any) -> None:
    """`output` of a finished run is any JSON value, and comes back as it was."""
    body = events.RunFinished("completed", "done", output=output)
    assert decode_body(_event(body.kind, encode_body(body))) == body


def test_fields_of_a_later_version_are_ignored() -> None:
    """A body with a field this version does not know is read all the same."""
    body = decode_body(_event("run.started", b'{"holder":"h","added_later":{"x":1}}'))
    assert body == events.RunStarted(holder="h")


def test_a_routed_step_of_an_older_journal_is_read() -> None:
    """Its fields stood in another order, and those that were at their defaults were left out."""
    old = b'{"step":1,"route":"tool","tier":"cheap","reason":"supervisor","target":"x/y","cost_microusd":7}'
    body = decode_body(_event("step.routed", old))
    assert body == events.StepRouted(1, "tool", "cheap", "supervisor", target="x/y", cost_microusd=7)


def test_an_unknown_kind_is_a_key_error() -> None:
    """Only the caller knows whether an unknown kind may be skipped."""
    with pytest.raises(KeyError):
        decode_body(_event("run.invented", b"{}"))


class _Third(Body, frozen=True):
    """A body whose shape has changed twice: seconds became milliseconds, and a name became a list of names."""

    kind = "test.third"
    format = 3
    names: list[str]
    waited_ms: float


def test_old_formats_are_brought_up_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of format 1 passes both upcasts, one of format 2 the second only, one of format 3 none."""

    def to_second(fields: dict[str, Any]) -> dict[str, Any]:
        return {"name": fields["name"], "waited_ms": fields["waited_s"] * 1_000}

    def to_third(fields: dict[str, Any]) -> dict[str, Any]:
        return {"names": [fields["name"]], "waited_ms": fields["waited_ms"]}

    monkeypatch.setitem(BODIES, _Third.kind, _Third)
    monkeypatch.setitem(events._decoders, _Third.kind, msgspec.json.Decoder(_Third))
    monkeypatch.setitem(events._UPCASTS, (_Third.kind, 1), to_second)
    monkeypatch.setitem(events._UPCASTS, (_Third.kind, 2), to_third)
    expected = _Third(["a"], 2_000.0)
    assert decode_body(_event(_Third.kind, b'{"name":"a","waited_s":2}')) == expected
    assert decode_body(_event(_Third.kind, b'{"format":2,"name":"a","waited_ms":2000}')) == expected
    assert encode_body(expected) == b'{"format":3,"names":["a"],"waited_ms":2000.0}'
    assert decode_body(_event(_Third.kind, encode_body(expected))) == expected


class _Empty(Body, frozen=True):
    """A body of a later format with nothing but defaults."""

    kind = "test.empty"
    format = 2
    note: str = ""


def test_a_later_format_without_fields_is_still_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """The format is put in front of nothing without a stray comma."""
    assert msgspec.json.decode(encode_body(_Empty())) == {"format": 2}


def test_text_blocks_keep_lone_surrogates_out() -> None:
    """Text that is not Unicode cannot be journalled unnoticed: encoding it fails."""
    with pytest.raises(UnicodeEncodeError):
        encode_body(TextBlock(item="m", channel="answer", text="\ud800", pos=1))
