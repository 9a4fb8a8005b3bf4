"""Runs from acceptance to their end."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw

from golive.core.errors import InvalidRequest, ModelCut, ModelUnavailable, NotFound, Overloaded, ShuttingDown
from golive.core.events import AlarmRaised, ModelFailed, ModelFinished
from golive.core.frames import Cursor
from golive.core.messages import Message
from golive.models.call import AttemptFailed, AttemptStarted, TextDelta, response_format
from golive.runtime.api import RunRequest
from golive.store.ports import RunFilter
from golive.tools.toolset import ToolInvocation, ToolOutcome
from tests.unit.runtime_kit import (
    PRINCIPAL,
    TARGET,
    Item,
    ScriptedModel,
    Tools,
    World,
    answer,
    asks,
    drain,
    open_runs,
    shown,
)


async def test_an_answer_streams_and_is_remembered(tmp_path: Path) -> None:
    """A run's frames, its result, its journal and its ledger tell the same story."""
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel([gate.wait, *answer("Hel", "lo", " you")]))
    run = await world.start()
    subscription = await world.runtime.subscribe("default", run)
    gate.set()
    frames = await drain(subscription)
    assert [frame.event for frame in frames] == [
        "run.accepted", "run.started", "step.started", "text.delta", "text.delta", "text.delta", "model.finished",
        "run.finished",
    ]  # fmt: skip
    assert shown(frames) == "Hello you"
    result = await world.runtime.result("default", run)
    assert (result.state, result.outcome, result.text) == ("finished", "completed", "Hello you")
    assert (result.cost_microusd, result.usage.input_tokens, result.steps) == (30, 10, 1)
    assert await world.store.tenant("default").spent(run) == 30
    assert await world.kinds(run) == [
        "run.accepted", "run.started", "step.started", "model.started", "text.block", "model.finished", "run.finished",
    ]  # fmt: skip
    (row,) = await world.runtime.runs("default", RunFilter())
    assert (row.outcome, row.cost_microusd, row.version) == ("completed", 30, "sha256:test")


async def test_the_journal_replays_the_stream_that_was_shown_live(tmp_path: Path) -> None:
    """Frames read from the journal join to what a live subscriber saw, at the same positions."""
    said = answer("one ", "two ", "three")
    gate = asyncio.Event()
    world = World(
        tmp_path, ScriptedModel([gate.wait, *asks(("look", "{}"), text="Let me see.")], said), Tools(look=_found)
    )
    run = await world.start()
    subscription = await world.runtime.subscribe("default", run)
    gate.set()
    live = await drain(subscription)
    late = await drain(await world.runtime.subscribe("default", run))
    assert shown(late) == shown(live) == "Let me see.\n\none two three"
    assert late[-1] == live[-1]
    for cut in range(late[-1].pos + 1):
        rest = await drain(await world.runtime.subscribe("default", run, Cursor(1, cut)))
        joined = shown([part for frame in live if (part := _until(frame, cut)) is not None]) + shown(rest)
        assert joined == shown(live), cut


def _until(frame, pos):  # type: ignore[no-untyped-def]
    """What of a live frame a subscriber at `pos` had seen."""
    if frame.pos <= pos or not frame.is_text:
        return frame if frame.pos <= pos else None
    text = frame.text()
    keep = len(text) - (frame.pos - pos)
    from golive.core.frames import text_frame

    return text_frame(1, pos, frame.item, frame.channel, text[:keep]) if keep > 0 else None


async def _found(invocation: ToolInvocation) -> ToolOutcome:
    return ToolOutcome(True, f'{{"key":"{invocation.key}"}}')


async def test_tools_run_side_by_side_and_their_results_reach_the_model(tmp_path: Path) -> None:
    """Two calls of one step are under way at once; results go back in the order of the calls."""
    both = asyncio.Barrier(2)

    async def meet(invocation: ToolInvocation) -> ToolOutcome:
        await both.wait()
        return ToolOutcome(True, invocation.name)

    model = ScriptedModel(asks(("left", '{"a":1}'), ("right", "{}")), answer("done"))
    world = World(tmp_path, model, tools := Tools(left=meet, right=meet))
    result = await world.runtime.wait("default", run := await world.start())
    assert (result.outcome, result.text, result.tool_calls) == ("completed", "done", 2)
    assert [call.key for call in tools.calls] == [f"{run}//1", f"{run}//2"]
    turns = model.requests[1].messages[-3:]
    assert [(turn.role, turn.content) for turn in turns] == [("assistant", ""), ("tool", "left"), ("tool", "right")]
    assert turns[0].tool_calls[0].arguments == '{"a":1}'


