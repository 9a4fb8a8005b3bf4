"""A run that is cancelled with undo: what its tools did is taken back, once at most, and what may not be is named."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from golive.core.deadline import Deadline
from golive.core.errors import ToolNotBegun
from golive.core.events import AlarmRaised, ToolFinished
from golive.runtime.api import RunResult
from golive.runtime.service import Runtime
from golive.tools.toolset import CarriedOut, EffectRules, NotCarriedOut, StatusAnswer, ToolInvocation, ToolOutcome
from tests.unit.resume_kit import PAY, begun, claimed, hangs, killed, taken_over
from tests.unit.runtime_kit import ScriptedModel, Tools, World, answer, asks, holding

DIED = ToolOutcome(False, "the worker died", "tool.worker_crashed")
SLOW = ToolOutcome(False, "it took too long", "tool.timeout")
BACK = ToolOutcome(True, "refunded")
UNKNOWN = ("undo", "pay", "tool.unknown_outcome")


class Refunds(Tools):
    """Pays, and takes back as `way` says; `refunded` by key."""

    def __init__(self, rules: EffectRules, *ways: ToolOutcome | Callable[[], Awaitable[object]]) -> None:
        super().__init__(pay=_paid)
        self.effects = {"pay": rules}
        self.ways = list(ways)
        self.refunded: list[str] = []

    async def undo(self, invocation: ToolInvocation, result: str, deadline: Deadline) -> ToolOutcome:
        way = self.ways.pop(0) if self.ways else BACK
        if isinstance(way, ToolOutcome):
            self.refunded += [invocation.key] * way.begun
            return way
        self.refunded.append(invocation.key)
        await way()
        return BACK


async def _paid(invocation: ToolInvocation) -> ToolOutcome:
    return ToolOutcome(True, "receipt 1")


def named(result: RunResult) -> list[tuple[str, str, str]]:
    """What the run says that it does not give, its answer apart."""
    return [(part.kind, part.name, part.code) for part in result.missing if part.kind != "answer"]


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


async def cancelled(world: World, runtime: Runtime, run: str) -> RunResult:
    async with asyncio.timeout(5):
        return await runtime.steering.cancel("default", run, "key_1", "stop", undo=True)


async def paid(path: Path, tools: Tools) -> tuple[World, str]:
    """A run that has paid, and asks its model something else."""
    world = World(path, ScriptedModel(asks(PAY), [hangs()], answer("Never.")), tools)
    run = await begun(world, "tool.finished")
    await until(lambda: len(world.model.requests) == 2)
    return world, run


@pytest.mark.parametrize(("idempotent", "refunds", "names"), [(False, 1, [UNKNOWN]), (True, 2, [])])
async def test_an_undo_that_a_killed_server_had_begun_is_repeated_only_where_that_is_declared(
    tmp_path: Path, idempotent: bool, refunds: int, names: list[tuple[str, str, str]]
) -> None:
    """A refund is not made twice: the run ends, and says that nobody knows."""
    tools = Refunds(EffectRules(undo=True, idempotent=idempotent), hangs())
    world, run = await paid(tmp_path, tools)
    cancelling = asyncio.ensure_future(world.runtime.steering.cancel("default", run, "key_1", "stop", undo=True))
    await until(lambda: tools.refunded)
    other = await taken_over(world)
    async with asyncio.timeout(5):
        result = await other.wait("default", run)
    cancelling.cancel()
    assert (result.outcome, result.reason, named(result)) == ("cancelled", "cancelled", names)
    assert tools.refunded == [f"{run}//1"] * refunds
    (undone,) = [body for body in world.bodies if isinstance(body, ToolFinished) and body.key.endswith("/undo")]
    assert undone.ok is idempotent
    alarms = [(body.alarm, body.fields) for body in world.bodies if isinstance(body, AlarmRaised)]
    if not idempotent:
        assert undone.error_code == "tool.unknown_outcome"
        assert undone.content == (
            "It is not known whether this call is taken back, and nobody tries it again: the server ended while its "
            "undo function was under way."
        )
        assert alarms == [("undo.unknown_outcome", {"tool": "pay", "key": f"{run}//1/undo"})]


@pytest.mark.parametrize("lost", [DIED, SLOW])
@pytest.mark.parametrize(("idempotent", "refunds", "names"), [(False, 1, [UNKNOWN]), (True, 2, [])])
async def test_an_undo_that_ends_without_a_word_is_repeated_only_where_that_is_declared(
    tmp_path: Path, lost: ToolOutcome, idempotent: bool, refunds: int, names: list[tuple[str, str, str]]
) -> None:
    """Its worker dies, or it runs out of time, in a server that lives."""
    tools = Refunds(EffectRules(undo=True, idempotent=idempotent), lost)
    world, run = await paid(tmp_path, tools)
    result = await cancelled(world, world.runtime, run)
    assert (result.outcome, named(result)) == ("cancelled", names)
    assert tools.refunded == [f"{run}//1"] * refunds


async def test_an_undo_that_is_lost_twice_is_not_known(tmp_path: Path) -> None:
    tools = Refunds(EffectRules(undo=True, idempotent=True), DIED, DIED)
    world, run = await paid(tmp_path, tools)
    result = await cancelled(world, world.runtime, run)
    assert (named(result), tools.refunded) == ([UNKNOWN], [f"{run}//1"] * 2)


async def test_an_undo_that_surely_was_not_begun_is_begun(tmp_path: Path) -> None:
    """The worker refused it, for the hold on the run was not sure."""
    tools = Refunds(EffectRules(undo=True), ToolOutcome(False, "not begun", ToolNotBegun.code, begun=False))
    world, run = await paid(tmp_path, tools)
    result = await cancelled(world, world.runtime, run)
    assert (named(result), tools.refunded) == ([], [f"{run}//1"])


async def test_an_undo_that_fails_is_named(tmp_path: Path) -> None:
    """It is known that nothing was taken back, and nobody tries again."""
    tools = Refunds(EffectRules(undo=True, idempotent=True), ToolOutcome(False, "no such payment", "tool.raised"))
    world, run = await paid(tmp_path, tools)
    result = await cancelled(world, world.runtime, run)
    assert (named(result), tools.refunded) == ([("undo", "pay", "tool.raised")], [f"{run}//1"])


class Slow(Refunds):
    """Pays when `may_end` is set, once it was `asked` to."""

    def __init__(self, rules: EffectRules, outcome: ToolOutcome | None = None) -> None:
        super().__init__(rules)
        self.outcome = outcome or ToolOutcome(True, "receipt 1")
        self.entered: list[str] = []
        self.may_end = asyncio.Event()
        self.tools |= {"pay": self._pay, "look": _paid}

    async def _pay(self, invocation: ToolInvocation) -> ToolOutcome:
        self.entered.append(invocation.key)
        await self.may_end.wait()
        return self.outcome


async def paying(path: Path, tools: Slow, *calls: tuple[str, str]) -> tuple[World, str]:
    """A run whose payment is under way."""
    world = World(path, ScriptedModel(asks(*(calls or (PAY,))), answer("Paid.")), tools)
    run = await begun(world, "tool.started")
    await until(lambda: tools.entered)
    return world, run


async def test_a_call_under_way_may_end_and_is_taken_back(tmp_path: Path) -> None:
    """Nothing else begins meanwhile, no call to a model either; that it is cancelled is durable at once."""
    tools = Slow(EffectRules(undo=True))
    world, run = await paying(tmp_path, tools)
    cancelling = asyncio.ensure_future(cancelled(world, world.runtime, run))
    async with asyncio.timeout(5):
        while "run.cancel_requested" not in await world.kinds(run):
            await asyncio.sleep(0.001)
    assert not cancelling.done()
    tools.may_end.set()
    result = await cancelling
    assert (result.outcome, result.reason, named(result)) == ("cancelled", "cancelled", [])
    assert tools.refunded == [f"{run}//1"]
    assert len(world.model.requests) == 1


async def test_without_undo_a_call_under_way_is_left(tmp_path: Path) -> None:
    tools = Slow(EffectRules(undo=True))
    world, run = await paying(tmp_path, tools)
    async with asyncio.timeout(5):
        result = await world.runtime.steering.cancel("default", run, "key_1", "stop")
    assert (named(result), tools.refunded) == ([("tool", "pay", "cancelled")], [])


async def test_a_call_that_nothing_could_take_back_is_not_waited_for(tmp_path: Path) -> None:
    tools = Slow(EffectRules())
    world, run = await paying(tmp_path, tools)
    result = await cancelled(world, world.runtime, run)
    assert (named(result), tools.refunded) == ([("tool", "pay", "cancelled")], [])


@pytest.mark.parametrize(
    ("rules", "says", "calls", "refunds", "names"),
    [
        (EffectRules(undo=True), None, 1, 0, [("tool", "pay", "tool.unknown_outcome"), UNKNOWN]),
        (EffectRules(undo=True, status=True), CarriedOut(ToolOutcome(True, "receipt 2")), 1, 1, []),
        (EffectRules(undo=True, status=True), NotCarriedOut(), 1, 0, [("tool", "pay", "tool.not_begun")]),
        (EffectRules(undo=True, idempotent=True), None, 2, 1, []),
    ],
)
@pytest.mark.parametrize("ends", ["the worker dies", "time runs out", "the server is killed"])
async def test_a_call_that_ends_without_a_word_is_found_out_as_declared_and_taken_back(
    tmp_path: Path, ends: str, rules: EffectRules, says: StatusAnswer | None, calls: int, refunds: int,
    names: list[tuple[str, str, str]],
) -> None:  # fmt: skip
    """What nobody can find out is named; what was not carried out is not carried out any more."""
    tools = Slow(rules, DIED if ends == "the worker dies" else SLOW)
    tools.answers = {"pay": says} if says is not None else {}
    world, run = await paying(tmp_path, tools)
    cancelling = asyncio.ensure_future(cancelled(world, world.runtime, run))
    async with asyncio.timeout(5):
        while "run.cancel_requested" not in await world.kinds(run):
            await asyncio.sleep(0.001)
    if ends == "the server is killed":
        tools.tools["pay"] = _paid
        other = await taken_over(world)
        async with asyncio.timeout(5):
            result = await other.wait("default", run)
        cancelling.cancel()
    else:
        tools.tools["pay"] = _paid
        tools.may_end.set()
        result = await cancelling
    assert (result.outcome, named(result)) == ("cancelled", names)
    assert (len(tools.calls), tools.refunded) == (calls, [f"{run}//1"] * refunds)


async def test_a_server_that_ends_meanwhile_leaves_the_cancel_and_its_undo_to_the_next(tmp_path: Path) -> None:
    """It hands the run over where it waits for the call."""
    tools = Slow(EffectRules(undo=True, status=True))
    tools.answers = {"pay": CarriedOut(ToolOutcome(True, "receipt 2"))}
    world, run = await paying(tmp_path, tools)
    cancelling = asyncio.ensure_future(world.runtime.steering.cancel("default", run, "key_1", "stop", undo=True))
    async with asyncio.timeout(5):
        while "run.cancel_requested" not in await world.kinds(run):
            await asyncio.sleep(0.001)
        await world.runtime._carrier.drain(0.0)
    assert tools.refunded == []
    assert "run.finished" not in await world.kinds(run)
    await asyncio.wait([cancelling])
    other = await claimed(world)
    async with asyncio.timeout(5):
        result = await other.wait("default", run)
    assert (result.outcome, result.message, tools.refunded) == ("cancelled", "stop", [f"{run}//1"])


async def test_between_two_undos_a_run_can_be_handed_over(tmp_path: Path) -> None:
    """The one that is under way ends here; the other one is the next server's."""
    gate = asyncio.Event()
    tools = Refunds(EffectRules(undo=True), gate.wait)
    world = World(tmp_path, ScriptedModel(asks(PAY, PAY), [hangs()]), tools)
    run = await begun(world, "tool.finished")
    await until(lambda: len(world.model.requests) == 2)
    cancelling = asyncio.ensure_future(world.runtime.steering.cancel("default", run, "key_1", "stop", undo=True))
    await until(lambda: tools.refunded)
    draining = asyncio.ensure_future(world.runtime._carrier.drain(0.0))
    await asyncio.sleep(0.01)
    gate.set()
    async with asyncio.timeout(5):
        await draining
    assert tools.refunded == [f"{run}//2"]
    await asyncio.wait([cancelling])
    other = await claimed(world)
    async with asyncio.timeout(5):
        result = await other.wait("default", run)
    assert (named(result), tools.refunded) == ([], [f"{run}//2", f"{run}//1"])


