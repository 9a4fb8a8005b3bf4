"""A run goes on after its server: from the last durable point, also inside a step, and no effect comes twice."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from golive.core.errors import InvalidRequest
from golive.core.events import ModelFinished, RunStarted, ToolStarted
from golive.core.frames import Cursor, Frame
from golive.models.call import CallContext, ModelRequest, TextDelta
from golive.store.ports import Lease, RunFilter
from golive.tools.toolset import EffectRules
from tests.unit.resume_kit import PAY, begun, hangs, killed, paid, taken_over
from tests.unit.runtime_kit import ScriptedModel, Tools, World, answer, asks, drain, holding, shown


async def test_a_turn_is_asked_again_and_begins_where_its_text_stands(tmp_path: Path) -> None:
    """The provider hears the text so far; the broken attempt is told, and counted on from."""
    model = ScriptedModel([TextDelta("Once upon"), hangs()], answer(" a time."))
    contexts: list[CallContext] = []
    world = World(tmp_path, model)
    world.agents.get("default", "helper").tiers["default"] = _seen(model, contexts, world)
    run = await begun(world, "text.block")
    other = await taken_over(world)
    result = await other.wait("default", run)
    assert (result.outcome, result.text) == ("completed", "Once upon a time.")
    assert [(ctx.said, ctx.attempts) for ctx in contexts] == [("", 0), ("Once upon", 1)]
    assert (await world.kinds(run))[4:8] == ["text.block", "model.failed", "run.started", "model.started"]
    assert result.steps == 1
    assert not result.priced, "nobody knows what the call of the dead server has cost"


def _seen(model: ScriptedModel, contexts: list[CallContext], world: World) -> object:
    from msgspec.structs import replace

    def call(request: ModelRequest, ctx: CallContext) -> object:
        contexts.append(ctx)
        return model(request, ctx)

    return replace(world.agents.get("default", "helper").tiers["default"], call=call)  # type: ignore[arg-type]


async def test_finished_calls_and_effects_stand(tmp_path: Path) -> None:
    """Neither the model's first turn nor the tool is asked again; the second turn sees the result."""
    tools = Tools(pay=paid)
    model = ScriptedModel(asks(PAY), [hangs()], answer("Paid."))
    world = World(tmp_path, model, tools)
    run = await begun(world, "tool.finished")
    while len(model.requests) < 2:
        await asyncio.sleep(0.001)
    other = await taken_over(world)
    result = await other.wait("default", run)
    assert (result.outcome, result.text, len(tools.calls)) == ("completed", "Paid.", 1)
    assert [message.role for message in model.requests[-1].messages] == ["system", "user", "assistant", "tool"]
    assert model.requests[1].messages == model.requests[2].messages


async def test_an_interactive_run_that_nobody_comes_back_to_is_cancelled(tmp_path: Path) -> None:
    """Its readers have the time they would have had after leaving; here none."""
    world = World(tmp_path, ScriptedModel([TextDelta("half"), hangs()], [hangs()]), grace_s=0.0)
    run = await world.start()
    while "text.block" not in await world.kinds(run):
        await asyncio.sleep(0.001)
    other = await taken_over(world)
    async with asyncio.timeout(5):
        while other.open_runs():
            await asyncio.sleep(0.001)
    result = await other.result("default", run)
    assert (result.outcome, result.reason, result.text) == ("cancelled", "disconnected", "half")


async def test_time_without_a_server_is_no_running_time(tmp_path: Path) -> None:
    """A run with a deadline of 30 s whose server died an hour ago has what was left of it."""
    world = World(tmp_path, ScriptedModel([hangs()], answer("Late, and in time.")), deadline_s=30.0)
    run = await begun(world, "model.started")
    await killed(world)
    early = world.clock.now

    class Later:
        def now(self) -> float:
            return early() + 3600.0

        def monotonic(self) -> float:
            return world.clock.monotonic()

    world.store._clock = Later()
    other = world.another("other")
    for part in (other, other._carrier, other.steering):
        part._clock = Later()
    await world.store.leave("test")
    hold = holding(world, other, "other")
    await hold.beat()
    await hold.look()
    result = await other.wait("default", run)
    assert (result.outcome, result.text) == ("completed", "Late, and in time.")


