"""Writes that stand although their answer was lost: the run goes on behind them, and does not fail."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from golive.core.clock import SystemClock
from golive.core.errors import Conflict, StoreUnavailable
from golive.core.events import RunAccepted
from golive.core.tasks import Tasks
from golive.runtime.journal import RunJournal
from golive.runtime.state import RunState
from golive.runtime.stream import FrameLog
from golive.store.ports import Lease
from golive.tools.toolset import ToolInvocation, ToolOutcome
from tests.unit.resume_kit import PAY
from tests.unit.runtime_kit import ScriptedModel, Tools, World, answer, asks, drain, shown


def lose_the_answer(world: World, to: Callable[[list[str]], bool]) -> list[list[str]]:
    """The first append whose kinds are such is written, and answered with StoreUnavailable. Returns what was lost."""
    lost: list[list[str]] = []
    append = world.store.append

    async def lossy(lease: Any, expect_seq: int, events: Any, **rows: Any) -> None:
        await append(lease, expect_seq, events, **rows)
        kinds = [event.kind for event in events]
        if not lost and to(kinds):
            lost.append(kinds)
            raise StoreUnavailable("The database is unavailable.")

    world.store.append = lossy  # type: ignore[method-assign]
    return lost


async def paid(invocation: ToolInvocation) -> ToolOutcome:
    return ToolOutcome(True, "receipt 1")


@pytest.mark.parametrize("kind", ["tool.started", "tool.finished", "run.finished"])
async def test_a_run_goes_on_behind_a_write_whose_answer_was_lost(tmp_path: Path, kind: str) -> None:
    """The server takes it over from itself; nothing is done twice, and the end is the run's own."""
    tools = Tools(pay=paid)
    model = ScriptedModel(asks(PAY), answer("Paid."), answer("Paid."))
    world = World(tmp_path, model, tools, store_patience_s=5.0)
    lost = lose_the_answer(world, lambda kinds: kind in kinds)
    run = await world.start(background=True)
    async with asyncio.timeout(10):
        result = await world.runtime.wait("default", run)
    assert (len(lost), world.faults) == (1, [])
    if kind != "tool.started":
        assert (result.outcome, result.text) == ("completed", "Paid.")
        assert len(tools.calls) == 1
    else:  # it may have been begun: a person is asked, as after a crash
        assert (result.state, len(tools.calls)) == ("waiting", 0)
    assert world.runtime.open_runs() == 0


async def test_who_follows_the_run_sees_it_go_on(tmp_path: Path) -> None:
    """One stream, in order, to the end."""
    world = World(tmp_path, ScriptedModel(answer("Good "), answer("Good day.")), store_patience_s=5.0)
    lose_the_answer(world, lambda kinds: "model.finished" in kinds)
    run = await world.start(background=True)
    async with asyncio.timeout(10):
        frames = await drain(await world.runtime.subscribe("default", run))
    assert frames[-1].event == "run.finished"
    assert [frame.epoch for frame in frames] == sorted(frame.epoch for frame in frames)
    assert {frame.event for frame in frames} >= {"run.started", "text.delta", "model.finished"}
    assert shown(frames) == "Good "


async def test_nothing_is_shown_behind_text_that_was_never_shown() -> None:
    """A journal that takes nothing more has lost the frames of its last write: what came behind them would be a gap."""

    class Refusing:
        async def append(self, *_: Any, **__: Any) -> None:
            raise Conflict("Run stands at another seq.")

    state, log, clock = RunState("t", "run_1", "v"), FrameLog(lambda: None), SystemClock()
    state.epoch = 1
    async with Tasks("test") as tasks:
        journal = RunJournal(
            store=cast(Any, Refusing()), lease=Lease("t", "run_1", 1, "h"), state=state, log=log, clock=clock,
            tasks=tasks, observer=lambda *_: None, announce=lambda *_: (), patience_s=1.0,
        )  # fmt: skip
        journal.note(RunAccepted("helper", "1"))
        journal.text("answer", "msg_1", "held behind the event")
        with pytest.raises(Conflict):
            await journal.flush()
        journal.text("answer", "msg_1", "and this behind both")
        assert log.frames == []


async def test_a_conflict_that_no_write_of_ours_explains_fails_the_run(tmp_path: Path) -> None:
    """A fault of our own is not tried again and again."""
    world = World(tmp_path, ScriptedModel(answer("Never.")))
    append = world.store.append

    async def refuses(lease: Any, expect_seq: int, events: Any, **rows: Any) -> None:
        if lease.epoch == 1 and any(event.kind == "model.finished" for event in events):
            raise Conflict("Run stands at another seq.")
        await append(lease, expect_seq, events, **rows)

    world.store.append = refuses  # type: ignore[method-assign]
    run = await world.start(background=True)
    result = await world.runtime.wait("default", run)
    assert (result.outcome, result.reason) == ("failed", "store.conflict")
    assert [type(fault) for fault in world.faults] == [Conflict]
