"""What becomes of a tool's call whose outcome nobody knows: no effect comes twice, and none is taken for done."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from golive.core.errors import Conflict, InvalidRequest, NotFound
from golive.core.events import DecisionRequested, Event, ToolFinished, ToolStarted
from golive.core.frames import Cursor
from golive.runtime.effects import Effects
from golive.store.ports import Lease
from golive.tools.toolset import CarriedOut, EffectRules, NotCarriedOut, ToolInvocation, ToolOutcome
from tests.unit.resume_kit import PAY, begun, killed, taken_over
from tests.unit.runtime_kit import ScriptedModel, Tools, World, answer, asks, drain, holding, shown


class Bank:
    """A tool that takes the money and then never answers the first time; `booked` by key."""

    def __init__(self) -> None:
        self.booked: dict[str, int] = {}
        self.answers = False

    async def pay(self, invocation: ToolInvocation) -> ToolOutcome:
        self.booked[invocation.key] = self.booked.get(invocation.key, 0) + 1
        if not self.answers:
            await asyncio.Event().wait()
        return ToolOutcome(True, "receipt 1")


@pytest.fixture
async def paying(tmp_path: Path) -> tuple[World, Bank, str]:
    """A run that was killed while its payment was under way."""
    bank = Bank()
    world = World(tmp_path, ScriptedModel(asks(PAY), answer("Paid.")), Tools(pay=bank.pay))
    run = await begun(world, "tool.started")
    while not bank.booked:
        await asyncio.sleep(0.001)
    bank.answers = True
    return world, bank, run


def no_sleep(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """From now on effects wait for nothing; how long they wanted to, seconds."""
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    monkeypatch.setattr("golive.runtime.effects.asyncio.sleep", sleep)
    return slept


def tools_of(world: World) -> Tools:
    tools = world.agents.get("default", "helper").toolset
    assert isinstance(tools, Tools)
    return tools


async def test_an_idempotent_tool_is_called_again_under_the_same_key(paying: tuple[World, Bank, str]) -> None:
    world, bank, run = paying
    tools_of(world).effects = {"pay": EffectRules(idempotent=True)}
    other = await taken_over(world)
    assert (await other.wait("default", run)).outcome == "completed"
    assert bank.booked == {f"{run}//1": 2}
    assert [call.key for call in tools_of(world).calls] == [f"{run}//1"] * 2


async def test_a_status_function_that_knows_the_call_spares_it(paying: tuple[World, Bank, str]) -> None:
    world, bank, run = paying
    tools = tools_of(world)
    tools.effects = {"pay": EffectRules(idempotent=True, status=True)}
    tools.answers = {"pay": CarriedOut(ToolOutcome(True, "receipt 7"))}
    other = await taken_over(world)
    assert (await other.wait("default", run)).outcome == "completed"
    assert (bank.booked, [asked.key for asked in tools.asked]) == ({f"{run}//1": 1}, [f"{run}//1"])
    assert world.model.requests[-1].messages[-1].content == "receipt 7"


async def test_a_status_function_that_does_not_know_it_has_it_done(paying: tuple[World, Bank, str]) -> None:
    world, bank, run = paying
    tools = tools_of(world)
    tools.effects = {"pay": EffectRules(status=True)}
    tools.answers = {"pay": NotCarriedOut()}
    other = await taken_over(world)
    assert (await other.wait("default", run)).outcome == "completed"
    assert bank.booked == {f"{run}//1": 2}


@pytest.mark.parametrize(
    ("choice", "content", "booked", "told"),
    [
        ("done", "receipt 9", 1, "receipt 9"),
        ("done", "", 1, "It was carried out; its result is not known."),
        ("again", "", 2, "receipt 1"),
        (
            "skip",
            "",
            1,
            "Whether this call was carried out is not known. Do not call it again without asking the user.",
        ),
    ],
)
async def test_of_any_other_tool_a_person_decides(
    paying: tuple[World, Bank, str], choice: str, content: str, booked: int, told: str
) -> None:
    """The run waits, carried by nobody; the choice stands in the journal, and the model is told what follows."""
    world, bank, run = paying
    other = await taken_over(world)
    waiting = await other.wait("default", run)
    assert (waiting.state, waiting.outcome, other.open_runs()) == ("waiting", None, 0)
    (asked,) = waiting.decisions
    assert (asked.about, asked.subject, asked.key, asked.default) == ("unknown_effect", "pay", f"{run}//1", "skip")
    (row,) = await other.decisions("default", None, True, None, 10)
    assert (row.run, row.id, row.about, row.choice, row.agent) == (run, asked.id, "unknown_effect", None, "helper")
    assert await world.store.claim("third", (), 10, 0.0) == [], "what waits is nobody's to carry"
    await other.steering.decide("default", run, asked.id, choice, by="key_1", note="I looked", content=content)
    result = await other.wait("default", run)
    assert (result.outcome, bank.booked) == ("completed", {f"{run}//1": booked})
    assert world.model.requests[-1].messages[-1].content == told
    (row,) = await other.decisions("default", run, False, None, 10)
    assert (row.choice, row.decided_by) == (choice, "key_1")


async def test_again_holds_for_one_call(paying: tuple[World, Bank, str]) -> None:
    """A server that dies in the call that a person asked for leaves the question open: nothing is repeated."""
    world, bank, run = paying
    other = await taken_over(world)
    (asked,) = (await other.wait("default", run)).decisions
    bank.answers = False
    await other.steering.decide("default", run, asked.id, "again", by="key_1")
    async with asyncio.timeout(5):
        while bank.booked != {f"{run}//1": 2}:
            await asyncio.sleep(0.001)
    world.runtime = other
    await killed(world)
    await world.store.leave("other")
    third = world.another("third")
    hold = holding(world, third, "third")
    await hold.beat()
    await hold.look()
    async with asyncio.timeout(5):
        (once_more,) = (await third.wait("default", run)).decisions
    assert once_more.id != asked.id
    assert once_more.key == asked.key
    assert bank.booked == {f"{run}//1": 2}


async def test_a_decision_is_made_once_and_among_its_choices(paying: tuple[World, Bank, str]) -> None:
    world, _, run = paying
    other = await taken_over(world)
    (asked,) = (await other.wait("default", run)).decisions
    with pytest.raises(InvalidRequest, match="'perhaps' is no choice here") as refused:
        await other.steering.decide("default", run, asked.id, "perhaps", by="k")
    assert refused.value.remedy == "Choose one of done, again, skip."
    with pytest.raises(NotFound):
        await other.steering.decide("default", run, "dec_0", "done", by="k")
    await other.steering.decide("default", run, asked.id, "skip", by="k")
    with pytest.raises(Conflict, match="is decided already"):
        await other.steering.decide("default", run, asked.id, "done", by="k")
    assert (await other.wait("default", run)).outcome == "completed"


async def test_a_decision_that_nobody_makes_takes_its_default(paying: tuple[World, Bank, str]) -> None:
    world, bank, run = paying
    other = await taken_over(world)
    (asked,) = (await other.wait("default", run)).decisions
    (row,) = await other.decisions("default", run, True, None, 1)
    await other.steering.expire(row)
    result = await other.wait("default", run)
    assert (result.outcome, bank.booked) == ("completed", {f"{run}//1": 1})
    (row,) = await other.decisions("default", run, False, None, 1)
    assert (row.id, row.choice, row.decided_by) == (asked.id, "skip", "")


async def test_who_follows_a_run_sees_one_gapless_stream_over_servers_and_decisions(
    paying: tuple[World, Bank, str],
) -> None:
    """From the first frame of the first server to the end on the second; positions rise without a hole in the text."""
    world, _, run = paying
    before = []
    subscription = await world.runtime.subscribe("default", run)
    while not before or before[-1].event != "tool.started":
        before += await subscription.next(1.0) or []
    other = await taken_over(world)
    (asked,) = (await other.wait("default", run)).decisions
    last = before[-1]
    following = asyncio.ensure_future(drain(await other.subscribe("default", run, Cursor(last.epoch, last.pos))))
    await asyncio.sleep(0)
    await other.steering.decide("default", run, asked.id, "done", by="k")
    async with asyncio.timeout(5):
        frames = before + await following
    kinds = [frame.event for frame in frames]
    assert kinds[3:] == [
        "model.finished", "tool.started", "run.started", "decision.requested", "decision.made", "run.started",
        "tool.finished", "step.started", "text.delta", "model.finished", "run.finished",
    ]  # fmt: skip
    positions = [frame.pos for frame in frames]
    assert positions == sorted(set(positions))
    assert shown(frames) == "Paid."


async def test_a_call_that_ends_without_a_word_is_found_out_where_it_can_be(tmp_path: Path) -> None:
    """A worker that dies in mid-payment: the status function is asked at once, and the model is told the truth."""

    async def dies(invocation: ToolInvocation) -> ToolOutcome:
        return ToolOutcome(False, "the worker died", "tool.worker_crashed")

    tools = Tools(pay=dies)
    tools.effects = {"pay": EffectRules(status=True)}
    tools.answers = {"pay": CarriedOut(ToolOutcome(True, "receipt 3"))}
    world = World(tmp_path, ScriptedModel(asks(PAY), answer("Paid.")), tools)
    run = await world.start(background=True)
    assert (await world.runtime.wait("default", run)).outcome == "completed"
    (finished,) = [body for body in world.bodies if isinstance(body, ToolFinished)]
    assert (finished.ok, finished.content, len(tools.calls)) == (True, "receipt 3", 1)


async def test_several_unknown_effects_are_decided_one_by_one(tmp_path: Path) -> None:
    """The run goes on with the last of them; what is known meanwhile stands."""
    bank = Bank()
    tools = Tools(pay=bank.pay)
    world = World(tmp_path, ScriptedModel(asks(PAY, PAY), answer("Paid.")), tools)
    run = await begun(world, "tool.started")
    while len(bank.booked) < 2:
        await asyncio.sleep(0.001)
    other = await taken_over(world)
    waiting = await other.wait("default", run)
    assert [asked.key for asked in waiting.decisions] == [f"{run}//1", f"{run}//2"]
    half = await other.steering.decide("default", run, waiting.decisions[0].id, "done", by="k")
    assert (half.state, [asked.key for asked in half.decisions]) == ("waiting", [f"{run}//2"])
    await other.steering.decide("default", run, waiting.decisions[1].id, "skip", by="k")
    result = await other.wait("default", run)
    assert (result.outcome, sorted(bank.booked.values())) == ("completed", [1, 1])
    asked = [body for body in world.bodies if isinstance(body, DecisionRequested)]
    assert len(asked) == 2


async def test_a_lost_call_is_not_asked_about_while_it_may_still_take_effect(
    paying: tuple[World, Bank, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where other servers may live, "not carried out" counts only once the first call's time is over."""
    world, bank, run = paying
    tools = tools_of(world)
    tools.effects = {"pay": EffectRules(status=True, timeout_s=0.05)}
    tools.answers = {"pay": NotCarriedOut()}
    monkeypatch.setattr("golive.runtime.effects.SETTLE_S", 0.0)
    monkeypatch.setattr(world.store, "shared", True)
    slept = no_sleep(monkeypatch)
    other = await taken_over(world)
    assert (await other.wait("default", run)).outcome == "completed"
    (waited,) = [seconds for seconds in slept if seconds]
    assert 0.0 < waited <= 0.05
    assert bank.booked == {f"{run}//1": 2}


