"""A store that refuses a run's events for good: the run ends all the same, as far as the store takes it."""

import asyncio
import json
from pathlib import Path

import pytest

from golive.core.chance import SeededChance
from golive.core.clock import SystemClock
from golive.core.errors import Conflict, GoliveError, StoreError, StoreUnavailable
from golive.core.events import ModelFailed, decode_body
from golive.core.frames import Cursor
from golive.core.ids import Ids
from golive.core.messages import Message, Usage
from golive.models.call import ModelRequest, TextDelta
from golive.runtime import ending
from golive.runtime.ending import Ender
from golive.runtime.loop import left_behind
from golive.runtime.relay import Relay
from golive.store.ports import RunFilter
from golive.store.sqlite.store import SqliteStore
from tests.unit.runtime_kit import PRINCIPAL, TARGET, ScriptedModel, World, answer, drain, open_runs, over, shown

TOO_LARGE = Usage(input_tokens=2**63, output_tokens=5)
"""One more than a column of the database holds."""


class Ill:
    """A store whose next appends fail as told, and whose reads of lists do."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.appends: list[Exception] = []
        self.lists: list[Exception] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    async def append(self, *args: object, **options: object) -> None:
        if self.appends:
            raise self.appends.pop(0)
        await self.store.append(*args, **options)  # type: ignore[arg-type]

    def tenant(self, tenant: str) -> object:
        return IllTenant(self, tenant)


class IllTenant:
    def __init__(self, ill: Ill, tenant: str) -> None:
        self.ill, self.handle = ill, ill.store.tenant(tenant)

    def __getattr__(self, name: str) -> object:
        return getattr(self.handle, name)

    async def runs(self, where: RunFilter) -> object:
        if where.state == "finished" and self.ill.lists:
            raise self.ill.lists.pop(0)
        return await self.handle.runs(where)


def make_ill(world: World) -> Ill:
    """Puts the illness between the world's runtime and its store."""
    ill = Ill(world.store)
    over(world.runtime, ill)
    return ill


async def test_a_run_whose_events_cannot_be_stored_ends_as_failed(tmp_path: Path) -> None:
    """Whoever follows, waits, lists or reads the run afterwards is told of one and the same end, with a code."""
    gate = asyncio.Event()
    world = World(tmp_path, model := ScriptedModel([TextDelta("so far"), gate.wait, *answer(".")]))
    model.usage = TOO_LARGE
    run = await world.start()
    following = asyncio.ensure_future(drain(await world.runtime.subscribe("default", run)))
    waiting = asyncio.ensure_future(world.runtime.wait("default", run))
    await asyncio.sleep(0.3)  # the text becomes durable with its block
    gate.set()
    async with asyncio.timeout(5):
        frames, result = await following, await waiting
    assert (result.state, result.outcome, result.reason) == ("finished", "failed", "store.failed")
    assert (result.text, result.priced) == ("so far", False)
    assert frames[-1].event == "run.finished"
    assert json.loads(bytes(frames[-1].data))["reason"] == "store.failed"
    (row,) = await world.runtime.runs("default", RunFilter())
    assert (row.state, row.outcome, row.reason, row.epoch) == ("finished", "failed", "store.failed", 2)
    assert await open_runs(world.store) == []
    assert world.runtime.open_runs() == 0
    (call,) = [
        body
        for event in await world.store.tenant("default").events(run)
        if isinstance(body := decode_body(event), ModelFailed)
    ]
    assert (call.target, call.code, call.priced) == (TARGET, "store.failed", False)
    assert [type(fault) for fault in world.faults] == [StoreError]


async def test_who_saw_text_that_was_refused_is_told_to_forget_it(tmp_path: Path) -> None:
    """Live text that did not become durable is taken back by `text.reset`, for who stays and for who comes back."""
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel([TextDelta("lost"), gate.wait, *answer(".")]))
    ill = make_ill(world)
    run = await world.start()
    following = asyncio.ensure_future(drain(await world.runtime.subscribe("default", run)))
    while world.runtime._carrier.live["default", run].log.last_pos < 7:
        await asyncio.sleep(0)
    ill.appends = [StoreError("refused")]
    gate.set()
    async with asyncio.timeout(5):
        frames = await following
    assert shown(frames).startswith("lost")
    ends = ["text.reset", "model.failed", "run.finished"]
    assert [frame.event for frame in frames][-3:] == ends
    assert json.loads(bytes(frames[-3].data)) == {"pos": 3}
    assert (await world.runtime.result("default", run)).text == ""
    back = await drain(await world.runtime.subscribe("default", run, Cursor(1, 8)))
    assert [frame.event for frame in back] == ends


@pytest.mark.parametrize("error", [StoreError("damaged"), StoreUnavailable("locked")])
async def test_a_past_that_cannot_be_read_ends_the_run(tmp_path: Path, error: StoreError) -> None:
    """The run of a conversation whose earlier runs cannot be read ends with the code, and lets the next one in."""
    world = World(tmp_path, ScriptedModel(answer("one")))
    ill = make_ill(world)
    ill.lists = [error]
    async with asyncio.timeout(5):
        first = await world.runtime.wait("default", await world.start(conversation="c"))
        second = await world.runtime.wait("default", await world.start(conversation="c"))
    assert (first.state, first.outcome, first.reason) == ("finished", "failed", error.code)
    assert (second.outcome, second.text) == ("completed", "one")
    assert world.faults == [error]


