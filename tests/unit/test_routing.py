"""A cheap supervisor sends each turn to a tier; on any doubt the strong tier answers."""

from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.core.errors import ModelBadRequest, ModelUnreachable
from golive.core.events import ModelFailed
from golive.core.messages import ImagePart, Message, TextPart, ToolSpec, Usage
from golive.models.call import CallContext, ModelCall, ModelEvent, ModelRequest, TextDelta
from golive.runtime.routing import MAX_CHARS, Decision, Routing, beforehand, decided, question
from tests.unit.routing_kit import DIRECT, STRONG, TOOL, Routed
from tests.unit.runtime_kit import Item, answer, asks, drain, shown


async def test_a_simple_turn_is_answered_by_the_cheap_tier(tmp_path: Path) -> None:
    """Without tools, and without the strong tier being asked; both calls are in usage and cost."""
    routed = Routed(tmp_path, [DIRECT, answer("Hi.")], [])
    result = await routed.result()
    assert (result.outcome, result.text, result.steps) == ("completed", "Hi.", 1)
    assert routed.events == [("direct", "cheap", "supervisor")]
    assert [request.tools for request in routed.cheap.requests] == [(), ()]
    assert routed.strong.requests == []
    assert (result.usage, result.cost_microusd) == (Usage(input_tokens=20, output_tokens=10), 60)


async def test_a_look_up_gets_the_tools(tmp_path: Path) -> None:
    """The supervisor is asked once a turn: the step after the tool stays where the turn was sent."""
    routed = Routed(tmp_path, [TOOL, asks(("look", "{}")), answer("Found.")], [])
    result = await routed.result()
    assert (result.text, result.steps, result.tool_calls) == ("Found.", 2, 1)
    assert [len(request.tools) for request in routed.cheap.requests] == [0, 1, 1]
    assert len(routed.events) == 1


async def test_a_hard_turn_is_handed_to_the_strong_tier(tmp_path: Path) -> None:
    """What the supervisor said is shown to nobody, and no later call sees it."""
    routed = Routed(tmp_path, [STRONG], [answer("Deep.")])
    result = await routed.result("Why?")
    assert (result.text, routed.events) == ("Deep.", [("strong", "default", "supervisor")])
    assert [message.text() for message in routed.strong.requests[0].messages] == ["Be brief.", "Why?"]
    frames = await drain(await routed.world.runtime.subscribe("default", routed.run))
    assert shown(frames) == "Deep."
    told = [msgspec.json.decode(frame.data) for frame in frames if frame.event == "step.routed"]
    assert told == [{"step": 1, "route": "strong", "tier": "default", "reason": "supervisor", "cost_microusd": 30}]
    order = [frame.event for frame in frames]
    assert order.index("step.routed") < order.index("step.started")


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        (answer('{"route":"direct","sure":false}'), "unsure"),
        (answer("direct"), "not_understood"),
        (answer(), "not_understood"),
        ([ModelUnreachable("gone")], "supervisor_out"),
        ([TextDelta('{"route":"dir'), ModelBadRequest("no")], "supervisor_out"),
    ],
)
async def test_on_any_doubt_the_strong_tier_answers(tmp_path: Path, turn: list[Item], reason: str) -> None:
    """And what the failed or useless decision cost is counted."""
    routed = Routed(tmp_path, [turn], [answer("Deep.")])
    result = await routed.result()
    assert (result.outcome, result.text) == ("completed", "Deep.")
    assert routed.events == [("strong", "default", reason)]
    failed = [body.code for body in routed.world.bodies if isinstance(body, ModelFailed)]
    assert len(failed) == (reason == "supervisor_out")
    assert result.cost_microusd == 60


class Watched:
    """A model that notes how long its word is waited for, seconds, by limit."""

    def __init__(self, model: ModelCall) -> None:
        self.model = model
        self.waits: list[tuple[str, float]] = []

    def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        self.waits.append((ctx.deadline.limit, ctx.deadline.seconds))
        return self.model(request, ctx)