async def test_an_intent_is_durable_before_its_effect(tmp_path: Path) -> None:
    """When a tool is called, the journal already holds its intent."""
    world: World

    async def look(invocation: ToolInvocation) -> ToolOutcome:
        return ToolOutcome(True, ",".join(await world.kinds(invocation.run)))

    world = World(tmp_path, model := ScriptedModel(asks(("look", "{}")), answer("ok")), Tools(look=look))
    await world.runtime.wait("default", await world.start())
    assert str(model.requests[1].messages[-1].content).endswith("model.finished,tool.started")


async def test_the_step_cap_ends_a_run_that_never_stops(tmp_path: Path) -> None:
    """A model that calls tools for ever is stopped at the cap; what it said so far is the partial answer."""
    world = World(
        tmp_path, ScriptedModel(asks(("look", "{}"), text="again"), repeat=True), Tools(look=_found), max_steps=3
    )
    result = await world.runtime.wait("default", await world.start())
    assert (result.outcome, result.reason, result.steps, result.tool_calls) == ("partial", "max_steps", 3, 2)
    assert result.text == "again\n\nagain\n\nagain"
    assert "steps (3)" in result.message


async def test_a_request_may_tighten_limits_never_loosen_them(tmp_path: Path) -> None:
    """max_steps of the request counts when it is smaller than the version's."""
    world = World(tmp_path, ScriptedModel(asks(("look", "{}")), repeat=True), Tools(look=_found), max_steps=3)
    assert (await world.runtime.wait("default", await world.start(max_steps=2))).steps == 2
    assert (await world.runtime.wait("default", await world.start(max_steps=9))).steps == 3


async def test_too_many_tool_calls_at_once_are_refused_and_the_model_is_told(tmp_path: Path) -> None:
    """Calls beyond the limit of one step are not carried out, and each has its result."""
    calls = [("look", str(number)) for number in range(6)]
    model = ScriptedModel(asks(*calls), answer("ok"))
    # ids must differ for results to find their calls
    for index, item in enumerate(model.turns[0][:-1]):
        model.turns[0][index] = msgspec.structs.replace(item, id=f"c{index}")  # type: ignore[type-var]
    world = World(tmp_path, model, tools := Tools(look=_found))
    await world.runtime.wait("default", await world.start())
    assert len(tools.calls) == 4
    assert ["Not carried out" in str(turn.content) for turn in model.requests[1].messages[-6:]] == [False] * 4 + [
        True
    ] * 2


@pytest.mark.parametrize(("said", "outcome"), [("", "failed"), ("Half an ans", "partial")])
async def test_a_broken_model_gives_what_there_is(tmp_path: Path, said: str, outcome: str) -> None:
    """A call that fails for good ends the run as `partial` with its text, or `failed` with words for the user."""
    error = ModelCut("cut", provider="sim") if said else ModelUnavailable("503", provider="sim", status=503)
    turn = [TextDelta(said), error] if said else [error]
    world = World(tmp_path, ScriptedModel(turn))  # type: ignore[arg-type]
    result = await world.runtime.wait("default", run := await world.start())
    assert (result.outcome, result.text, result.reason) == (outcome, said, error.code)
    assert result.message
    assert result.cost_microusd == 30, "what the broken call cost is counted"
    assert await world.store.tenant("default").spent(run) == 30


async def test_cancel_ends_a_waiting_model_call_and_keeps_the_text(tmp_path: Path) -> None:
    """A cancelled run ends at once as `cancelled`, with the reason, its text, and the price of the abandoned call."""
    world = World(tmp_path, ScriptedModel([TextDelta("so far"), asyncio.Event().wait]))
    run = await world.start(background=True)
    subscription = await world.runtime.subscribe("default", run)
    while "so far" not in shown(await subscription.next(5.0) or []):
        pass
    result = await world.runtime.steering.cancel("default", run, "key_1", "changed my mind")
    assert (result.outcome, result.text, result.message) == ("cancelled", "so far", "changed my mind")
    assert result.cost_microusd == 30
    again = await world.runtime.steering.cancel("default", run, "key_1", "twice")
    assert again.message == "changed my mind"


