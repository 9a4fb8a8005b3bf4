"""A call whose outcome was lost and that fails when it is made again: the first one may have been carried out."""

import asyncio
from pathlib import Path

import pytest

from golive.core.events import ToolFinished, decode_body
from golive.tools.toolset import EffectRules, ToolInvocation, ToolOutcome
from tests.unit.resume_kit import PAY, begun, hangs, taken_over
from tests.unit.runtime_kit import ScriptedModel, Tools, World, answer, asks

REFUSED = ToolOutcome(False, "It refused.", "tool.raised")
DIED = ToolOutcome(False, "the worker died", "tool.worker_crashed")
RECEIPT = ToolOutcome(True, "receipt 1")


class Till(Tools):
    """Its first call is carried out and never answers, the next ones answer as `ways` says, the last for ever."""

    def __init__(self, rules: EffectRules, *ways: ToolOutcome) -> None:
        super().__init__(pay=self._pay)
        self.effects = {"pay": rules}
        self._ways = list(ways)

    async def _pay(self, invocation: ToolInvocation) -> ToolOutcome:
        if len(self.calls) == 1:
            await asyncio.Event().wait()
        return self._ways.pop(0) if len(self._ways) > 1 else self._ways[0]


async def lost(path: Path, tools: Till) -> tuple[World, str]:
    """A run whose server was killed while it paid."""
    world = World(path, ScriptedModel(asks(PAY), answer("Well.")), tools)
    run = await begun(world, "tool.started")
    async with asyncio.timeout(5):
        while not tools.calls:
            await asyncio.sleep(0.001)
    return world, run


async def outcomes_of(world: World, run: str) -> list[ToolFinished]:
    bodies = map(decode_body, await world.store.tenant("default").events(run))
    return [body for body in bodies if isinstance(body, ToolFinished)]


@pytest.mark.parametrize(
    ("ways", "on_unknown", "state", "calls", "told"),
    [
        ((REFUSED, REFUSED, RECEIPT), "ask", "finished", 4, [(True, "receipt 1", None)]),
        ((REFUSED,), "ask", "waiting", 4, []),
        ((REFUSED,), "tell", "finished", 4, [(False, "Whether this call was carried out", "tool.unknown_outcome")]),
    ],
)
async def test_that_it_fails_says_nothing_of_the_call_before(
    tmp_path: Path, ways: tuple[ToolOutcome, ...], on_unknown: str, state: str, calls: int,
    told: list[tuple[bool, str, str | None]],
) -> None:  # fmt: skip
    """The model never hears that a payment was refused which may have been made."""
    tools = Till(EffectRules(idempotent=True, on_unknown=on_unknown), *ways)  # type: ignore[arg-type]
    world, run = await lost(tmp_path, tools)
    other = await taken_over(world)
    async with asyncio.timeout(5):
        result = await other.wait("default", run)
    assert (result.state, len(tools.calls)) == (state, calls)
    finished = await outcomes_of(world, run)
    assert [(one.ok, one.content[:33], one.error_code) for one in finished] == told


async def test_one_whose_worker_died_is_told_as_that(tmp_path: Path) -> None:
    """The second call refuses; what became of the first is still not known."""
    outcomes = [DIED, REFUSED]

    async def pay(invocation: ToolInvocation) -> ToolOutcome:
        return outcomes.pop(0)

    tools = Tools(pay=pay)
    tools.effects = {"pay": EffectRules(idempotent=True, on_unknown="tell")}
    world = World(tmp_path, ScriptedModel(asks(PAY), answer("Well.")), tools)
    run = await world.start()
    assert (await world.runtime.wait("default", run)).outcome == "completed"
    finished = await outcomes_of(world, run)
    assert [(one.ok, one.error_code) for one in finished] == [(False, "tool.worker_crashed")]
    assert outcomes == []


async def test_one_that_a_person_had_made_again_is_not_forgotten_when_all_is_taken_back(tmp_path: Path) -> None:
    """They said `again`, it was refused, and the run is cancelled with undo: the end names the first call."""
    tools = Till(EffectRules(undo=True), REFUSED)
    world = World(tmp_path, ScriptedModel(asks(PAY), [hangs()]), tools)
    run = await begun(world, "tool.started")
    async with asyncio.timeout(5):
        while not tools.calls:
            await asyncio.sleep(0.001)
        other = await taken_over(world)
        while not (asked := await other.decisions("default", run, True, None, 1)):
            await asyncio.sleep(0.001)
        await other.steering.decide("default", run, asked[0].id, "again", by="k")
        while len(world.model.requests) < 2:
            await asyncio.sleep(0.001)
        result = await other.steering.cancel("default", run, "key_1", "stop", undo=True)
    assert [(part.kind, part.code) for part in result.missing if part.name == "pay"] == [
        ("tool", "tool.raised"), ("undo", "tool.unknown_outcome"),
    ]  # fmt: skip