async def test_a_run_stays_on_its_version(tmp_path: Path) -> None:
    """Where its version is gone, a person says whether it goes on with the present one; with it, its events say so."""
    from msgspec.structs import replace

    world = World(tmp_path, ScriptedModel([TextDelta("Old"), hangs()], answer(" and new.")))
    run = await begun(world, "text.block")
    world.agents.put(replace(world.agents.get("default", "helper"), digest="sha256:new",
                                         version_name="2.0.0"))  # fmt: skip
    await killed(world)
    await world.store.leave("test")
    other = world.another("other")
    hold = holding(world, other, "other", versions=("sha256:new",))
    world.store.shared = True
    await hold.beat()
    await hold.look()
    assert (await world.kinds(run))[-1] == "text.block", "others may serve its version: it is left to them for a while"
    lease = await world.store.acquire("default", run, "other")
    assert lease is not None
    await other.steering.take_over(lease)
    (asked,) = (await other.wait("default", run)).decisions
    assert (asked.about, asked.default) == ("version_gone", "end")
    await other.steering.decide("default", run, asked.id, "continue", by="k")
    result = await other.wait("default", run)
    assert (result.outcome, result.text, result.version) == ("completed", "Old and new.", "sha256:new")
    (listed,) = await other.runs("default", RunFilter())
    assert (listed.version, listed.version_name, result.version_name) == ("sha256:new", "2.0.0", "2.0.0")


async def test_cancel_takes_a_run_over_and_takes_back_what_it_did(tmp_path: Path) -> None:
    """From another server than the one that carries it; what can be undone is undone, the newest first, once."""
    tools = Tools(pay=paid, book=paid, look=paid)
    tools.effects = {"pay": EffectRules(undo=True), "book": EffectRules(undo=True)}
    world = World(tmp_path, ScriptedModel(asks(PAY, ("look", "{}")), asks(("book", "{}")), [hangs()]), tools)
    run = await begun(world, "tool.finished")
    while len(world.model.requests) < 3:
        await asyncio.sleep(0.001)
    other = world.another("other")
    result = await other.steering.cancel("default", run, "key_1", "changed my mind", undo=True)
    assert (result.outcome, result.reason, result.message) == ("cancelled", "cancelled", "changed my mind")
    assert [(call.name, call.key, content) for call, content in tools.undone] == [
        ("book", f"{run}//3", "receipt 1"), ("pay", f"{run}//1", "receipt 1"),
    ]  # fmt: skip
    undone = [body for body in world.bodies if isinstance(body, ToolStarted) and body.undoes]
    assert [(body.key, body.undoes) for body in undone] == [
        (f"{run}//3/undo", f"{run}//3"), (f"{run}//1/undo", f"{run}//1"),
    ]  # fmt: skip
    assert result.tool_calls == 3, "what takes back is no call of the model's"
    again = await other.steering.cancel("default", run, "key_1", "", undo=True)
    assert (again.message, len(tools.undone)) == ("changed my mind", 2)


async def test_resume_takes_a_run_from_a_server_that_hangs(tmp_path: Path) -> None:
    """The other one is fenced; the run is carried once."""
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel([gate.wait, *answer("from the first")], answer("from the second")))
    run = await begun(world, "model.started")
    other = world.another("other")
    await other.steering.resume("default", run)
    result = await other.wait("default", run)
    gate.set()
    async with asyncio.timeout(5):
        while world.runtime.open_runs():
            await asyncio.sleep(0.001)
    assert (result.outcome, result.text) == ("completed", "from the second")
    assert len([body for body in world.bodies if isinstance(body, ModelFinished)]) == 1
    assert world.faults == []


async def test_a_retry_begins_anew_and_a_fork_goes_on_from_a_step(tmp_path: Path) -> None:
    """The retry has the same input; the fork knows the tool's result, and the tool is not called again."""
    tools = Tools(pay=paid)
    model = ScriptedModel(asks(PAY), answer("Paid."), answer("Anew."), answer("Forked."))
    world = World(tmp_path, model, tools)
    run = await world.start(metadata={"a": "1"}, background=True)
    await world.runtime.wait("default", run)
    from golive.runtime.api import RunRequest
    from tests.unit.runtime_kit import PRINCIPAL

    request = RunRequest(agent="", input=(), principal=PRINCIPAL, background=True, metadata={"b": "2"})
    retried = await world.runtime.wait("default", await world.runtime.steering.retry("default", run, request))
    assert (retried.text, retried.retry_of, retried.metadata) == ("Anew.", run, {"a": "1", "b": "2"})
    assert model.requests[2].messages == model.requests[0].messages
    forked = await world.runtime.wait("default", await world.runtime.steering.fork("default", run, 2, request))
    assert (forked.text, forked.forked_from, len(tools.calls)) == ("Forked.", run, 1)
    assert [message.role for message in model.requests[3].messages] == ["system", "user", "assistant", "tool"]
    with pytest.raises(InvalidRequest, match="has no step 3"):
        await world.runtime.steering.fork("default", run, 3, request)