@pytest.mark.parametrize("ahead_s", [0.0, 3_600.0])
async def test_how_long_a_lost_call_is_let_end_no_wall_clock_says(
    paying: tuple[World, Bank, str], monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    """The clock of the server that takes over is an hour ahead of the other one's: the call may have begun just now."""
    world, bank, run = paying
    tools = tools_of(world)
    tools.effects = {"pay": EffectRules(status=True, timeout_s=30.0)}
    tools.answers = {"pay": NotCarriedOut()}
    monkeypatch.setattr(world.store, "shared", True)
    now = world.clock.now
    monkeypatch.setattr(world.clock, "now", lambda: now() + ahead_s)
    slept = no_sleep(monkeypatch)
    other = await taken_over(world)
    assert (await other.wait("default", run)).outcome == "completed"
    (waited,) = [seconds for seconds in slept if seconds]
    assert 27.0 < waited <= 32.0
    assert bank.booked == {f"{run}//1": 2}


async def test_a_run_that_waits_can_be_cancelled(paying: tuple[World, Bank, str]) -> None:
    """It ends at once; nobody is asked any more, and the tool that was under way is named as missing."""
    world, bank, run = paying
    other = await taken_over(world)
    (asked,) = (await other.wait("default", run)).decisions
    result = await other.steering.cancel("default", run, "key_1", "never mind")
    assert (result.outcome, result.message, result.decisions) == ("cancelled", "never mind", ())
    assert [(part.kind, part.name) for part in result.missing] == [("answer", ""), ("tool", "pay")]
    (row,) = await other.decisions("default", run, False, None, 10)
    assert (row.id, row.choice, bank.booked) == (asked.id, "void", {f"{run}//1": 1})
    assert await other.decisions("default", None, True, None, 10) == []
    with pytest.raises(Conflict, match="is decided already"):
        await other.steering.decide("default", run, asked.id, "done", by="k")


async def test_after_a_lapse_nothing_begins_in_a_run_that_others_have_taken(tmp_path: Path) -> None:
    """Frozen between the intent and the call, and its hold renewed before it looks: the run is not its own any more."""
    bank = Bank()
    bank.answers = True
    world = World(tmp_path, ScriptedModel(asks(PAY), answer("Paid.")), Tools(pay=bank.pay))
    lapses = 0

    async def frozen(seconds: float = 0.0) -> None:
        """Stands where the first server is frozen: another one takes the run over meanwhile."""
        nonlocal lapses
        assert await world.store.acquire("default", run, "other") is not None
        lapses = 1

    first = world.another("first")
    place = first._carrier.place._replace(lapses=lambda: lapses)
    first._carrier.place = place
    over_intend = Effects.intend

    async def intend(self: Effects, started: ToolStarted) -> None:
        await over_intend(self, started)
        await frozen()

    world.runtime = first
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Effects, "intend", intend)
        run = await world.start(on_disconnect="continue")
        async with asyncio.timeout(5):
            while first.open_runs():
                await asyncio.sleep(0.001)
    assert bank.booked == {}, "it is for the other server to begin"
    assert (await world.kinds(run))[-1] == "tool.started"
    assert world.faults == []


