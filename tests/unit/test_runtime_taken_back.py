"""What a later run is told of calls that were taken back: that they were, beside what they had returned."""

from pathlib import Path

import pytest

from golive.core.errors import Conflict
from golive.runtime.api import RunRequest
from golive.runtime.service import Runtime
from golive.tools.toolset import EffectRules, ToolOutcome
from tests.unit.resume_kit import PAY, begun, hangs
from tests.unit.runtime_kit import PRINCIPAL, ScriptedModel, World, answer, asks
from tests.unit.test_runtime_undoing import BACK, DIED, Refunds, cancelled, until

REQUEST = RunRequest(agent="", input=(), principal=PRINCIPAL, background=True)
TAKEN_BACK = "receipt 1\n\n[This call was taken back afterwards: what it did no longer stands.]"
NOT_SURE = (
    "receipt 1\n\n[This call was to be taken back afterwards, and it is not known whether it was: do not rely on what "
    "it did, and do not call it again without asking the user.]"
)
FAILED = ToolOutcome(False, "no such payment", "tool.raised")


async def paid_twice(path: Path, tools: Refunds) -> tuple[World, str]:
    """A run that has paid in each of two steps, under one call id, and asks its model a third time."""
    world = World(path, ScriptedModel(asks(PAY), asks(PAY), [hangs()], *[answer("Forked.")] * 3), tools)
    run = await begun(world, "tool.finished", conversation="c")
    await until(lambda: len(world.model.requests) == 3)
    return world, run


async def told(world: World, runtime: Runtime, run: str, step: int) -> list[str]:
    """What tools said, as the fork's model is told it."""
    forked = await runtime.wait("default", await runtime.steering.fork("default", run, step, REQUEST))
    assert forked.text == "Forked."
    return [message.text() for message in world.model.requests[-1].messages if message.role == "tool"]


@pytest.mark.parametrize("undone", [(BACK, FAILED), (DIED, BACK)], ids=["failed", "unknown"])
async def test_a_fork_is_told_which_of_its_calls_were_taken_back(
    tmp_path: Path, undone: tuple[ToolOutcome, ToolOutcome]
) -> None:
    """The newest is taken back first; each mark stands with its own call, though both have one id."""
    world, run = await paid_twice(tmp_path, Refunds(EffectRules(undo=True), *undone))
    await cancelled(world, world.runtime, run)
    expected = [TAKEN_BACK if outcome is BACK else NOT_SURE for outcome in reversed(undone)]
    assert await told(world, world.runtime, run, 3) == expected
    assert await told(world, world.runtime, run, 2) == expected[:1]


async def test_a_fork_of_a_run_that_was_cancelled_without_undo_is_told_no_such_thing(tmp_path: Path) -> None:
    world, run = await paid_twice(tmp_path, Refunds(EffectRules(undo=True)))
    await world.runtime.steering.cancel("default", run, "key_1", "stop")
    assert await told(world, world.runtime, run, 3) == ["receipt 1", "receipt 1"]


async def test_a_fork_of_a_fork_is_told_what_the_first_one_was(tmp_path: Path) -> None:
    world, run = await paid_twice(tmp_path, Refunds(EffectRules(undo=True)))
    await cancelled(world, world.runtime, run)
    forked = await world.runtime.steering.fork("default", run, 3, REQUEST)
    await world.runtime.wait("default", forked)
    assert await told(world, world.runtime, forked, 1) == [TAKEN_BACK, TAKEN_BACK]


async def test_the_next_turn_of_the_conversation_is_told_the_same(tmp_path: Path) -> None:
    """It is shown what the run had said and done, which no longer stands."""
    world, run = await paid_twice(tmp_path, Refunds(EffectRules(undo=True)))
    await cancelled(world, world.runtime, run)
    await world.runtime.wait("default", await world.start("And now?", conversation="c"))
    said = [message.text() for message in world.model.requests[-1].messages if message.role == "tool"]
    assert said == [TAKEN_BACK, TAKEN_BACK]


async def test_a_run_whose_calls_are_just_being_taken_back_is_not_forked(tmp_path: Path) -> None:
    """Nobody can tell yet what will stand."""
    gate = hangs()
    world, run = await paid_twice(tmp_path, Refunds(EffectRules(undo=True), gate))
    live = world.runtime._carrier.live["default", run]
    from golive.core.events import CancelRequested

    live.journal.note(CancelRequested("key_1", "stop", True))
    await live.journal.flush()
    with pytest.raises(Conflict) as refused:
        await world.runtime.steering.fork("default", run, 2, REQUEST)
    assert refused.value.message == f"Run {run} is just being cancelled, and what its tools did taken back."
    assert refused.value.remedy == "Fork it once it has ended."
    await world.runtime.drain(0.0)