async def test_a_run_that_waits_for_a_person_is_cancelled_and_what_they_said_was_done_is_taken_back(
    tmp_path: Path,
) -> None:
    """Of two lost payments one is said to be done: that one is taken back, and the other one named."""
    tools = Slow(EffectRules(undo=True))
    world, run = await paying(tmp_path, tools, PAY, PAY)
    await until(lambda: len(tools.entered) == 2)
    other = await taken_over(world)
    asked = (await other.wait("default", run)).decisions
    await other.steering.decide("default", run, asked[0].id, "done", by="key_1", content="receipt 9")
    result = await cancelled(world, other, run)
    assert named(result) == [("tool", "pay", "tool.unknown_outcome"), UNKNOWN]
    assert tools.refunded == [f"{run}//1"]
    assert (await other.decisions("default", run, True, None, 10)) == []


async def test_a_run_taken_over_is_undone_also_where_it_waits_for_its_turn(tmp_path: Path) -> None:
    """It has a conversation, and another run of it is first: what it did is taken back before it ends."""
    tools = Refunds(EffectRules(undo=True))
    model = ScriptedModel(asks(PAY), [hangs()], [hangs()], [hangs()])
    world = World(tmp_path, model, tools)
    run = await begun(world, "tool.finished", conversation="c")
    await until(lambda: len(world.model.requests) == 2)
    await killed(world)
    await world.store.leave("test")
    other = world.another("other")
    world.runtime = other
    await world.start(conversation="c", on_disconnect="continue")
    hold = holding(world, other, "other")
    await hold.beat()
    await hold.look()
    result = await cancelled(world, other, run)
    assert (result.outcome, tools.refunded) == ("cancelled", [f"{run}//1"])


