"""Turns of one conversation that several servers carry."""

import asyncio
from pathlib import Path

from golive.core.messages import Message
from golive.runtime.api import RunRequest
from tests.unit.resume_kit import begun, hangs, killed
from tests.unit.runtime_kit import PRINCIPAL, ScriptedModel, World, answer, holding


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
