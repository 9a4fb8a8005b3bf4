"""What no provider reported is counted at its bound, and everything that tells the amount tells that it is one."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from golive.core.chance import SeededChance
from golive.core.clock import SystemClock
from golive.core.errors import ModelCut
from golive.core.events import Body, ModelFailed, ModelFinished, RunFinished
from golive.core.ids import Ids
from golive.core.messages import Message
from golive.models.call import ModelRequest, TextDelta
from golive.runtime.ending import Ender
from golive.runtime.loop import left_behind
from golive.runtime.relay import Relay
from golive.runtime.shown import result_of, view_of
from golive.runtime.state import RunState
from golive.store.ports import RunFilter
from golive.store.sqlite.store import SqliteStore
from golive.telemetry.logs import configure
from golive.telemetry.run_log import RunLog
from golive.tools.toolset import ToolInvocation, ToolOutcome
from tests.unit.runtime_kit import PRINCIPAL, TARGET, Item, ScriptedModel, Tools, World, answer, asks, drain


def marks(bodies: list[Body]) -> list[tuple[str, bool]]:
    """Kind and mark of each event that tells an amount."""
    amounts = (ModelFailed, ModelFinished, RunFinished)
    return [(body.kind, body.usage_estimated) for body in bodies if isinstance(body, amounts)]


@pytest.mark.parametrize("estimated", [True, False])
@pytest.mark.parametrize("how", ["cut", "cancelled", "answered"])
async def test_a_run_tells_whether_its_cost_is_a_bound(tmp_path: Path, how: str, estimated: bool) -> None:
    """The mark of a call stands on its event, on the run's end, in the list and on the run, live and read again."""
    turns: dict[str, list[Item]] = {
        "cut": [TextDelta("par"), ModelCut("cut", provider="sim")],
        "cancelled": [TextDelta("par"), asyncio.Event().wait],
        "answered": answer("whole"),
    }
    world = World(tmp_path, ScriptedModel(turns[how], estimated=estimated))
    run = await world.start()
    subscription = await world.runtime.subscribe("default", run)
    if how == "cancelled":
        while not any(frame.is_text for frame in await subscription.next(5.0) or []):
            pass
        await world.runtime.steering.cancel("default", run, "tests", "enough")
    last = json.loads(bytes((await drain(subscription))[-1].data))
    called = "model.finished" if how == "answered" else "model.failed"
    assert marks(world.bodies) == [(called, estimated), ("run.finished", estimated)]
    (row,) = await world.runtime.runs("default", RunFilter())
    assert (row.cost_microusd, row.estimated) == (30, estimated)
    read_again = RunState.of(await world.store.tenant("default").events(run))
    assert (last["estimated"], result_of(read_again).estimated, view_of(read_again)) == (estimated, estimated, row)


async def test_one_bound_marks_the_whole_run(tmp_path: Path) -> None:
    """A sum with a bound in it is a bound: a later call that was reported does not take the mark away."""

    async def look(invocation: ToolInvocation) -> ToolOutcome:
        world.model.estimated = False
        return ToolOutcome(True, "found")

    world = World(tmp_path, ScriptedModel(asks(("look", "{}")), answer("ok"), estimated=True), Tools(look=look))
    result = await world.runtime.wait("default", await world.start())
    assert marks(world.bodies) == [("model.finished", True), ("model.finished", False), ("run.finished", True)]
    assert (result.cost_microusd, result.estimated) == (60, True)


@pytest.mark.parametrize("how", ["cut", "left"])
async def test_a_relayed_call_that_breaks_off_says_so_too(tmp_path: Path, how: str) -> None:
    """A plain gateway call whose provider, or whose client, is gone."""
    clock = SystemClock()
    store = SqliteStore.open(tmp_path / "t.db", clock=clock, inline=True)
    bodies: list[Body] = []
    end: Item = ModelCut("cut", provider="sim") if how == "cut" else asyncio.Event().wait
    model = ScriptedModel([TextDelta("par"), end], estimated=True)
    relay = Relay(
        store=store, target=lambda ref, ttl_s: model, clock=clock, ids=Ids(clock, SeededChance(1)), holder="test",
        observer=lambda state, seen: bodies.extend(seen),
    )  # fmt: skip
    call = await relay.open(PRINCIPAL, TARGET, ModelRequest(messages=(Message("user", "Hi"),)))
    stream = call.__aiter__()
    while not any(isinstance(event, TextDelta) for event in await anext(stream)):
        pass
    if how == "cut":
        with pytest.raises(ModelCut):
            async for _ in stream:
                pass
    await stream.aclose()  # type: ignore[attr-defined]
    await call.aclose()
    assert marks(bodies) == [("model.failed", True), ("run.finished", True)]
    (row,) = await store.tenant("default").runs(RunFilter())
    assert (row.cost_microusd, row.estimated) == (30, True)


async def test_a_restart_keeps_the_mark(tmp_path: Path) -> None:
    """A run that is ended after a crash tells of the bounds that were counted before it."""
    world = World(tmp_path, ScriptedModel(asks(("look", "{}")), estimated=True), Tools(look=_never))
    run = await world.start()
    while "tool.started" not in await world.kinds(run):
        await asyncio.sleep(0)
    bodies: list[Body] = []
    ender = Ender(world.store, world.clock, "next", lambda state, seen: bodies.extend(seen))
    assert await ender.end("default", run, left_behind, "")
    assert marks(bodies) == [("run.finished", True)]
    assert (await world.store.tenant("default").runs(RunFilter()))[0].estimated
    await world.runtime.drain(0.0)


async def _never(invocation: ToolInvocation) -> ToolOutcome:
    await asyncio.Event().wait()
    raise AssertionError


def test_the_log_tells_an_amount_with_its_mark() -> None:
    """The line of a run's end says whether the cost on it is a bound."""
    out = io.StringIO()
    log = RunLog(configure("info", "json", None, out))
    for estimated in (True, False):
        log.observe(
            "t", "run_1", "v", [RunFinished("cancelled", "cancelled", cost_microusd=9, usage_estimated=estimated)],
            relayed=False,
        )  # fmt: skip
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["cost_microusd"], line["estimated"]) for line in lines] == [(9, True), (9, False)]