async def test_a_run_that_is_ours_and_that_nobody_carries_is_found(tmp_path: Path) -> None:
    """The answer to an acceptance or a claim may be lost: what is seen twice in a row is gone on with."""
    world = World(tmp_path, ScriptedModel([hangs()], answer("Found.")))
    run = await begun(world, "model.started")
    await killed(world)
    other = world.another("other")
    hold = holding(world, other, "other")
    await hold.beat()
    assert await world.store.acquire("default", run, "other") is not None, "and nobody here knows of it"
    await hold.look()
    assert other.open_runs() == 0, "it may just be beginning"
    await hold.look()
    assert (await other.wait("default", run)).text == "Found."
    await hold.look()
    await hold.look()
    assert [body.holder for body in world.bodies if isinstance(body, RunStarted)] == ["test", "other"]


async def test_a_reader_of_a_server_that_was_taken_for_dead_is_told_how_the_run_goes_on(tmp_path: Path) -> None:
    """The first server still has the run, of an older epoch; its readers are not given what it says."""
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel([TextDelta("stale"), gate.wait, *answer(" words")], answer("True words.")))
    run = await begun(world, "text.block")
    other = world.another("other")
    await other.steering.resume("default", run)
    assert (await other.wait("default", run)).outcome == "completed"
    assert world.runtime.open_runs() == 1
    late = asyncio.ensure_future(drain(await world.runtime.subscribe("default", run, Cursor(1, 1))))
    async with asyncio.timeout(5):
        frames = await late
    gate.set()
    assert [frame.epoch for frame in frames] == sorted(frame.epoch for frame in frames)
    assert frames[-1].event == "run.finished"
    assert shown(frames).endswith("True words.")
    await world.runtime.drain(1.0)


async def test_readers_of_a_server_that_was_frozen_follow_the_run_elsewhere_within_a_beat(tmp_path: Path) -> None:
    """It has nothing to write, and would not find out that the run is another's."""
    world = World(tmp_path, ScriptedModel([TextDelta("stale"), hangs()], answer("True words.")))
    run = await begun(world, "text.block")
    hold = holding(world, world.runtime, "test")
    await hold.beat()
    reading = asyncio.ensure_future(drain(await world.runtime.subscribe("default", run)))
    await hold.look()
    await asyncio.sleep(0.01)
    other = world.another("other")
    await other.steering.resume("default", run)
    assert (await other.wait("default", run)).outcome == "completed"
    await asyncio.sleep(0.01)
    assert not reading.done()
    await hold.beat()
    await hold.look()
    async with asyncio.timeout(5):
        frames = await reading
    assert frames[-1].event == "run.finished"
    assert shown(frames).endswith("True words.")
    await world.runtime.drain(0.1)


async def test_a_reader_who_is_ahead_of_the_journal_waits_for_it(tmp_path: Path) -> None:
    """It has seen, at another server, text of a block that is not durable yet: nothing is sent twice."""
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel([TextDelta("One two "), gate.wait, *answer("three.")]))
    run = await world.start(background=True)
    subscription = await world.runtime.subscribe("default", run)
    seen: list[Frame] = []
    while shown(seen) != "One two ":
        seen += await subscription.next(1.0) or []
    subscription.close()
    assert "text.block" not in await world.kinds(run), "four times a second"
    other = world.another("other")
    last = seen[-1]
    following = asyncio.ensure_future(drain(await other.subscribe("default", run, Cursor(last.epoch, last.pos))))
    await asyncio.sleep(0.01)
    gate.set()
    async with asyncio.timeout(5):
        rest = await following
    assert (shown(seen + rest), [frame.event for frame in rest if frame.event == "text.reset"]) == (
        "One two three.",
        [],
    )


