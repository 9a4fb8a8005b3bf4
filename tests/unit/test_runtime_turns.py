"""Turns of one conversation that several servers carry."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

from golive.core.errors import ConversationBusy
from golive.core.messages import Message
from golive.runtime.api import RunRequest
from golive.runtime.folding import views
from golive.store.ports import RunFilter
from golive.store.upkeep.verify import verify
from tests.unit.resume_kit import begun, hangs, killed
from tests.unit.runtime_kit import PRINCIPAL, ScriptedModel, World, answer, holding
from tests.unit.upkeep_kit import at, done, silent


def asking(text: str, **fields: object) -> RunRequest:
    return RunRequest(
        agent="helper",
        input=(Message("user", text),),
        principal=PRINCIPAL,
        conversation="c",
        background=True,
        **fields,  # type: ignore[arg-type]
    )


def shared(world: World) -> None:
    """Other servers may write to the store."""
    world.store.shared = True


async def test_a_run_that_is_taken_over_comes_before_those_that_wait_for_it(tmp_path: Path) -> None:
    """The second turn waits, here, for the first, which is carried elsewhere; then that one comes here."""
    world = World(tmp_path, ScriptedModel([hangs()], answer("First."), answer("Second.")))
    shared(world)
    first = await begun(world, "model.started", conversation="c")
    await killed(world)
    other = world.another("other")
    second = await other.start(asking("And?"))
    await asyncio.sleep(0.05)
    hold = holding(world, other, "other")
    await hold.beat()
    await hold.look()
    async with asyncio.timeout(10):
        assert (await other.wait("default", first)).text == "First."
        assert (await other.wait("default", second)).text == "Second."
    assert [turn.content for turn in world.model.requests[-1].messages][1:] == ["Hello", "First.", "And?"]


async def test_of_two_servers_that_accept_a_turn_at_once_one_is_refused(tmp_path: Path) -> None:
    """As a second one is refused where one server has them all; and there is no run of it."""
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel([gate.wait, *answer("One.")], repeat=True), conversation_queue=0)
    shared(world)
    servers = [world.runtime, world.another("second")]
    begun = await asyncio.gather(*(server.start(asking("Hi")) for server in servers), return_exceptions=True)
    refused = [error for error in begun if isinstance(error, ConversationBusy)]
    accepted = [run for run in begun if isinstance(run, str)]
    assert (len(refused), len(accepted), world.faults) == (1, 1, [])
    gate.set()
    async with asyncio.timeout(5):
        assert (await world.runtime.wait("default", accepted[0])).text == "One."
    assert len(await world.runtime.runs("default", RunFilter(conversation="c"))) == 1
    assert all(server.open_runs() == 0 for server in servers)
    assert isinstance(await servers[1].start(asking("And?")), str), "and it rests again"


async def test_of_two_servers_that_begin_a_turn_at_once_one_waits(tmp_path: Path) -> None:
    """Neither sees the other when it looks, and yet no two speak at once: the second is told what the first said."""
    under_way, most = 0, 0

    async def counted() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1

    world = World(tmp_path, ScriptedModel([counted, *answer("Said.")], repeat=True))
    shared(world)
    servers = [world.runtime, world.another("second")]

    async def nobody(store: object, turn: object) -> None:
        await asyncio.sleep(0)

    for server in servers:
        server._carrier.conversations.others_first = nobody  # type: ignore[method-assign]
    begun = await asyncio.gather(*(server.start(asking("Hi")) for server in servers))
    async with asyncio.timeout(5):
        for server, run in zip(servers, begun, strict=True):
            assert (await server.wait("default", run)).text == "Said."
    assert most == 1
    assert [turn.content for turn in world.model.requests[-1].messages] == ["Be brief.", "Hi", "Said.", "Hi"]


def marked(sql: str) -> Callable[[sqlite3.Connection], int]:
    return lambda connection: connection.execute(sql).rowcount


def test_a_store_whose_lists_say_who_has_the_turn_agrees(tmp_path: Path) -> None:
    """One that has its turn has begun nothing yet; one that began before waits for it again."""

    async def left() -> None:
        world = World(tmp_path, ScriptedModel([hangs()]))
        shared(world)
        first = await begun(world, "model.started", conversation="c")
        second = await world.runtime.start(asking("And?"))
        await asyncio.sleep(0.02)
        await killed(world)
        for state, run in (("queued", first), ("running", second)):
            mark = f"UPDATE runs SET state = '{state}' WHERE run = '{run}'"
            await world.store.call(marked(mark))
        await world.store.close()

    asyncio.run(left())
    verdict = done(lambda: verify(at(f"sqlite:///{tmp_path / 'test.db'}"), views, silent))
    assert (verdict.discrepancies, verdict.runs) == ([], 2)