async def test_cancel_during_a_tool_leaves_its_outcome_open(tmp_path: Path) -> None:
    """A tool call that was cancelled has an intent and no outcome: nobody claims to know whether it was done."""
    entered = asyncio.Event()

    async def hang(invocation: ToolInvocation) -> ToolOutcome:
        entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    world = World(tmp_path, ScriptedModel(asks(("hang", "{}"))), Tools(hang=hang))
    run = await world.start(background=True)
    await entered.wait()
    result = await world.runtime.steering.cancel("default", run, "key_1", "")
    assert result.outcome == "cancelled"
    kinds = await world.kinds(run)
    assert "tool.started" in kinds
    assert "tool.finished" not in kinds


async def test_an_interactive_run_without_listeners_is_cancelled_after_its_grace(tmp_path: Path) -> None:
    """Policy `cancel`: the last subscriber leaves, and the run ends; policy `continue`: it goes on."""
    for policy, outcome in (("cancel", "cancelled"), ("continue", "completed")):
        release = asyncio.Event()
        world = (
            World(tmp_path / policy, ScriptedModel([TextDelta("x"), release.wait, *answer("y")]))
            if ((tmp_path / policy).mkdir() is None)
            else None
        )
        assert world is not None
        run = await world.start(on_disconnect=policy)
        subscription = await world.runtime.subscribe("default", run)
        assert await subscription.next(5.0)
        subscription.close()
        if policy == "continue":
            release.set()
        while world.runtime.open_runs():
            await asyncio.sleep(0)
        assert (await world.runtime.result("default", run)).outcome == outcome


async def test_tokens_without_a_price_raise_an_alarm(tmp_path: Path) -> None:
    """A call that used tokens and has no price is marked, and an alarm event is journalled."""
    world = World(tmp_path, ScriptedModel(answer("hi"), priced=False))
    result = await world.runtime.wait("default", await world.start())
    assert result.priced is False
    (alarm,) = [body for body in world.bodies if isinstance(body, AlarmRaised)]
    assert (alarm.alarm, alarm.fields["target"], alarm.fields["tokens"]) == ("price.missing", "sim/sim-text", "15")


async def test_a_fault_of_our_own_ends_the_run_and_is_logged(tmp_path: Path) -> None:
    """An unexpected exception is no lost run: it ends `failed` and the fault goes to the log."""
    world = World(tmp_path, ScriptedModel([RuntimeError("bug")]))
    result = await world.runtime.wait("default", await world.start())
    assert (result.outcome, result.reason) == ("failed", "internal")
    assert "bug" not in result.message
    assert [str(fault) for fault in world.faults] == ["bug"]


async def test_the_deadline_ends_a_run_between_steps(tmp_path: Path) -> None:
    """Once the deadline has passed no further step begins, and what was said is the partial answer."""
    world = World(
        tmp_path, ScriptedModel(asks(("look", "{}"), text="first"), repeat=True), Tools(look=_found), deadline_s=1e-9
    )
    result = await world.runtime.wait("default", await world.start())
    assert (result.outcome, result.reason, result.text, result.steps) == ("partial", "deadline", "first", 1)


async def test_structured_output_is_parsed_or_refused(tmp_path: Path) -> None:
    """With a schema declared, `output` is the parsed answer; an answer that is no JSON ends `partial`."""
    model = ScriptedModel(answer('{"score":', "3}"), answer("I would rather not"))
    world = World(tmp_path, model, output_schema=Raw(b'{"type":"json_object"}'))
    good = await world.runtime.wait("default", await world.start())
    assert good.output == {"score": 3}
    bad = await world.runtime.wait("default", await world.start())
    assert (bad.outcome, bad.reason, bad.output) == ("partial", "output_invalid", None)


async def test_an_answer_that_does_not_follow_its_schema_is_refused(tmp_path: Path) -> None:
    """It ends `partial`, with its text; where it does not follow stands in the journal, without the answer's words."""
    schema = response_format({"type": "object", "properties": {"score": {"type": "integer"}}}, "default")
    model = ScriptedModel(answer('{"score":', "3}"), answer('{"score": "private"}'))
    world = World(tmp_path, model, output_schema=schema)
    good = await world.runtime.wait("default", await world.start())
    assert (good.outcome, good.output) == ("completed", {"score": 3})
    bad = await world.runtime.wait("default", await world.start())
    assert (bad.outcome, bad.reason, bad.output) == ("partial", "output_invalid", None)
    assert bad.text == '{"score": "private"}'
    assert [body for body in world.bodies if isinstance(body, AlarmRaised)] == [
        AlarmRaised(
            "output.invalid", "The answer does not follow output_schema: /score breaks #/properties/score/type.",
            {"agent": "helper"},
        )
    ]  # fmt: skip


