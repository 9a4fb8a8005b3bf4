"""Who learns of a call that ended without telling whether it did its work: a person, or the model, as the tool says."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from golive.runtime.service import Runtime
from golive.tools.toolset import CarriedOut, EffectRules, NotCarriedOut, StatusAnswer, ToolInvocation, ToolOutcome
from tests.unit.resume_kit import PAY, begun, taken_over
from tests.unit.runtime_kit import ScriptedModel, Tools, World, answer, asks

CODES = ("tool.worker_crashed", "tool.timeout")
LOST = {
    "tool.worker_crashed": "pay was called, and its worker died, and nobody knows whether it was carried out. ",
    "tool.timeout": "pay was called, and ran out of time, and nobody knows whether it was carried out. ",
    "the server's end": "The server ended while pay was called, and nobody knows whether it was carried out. ",
}


async def lost(path: Path, how: str, rules: EffectRules) -> tuple[World, Tools, Runtime, str]:
    """A run whose payment ended without a word, in a server that lives or by its end."""

    async def pay(invocation: ToolInvocation) -> ToolOutcome:
        if how not in CODES:
            await asyncio.Event().wait()
        return ToolOutcome(False, "It may have taken effect all the same.", how)

    tools = Tools(pay=pay)
    tools.effects = {"pay": rules}
    world = World(path, ScriptedModel(asks(PAY), answer("Paid."), answer("Paid.")), tools)
    if how in CODES:
        return world, tools, world.runtime, await world.start(background=True)
    run = await begun(world, "tool.started")
    while not tools.calls:
        await asyncio.sleep(0.001)
    return world, tools, await taken_over(world), run


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("rules", [EffectRules(on_unknown="ask"), EffectRules(on_unknown="ask", status=True)])
async def test_whatever_the_cause_a_person_is_asked_where_the_tool_wants_that(
    tmp_path: Path, how: str, rules: EffectRules
) -> None:
    """The question says what happened, and the choice counts."""
    world, tools, server, run = await lost(tmp_path, how, rules)
    async with asyncio.timeout(5):
        (asked,) = (await server.wait("default", run)).decisions
    assert (asked.about, asked.key) == ("unknown_effect", f"{run}//1")
    assert asked.question == (
        LOST[how] + "done: it was; again: call it again under the same idempotency key; skip: tell the model that it "
        "is not known."
    )
    await server.steering.decide("default", run, asked.id, "done", by="key_1", content="receipt 4")
    assert (await server.wait("default", run)).outcome == "completed"
    assert (world.model.requests[-1].messages[-1].content, len(tools.calls)) == ("receipt 4", 1)


@pytest.mark.parametrize("how", LOST)
async def test_whatever_the_cause_the_model_is_told_where_the_tool_wants_that(tmp_path: Path, how: str) -> None:
    world, _, server, run = await lost(tmp_path, how, EffectRules(on_unknown="tell"))
    async with asyncio.timeout(5):
        result = await server.wait("default", run)
    assert (result.outcome, result.decisions) == ("completed", ())
    told = {
        "the server's end": "Whether this call was carried out is not known. Do not call it again without asking the "
        "user."
    }
    assert world.model.requests[-1].messages[-1].content == told.get(how, "It may have taken effect all the same.")


@pytest.mark.parametrize("how", LOST)
async def test_where_a_tool_says_nothing_a_person_is_asked_only_after_a_servers_end(tmp_path: Path, how: str) -> None:
    _, _, server, run = await lost(tmp_path, how, EffectRules())
    async with asyncio.timeout(5):
        result = await server.wait("default", run)
    assert result.state == ("finished" if how in CODES else "waiting")


@pytest.mark.parametrize(
    ("rules", "says", "told", "calls"),
    [
        (EffectRules(on_unknown="ask", status=True), CarriedOut(ToolOutcome(True, "receipt 5")), "receipt 5", 1),
        (EffectRules(on_unknown="ask", status=True), NotCarriedOut(), "receipt 6", 2),
        (EffectRules(on_unknown="ask", idempotent=True), None, "receipt 6", 2),
    ],
)
async def test_nobody_is_asked_what_the_tool_itself_can_tell(
    tmp_path: Path, rules: EffectRules, says: StatusAnswer | None, told: str, calls: int
) -> None:
    world, tools, server, run = await lost(tmp_path, "tool.worker_crashed", rules)
    tools.answers = {"pay": says} if says is not None else {}
    first = tools.tools["pay"]

    async def pay(invocation: ToolInvocation) -> ToolOutcome:
        return await first(invocation) if len(tools.calls) == 1 else ToolOutcome(True, "receipt 6")

    tools.tools["pay"] = pay
    async with asyncio.timeout(5):
        assert (await server.wait("default", run)).outcome == "completed"
    assert (world.model.requests[-1].messages[-1].content, len(tools.calls)) == (told, calls)


async def test_a_person_is_asked_while_other_calls_of_the_step_are_under_way(tmp_path: Path) -> None:
    """They may take long: whoever is to decide sees the question at once."""
    gate = asyncio.Event()

    async def dies(invocation: ToolInvocation) -> ToolOutcome:
        return ToolOutcome(False, "the worker died", "tool.worker_crashed")

    async def looks(invocation: ToolInvocation) -> ToolOutcome:
        await gate.wait()
        return ToolOutcome(True, "found")

    tools = Tools(pay=dies, look=looks)
    tools.effects = {"pay": EffectRules(on_unknown="ask")}
    world = World(tmp_path, ScriptedModel(asks(PAY, ("look", "{}")), answer("Paid.")), tools)
    run = await world.start(background=True)
    async with asyncio.timeout(5):
        while not (rows := await world.runtime.decisions("default", run, True, None, 1)):
            await asyncio.sleep(0.001)
        await world.runtime.steering.decide("default", run, rows[0].id, "done", by="key_1")
        gate.set()
        assert (await world.runtime.wait("default", run)).outcome == "completed"
    assert [call.name for call in tools.calls] == ["pay", "look"]


async def test_a_person_has_the_agents_time_to_decide(tmp_path: Path) -> None:
    """`limits.decide_s`, also where the run never left the server that began it."""

    async def dies(invocation: ToolInvocation) -> ToolOutcome:
        return ToolOutcome(False, "the worker died", "tool.worker_crashed")

    tools = Tools(pay=dies)
    tools.effects = {"pay": EffectRules(on_unknown="ask")}
    world = World(tmp_path, ScriptedModel(asks(PAY)), tools)
    version = world.agents.get("default", "helper")
    world.agents.put(replace(version, limits=replace(version.limits, decide_s=60.0)))
    (asked,) = (await world.runtime.wait("default", await world.start(background=True))).decisions
    assert asked.expires_at - asked.asked_at == pytest.approx(60.0, abs=0.001)
