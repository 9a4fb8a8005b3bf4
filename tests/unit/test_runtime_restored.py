"""After a restored backup: who is asked before a run goes on, and what the question names."""

import asyncio
from pathlib import Path

import pytest

from golive.core.events import Body, ModelFinished, RunAccepted, RunStarted, StepStarted, ToolFinished, ToolStarted
from golive.core.messages import Message, ToolCall, Usage
from golive.runtime.restored import MOST, question
from golive.runtime.state import RunState
from tests.unit.resume_kit import PAY, begun, hangs, paid, taken_over
from tests.unit.runtime_kit import ScriptedModel, Tools, World, answer, asks

RUN = "run_1"


def state_of(calls: int, begun: int, done: int) -> RunState:
    """A run whose model asked for so many calls in its first turn, of which some were begun, and some of those done."""
    asked = tuple(ToolCall(f"c{at}", "pay", "{}") for at in range(1, calls + 1))
    bodies: list[Body] = [
        RunAccepted(
            agent="a", version_name="1", source="agent", principal="p", input=(Message("user", "x"),),
        ),
        RunStarted("h"),
        StepStarted(1, "default"),
        ModelFinished(step=1, attempt=1, target="sim/m", item="msg_1", finish_reason="tool_calls", usage=Usage(),
                      cost_microusd=0, priced=True, tool_calls=asked),
    ]  # fmt: skip
    for at in range(1, begun + 1):
        bodies.append(ToolStarted(1, at, f"{RUN}//{at}", f"c{at}", "pay", "{}", "i"))
        if at <= done:
            bodies.append(ToolFinished(1, at, f"{RUN}//{at}", f"c{at}", "pay", True, "paid"))
    state = RunState("t", RUN, "v")
    for seq, body in enumerate(bodies, 1):
        state.apply(seq, 1, float(seq), body)
    return state


def test_calls_are_named_by_what_is_known_of_them() -> None:
    """Done, begun without an outcome, and asked for; each with the key under which the other side knows it."""
    said = question(state_of(3, 2, 1))
    assert f"Done before the backup: pay ({RUN}//1)." in said
    assert f"Begun, and the outcome is not in the backup: pay ({RUN}//2)." in said
    assert f"Asked for next, and perhaps done since: pay ({RUN}//3)." in said
    assert f"keys that begin {RUN}/." in said


def test_what_there_is_not_is_not_said_and_a_long_list_is_cut() -> None:
    """Ten of each at most."""
    said = question(state_of(MOST + 3, MOST + 3, MOST + 3))
    assert f"pay ({RUN}//{MOST}) and 3 more." in said
    assert "Begun" not in said
    assert "Asked for next" not in said


async def test_a_restored_backup_asks_before_effects_go_on(tmp_path: Path) -> None:
    """Under a higher generation a run that has called tools waits; one that has not goes on."""
    tools = Tools(pay=paid)
    world = World(tmp_path, ScriptedModel(asks(PAY), [hangs()], answer("Paid.")), tools)
    run = await begun(world, "tool.finished")
    while len(world.model.requests) < 2:
        await asyncio.sleep(0.001)
    other = await taken_over(world, generation=2)
    waiting = await other.wait("default", run)
    assert [(asked.about, asked.choices) for asked in waiting.decisions] == [("restored", ("continue", "end"))]
    assert f"Done before the backup: pay ({run}//1)." in waiting.decisions[0].question
    await other.steering.decide("default", run, waiting.decisions[0].id, "continue", by="k")
    assert (await other.wait("default", run)).outcome == "completed"
    started = [body for body in world.bodies if isinstance(body, RunStarted)]
    assert [body.generation for body in started] == [1, 2]


@pytest.mark.parametrize("has_tools", [True, False])
async def test_a_restored_run_may_have_called_tools_since(tmp_path: Path, *, has_tools: bool) -> None:
    """The backup knows of no call, and the run may have made some after it; without tools it made none."""
    tools = Tools(pay=paid) if has_tools else Tools()
    world = World(tmp_path, ScriptedModel([hangs()], answer("Hello.")), tools)
    run = await begun(world, "step.started")
    other = await taken_over(world, generation=2)
    found = await other.wait("default", run)
    assert [asked.about for asked in found.decisions] == (["restored"] if has_tools else [])
    assert found.state == ("waiting" if has_tools else "finished")


def test_an_accepted_run_knows_the_installation_it_was_accepted_in() -> None:
    """So that one which was only queued when it was backed up is known to be from before."""
    state = RunState("t", "run_1", "v")
    state.apply(1, 1, 0.0, RunAccepted(agent="a", version_name="1", generation=3))
    assert state.generation == 3


async def test_a_restored_run_can_be_ended(tmp_path: Path) -> None:
    world = World(tmp_path, ScriptedModel(asks(PAY), [hangs()]), Tools(pay=paid))
    run = await begun(world, "tool.finished")
    other = await taken_over(world, generation=2)
    (asked,) = (await other.wait("default", run)).decisions
    await other.steering.decide("default", run, asked.id, "end", by="k")
    result = await other.wait("default", run)
    assert (result.outcome, result.reason) == ("failed", "restored")