async def test_without_a_lapse_a_call_costs_no_further_write(tmp_path: Path) -> None:
    """What proves the run ours is the intent itself."""
    world = World(tmp_path, ScriptedModel(asks(PAY), answer("Paid.")), Tools(pay=_paid))
    written: list[int] = []
    append = world.store.append

    async def counted(lease: Lease, expect_seq: int, events: Sequence[Event], **rest: Any) -> None:
        written.append(len(events))
        await append(lease, expect_seq, events, **rest)

    world.store.append = counted  # type: ignore[method-assign]
    assert (await world.runtime.wait("default", await world.start(background=True))).outcome == "completed"
    assert 0 not in written


async def _paid(invocation: ToolInvocation) -> ToolOutcome:
    return ToolOutcome(True, "receipt 1")


@pytest.mark.parametrize(("deaths", "booked", "state"), [(0, 2, "finished"), (2, 4, "finished"), (3, 4, "waiting")])
async def test_a_repeated_call_whose_worker_dies_is_repeated_and_then_a_person_is_asked(
    paying: tuple[World, Bank, str], deaths: int, booked: int, state: str
) -> None:
    """The model is never told that a payment failed which may have been made; each call has its intent."""
    world, bank, run = paying
    tools, left = tools_of(world), deaths

    async def pay(invocation: ToolInvocation) -> ToolOutcome:
        nonlocal left
        outcome = await bank.pay(invocation)
        left -= 1
        return outcome if left < 0 else ToolOutcome(False, "the worker died", "tool.worker_crashed")

    tools.tools["pay"] = pay
    tools.effects = {"pay": EffectRules(idempotent=True)}
    other = await taken_over(world)
    result = await other.wait("default", run)
    assert (result.state, bank.booked) == (state, {f"{run}//1": booked})
    assert (await world.kinds(run)).count("tool.started") == booked
    assert result.tool_calls == 1


async def test_a_run_that_somebody_decides_need_not_be_followed(tmp_path: Path) -> None:
    """An interactive one, too: it is not cancelled for want of readers."""
    bank = Bank()
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel(asks(PAY), [gate.wait, *answer("Paid.")]), Tools(pay=bank.pay), grace_s=0.0)
    run = await world.start(on_disconnect="cancel")
    while not bank.booked:
        await asyncio.sleep(0.001)
    other = await taken_over(world)
    async with asyncio.timeout(5):
        while not (asked := await other.decisions("default", run, True, None, 1)):
            await asyncio.sleep(0.001)
    await other.steering.decide("default", run, asked[0].id, "done", by="k")
    await asyncio.sleep(0.02)
    gate.set()
    assert (await other.wait("default", run)).outcome == "completed"