async def test_a_reader_ahead_of_the_journal_loses_only_what_was_lost(tmp_path: Path) -> None:
    """The next server has the run already, and has written nothing yet: where the last one's words end is known."""
    world = World(tmp_path, ScriptedModel([TextDelta("One "), TextDelta("two "), hangs()], answer("four.")))
    run = await world.start(background=True)
    subscription = await world.runtime.subscribe("default", run)
    seen: list[Frame] = []
    while shown(seen) != "One two ":
        seen += await subscription.next(1.0) or []
    subscription.close()
    last = seen[-1]
    await killed(world)
    assert "text.block" not in await world.kinds(run), "four times a second"
    gate, append = asyncio.Event(), world.store.append

    async def held_back(lease: Lease, *args: Any, **rows: Any) -> None:
        if lease.epoch == 2:
            await gate.wait()
        await append(lease, *args, **rows)

    world.store.append = held_back  # type: ignore[method-assign]
    other = world.another("other")
    hold = holding(world, other, "other")
    await hold.beat()
    await hold.look()
    assert other.open_runs() == 1
    following = asyncio.ensure_future(drain(await other.subscribe("default", run, Cursor(last.epoch, last.pos))))
    await asyncio.sleep(0.02)
    gate.set()
    async with asyncio.timeout(5):
        rest = await following
    resets = [bytes(frame.data) for frame in rest if frame.event == "text.reset"]
    assert resets == [b'{"pos":%d}' % (last.pos - len("One two "))]
    assert shown(rest) == "four."
    assert "run.accepted" not in [frame.event for frame in rest], "it is not told again what it knows"
    assert rest[-1].event == "run.finished"


async def test_a_cancel_with_undo_is_left_to_who_can_undo(tmp_path: Path) -> None:
    """A server of another version lets the run go, for one that has its version; where none has, that is said."""
    from msgspec.structs import replace

    tools = Tools(pay=paid)
    tools.effects = {"pay": EffectRules(undo=True)}
    world = World(tmp_path, ScriptedModel(asks(PAY), [hangs()]), tools)
    run = await begun(world, "tool.finished")
    while len(world.model.requests) < 2:
        await asyncio.sleep(0.001)
    await killed(world)
    old = world.agents.get("default", "helper")
    world.agents.put(replace(old, digest="sha256:new"))
    newer = world.another("newer")
    cancelling = asyncio.ensure_future(newer.steering.cancel("default", run, "key_1", "stop", undo=True))
    while (await world.kinds(run))[-1] != "run.cancel_requested":
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    assert tools.undone == []
    world.agents.put(old)
    older = world.another("older")
    hold = holding(world, older, "older")
    await hold.beat()
    await hold.look()
    async with asyncio.timeout(5):
        result = await cancelling
    assert (result.outcome, [call.name for call, _ in tools.undone]) == ("cancelled", ["pay"])


async def test_where_nobody_can_undo_that_is_said(tmp_path: Path) -> None:
    from msgspec.structs import replace

    world = World(tmp_path, ScriptedModel(asks(PAY), [hangs()]), Tools(pay=paid))
    run = await begun(world, "tool.finished")
    while len(world.model.requests) < 2:
        await asyncio.sleep(0.001)
    await killed(world)
    world.agents.put(replace(world.agents.get("default", "helper"), digest="sha256:new"))
    newer = world.another("newer")
    cancelling = asyncio.ensure_future(newer.steering.cancel("default", run, "key_1", "stop", undo=True))
    while (await world.kinds(run))[-1] != "run.cancel_requested":
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    lease = await world.store.acquire("default", run, "newer")
    assert lease is not None
    await newer.steering.take_over(lease)  # nobody else claimed it in time
    async with asyncio.timeout(5):
        assert (await cancelling).outcome == "cancelled"
    assert (await world.kinds(run))[-3:] == ["alarm.raised", "model.failed", "run.finished"]


async def test_a_server_that_ends_takes_nothing_over(tmp_path: Path) -> None:
    """Neither does it ask for runs, nor begin one whose journal it was reading: whoever comes next goes on with it."""
    world = World(tmp_path, ScriptedModel([hangs()], answer("Done.")))
    run = await begun(world, "step.started")
    ending = world.another("ending")
    assert ending.room() > 0
    await ending.drain(0.0)
    assert ending.room() == 0
    lease = await world.store.acquire("default", run, "ending")
    assert lease is not None
    await ending.steering.take_over(lease)
    assert not ending.carries_run("default", run)
    await world.store.leave("ending")
    other = await taken_over(world)
    assert (await other.wait("default", run)).text == "Done."
