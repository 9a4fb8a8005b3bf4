"""Faults of our own and of the store while a run is carried: the run ends, or says truly that it has not."""

import asyncio
from pathlib import Path

import pytest
from msgspec import Raw

from golive.core.chance import SeededChance
from golive.core.clock import SystemClock
from golive.core.errors import StoreUnavailable
from golive.core.events import Body
from golive.core.ids import Ids
from golive.core.messages import Message
from golive.models.call import ModelRequest
from golive.runtime import carrier
from golive.runtime.relay import Relay
from golive.runtime.shown import result_of
from golive.runtime.state import RunState
from golive.store.ports import RunFilter
from golive.store.sqlite.store import SqliteStore
from tests.unit.runtime_kit import PRINCIPAL, ScriptedModel, World, answer, drain, over


class Flaky:
    """A store whose appends fail while `full`."""

    def __init__(self, store: SqliteStore) -> None:
        self.store, self.full = store, False

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    async def append(self, *args: object, **options: object) -> None:
        if self.full:
            raise StoreUnavailable("disk full", remedy="free some space")
        await self.store.append(*args, **options)  # type: ignore[arg-type]


async def test_an_end_that_is_not_durable_is_not_told(tmp_path: Path) -> None:
    """While the store cannot be written a run whose model has answered is still running, to whoever asks or waits."""
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel([gate.wait, *answer("text")]))
    flaky = Flaky(world.store)
    over(world.runtime, flaky)
    run = await world.start()
    waiting = asyncio.ensure_future(world.runtime.wait("default", run))
    await asyncio.sleep(0)
    flaky.full = True
    gate.set()
    with pytest.raises(StoreUnavailable) as refused:
        await waiting
    assert refused.value.fields["run"] == run
    assert run in refused.value.remedy
    told = await world.runtime.result("default", run)
    assert (told.state, told.outcome, told.text) == ("running", None, "text")
    with pytest.raises(StoreUnavailable):
        await world.runtime.wait("default", run)
    flaky.full = False
    async with asyncio.timeout(10):
        while world.runtime.open_runs():
            await asyncio.sleep(0.02)
    told = await world.runtime.result("default", run)
    assert (told.state, told.outcome, told.text) == ("finished", "completed", "text")
    assert told == result_of(RunState.of(await world.store.tenant("default").events(run)))


async def test_a_fault_before_the_loop_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What breaks while a run waits for its turn ends it as failed, and lets the next one of the conversation in."""
    world = World(tmp_path, ScriptedModel(answer("one"), answer("two")))

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a journal of another age")

    monkeypatch.setattr(carrier, "past", broken)
    run = await world.start(conversation="c")
    told = await world.runtime.wait("default", run)
    assert (told.state, told.outcome, told.reason) == ("finished", "failed", "internal")
    assert [str(fault) for fault in world.faults] == ["a journal of another age"]
    monkeypatch.undo()
    run = await world.start(conversation="c")
    assert (await world.runtime.wait("default", run)).text == "one"


async def test_an_observer_that_breaks_leaves_nobody_waiting(tmp_path: Path) -> None:
    """Whoever follows a run sees its stream end, whatever metrics and logs make of it."""
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel([gate.wait, *answer("text")]))

    def broken(state: RunState, bodies: list[Body]) -> None:
        raise OSError("no space left on device")

    run = await world.start()
    subscription = await world.runtime.subscribe("default", run)
    world.runtime._carrier._observer = broken
    gate.set()
    async with asyncio.timeout(5):
        await drain(subscription)
    assert world.faults
    (row,) = await world.runtime.runs("default", RunFilter())
    assert row.state == "finished"


async def test_an_answer_nested_without_end_is_no_output(tmp_path: Path) -> None:
    """Where a schema is declared, JSON that would break the parser ends the run as partial, with its text."""
    world = World(tmp_path, ScriptedModel(answer("[" * 200_000)), output_schema=Raw(b"{}"))
    told = await world.runtime.wait("default", await world.start())
    assert (told.state, told.outcome, told.reason) == ("finished", "partial", "output_invalid")
    assert len(told.text) == 200_000


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_relayed_calls_cost_reaches_the_ledger_once_the_store_is_back(tmp_path: Path, leaves: bool) -> None:
    """A store that fails at a call's end is told to who still listens; no call stays open, and no money is lost."""
    clock = SystemClock()
    store = SqliteStore.open(tmp_path / "t.db", clock=clock, inline=True)
    flaky = Flaky(store)
    model = ScriptedModel([*answer("text"), *([asyncio.Event().wait] if leaves else [])])
    relay = Relay(
        store=flaky, target=lambda ref, ttl_s: model, clock=clock, ids=Ids(clock, SeededChance(1)), holder="test",  # type: ignore[arg-type]
        observer=lambda state, bodies: None,
    )  # fmt: skip
    call = await relay.open(PRINCIPAL, "sim/sim-text", ModelRequest(messages=(Message("user", "Hi"),)))
    stream = call.__aiter__()
    assert [await anext(stream), await anext(stream)]
    flaky.full = True
    if not leaves:
        with pytest.raises(StoreUnavailable):
            async for _ in stream:
                pass
    await stream.aclose()  # type: ignore[attr-defined]
    await call.aclose()
    assert relay.open_calls == 0
    tenant = store.tenant("default")
    assert await tenant.spent(call.run) == 0
    flaky.full = False
    async with asyncio.timeout(10):
        while not await tenant.spent(call.run):
            await asyncio.sleep(0.02)
    (row,) = await tenant.runs(RunFilter())
    assert (row.state, row.cost_microusd) == ("finished", 30)
    await relay.close()
