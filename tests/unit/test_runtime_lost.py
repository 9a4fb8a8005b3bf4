"""A server whose run was taken by another one: it stops carrying it, and says what the journal says."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from golive.runtime.service import Runtime
from golive.tools.toolset import ToolInvocation, ToolOutcome
from tests.postgres_kit import Database
from tests.unit.runtime_kit import ScriptedModel, Tools, World, answer, asks, drain, holding


class Slow:
    """A tool that takes for ever, and what became of its call."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.stopped = asyncio.Event()

    async def __call__(self, invocation: ToolInvocation) -> ToolOutcome:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()
        raise AssertionError("nothing waits for ever")


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
async def world(tmp_path: Path, slow: Slow) -> AsyncIterator[World]:
    """Server `test` over PostgreSQL; its model asks for the slow tool."""
    database = Database()
    world = World(tmp_path, ScriptedModel(asks(("slow", "{}")), answer("Done.")), Tools(slow=slow))
    await world.store.close()
    world.store = await database.open()  # type: ignore[assignment]
    world.runtime = world.another("test")
    yield world
    await world.runtime.drain(0.0)
    await world.store.close()
    database.drop()


async def begun(world: World, slow: Slow) -> tuple[str, Runtime]:
    """A run whose tool is under way at the server; and another server."""
    run = await world.start(background=True)
    await slow.began.wait()
    return run, world.another("other")


async def test_a_run_that_another_server_has_ended_is_ended_here_at_once(world: World, slow: Slow) -> None:
    """Whoever asks is told the journal's word, not that of a server that does not know; and the call is stopped."""
    run, other = await begun(world, slow)
    assert (await world.runtime.result("default", run)).state == "running"
    assert (await other.steering.cancel("default", run, "key_1", "wrong")).outcome == "cancelled"
    said = await world.runtime.result("default", run)
    assert (said.state, said.outcome) == ("finished", "cancelled")
    async with asyncio.timeout(5):
        await slow.stopped.wait()
        while world.runtime.carries_run("default", run):
            await asyncio.sleep(0.01)
    assert (await world.kinds(run))[-1] == "run.finished"


async def test_within_a_beat_a_server_stops_carrying_what_it_has_lost(world: World, slow: Slow) -> None:
    """Its readers have the end, the tool's call is stopped, and it says which runs it has lost."""
    lost: list[tuple[list[str], bool]] = []
    hold = holding(world, world.runtime, "test", lost=lambda runs, lapsed: lost.append((list(runs), lapsed)))
    await hold.beat()
    run, other = await begun(world, slow)
    reading = asyncio.ensure_future(drain(await world.runtime.subscribe("default", run)))
    await hold.look()
    assert lost == []
    assert not slow.stopped.is_set()
    await other.steering.cancel("default", run, "key_1", "wrong")
    await hold.beat()
    await hold.look()
    async with asyncio.timeout(5):
        await slow.stopped.wait()
        frames = await reading
        while world.runtime.carries_run("default", run):
            await asyncio.sleep(0.01)
    assert frames[-1].event == "run.finished"
    assert lost == [([run], False)]
    await hold.look()
    assert len(lost) == 1


async def test_a_server_that_was_frozen_says_what_it_has_lost(world: World, slow: Slow) -> None:
    """Its lease was over, another one claimed the run."""
    lost: list[tuple[list[str], bool]] = []
    hold = holding(world, world.runtime, "test", lost=lambda runs, lapsed: lost.append((list(runs), lapsed)))
    await hold.beat()
    run, _other = await begun(world, slow)
    await world.store.beat("other", 60.0)
    await world.store.leave("test")
    assert [lease.run for lease in await world.store.claim("other", ["sha256:test"], 10, 0.0)] == [run]
    await hold.beat()
    await hold.look()
    assert lost == [([run], True)]
    async with asyncio.timeout(5):
        await slow.stopped.wait()
    assert "run.finished" not in await world.kinds(run)


async def test_what_people_do_at_a_server_that_has_lost_the_run_is_done(world: World, slow: Slow) -> None:
    """Not noted in a journal that takes nothing more: the run is taken back first."""
    run, _other = await begun(world, slow)
    assert await world.store.acquire("default", run, "other") is not None
    said = await world.runtime.steering.cancel("default", run, "key_1", "wrong")
    assert (said.state, said.outcome) == ("finished", "cancelled")