@pytest.mark.parametrize(("deadline_s", "wait_s", "waited_s"), [(300.0, 3.5, 3.5), (10.0, 30.0, 2.0), (10.0, 1.0, 1.0)])
async def test_its_word_is_waited_for_briefly(
    tmp_path: Path, deadline_s: float, wait_s: float, waited_s: float
) -> None:
    """By `routing.wait_s`, and never for more than a fifth of what is left; the answer has all of it."""
    policy = Routing("cheap", "default", wait_s=wait_s)
    routed = Routed(tmp_path, [DIRECT, answer("Hi.")], [], policy, deadline_s=deadline_s)
    version = routed.world.agents.get("default", "helper")
    aside, whole = Watched(routed.cheap), Watched(routed.cheap)
    tier = msgspec.structs.replace(version.tiers["cheap"], aside=aside, call=whole)
    routed.world.agents.put(msgspec.structs.replace(version, tiers={**version.tiers, "cheap": tier}))
    assert (await routed.result()).text == "Hi."
    ((limit, seconds),) = aside.waits
    assert limit == "routing.wait_s"
    assert waited_s - 0.2 < seconds <= waited_s
    ((limit, seconds),) = whole.waits
    assert (limit, seconds) == ("limits.deadline_s", deadline_s)


async def test_a_cheap_tier_that_is_out_makes_way(tmp_path: Path) -> None:
    """Nothing was shown yet: the strong tier answers in the next step."""
    routed = Routed(tmp_path, [DIRECT, [ModelUnreachable("gone")]], [answer("Deep.")])
    result = await routed.result()
    assert (result.outcome, result.text, result.steps) == ("completed", "Deep.", 2)
    assert routed.events == [("direct", "cheap", "supervisor"), ("strong", "default", "cheap_failed")]


async def test_an_answer_that_was_begun_is_not_handed_over(tmp_path: Path) -> None:
    """What the user saw stands, as a partial answer."""
    routed = Routed(tmp_path, [DIRECT, [TextDelta("Hal"), ModelUnreachable("gone")]], [])
    result = await routed.result()
    assert (result.outcome, result.text) == ("partial", "Hal")


async def test_the_state_is_that_of_the_journal(tmp_path: Path) -> None:
    """A result read again from the journal equals the one that was given."""
    routed = Routed(tmp_path, [DIRECT, answer("Hi.")], [])
    result = await routed.result()
    assert await routed.world.runtime.result("default", routed.run) == result
    kinds = await routed.world.kinds(routed.run)
    assert kinds[:5] == ["run.accepted", "run.started", "model.started", "step.routed", "step.started"]


@pytest.mark.parametrize(
    ("message", "decision"),
    [
        (Message("user", "x" * MAX_CHARS), None),
        (Message("user", "x" * (MAX_CHARS + 1)), Decision("strong", "long")),
        (Message("user", (TextPart("What is this?"),)), None),
        (Message("user", (TextPart("What is this?"), ImagePart("https://x/y.png"))), Decision("strong", "not_text")),
        (Message("assistant", "I"), Decision("strong", "not_text")),
    ],
)
def test_what_needs_no_asking(message: Message, decision: Decision | None) -> None:
    """Only a text of moderate length is worth the supervisor's time."""
    assert beforehand((Message("user", "Hello"), message)) == decision


def test_the_question_is_short() -> None:
    """Of the conversation the last message, of a tool its name and the beginning of its description."""
    tools = (ToolSpec("look", "Looks. " * 100, msgspec.Raw(b"{}")),)
    asked = question((Message("user", "Before"), Message("assistant", "Yes"), Message("user", "Now?")), tools)
    assert [message.role for message in asked.messages] == ["system", "user"]
    assert asked.messages[1].text() == "Now?"
    assert "- look: Looks." in asked.messages[0].text()
    assert len(asked.messages[0].text()) < 1_000
    assert (asked.tools, asked.temperature, asked.max_output_tokens) == ((), 0.0, 256)


@given(st.text(max_size=60) | st.sampled_from(['{"route":"direct"}', '{"route":"x","sure":true}', "[" * 5_000]))
def test_whatever_the_supervisor_says_a_tier_answers(text: str) -> None:
    """What is not a decision goes to the strong tier."""
    assert decided(text) == Decision("strong", "not_understood")