async def test_refusals_before_acceptance(tmp_path: Path) -> None:
    """Unknown agent, empty input, a full or draining server: a clear error, and no run."""
    world = World(tmp_path, ScriptedModel(answer("x")), max_open_runs=0)
    with pytest.raises(NotFound, match="helper"):
        await world.runtime.start(RunRequest(agent="nobody", input=(Message("user", "x"),), principal=PRINCIPAL))
    with pytest.raises(Overloaded, match="max_open_runs"):
        await world.start()
    await world.runtime.drain(0.1)
    with pytest.raises(ShuttingDown):
        await world.start()
    open_world = World(tmp_path, ScriptedModel(answer("x")))
    with pytest.raises(InvalidRequest, match="input"):
        await open_world.runtime.start(RunRequest(agent="helper", input=(), principal=PRINCIPAL))
    assert await open_world.runtime.runs("default", RunFilter()) == []


async def test_drain_hands_over_what_does_not_finish(tmp_path: Path) -> None:
    """A run that outlasts the drain is let go of: its text is durable, its call is closed, and it has no end yet."""
    world = World(tmp_path, ScriptedModel([TextDelta("half"), asyncio.Event().wait]))
    run = await world.start(background=True)
    subscription = await world.runtime.subscribe("default", run)
    while "half" not in shown(await subscription.next(5.0) or []):
        pass
    await world.runtime.drain(0.01)
    assert (await world.kinds(run))[-2:] == ["text.block", "model.failed"]
    result = await world.runtime.result("default", run)
    assert (result.state, result.text) == ("running", "half")
    assert await open_runs(world.store) == [("default", run)]


async def test_hurry_ends_a_drain_and_what_it_waits_for(tmp_path: Path) -> None:
    """Whoever follows a run is told at once that it goes on elsewhere, and nothing new is accepted."""
    world = World(tmp_path, ScriptedModel([TextDelta("half"), asyncio.Event().wait]))
    subscription = await world.runtime.subscribe("default", await world.start())
    draining = asyncio.ensure_future(world.runtime.drain(600.0))
    while "half" not in shown(await subscription.next(5.0) or []):
        pass
    world.runtime.hurry()
    async with asyncio.timeout(5):
        frames = await drain(subscription)
        await draining
    assert frames[-1].event == "error"
    told = msgspec.json.decode(frames[-1].data)
    assert (told["code"], told["message"]) == (ShuttingDown.code, "This server is shutting down; the run goes on.")
    with pytest.raises(ShuttingDown):
        await world.start()


async def test_a_refusal_and_a_cut_off_answer_are_told_apart(tmp_path: Path) -> None:
    """finish_reason length is `partial`, content_filter is `refused`."""
    world = World(tmp_path, ScriptedModel(answer("a", reason="length"), answer("b", reason="content_filter")))
    first = await world.runtime.wait("default", await world.start())
    second = await world.runtime.wait("default", await world.start())
    assert (first.outcome, first.reason) == ("partial", "max_output_tokens")
    assert (second.outcome, second.reason) == ("refused", "content_filter")


async def test_model_finished_carries_what_a_span_needs(tmp_path: Path) -> None:
    """Target, usage, cost, times of a call stand in its event."""
    world = World(tmp_path, ScriptedModel(answer("a")))
    await world.runtime.wait("default", await world.start())
    (finished,) = [body for body in world.bodies if isinstance(body, ModelFinished)]
    assert (finished.target, finished.cost_microusd, finished.first_token_ms, finished.latency_ms) == (
        "sim/sim-text",
        30,
        1.0,
        2.0,
    )


async def test_the_failure_of_the_request_that_won_is_its_own(tmp_path: Path) -> None:
    """Of two that were sent (`hedge`) the first answered and broke off: the journal does not blame the second."""
    outrun = AttemptFailed(11, "b/m", ModelUnavailable("outrun"), 1.0)
    turn: list[Item] = [AttemptStarted(11, "b/m"), outrun, TextDelta("par"), ModelCut("cut", provider="sim")]
    world = World(tmp_path, ScriptedModel(turn))
    run = await world.start()
    await world.runtime.wait("default", run)
    failed = [(body.attempt, body.target) for body in world.bodies if isinstance(body, ModelFailed)]
    assert failed == [(11, "b/m"), (1, TARGET)]