@pytest.mark.parametrize(
    ("rules", "says", "refunds", "names"),
    [
        (EffectRules(undo=True), None, [2], [UNKNOWN]),
        (EffectRules(undo=True, status=True), CarriedOut(ToolOutcome(True, "receipt 2")), [2, 1], []),
        (EffectRules(undo=True, status=True), NotCarriedOut(), [2], []),
    ],
)
async def test_what_the_model_was_told_as_failed_may_have_been_done(
    tmp_path: Path, rules: EffectRules, says: StatusAnswer | None, refunds: list[int], names: list[tuple[str, str, str]]
) -> None:
    """A payment that ran out of time, and was made once more: both may have been made, and both are looked at."""
    tools = Refunds(rules)
    outcomes = [SLOW, ToolOutcome(True, "receipt 1")]

    async def pay(invocation: ToolInvocation) -> ToolOutcome:
        return outcomes.pop(0)

    tools.tools["pay"] = pay
    world = World(tmp_path, ScriptedModel(asks(PAY), asks(PAY), [hangs()]), tools)
    run = await begun(world, "tool.finished")
    await until(lambda: len(world.model.requests) == 3)
    tools.answers = {"pay": says} if says is not None else {}
    result = await cancelled(world, world.runtime, run)
    assert (named(result), tools.refunded) == (names, [f"{run}//{number}" for number in refunds])


async def test_a_call_that_failed_needs_no_undo(tmp_path: Path) -> None:
    tools = Refunds(EffectRules(undo=True))

    async def pay(invocation: ToolInvocation) -> ToolOutcome:
        return ToolOutcome(False, "no money", "tool.raised")

    tools.tools["pay"] = pay
    world, run = await paid(tmp_path, tools)
    result = await cancelled(world, world.runtime, run)
    assert (named(result), tools.refunded) == ([("tool", "pay", "tool.raised")], [])
