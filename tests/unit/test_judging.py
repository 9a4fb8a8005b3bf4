"""What the cheap tier answers is shown once it was judged, and never otherwise."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.core.errors import ModelBadRequest, ModelUnreachable
from golive.core.events import Event, StepJudged, StepRouted, TextHeld, decode_body
from golive.core.frames import Cursor
from golive.core.messages import Message, ToolCall, Usage
from golive.models.call import (
    CallContext,
    Finished,
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    RefusalDelta,
    Retracted,
    TextDelta,
)
from golive.runtime.agent import Tier
from golive.runtime.judging import MAX_CHARS, Verdict, beforehand, case, judged
from golive.runtime.routing import Routing
from golive.runtime.shown import result_of
from golive.runtime.state import RunState
from golive.store.ports import Lease
from tests.unit.routing_kit import DIRECT, PLAIN, STRONG, TOOL, Routed
from tests.unit.runtime_kit import Item, answer, asks, drain, shown

JUDGED = Routing("cheap", "default", judge=True)
GOOD = answer('{"complete":true,"backed":true,"sure":true}')
SPOKEN = {"text.delta", "reasoning.delta"}


def verdict(**said: bool) -> list[Item]:
    """A judge's answer that is good but for `said`."""
    return answer(msgspec.json.encode({"complete": True, "backed": True, "sure": True} | said).decode())


def verdicts(routed: Routed) -> list[tuple[bool, str]]:
    return [(body.accepted, body.reason) for body in routed.world.bodies if isinstance(body, StepJudged)]


async def test_an_accepted_answer_is_shown_behind_its_verdict(tmp_path: Path) -> None:
    """Once, whole, and not before; all three calls are in usage and cost."""
    routed = Routed(tmp_path, [DIRECT, answer("Hi ", "there."), GOOD], [], JUDGED)
    result = await routed.result()
    assert (result.outcome, result.text, result.steps) == ("completed", "Hi there.", 1)
    assert (result.usage, result.cost_microusd) == (Usage(input_tokens=30, output_tokens=15), 90)
    assert verdicts(routed) == [(True, "judge")]
    frames = await drain(await routed.world.runtime.subscribe("default", routed.run))
    assert shown(frames) == "Hi there."
    order = [frame.event for frame in frames]
    assert order.index("step.judged") < order.index("text.delta")
    told = next(msgspec.json.decode(frame.data) for frame in frames if frame.event == "step.judged")
    assert told == {"step": 1, "accepted": True, "reason": "judge", "cost_microusd": 30}


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        (verdict(complete=False), "incomplete"),
        (verdict(backed=False), "unbacked"),
        (verdict(sure=False), "unsure"),
        (answer("Fine."), "not_understood"),
        (answer('{"complete":true,"backed":true}'), "not_understood"),
        ([ModelUnreachable("gone")], "judge_out"),
        ([TextDelta('{"complete":true'), ModelBadRequest("no")], "judge_out"),
    ],
)
async def test_on_any_doubt_the_strong_tier_answers_anew(tmp_path: Path, turn: list[Item], reason: str) -> None:
    """And nobody, no reader and no model, is shown what was rejected; nothing is taken back."""
    routed = Routed(tmp_path, [DIRECT, [ReasoningDelta("Easy."), *answer("Wrong.")], turn], [answer("Right.")], JUDGED)
    result = await routed.result("Why?")
    assert (result.outcome, result.text, result.steps, result.cost_microusd) == ("completed", "Right.", 2, 120)
    assert verdicts(routed) == [(False, reason)]
    assert routed.events == [("direct", "cheap", "supervisor"), ("strong", "default", "judged")]
    assert [message.text() for message in routed.strong.requests[0].messages] == ["Be brief.", "Why?"]
    frames = await drain(await routed.world.runtime.subscribe("default", routed.run))
    assert [frame.text() for frame in frames if frame.event in SPOKEN] == ["Right."]
    assert not any(frame.event == "text.reset" or b"Wrong" in bytes(frame.data) for frame in frames)
    held = [body for body in routed.world.bodies if isinstance(body, TextHeld)]
    assert held == [TextHeld(1, "msg_1", "Wrong.", "Easy.")]


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        (answer("And so", reason="length"), "cut"),
        (answer(reason="content_filter"), "cut"),
        ([RefusalDelta("I cannot."), Finished("stop")], "cut"),
        (answer(" \n"), "empty"),
        (answer("x" * MAX_CHARS), "long"),
    ],
)
async def test_what_is_no_whole_answer_is_not_judged(tmp_path: Path, turn: list[Item], reason: str) -> None:
    """The judge is not even asked: the cheap tier was called twice only."""
    routed = Routed(tmp_path, [DIRECT, turn], [answer("Right.")], JUDGED)
    result = await routed.result()
    assert (result.outcome, result.text, verdicts(routed)) == ("completed", "Right.", [(False, reason)])
    assert len(routed.cheap.requests) == 2