@pytest.mark.parametrize("conversation", [None, "c"])
@pytest.mark.parametrize("error", [StoreUnavailable("locked"), StoreError("damaged")])
async def test_a_run_that_could_not_be_accepted_never_was(
    tmp_path: Path, error: StoreError, conversation: str | None
) -> None:
    """Whoever asked is told so at once, and no later write brings the run into being, though the store takes it."""
    world = World(tmp_path, ScriptedModel(answer("one"), repeat=True))
    ill = make_ill(world)
    ill.appends = [error]
    async with asyncio.timeout(5):
        with pytest.raises(type(error), match=str(error)):
            await world.start(conversation=conversation)
        while world.runtime.open_runs():
            await asyncio.sleep(0)
    assert await world.runtime.runs("default", RunFilter()) == []
    assert await open_runs(world.store) == []
    result = await world.runtime.wait("default", await world.start(conversation=conversation))
    assert (result.outcome, result.text) == ("completed", "one")


@pytest.mark.parametrize("first", [Conflict("refused"), StoreUnavailable("locked")])
async def test_an_end_that_the_store_cannot_take_now_follows(
    tmp_path: Path, first: StoreError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, and then not even its end can be written: who follows is told why, and the end comes with the store."""
    monkeypatch.setattr(ending, "RETRY_S", 0.0)
    monkeypatch.setattr("golive.runtime.journal._RETRY_S", (0.0,))
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel([gate.wait, *answer("text")]))
    ill = make_ill(world)
    run = await world.start()
    following = asyncio.ensure_future(drain(await world.runtime.subscribe("default", run)))
    await asyncio.sleep(0)
    ill.appends = [first, Conflict("refused"), *[StoreUnavailable("locked")] * 5]
    if first.code == "store.conflict":
        del ill.appends[0]
    gate.set()
    async with asyncio.timeout(10):
        frames = await following
        assert (frames[-1].event, json.loads(bytes(frames[-1].data))["code"]) == ("error", first.code)
        while world.runtime.open_runs():
            await asyncio.sleep(0.01)
    result = await world.runtime.result("default", run)
    assert (result.state, result.outcome, result.reason) == ("finished", "failed", "store.conflict")


async def test_a_run_that_another_holds_is_left_to_it(tmp_path: Path) -> None:
    """Fenced off, a server neither ends the run nor takes it back; who follows it there is told how it goes on."""
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel([gate.wait, *answer("text")]))
    run = await world.start()
    following = asyncio.ensure_future(drain(await world.runtime.subscribe("default", run)))
    await asyncio.sleep(0)
    lease = await world.store.acquire("default", run, "another")
    assert lease is not None
    gate.set()
    async with asyncio.timeout(5):
        while world.runtime.open_runs():
            await asyncio.sleep(0)
        assert await open_runs(world.store) == [("default", run)]
        ender = Ender(world.store, world.clock, "another", lambda state, bodies: None)
        assert await ender.end_held(lease, left_behind, "")
        frames = await following
    assert (frames[-1].event, frames[-1].epoch) == ("run.finished", lease.epoch)
    assert (await world.store.acquire("default", run, "another")).epoch == lease.epoch + 1  # type: ignore[union-attr]
    assert world.faults == [], "it is no fault to be taken over"


@pytest.mark.parametrize("first", [[], [StoreUnavailable("locked")]])
async def test_a_relayed_call_whose_end_is_refused_ends_as_failed(
    tmp_path: Path, first: list[GoliveError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain call whose figures cannot be stored is told to the client, and does not stay open."""
    monkeypatch.setattr("golive.runtime.journal._RETRY_S", (0.0,))
    clock = SystemClock()
    store = SqliteStore.open(tmp_path / "t.db", clock=clock, inline=True)
    ill = Ill(store)
    model = ScriptedModel(answer("text"))
    model.usage = TOO_LARGE
    relay = Relay(
        store=ill, target=lambda ref, ttl_s: model, clock=clock, ids=Ids(clock, SeededChance(1)), holder="test",  # type: ignore[arg-type]
        observer=lambda state, bodies: None,
    )  # fmt: skip
    call = await relay.open(PRINCIPAL, TARGET, ModelRequest(messages=(Message("user", "Hi"),)))
    ill.appends = [*first]
    with pytest.raises(StoreError):
        async for _ in call:
            pass
    await call.aclose()
    tenant = store.tenant("default")
    async with asyncio.timeout(5):
        while await open_runs(store):
            await asyncio.sleep(0.01)
    (row,) = await tenant.runs(RunFilter())
    assert (row.outcome, row.reason, row.priced) == ("failed", "store.failed", False)
    await relay.close()
