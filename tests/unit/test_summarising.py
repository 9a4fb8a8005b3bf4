"""The older part of a long conversation is condensed for the strong tier, once; the newest turns stay as they are."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.core.errors import ContextTooLong, ModelTimeout
from golive.core.events import HistorySummarised
from golive.core.messages import ImagePart, Message, TextPart, ToolCall
from golive.memory.history import SUMMARY_MARK, EarlierRun, Past
from golive.models.call import Finished, RefusalDelta, TextDelta
from golive.runtime.routing import Routing
from golive.runtime.shown import result_of
from golive.runtime.state import RunState
from golive.runtime.summarising import fault, question
from tests.unit.routing_kit import DIRECT, STRONG, Routed
from tests.unit.runtime_kit import Item, answer, asks, drain

OVER = 1_000
BRIEF = Routing("cheap", "default", summarise_over=OVER)


def summaries(routed: Routed) -> list[HistorySummarised]:
    return [body for body in routed.world.bodies if isinstance(body, HistorySummarised)]


def shown_to(routed: Routed, call: int = -1) -> list[str]:
    """What the strong tier was given, behind the prompt."""
    return [message.text() for message in routed.strong.requests[call].messages[1:]]


async def told(path: Path, cheap: list[list[Item]], strong: list[list[Item]], policy: Routing = BRIEF) -> Routed:
    """A conversation of three turns: a long one, and two short ones; the summary is due at the third."""
    first = [STRONG, STRONG, STRONG]
    routed = Routed(path, [*first, *cheap], [answer("A" * 900), answer("two"), *strong], policy)
    for text in ("one" * 50, "and two"):
        await routed.result(text, conversation="c")
    return routed


async def test_the_older_part_is_condensed(tmp_path: Path) -> None:
    """Into one message that says what it is; the newest turn and the question follow word for word."""
    routed = await told(tmp_path, [answer("They met.\n")], [answer("three")])
    result = await routed.result("and three?", conversation="c")
    assert result.text == "three"
    assert shown_to(routed) == [SUMMARY_MARK + "They met.", "and two", "two", "and three?"]
    asked = routed.cheap.requests[-1]
    assert [message.role for message in asked.messages] == ["system", "user"]
    assert msgspec.json.decode(asked.messages[1].text()) == {
        "summary_so_far": "",
        "messages": [{"role": "user", "text": "one" * 50}, {"role": "assistant", "text": "A" * 900}],
    }
    (made,) = summaries(routed)
    assert (made.text, made.runs, made.chars, made.reason, made.cost_microusd) == ("They met.", 1, 1_050, "", 30)
    assert result.cost_microusd == 90
    frames = await drain(await routed.world.runtime.subscribe("default", routed.run))
    (frame,) = [msgspec.json.decode(frame.data) for frame in frames if frame.event == "history.summarised"]
    assert frame == {
        "step": 1, "runs": 1, "chars": 1_050, "summary_chars": 9, "reason": "", "cost_microusd": 30
    }  # fmt: skip
    events = await routed.world.store.tenant("default").events(routed.run)
    assert result_of(RunState.of(events)) == result


async def test_the_next_run_begins_with_the_summary(tmp_path: Path) -> None:
    """Nothing is condensed twice; once there is too much again, the summary is condensed along with what followed."""
    cheap = [answer("They met."), STRONG, STRONG, answer("They met and parted.")]
    routed = await told(tmp_path, cheap, [answer("three"), answer("B" * 990), answer("five")])
    await routed.result("and three?", conversation="c")
    await routed.result("and four?", conversation="c")
    assert shown_to(routed) == [SUMMARY_MARK + "They met.", "and two", "two", "and three?", "three", "and four?"]
    assert len(summaries(routed)) == 1
    await routed.result("and " + "5" * 200, conversation="c")
    # The newest turn is longer than half of what is allowed: it stays all the same, and all before it goes.
    assert shown_to(routed)[:3] == [SUMMARY_MARK + "They met and parted.", "and four?", "B" * 990]
    given = msgspec.json.decode(routed.cheap.requests[-1].messages[1].text())
    assert given["summary_so_far"] == "They met."
    assert [each["text"] for each in given["messages"]] == ["and two", "two", "and three?", "three"]
    first, second = summaries(routed)
    assert second.through != first.through
    assert second.runs == 2


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ([ContextTooLong("too long")], "summariser_out"),
        (answer("They m", reason="length"), "cut"),
        ([TextDelta("I cannot."), RefusalDelta("No."), Finished("stop")], "cut"),
        (answer(" "), "empty"),
        (answer("x" * 1_050), "longer"),
    ],
)
async def test_without_a_summary_all_of_it_is_sent(tmp_path: Path, turn: list[Item], reason: str) -> None:
    """As if nobody had been asked, which is tried once a run; the next run tries anew."""
    cheap = [turn, STRONG, answer("They met.")]
    routed = await told(tmp_path, cheap, [asks(("look", "{}")), answer("three"), answer("four")])
    result = await routed.result("and three?", conversation="c")
    assert (result.outcome, result.text) == ("completed", "three")
    for call in (-2, -1):
        assert shown_to(routed, call)[:5] == ["one" * 50, "A" * 900, "and two", "two", "and three?"]
    assert [(body.text, body.reason) for body in summaries(routed)] == [("", reason)]
    await routed.result("and four?", conversation="c")
    assert shown_to(routed)[0] == SUMMARY_MARK + "They met."


async def test_a_tier_that_was_out_is_not_asked_again(tmp_path: Path) -> None:
    """No second wait in the same run: that there is no summary is noted; the next run asks."""
    cheap: list[list[Item]] = [STRONG, STRONG, [ModelTimeout("late")], STRONG, answer("They met.")]
    strong = [answer("A" * 900), answer("two"), answer("three"), answer("four")]
    routed = Routed(tmp_path, cheap, strong, BRIEF)
    for text in ("one" * 50, "and two", "and three?"):
        await routed.result(text, conversation="c")
    assert len(routed.cheap.requests) == 3
    assert routed.events[-1] == ("strong", "default", "supervisor_out")
    assert [(body.text, body.reason) for body in summaries(routed)] == [("", "summariser_out")]
    await routed.result("and four?", conversation="c")
    assert shown_to(routed)[0] == SUMMARY_MARK + "They met."


async def test_a_tier_that_failed_to_answer_condenses_nothing(tmp_path: Path) -> None:
    """It hands over, and the strong tier gets the whole history at once."""
    cheap: list[list[Item]] = [STRONG, STRONG, DIRECT, [ModelTimeout("late")]]
    routed = Routed(tmp_path, cheap, [answer("A" * 900), answer("two"), answer("three")], BRIEF)
    for text in ("one" * 50, "and two", "and three?"):
        result = await routed.result(text, conversation="c")
    assert (result.text, len(routed.cheap.requests)) == ("three", 4)
    assert routed.events[-1] == ("strong", "default", "cheap_failed")
    assert [body.reason for body in summaries(routed)] == ["summariser_out"]


async def test_the_cheap_tier_is_sent_all_of_it(tmp_path: Path) -> None:
    """What it condenses it would read for the same money; a turn of its own waits for no summary."""
    routed = Routed(tmp_path, [STRONG, STRONG, DIRECT, answer("Hi.")], [answer("A" * 990), answer("two")], BRIEF)
    for text in ("one" * 50, "and two", "Hello"):
        await routed.result(text, conversation="c")
    assert len(routed.cheap.requests[-1].messages) == 6
    assert summaries(routed) == []


async def test_without_the_policy_the_turns_themselves_count(tmp_path: Path) -> None:
    """A summary that was made is passed over once `summarise_over` is gone: nothing of the journal was lost."""
    routed = await told(tmp_path, [answer("They met."), STRONG], [answer("three"), answer("four")])
    await routed.result("and three?", conversation="c")
    version = routed.world.agents.get("default", "helper")
    plain = msgspec.structs.replace(version, routing=Routing("cheap", "default"))
    routed.world.agents.put(plain)
    await routed.result("and four?", conversation="c")
    assert shown_to(routed)[:2] == ["one" * 50, "A" * 900]


async def test_what_was_accepted_later_and_ended_sooner_is_not_told_twice(tmp_path: Path) -> None:
    """Two runs are cancelled in the queue; one of them is condensed by the run before it: what is older stays away."""
    gate = asyncio.Event()
    cheap = [STRONG, STRONG, STRONG, answer("They met."), STRONG]
    strong = [answer("A" * 900), [gate.wait, *answer("two")], answer("three"), answer("last")]
    routed = Routed(tmp_path, cheap, strong, BRIEF)
    await routed.result("one" * 50, conversation="c")
    second, third, bee, sea = [
        await routed.world.start(text, conversation="c") for text in ("and two", "and three", "bee", "C" * 600)
    ]
    for run in (bee, sea):
        await routed.world.runtime.steering.cancel("default", run, "key_1", "enough")
    gate.set()
    assert (await routed.world.runtime.wait("default", third)).text == "three"
    assert shown_to(routed) == [SUMMARY_MARK + "They met.", "C" * 600, "and three"]
    assert [body.through for body in summaries(routed)] == [bee]
    await routed.result("the last", conversation="c")
    summary, *rest = shown_to(routed)
    assert summary == SUMMARY_MARK + "They met."
    assert rest == ["and three", "three", "bee", "C" * 600, "the last"]
    assert (await routed.world.runtime.result("default", second)).text == "two"


async def test_a_run_cancelled_while_it_is_condensed_ends(tmp_path: Path) -> None:
    """And its call is counted."""
    asked, never = asyncio.Event(), asyncio.Event()

    async def condense() -> None:
        asked.set()
        await never.wait()

    routed = await told(tmp_path, [[condense]], [])
    run = await routed.world.start("and three?", conversation="c")
    await asked.wait()
    result = await routed.world.runtime.steering.cancel("default", run, "key_1", "enough")
    assert (result.outcome, result.text, result.cost_microusd) == ("cancelled", "", 60)


def test_pictures_and_calls_are_named() -> None:
    """Of a picture there is only that it was there; a call stands with its arguments."""
    picture = Message("user", (TextPart("This one"), ImagePart("https://x/y.png")))
    call = Message("assistant", "", tool_calls=(ToolCall("c1", "look", '{"q":1}'),))
    found = Message("tool", "found", tool_call_id="c1")
    asked = question("Before.", [EarlierRun("run_1", (picture, call, found))])
    assert msgspec.json.decode(asked.messages[1].text()) == {
        "summary_so_far": "Before.",
        "messages": [
            {"role": "user", "text": "This one\n[a picture]"},
            {"role": "assistant", "text": "", "calls": [{"tool": "look", "arguments": '{"q":1}'}]},
            {"role": "tool", "text": "found"},
        ],
    }
    assert (asked.tools, asked.temperature, asked.max_output_tokens) == ((), 0.0, 1_024)


def test_a_summary_is_shorter_than_what_it_stands_for() -> None:
    """At the bound it is not."""
    assert [fault("x" * 9, True, 10), fault("x" * 10, True, 10), fault("x", False, 10)] == ["", "longer", "cut"]


@given(st.lists(st.integers(0, 400), max_size=12), st.integers(1, 1_500), st.integers(0, 300))
def test_what_is_condensed_and_what_stays_make_the_whole(sizes: list[int], over: int, summary: int) -> None:
    """Whole runs, in order, the newest always among those that stay, and of the rest as many as fit in half."""
    runs = tuple(EarlierRun(f"run_{n}", (Message("user", "x" * size),)) for n, size in enumerate(sizes))
    past = Past(runs, "s" * summary)
    older = past.older(over)
    after = past.condensed(older, "s")
    assert (*older, *after.runs) == runs
    if sum(sizes) + summary <= over or len(runs) < 2:
        assert older == ()
    if older:
        assert after.runs[-1] == runs[-1]
        kept = sum(run.chars for run in after.runs)
        assert kept <= over // 2 or len(after.runs) == 1
        assert kept + older[-1].chars > over // 2