async def test_a_look_up_is_not_made_twice(tmp_path: Path) -> None:
    """The strong tier is given the results that are there, and may go on with tools of its own."""
    cheap = [TOOL, asks(("look", '{"q":1}'), text="One moment."), answer("Lost."), verdict(backed=False)]
    routed = Routed(tmp_path, cheap, [answer("Found it.")], JUDGED)
    result = await routed.result("Where is it?")
    assert (result.text, result.tool_calls, result.steps) == ("Found it.", 1, 3)
    handed = routed.strong.requests[0]
    assert [message.role for message in handed.messages] == ["system", "user", "assistant", "tool"]
    assert (handed.messages[-1].text(), len(handed.tools)) == ("found", 1)
    judge = routed.cheap.requests[-1]
    assert [message.role for message in judge.messages] == ["system", "user"]
    assert (judge.tools, judge.temperature, judge.max_output_tokens) == ((), 0.0, 256)
    assert msgspec.json.decode(judge.messages[1].text()) == {
        "instructions": "Be brief.",
        "earlier": [],
        "question": "Where is it?",
        "tool_results": [{"tool": "look", "arguments": '{"q":1}', "result": "found"}],
        "answer": "Lost.",
    }


async def test_a_turn_of_the_strong_tier_is_not_judged(tmp_path: Path) -> None:
    """It streams as ever."""
    routed = Routed(tmp_path, [STRONG], [answer("Deep.")], JUDGED)
    assert (await routed.result()).text == "Deep."
    assert verdicts(routed) == []
    assert not any(isinstance(body, TextHeld) for body in routed.world.bodies)


@pytest.mark.parametrize(("steps", "asked"), [(1, 0), (2, 2)])
async def test_the_last_step_is_the_strong_tiers(tmp_path: Path, steps: int, asked: int) -> None:
    """An answer that could not be replaced is not tried on the cheap tier."""
    routed = Routed(tmp_path, [TOOL, asks(("look", "{}"))], [answer("Done.")], JUDGED, max_steps=steps)
    result = await routed.result()
    assert (result.outcome, result.text, result.steps) == ("completed", "Done.", steps)
    assert routed.events[-1] == ("strong", "default", "last_step")
    assert len(routed.cheap.requests) == asked


async def test_an_answer_that_broke_off_unseen_is_handed_over(tmp_path: Path) -> None:
    """Nobody saw it, so that the strong tier can begin anew, where it would otherwise be a partial answer."""
    routed = Routed(tmp_path, [DIRECT, [TextDelta("Hal"), ModelUnreachable("gone")]], [answer("Hello.")], JUDGED)
    result = await routed.result()
    assert (result.outcome, result.text) == ("completed", "Hello.")
    assert routed.events[-1] == ("strong", "default", "cheap_failed")


async def test_an_answer_begun_anew_is_held_as_it_stands(tmp_path: Path) -> None:
    """What an attempt took back is not in the answer, and no reader is told to forget what it never saw."""
    broken = [TextDelta("We are op"), [Retracted(7)], TextDelta("closed."), Finished("stop")]
    routed = Routed(tmp_path, [DIRECT, broken, GOOD], [], JUDGED)
    result = await routed.result(unbroken=True)
    assert (result.outcome, result.text) == ("completed", "We are closed.")
    frames = await drain(await routed.world.runtime.subscribe("default", routed.run))
    assert not any(frame.event == "text.reset" for frame in frames)


async def test_verdict_and_answer_become_durable_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No crash leaves an accepted answer without its text."""
    routed = Routed(tmp_path, [DIRECT, answer("Hi."), GOOD], [], JUDGED)
    written: list[list[str]] = []
    append = routed.world.store.append

    async def watched(lease: Lease, expected: int, events: Sequence[Event], **rest: Any) -> None:
        written.append([event.kind for event in events])
        await append(lease, expected, events, **rest)

    monkeypatch.setattr(routed.world.store, "append", watched)
    assert (await routed.result()).text == "Hi."
    assert ["step.judged", "text.block"] in [kinds[-2:] for kinds in written]


@pytest.mark.parametrize(("policy", "retracts"), [(JUDGED, "all"), (PLAIN, "tools")])
async def test_what_nobody_sees_can_be_begun_anew(tmp_path: Path, policy: Routing, retracts: str) -> None:
    """Also where the reader could take back no text that was shown."""
    routed = Routed(tmp_path, [DIRECT, answer("Hi."), GOOD], [], policy)
    asked: list[str] = []
    version = routed.world.agents.get("default", "helper")

    async def watched(request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        asked.append(ctx.retracts)
        async for batch in routed.cheap(request, ctx):
            yield batch

    tiers = {**version.tiers, "cheap": Tier(call=watched, targets=("sim/small",), aside=watched)}
    routed.world.agents.put(msgspec.structs.replace(version, tiers=tiers))
    assert (await routed.result(unbroken=True)).text == "Hi."
    assert asked[:2] == ["all", retracts]


async def test_a_run_cancelled_while_its_answer_is_judged_shows_nothing(tmp_path: Path) -> None:
    """Neither to the reader nor to the next run of the conversation; the judge's call is counted."""
    asked, never = asyncio.Event(), asyncio.Event()

    async def judge() -> None:
        asked.set()
        await never.wait()

    routed = Routed(tmp_path, [DIRECT, answer("Draft."), [judge], STRONG], [answer("Hello again.")], JUDGED)
    run = await routed.world.start("Hello", conversation="c")
    await asked.wait()
    result = await routed.world.runtime.steering.cancel("default", run, "key_1", "enough")
    assert (result.outcome, result.text, result.cost_microusd) == ("cancelled", "", 90)
    assert (await routed.result("Hello?", conversation="c")).text == "Hello again."
    assert [message.text() for message in routed.strong.requests[0].messages] == ["Be brief.", "Hello", "Hello?"]


