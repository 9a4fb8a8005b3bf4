"""What is refused to people who steer runs, and in which words: nothing comes twice by an oversight."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from golive.core.errors import Conflict, RunOpen
from golive.runtime.api import RunRequest
from golive.store.ports import Lease
from golive.tools.toolset import ToolInvocation, ToolOutcome
from tests.unit.resume_kit import PAY, begun, taken_over
from tests.unit.runtime_kit import PRINCIPAL, ScriptedModel, Tools, World, answer, asks

REQUEST = RunRequest(agent="", input=(), principal=PRINCIPAL, background=True)


def slow(gate: asyncio.Event) -> Callable[[ToolInvocation], Awaitable[ToolOutcome]]:
    async def pay(invocation: ToolInvocation) -> ToolOutcome:
        await gate.wait()
        return ToolOutcome(True, "receipt 1")

    return pay


async def test_a_run_that_has_not_ended_is_not_begun_again(tmp_path: Path) -> None:
    """Its tools would be called twice; the refusal names where it stands and what to do."""
    world = World(
        tmp_path, ScriptedModel(asks(PAY), answer("Paid."), answer("Anew.")), Tools(pay=slow(asyncio.Event()))
    )
    run = await begun(world, "tool.started")
    with pytest.raises(RunOpen) as refused:
        await world.runtime.steering.retry("default", run, REQUEST)
    assert refused.value.message == f"Run {run} is running: what its tools do would be done twice."
    assert refused.value.remedy == f"Cancel it first: `golive runs cancel {run}` (POST /v1/runs/{run}/cancel)."
    assert refused.value.fields["state"] == "running"
    other = await taken_over(world)
    assert (await other.wait("default", run)).state == "waiting"
    with pytest.raises(RunOpen, match="is waiting: what its tools do would be done twice"):
        await other.steering.retry("default", run, REQUEST)
    await other.steering.cancel("default", run, "key_1", "")
    assert (await other.wait("default", await other.steering.retry("default", run, REQUEST))).retry_of == run


async def test_a_run_in_the_middle_of_a_call_elsewhere_is_not_taken_without_force(tmp_path: Path) -> None:
    """Its server may be at work, and whether the call was carried out would not be known any more."""
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel(asks(PAY), answer("Paid.")), Tools(pay=slow(gate)))
    world.store.shared = True
    run = await begun(world, "tool.started")
    other = world.another("other")
    with pytest.raises(RunOpen) as refused:
        await other.steering.resume("default", run)
    assert refused.value.message == (
        f"Run {run} is in the middle of pay ({run}//1) at another server, which may be at work: if the run is taken "
        "from it, what comes of the call may not be known."
    )
    assert refused.value.remedy.startswith("If that server has ended, another one goes on by itself within its lease. ")
    assert "`golive runs resume RUN --force`" in refused.value.remedy.replace(run, "RUN")
    assert other.open_runs() == 0
    await other.steering.resume("default", run, force=True)
    waiting = await other.wait("default", run)
    assert waiting.decisions[0].question.startswith(
        "pay was called by a server that does not have the run any more (it has ended, or could not say that it lives, "
        "or another one was told to go on): the call may even be under way still, and nobody knows whether it was "
        "carried out. "
    )
    gate.set()
    await world.runtime.drain(0.0)


async def waiting_run(path: Path) -> tuple[World, Any, str, str]:
    world = World(path, ScriptedModel(asks(PAY), answer("Paid.")), Tools(pay=slow(asyncio.Event())))
    run = await begun(world, "tool.started")
    server = await taken_over(world)
    return world, server, run, (await server.wait("default", run)).decisions[0].id


@pytest.mark.parametrize("late", [False, True], ids=["made", "just being made"])
async def test_who_decides_at_the_same_time_as_another_is_told_who_was_quicker(
    tmp_path: Path, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two servers take the run one after the other; the first is fenced, perhaps before the second has written."""
    world, first, run, asked = await waiting_run(tmp_path)
    second = world.another("second")
    carried = first._carrier.take_over
    winner: list[asyncio.Task[object]] = []

    async def overtaken(lease: Lease, *given: Any) -> None:
        work = second.steering.decide("default", run, asked, "skip", by="key_2")
        if late:
            epoch = await world.store.acquire("default", run, "second")
            assert epoch is not None
            monkeypatch.setattr(world.store, "acquire", _gives(epoch))
            winner.append(asyncio.ensure_future(_later(work)))
        else:
            await work
        await carried(lease, *given)

    monkeypatch.setattr(first._carrier, "take_over", overtaken)
    with pytest.raises(Conflict) as refused:
        await first.steering.decide("default", run, asked, "done", by="key_1")
    assert refused.value.message == f"{asked} is decided already: skip, by key_2."
    assert refused.value.remedy == f"`golive decisions --run {run} --all` (GET /v1/decisions?run={run}) shows it."
    for task in winner:
        await task
    await second.wait("default", run)


def _gives(lease: Lease) -> Callable[..., Awaitable[Lease]]:
    async def acquire(*_: object) -> Lease:
        return lease

    return acquire


async def _later(work: Awaitable[object]) -> object:
    await asyncio.sleep(0.05)
    return await work


async def test_a_decision_that_was_made_by_the_clock_or_closed_says_so(tmp_path: Path) -> None:
    _, server, run, asked = await waiting_run(tmp_path)
    await server.steering.cancel("default", run, "key_1", "")
    with pytest.raises(Conflict) as refused:
        await server.steering.decide("default", run, asked, "done", by="key_1")
    assert refused.value.message == f"{asked} is decided already: void, as the run has ended or goes on without it."
    (tmp_path / "two").mkdir()
    _, server, run, asked = await waiting_run(tmp_path / "two")
    await server.steering.decide("default", run, asked, "skip", by="")
    with pytest.raises(Conflict) as refused:
        await server.steering.decide("default", run, asked, "done", by="key_1")
    assert refused.value.message == f"{asked} is decided already: skip, by nobody, as its time was over."
    await server.drain(1.0)