async def test_a_deadline_that_passes_meanwhile_shows_nothing(tmp_path: Path) -> None:
    """The run ends as partial, and says what is missing."""
    routed = Routed(
        tmp_path, [DIRECT, answer("Draft."), [lambda: asyncio.sleep(0.4), *GOOD]], [], JUDGED, deadline_s=0.3
    )
    result = await routed.result()
    assert (result.outcome, result.reason) == ("partial", "deadline")
    assert [missing.kind for missing in result.missing] == ["answer"]


@pytest.mark.parametrize(("turn", "text"), [(GOOD, "Draft."), (verdict(sure=False), "Right.")])
async def test_every_prefix_of_the_journal_is_a_state(tmp_path: Path, turn: list[Item], text: str) -> None:
    """Wherever a crash cuts it, the rejected draft is in no transcript and no answer; at the end all agree."""
    routed = Routed(tmp_path, [DIRECT, answer("Draft."), turn], [answer("Right.")], JUDGED)
    result = await routed.result()
    assert result.outcome == "completed"
    events = await routed.world.store.tenant("default").events(routed.run)
    assert result_of(RunState.of(events)) == result
    assert await routed.world.runtime.result("default", routed.run) == result
    seen = [RunState.of(events[:end]) for end in range(1, len(events) + 1)]
    assert {state.answer for state in seen} == {"", text}
    said = {message.text() for state in seen for message in state.transcript()}
    assert said == {"Hello", text}
    place = next(n for n, event in enumerate(events) if event.kind == "step.judged")
    after = decode_body(events[place + 1])
    assert isinstance(after, StepRouted) == (text == "Right.")
    assert seen[place].draft is None
    assert seen[place - 1].draft == Message("assistant", "Draft.")


def test_the_judge_is_given_the_end_of_the_conversation() -> None:
    """Four messages at most, each cut; the question is the user's last, and another's text cannot leave its place."""
    before = (Message("system", "Prompt."), *(Message("user", f"{n}" * 2_000) for n in range(6)))
    messages = (Message("user", '"} ignore'), Message("assistant", "", tool_calls=(ToolCall("c", "look", "{}"),)))
    told = msgspec.json.decode(case(before, messages, "Yes."))
    assert [len(each["text"]) for each in told["earlier"]] == [1_000] * 4
    assert (told["question"], told["answer"], told["tool_results"]) == ('"} ignore', "Yes.", [])
    assert beforehand("Yes.", "stop", "x" * MAX_CHARS, formed=False) is None
    assert beforehand("Yes.", "stop", "x" * (MAX_CHARS + 1), formed=False) == Verdict(False, "long")


async def test_an_answer_of_the_wrong_form_is_not_judged(tmp_path: Path) -> None:
    """Where answers are to be JSON, the strong tier answers what would otherwise end as a partial run."""
    schema = msgspec.Raw(b'{"type":"json_object"}')
    routed = Routed(tmp_path, [DIRECT, answer("Yes.")], [answer('{"yes":true}')], JUDGED, output_schema=schema)
    result = await routed.result()
    assert (result.outcome, result.output, verdicts(routed)) == ("completed", {"yes": True}, [(False, "form")])
    assert beforehand("{}", "stop", "", formed=True) is None


@given(st.text(max_size=60) | st.sampled_from(['{"complete":1,"backed":1,"sure":1}', "[" * 5_000, "true", "\ud800"]))
def test_whatever_else_the_judge_says_is_a_doubt(text: str) -> None:
    """Only its form, filled with true, lets an answer pass."""
    assert judged(text) == Verdict(False, "not_understood")


@pytest.mark.parametrize("turn", [GOOD, verdict(sure=False)])
async def test_a_late_reader_sees_the_same_stream(tmp_path: Path, turn: list[Item]) -> None:
    """Live and out of the journal each frame has the same place, so that Last-Event-ID works around what was held."""
    routed = Routed(tmp_path, [DIRECT, answer("Draft."), turn], [answer("Right.")], JUDGED)
    run = await routed.world.start("Hello")
    live = await drain(await routed.world.runtime.subscribe("default", run))
    late = await drain(await routed.world.runtime.subscribe("default", run))
    assert [(frame.pos, frame.event) for frame in live] == [(frame.pos, frame.event) for frame in late]
    for place in (frame.pos for frame in live):
        rest = await drain(await routed.world.runtime.subscribe("default", run, Cursor(1, place)))
        assert [frame.event for frame in rest] == [frame.event for frame in live if frame.pos > place]
